"""The table of calls: method and path, what may be sent, and the function that answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import catalog, checkout, invoices, subscriptions
from .errors import StripeError
from .expansion import listing, present
from .forms import (
    Reader,
    array,
    boolean,
    choice,
    currency,
    email,
    fields,
    integer,
    mapping,
    metadata,
    natural,
    optional_text,
    positive,
    text,
    web_address,
)
from .shapes import Object
from .state import State


@dataclass(frozen=True)
class Call:
    """One API call, its parameters read and checked. ``id`` is the path's identifier, or empty."""

    state: State
    path: str
    id: str
    params: Object
    base_url: str


Answer = Callable[[Call], Object]


@dataclass(frozen=True)
class Route:
    """A line of the table."""

    method: str
    pattern: re.Pattern[str]
    read: Reader
    answer: Answer


def dispatch(state: State, method: str, path: str, raw: Object, base_url: str) -> Object:
    """Answer a call, or raise the StripeError that refuses it."""
    for route in ROUTES:
        match = route.pattern.fullmatch(path)
        if match and route.method == method:
            params = route.read(raw, "")
            expand = params.pop("expand", [])
            identifier = match.groupdict().get("id", "")
            return present(state, route.answer(Call(state, path, identifier, params, base_url)), expand)
    raise StripeError(f"Unrecognized request URL ({method}: {path}).", status=404)


def _route(
    method: str, path: str, accepted: dict[str, Reader], answer: Answer, required: tuple[str, ...] = ()
) -> Route:
    pattern = re.compile("/v1/" + path.replace("{id}", r"(?P<id>[A-Za-z0-9_.-]+)"))
    return Route(method, pattern, fields({**accepted, "expand": array(text)}, required), answer)


def _retrieve(kind: str) -> Answer:
    return lambda call: call.state.find(kind, call.id)


def _list(kind: str, keeps: Callable[[Object, Object], bool]) -> Answer:
    """Lists the objects of a kind for which ``keeps(object, params)``."""

    def answer(call: Call) -> Object:
        found = [element for element in call.state.all(kind) if keeps(element, call.params)]
        return listing(found, call.path, call.params)

    return answer


def _equal(*names: str) -> Callable[[Object, Object], bool]:
    """Keeps objects whose fields equal the parameters given for them."""
    return lambda element, params: all(element[name] == params[name] for name in names if name in params)


def _keeps_price(price: Object, params: Object) -> bool:
    wanted = params.get("lookup_keys")
    return _equal("active", "currency", "product", "type")(price, params) and (
        wanted is None or price["lookup_key"] in wanted
    )


def _keeps_product(product: Object, params: Object) -> bool:
    return _equal("active")(product, params) and ("ids" not in params or product["id"] in params["ids"])


def _keeps_subscription(subscription: Object, params: Object) -> bool:
    """Canceled subscriptions are listed only when asked for."""
    status = params.get("status")
    prices = [item["price"]["id"] for item in subscription["items"]["data"]]
    return (
        _equal("customer")(subscription, params)
        and ("price" not in params or params["price"] in prices)
        and (status == "all" or subscription["status"] == status or (not status and subscription["ended_at"] is None))
    )


def _keeps_invoice(invoice: Object, params: Object) -> bool:
    wanted = params.get("subscription")
    return _equal("customer", "status")(invoice, params) and (wanted in (None, invoices.subscription_of(invoice)))


def _keeps_event(event: Object, params: Object) -> bool:
    types = [*params.get("types", []), *([params["type"]] if "type" in params else [])]
    compared: Any = {"gt": int.__gt__, "gte": int.__ge__, "lt": int.__lt__, "lte": int.__le__}
    return (not types or event["type"] in types) and all(
        compared[how](event["created"], moment) for how, moment in params.get("created", {}).items()
    )


def _delete_customer(call: Call) -> Object:
    call.state.find("customer", call.id)
    for subscription in call.state.all("subscription"):
        if subscription["customer"] == call.id and subscription["status"] != "canceled":
            subscriptions.cancel(call.state, subscription, "cancellation_requested")
    return catalog.delete_customer(call.state, call.id)


_PAGE: dict[str, Reader] = {"limit": integer, "starting_after": text}
_CUSTOMER: dict[str, Reader] = {
    "address": fields(dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"), text)),
    "description": optional_text,
    "email": email,
    "metadata": metadata,
    "name": optional_text,
    "phone": optional_text,
    "preferred_locales": array(text),
}
_PRODUCT: dict[str, Reader] = {
    "active": boolean,
    "description": optional_text,
    "metadata": metadata,
    "name": text,
    "statement_descriptor": text,
    "tax_code": text,
    "unit_label": optional_text,
    "url": web_address,
}
_PRICE_UPDATE: dict[str, Reader] = {
    "active": boolean,
    "lookup_key": optional_text,
    "metadata": metadata,
    "nickname": optional_text,
    "transfer_lookup_key": boolean,
}
_RECURRING = fields(
    {
        "interval": choice("day", "week", "month", "year"),
        "interval_count": positive,
        "usage_type": choice("licensed"),
    },
    ("interval",),
)
_PRICE: dict[str, Reader] = {
    **_PRICE_UPDATE,
    "billing_scheme": choice("per_unit"),
    "currency": currency,
    "currency_options": mapping(fields({"unit_amount": natural}, ("unit_amount",))),
    "product": text,
    "recurring": _RECURRING,
    "tax_behavior": choice("exclusive", "inclusive", "unspecified"),
    "unit_amount": natural,
}
_SESSION: dict[str, Reader] = {
    "allow_promotion_codes": boolean,
    "billing_address_collection": choice("auto", "required"),
    "cancel_url": web_address,
    "client_reference_id": text,
    "currency": currency,
    "customer": text,
    "customer_email": email,
    "expires_at": integer,
    "line_items": array(fields({"price": text, "quantity": positive}, ("price", "quantity"))),
    "locale": text,
    "metadata": metadata,
    "mode": choice("subscription"),
    "payment_method_collection": choice("always"),
    "payment_method_types": array(choice("card")),
    "subscription_data": fields({"metadata": metadata, "trial_period_days": positive}),
    "success_url": web_address,
    "ui_mode": choice("hosted_page"),
}
_CANCELLATION = fields({"comment": optional_text, "feedback": optional_text})
_SUBSCRIPTION: dict[str, Reader] = {
    "cancel_at_period_end": boolean,
    "cancellation_details": _CANCELLATION,
    "description": optional_text,
    "items": array(fields({"deleted": boolean, "id": text, "price": text, "quantity": positive})),
    "metadata": metadata,
    "proration_behavior": choice("always_invoice", "create_prorations", "none"),
    "trial_end": choice("now"),
}
_MOMENTS = fields(dict.fromkeys(("gt", "gte", "lt", "lte"), integer))

ROUTES = [
    _route("POST", "customers", _CUSTOMER, lambda call: catalog.create_customer(call.state, call.params)),
    _route("GET", "customers/{id}", {}, lambda call: catalog.retrieve_customer(call.state, call.id)),
    _route("POST", "customers/{id}", _CUSTOMER, lambda call: catalog.update_customer(call.state, call.id, call.params)),
    _route("DELETE", "customers/{id}", {}, _delete_customer),
    _route(
        "POST",
        "products",
        {**_PRODUCT, "id": text},
        lambda call: catalog.create_product(call.state, call.params),
        ("name",),
    ),
    _route("GET", "products/{id}", {}, _retrieve("product")),
    _route(
        "POST",
        "products/{id}",
        {**_PRODUCT, "default_price": text},
        lambda call: catalog.update_product(call.state, call.id, call.params),
    ),
    _route("GET", "products", {**_PAGE, "active": boolean, "ids": array(text)}, _list("product", _keeps_product)),
    _route(
        "POST",
        "prices",
        _PRICE,
        lambda call: catalog.create_price(call.state, call.params),
        ("currency", "product", "unit_amount"),
    ),
    _route("GET", "prices/{id}", {}, _retrieve("price")),
    _route("POST", "prices/{id}", _PRICE_UPDATE, lambda call: catalog.update_price(call.state, call.id, call.params)),
    _route(
        "GET",
        "prices",
        {
            **_PAGE,
            "active": boolean,
            "currency": currency,
            "lookup_keys": array(text),
            "product": text,
            "type": choice("one_time", "recurring"),
        },
        _list("price", _keeps_price),
    ),
    _route(
        "POST",
        "checkout/sessions",
        _SESSION,
        lambda call: checkout.create(call.state, call.params, call.base_url),
        ("mode", "line_items", "success_url"),
    ),
    _route("GET", "checkout/sessions/{id}", {}, _retrieve("checkout.session")),
    _route("POST", "checkout/sessions/{id}/expire", {}, lambda call: checkout.expire_by_request(call.state, call.id)),
    _route("GET", "subscriptions/{id}", {}, _retrieve("subscription")),
    _route(
        "GET",
        "subscriptions",
        {**_PAGE, "customer": text, "price": text, "status": text},
        _list("subscription", _keeps_subscription),
    ),
    _route(
        "POST",
        "subscriptions/{id}",
        _SUBSCRIPTION,
        lambda call: subscriptions.update(call.state, call.id, call.params, call.base_url),
    ),
    _route(
        "DELETE",
        "subscriptions/{id}",
        {"cancellation_details": _CANCELLATION},
        lambda call: subscriptions.cancel_by_request(call.state, call.id, call.params),
    ),
    _route("GET", "invoices/{id}", {}, _retrieve("invoice")),
    _route(
        "GET",
        "invoices",
        {**_PAGE, "customer": text, "status": text, "subscription": text},
        _list("invoice", _keeps_invoice),
    ),
    _route("GET", "events/{id}", {}, _retrieve("event")),
    _route(
        "GET",
        "events",
        {**_PAGE, "created": _MOMENTS, "type": text, "types": array(text)},
        _list("event", _keeps_event),
    ),
    _route(
        "POST",
        "billing_portal/sessions",
        {"customer": text, "locale": text, "return_url": web_address},
        lambda call: checkout.create_portal_session(call.state, call.params, call.base_url),
        ("customer",),
    ),
]
