"""Features, the products that have them, and which of them a customer is entitled to.

What a customer is entitled to is a snapshot, renewed whenever one of its subscriptions changes or renews: a feature
that a product gains or loses reaches those who already subscribe with their next period.
"""

from __future__ import annotations

from .errors import StripeError
from .forms import merge_metadata
from .shapes import Object, new_object, object_list
from .state import State

FEATURE = "entitlements.feature"
_ENTITLEMENT = "entitlements.active_entitlement"
_ENTITLING = ("active", "past_due", "trialing")
"""Subscriptions of these states entitle; an unpaid, paused or canceled one does not."""


def create_feature(state: State, params: Object) -> Object:
    """A feature; its lookup key is its own for ever."""
    key = params["lookup_key"]
    if any(feature["lookup_key"] == key for feature in state.all(FEATURE)):
        raise StripeError(f"A feature with the lookup key {key} already exists.", param="lookup_key")
    return state.add(
        new_object(
            FEATURE, lookup_key=key, metadata=merge_metadata({}, params.get("metadata", {})), name=params["name"]
        )
    )


def update_feature(state: State, identifier: str, params: Object) -> Object:
    """Rename, archive or bring back a feature."""
    feature = state.find(FEATURE, identifier)
    with state.changing(feature):
        feature["metadata"] = merge_metadata(feature["metadata"], params.get("metadata", {}))
        feature.update({name: params[name] for name in ("active", "name") if name in params})
    return feature


def attach(state: State, product: str, feature: str) -> Object:
    """Give a product a feature."""
    state.find("product", product)
    held = state.find(FEATURE, feature, "entitlement_feature")
    if not held["active"]:
        raise StripeError("An archived feature cannot be attached to a product.", param="entitlement_feature")
    if any(has["entitlement_feature"]["id"] == feature for has in features_of(state, product)):
        raise StripeError("The product has this feature already.", param="entitlement_feature")
    return state.add(new_object("product_feature", entitlement_feature=held, _product=product))


def detach(state: State, product: str, identifier: str) -> Object:
    """Take a feature from a product."""
    held = find_attached(state, product, identifier)
    gone = new_object("deleted_product_feature", id=held["id"])
    state.put("product_feature", identifier, gone)
    return gone


def find_attached(state: State, product: str, identifier: str) -> Object:
    """One feature of a product, by the attachment's identifier."""
    held = state.find("product_feature", identifier)
    if held["_product"] != product:
        raise StripeError(f"The product {product} has no such feature.", param="id", status=404)
    return {**held, "entitlement_feature": state.find(FEATURE, held["entitlement_feature"]["id"])}


def features_of(state: State, product: str) -> list[Object]:
    """The features a product has, each as it is now."""
    held = [has for has in state.all("product_feature") if has.get("_product") == product]
    return [find_attached(state, product, has["id"]) for has in held]


def active(state: State, customer: str) -> list[Object]:
    """What a customer is entitled to."""
    return [held for held in state.all(_ENTITLEMENT) if held.get("_customer") == customer]


def renew(state: State, customer: str) -> None:
    """Bring a customer's entitlements in line with its subscriptions, and tell when that changed them."""
    products = {
        item["price"]["product"]
        for subscription in state.all("subscription")
        if subscription["customer"] == customer and subscription["status"] in _ENTITLING
        for item in subscription["items"]["data"]
    }
    wanted = {
        has["entitlement_feature"]["id"]: has["entitlement_feature"]
        for product in sorted(products)
        for has in features_of(state, product)
    }
    held = {entitlement["feature"]: entitlement for entitlement in active(state, customer)}
    if wanted.keys() == held.keys():
        return
    before = _summary(state, customer)
    for feature in held.keys() - wanted.keys():
        state.put(_ENTITLEMENT, held[feature]["id"], {"deleted": True})
    for feature in wanted.values():
        if feature["id"] not in held:
            key = feature["lookup_key"]
            state.add(new_object(_ENTITLEMENT, feature=feature["id"], lookup_key=key, _customer=customer))
    previous = {"entitlements": before["entitlements"]}
    state.emit("entitlements.active_entitlement_summary.updated", _summary(state, customer), previous)


def _summary(state: State, customer: str) -> Object:
    url = f"/v1/customer/{customer}/entitlements"
    return new_object(
        "entitlements.active_entitlement_summary",
        customer=customer,
        entitlements=object_list(active(state, customer), url),
    )
