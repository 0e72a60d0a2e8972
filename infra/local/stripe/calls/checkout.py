"""Calls about checkout sessions."""

from __future__ import annotations

from .. import checkout
from ..forms import (
    Reader,
    array,
    boolean,
    choice,
    currency,
    email,
    fields,
    integer,
    metadata,
    positive,
    text,
    web_address,
)
from .table import PAGE, equal, listed, retrieve, route

ENABLED = fields({"enabled": boolean}, ("enabled",))
_MISSING = choice("cancel", "create_invoice", "pause")
_END_BEHAVIOR = fields({"missing_payment_method": _MISSING}, ("missing_payment_method",))
BEGINNING: dict[str, Reader] = {
    "billing_mode": fields({"type": choice("flexible")}, ("type",)),
    "metadata": metadata,
    "trial_period_days": positive,
    "trial_settings": fields({"end_behavior": _END_BEHAVIOR}, ("end_behavior",)),
}
"""What may be said of a subscription that is about to begin, by a page or by a call."""

_SESSION: dict[str, Reader] = {
    "allow_promotion_codes": boolean,
    "automatic_tax": ENABLED,
    "billing_address_collection": choice("auto", "required"),
    "cancel_url": web_address,
    "client_reference_id": text,
    "currency": currency,
    "customer": text,
    "customer_email": email,
    "customer_update": fields(dict.fromkeys(("address", "name"), choice("auto", "never"))),
    "expires_at": integer,
    "line_items": array(fields({"price": text, "quantity": positive}, ("price",))),
    "locale": text,
    "metadata": metadata,
    "mode": choice("subscription"),
    "payment_method_collection": choice("always", "if_required"),
    "payment_method_types": array(choice("card")),
    "subscription_data": fields(BEGINNING),
    "success_url": web_address,
    "tax_id_collection": ENABLED,
    "ui_mode": choice("hosted_page"),
}

ROUTES = [
    route(
        "POST",
        "checkout/sessions",
        _SESSION,
        lambda call: checkout.create(call.state, call.params, call.base_url),
        ("mode", "line_items", "success_url"),
    ),
    route(
        "GET",
        "checkout/sessions",
        {**PAGE, "customer": text, "status": text, "subscription": text},
        listed("checkout.session", equal("customer", "status", "subscription")),
    ),
    route("GET", "checkout/sessions/{id}", {}, retrieve("checkout.session")),
    route("POST", "checkout/sessions/{id}/expire", {}, lambda call: checkout.expire_by_request(call.state, call.id)),
]
