"""Calls about features and entitlements."""

from __future__ import annotations

from .. import entitlements
from ..expansion import listing
from ..forms import boolean, metadata, text
from ..shapes import Object
from .table import PAGE, Call, listed, retrieve, route


def _keeps_feature(feature: Object, params: Object) -> bool:
    """An archived feature is listed only when asked for."""
    return feature["active"] is not params.get("archived", False) and params.get("lookup_key") in (
        None,
        feature["lookup_key"],
    )


def _entitlements_of(call: Call) -> Object:
    customer = call.state.find("customer", call.params["customer"], "customer")
    return listing(entitlements.active(call.state, customer["id"]), call.path, call.params)


def _features_of(call: Call) -> Object:
    product = call.state.find("product", call.id)
    return listing(entitlements.features_of(call.state, product["id"]), call.path, call.params)


ROUTES = [
    route(
        "POST",
        "entitlements/features",
        {"lookup_key": text, "metadata": metadata, "name": text},
        lambda call: entitlements.create_feature(call.state, call.params),
        ("lookup_key", "name"),
    ),
    route(
        "GET",
        "entitlements/features",
        {**PAGE, "archived": boolean, "lookup_key": text},
        listed("entitlements.feature", _keeps_feature),
    ),
    route("GET", "entitlements/features/{id}", {}, retrieve("entitlements.feature")),
    route(
        "POST",
        "entitlements/features/{id}",
        {"active": boolean, "metadata": metadata, "name": text},
        lambda call: entitlements.update_feature(call.state, call.id, call.params),
    ),
    route("GET", "entitlements/active_entitlements", {**PAGE, "customer": text}, _entitlements_of, ("customer",)),
    route("GET", "entitlements/active_entitlements/{id}", {}, retrieve("entitlements.active_entitlement")),
    route(
        "POST",
        "products/{id}/features",
        {"entitlement_feature": text},
        lambda call: entitlements.attach(call.state, call.id, call.params["entitlement_feature"]),
        ("entitlement_feature",),
    ),
    route("GET", "products/{id}/features", PAGE, _features_of),
    route(
        "GET",
        "products/{id}/features/{part_id}",
        {},
        lambda call: entitlements.find_attached(call.state, call.id, call.part_id),
    ),
    route(
        "DELETE",
        "products/{id}/features/{part_id}",
        {},
        lambda call: entitlements.detach(call.state, call.id, call.part_id),
    ),
]
