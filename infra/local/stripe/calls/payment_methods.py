"""Calls about payment methods."""

from __future__ import annotations

from .. import payment_methods
from ..forms import text
from .table import PAGE, equal, listed, retrieve, route

ROUTES = [
    route(
        "POST",
        "payment_methods/{id}/attach",
        {"customer": text},
        lambda call: payment_methods.attach(call.state, call.id, call.params["customer"]),
        ("customer",),
    ),
    route("GET", "payment_methods/{id}", {}, retrieve(payment_methods.KIND)),
    route(
        "GET",
        "payment_methods",
        {**PAGE, "customer": text},
        listed(payment_methods.KIND, equal("customer")),
        ("customer",),
    ),
]
