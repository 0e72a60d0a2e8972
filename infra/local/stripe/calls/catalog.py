"""Calls about products and prices."""

from __future__ import annotations

from typing import Any

from .. import catalog
from ..errors import StripeError
from ..forms import (
    Reader,
    amount,
    array,
    boolean,
    choice,
    currency,
    fields,
    mapping,
    metadata,
    natural,
    optional_text,
    positive,
    text,
    web_address,
)
from ..shapes import Object
from .table import PAGE, equal, listed, retrieve, route

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
_INTERVAL = choice("day", "week", "month", "year")
_USAGE = choice("licensed", "metered")
_RECURRING = fields(
    {"interval": _INTERVAL, "interval_count": positive, "meter": text, "usage_type": _USAGE}, ("interval",)
)
_PRICE: dict[str, Reader] = {
    **_PRICE_UPDATE,
    "billing_scheme": choice("per_unit"),
    "currency": currency,
    "currency_options": mapping(fields({"unit_amount": natural, "unit_amount_decimal": amount})),
    "product": text,
    "recurring": _RECURRING,
    "tax_behavior": choice("exclusive", "inclusive", "unspecified"),
    "unit_amount": natural,
    "unit_amount_decimal": amount,
}


_MAX_LOOKUP_KEYS = 10


def _keeps_price(price: Object, params: Object) -> bool:
    wanted, recurring = params.get("lookup_keys"), params.get("recurring", {})
    return (
        equal("active", "currency", "product", "type")(price, params)
        and (wanted is None or price["lookup_key"] in wanted)
        and (not recurring or (price["recurring"] is not None and equal(*recurring)(price["recurring"], recurring)))
    )


def _lookup_keys(raw: Any, name: str) -> list[str]:
    keys = array(text)(raw, name)
    if len(keys) > _MAX_LOOKUP_KEYS:
        raise StripeError(f"You may only specify up to {_MAX_LOOKUP_KEYS} lookup keys.", param=name)
    return keys


def _keeps_product(product: Object, params: Object) -> bool:
    return equal("active")(product, params) and ("ids" not in params or product["id"] in params["ids"])


ROUTES = [
    route(
        "POST",
        "products",
        {**_PRODUCT, "id": text},
        lambda call: catalog.create_product(call.state, call.params),
        ("name",),
    ),
    route("GET", "products/{id}", {}, retrieve("product")),
    route(
        "POST",
        "products/{id}",
        {**_PRODUCT, "default_price": text},
        lambda call: catalog.update_product(call.state, call.id, call.params),
    ),
    route("GET", "products", {**PAGE, "active": boolean, "ids": array(text)}, listed("product", _keeps_product)),
    route(
        "POST",
        "prices",
        _PRICE,
        lambda call: catalog.create_price(call.state, call.params),
        ("currency", "product"),
    ),
    route("GET", "prices/{id}", {}, retrieve("price")),
    route("POST", "prices/{id}", _PRICE_UPDATE, lambda call: catalog.update_price(call.state, call.id, call.params)),
    route(
        "GET",
        "prices",
        {
            **PAGE,
            "active": boolean,
            "currency": currency,
            "lookup_keys": _lookup_keys,
            "product": text,
            "recurring": fields({"interval": _INTERVAL, "meter": text, "usage_type": _USAGE}),
            "type": choice("one_time", "recurring"),
        },
        listed("price", _keeps_price),
    ),
]
