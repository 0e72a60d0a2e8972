"""Calls about subscriptions, invoices, and the events that tell of everything."""

from __future__ import annotations

from typing import Any

from .. import invoices, subscriptions
from ..forms import Reader, array, boolean, choice, fields, integer, metadata, optional_text, positive, text
from ..shapes import Object
from .table import PAGE, equal, listed, retrieve, route

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


def _keeps_subscription(subscription: Object, params: Object) -> bool:
    """Canceled subscriptions are listed only when asked for."""
    status = params.get("status")
    prices = [item["price"]["id"] for item in subscription["items"]["data"]]
    return (
        equal("customer", "test_clock")(subscription, params)
        and ("price" not in params or params["price"] in prices)
        and (status == "all" or subscription["status"] == status or (not status and subscription["ended_at"] is None))
    )


def _keeps_invoice(invoice: Object, params: Object) -> bool:
    wanted = params.get("subscription")
    return equal("customer", "status")(invoice, params) and (wanted in (None, invoices.subscription_of(invoice)))


def _keeps_event(event: Object, params: Object) -> bool:
    types = [*params.get("types", []), *([params["type"]] if "type" in params else [])]
    compared: Any = {"gt": int.__gt__, "gte": int.__ge__, "lt": int.__lt__, "lte": int.__le__}
    return (not types or event["type"] in types) and all(
        compared[how](event["created"], moment) for how, moment in params.get("created", {}).items()
    )


ROUTES = [
    route("GET", "subscriptions/{id}", {}, retrieve("subscription")),
    route(
        "GET",
        "subscriptions",
        {**PAGE, "customer": text, "price": text, "status": text, "test_clock": text},
        listed("subscription", _keeps_subscription),
    ),
    route(
        "POST",
        "subscriptions/{id}",
        _SUBSCRIPTION,
        lambda call: subscriptions.update(call.state, call.id, call.params, call.base_url),
    ),
    route(
        "DELETE",
        "subscriptions/{id}",
        {"cancellation_details": _CANCELLATION},
        lambda call: subscriptions.cancel_by_request(call.state, call.id, call.params),
    ),
    route("GET", "invoices/{id}", {}, retrieve("invoice")),
    route(
        "GET",
        "invoices",
        {**PAGE, "customer": text, "status": text, "subscription": text},
        listed("invoice", _keeps_invoice),
    ),
    route("GET", "events/{id}", {}, retrieve("event")),
    route(
        "GET",
        "events",
        {**PAGE, "created": _MOMENTS, "type": text, "types": array(text)},
        listed("event", _keeps_event),
    ),
]
