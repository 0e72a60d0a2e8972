"""Calls about customers."""

from __future__ import annotations

from .. import customers
from ..forms import Reader, array, choice, email, fields, metadata, optional_text, text
from .table import PAGE, equal, listed, route

_CUSTOMER: dict[str, Reader] = {
    "address": fields(dict.fromkeys(customers.ADDRESS, text)),
    "description": optional_text,
    "email": email,
    "metadata": metadata,
    "name": optional_text,
    "phone": optional_text,
    "preferred_locales": array(text),
    "tax_exempt": choice("exempt", "none", "reverse"),
}

_UPDATE: dict[str, Reader] = {
    **_CUSTOMER,
    "invoice_settings": fields({"default_payment_method": optional_text}),
}

ROUTES = [
    route(
        "POST",
        "customers",
        {**_CUSTOMER, "test_clock": text},
        lambda call: customers.create(call.state, call.params),
    ),
    route(
        "GET",
        "customers",
        {**PAGE, "email": text, "test_clock": text},
        listed("customer", equal("email", "test_clock")),
    ),
    route("GET", "customers/{id}", {}, lambda call: customers.retrieve(call.state, call.id)),
    route("POST", "customers/{id}", _UPDATE, lambda call: customers.update(call.state, call.id, call.params)),
    route("DELETE", "customers/{id}", {}, lambda call: customers.delete(call.state, call.id)),
]
