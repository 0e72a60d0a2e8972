"""Calls about subscriptions, invoices, and the events that tell of everything."""

from __future__ import annotations

from typing import Any

from .. import invoices, payments, preview, subscribing, subscriptions
from ..forms import Reader, array, boolean, choice, fields, integer, metadata, optional_text, positive, text
from ..shapes import Object
from .checkout import BEGINNING, ENABLED
from .table import PAGE, equal, listed, retrieve, route

_CANCELLATION = fields({"comment": optional_text, "feedback": optional_text})
_ITEMS = array(fields({"deleted": boolean, "id": text, "price": text, "quantity": positive}))
_PRORATION = choice("always_invoice", "create_prorations", "none")
_CREATION: dict[str, Reader] = {
    **BEGINNING,
    "automatic_tax": ENABLED,
    "customer": text,
    "default_payment_method": text,
    "items": array(fields({"price": text, "quantity": positive}, ("price",))),
    # To be said always: what happens without it (an incomplete subscription) does not happen here.
    "payment_behavior": choice("error_if_incomplete"),
}
_SUBSCRIPTION: dict[str, Reader] = {
    "cancel_at_period_end": boolean,
    "cancellation_details": _CANCELLATION,
    "default_payment_method": optional_text,
    "description": optional_text,
    "items": _ITEMS,
    "metadata": metadata,
    "payment_behavior": choice("allow_incomplete", "error_if_incomplete"),
    "proration_behavior": _PRORATION,
    "proration_date": integer,
    "trial_end": choice("now"),
}
_PREVIEW: dict[str, Reader] = {
    "customer": text,
    "preview_mode": choice("next"),
    "subscription": text,
    "subscription_details": fields(
        {
            "cancel_at_period_end": boolean,
            "items": _ITEMS,
            "proration_behavior": _PRORATION,
            "proration_date": integer,
        }
    ),
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
        "subscriptions",
        _CREATION,
        lambda call: subscribing.create(call.state, call.params, call.base_url),
        ("customer", "items", "payment_behavior"),
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
        {"cancellation_details": _CANCELLATION, "invoice_now": boolean, "prorate": boolean},
        lambda call: subscriptions.cancel_by_request(call.state, call.id, call.params, call.base_url),
    ),
    route(
        "POST",
        "subscriptions/{id}/resume",
        {"billing_cycle_anchor": choice("now")},
        lambda call: subscriptions.resume(call.state, call.id, call.base_url),
    ),
    route(
        "POST",
        "invoices/create_preview",
        _PREVIEW,
        lambda call: preview.create(call.state, call.params),
        ("subscription",),
    ),
    route("POST", "invoices/{id}/pay", {"off_session": boolean}, lambda call: payments.pay(call.state, call.id)),
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
