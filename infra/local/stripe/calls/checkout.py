"""Calls about checkout sessions and the portal's sessions."""

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
    route(
        "POST",
        "billing_portal/sessions",
        {"customer": text, "locale": text, "return_url": web_address},
        lambda call: checkout.create_portal_session(call.state, call.params, call.base_url),
        ("customer",),
    ),
]
