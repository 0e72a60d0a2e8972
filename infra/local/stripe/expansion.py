"""What a caller is shown: without the server's own notes, with what ``expand[]`` asked for, in pages."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from . import checkout
from .errors import StripeError, missing_object
from .shapes import Object, object_list, public
from .state import State

_LINKS = {
    "configuration": "billing_portal.configuration",
    "customer": "customer",
    "default_price": "price",
    "feature": "entitlements.feature",
    "invoice": "invoice",
    "latest_invoice": "invoice",
    "product": "product",
    "subscription": "subscription",
    "test_clock": "test_helpers.test_clock",
}
"""Fields that hold an id, and the kind it leads to."""

_ON_REQUEST: dict[str, dict[str, Callable[[Object], Object]]] = {
    "checkout.session": {"line_items": checkout.line_item_list},
    "price": {"currency_options": lambda price: price["_currency_options"]},
}
"""Fields that appear only when expanded, by kind."""


def present(state: State, shown: Object, expand: list[str]) -> Object:
    """``shown`` as the caller gets it."""
    copied = copy.deepcopy(shown)
    for path in expand:
        _expand(state, copied, path.split("."), path)
    return public(copied)


def listing(found: list[Object], url: str, params: Object) -> Object:
    """A page of ``found`` (oldest first), newest first, as ``limit`` and ``starting_after`` ask."""
    newest_first = found[::-1]
    start = 0
    if "starting_after" in params:
        ids = [element["id"] for element in newest_first]
        if params["starting_after"] not in ids:
            raise missing_object(url.rsplit("/", 1)[-1].removesuffix("s"), params["starting_after"], "starting_after")
        start = ids.index(params["starting_after"]) + 1
    limit = params.get("limit", 10)
    if not 1 <= limit <= 100:
        raise StripeError("`limit` must be between 1 and 100.", param="limit")
    return object_list(newest_first[start : start + limit], url, has_more=len(found) > start + limit)


def _expand(state: State, holder: Any, path: list[str], whole: str) -> None:
    if isinstance(holder, list):
        for element in holder:
            _expand(state, element, path, whole)
        return
    name, rest = path[0], path[1:]
    on_request = _ON_REQUEST.get(holder.get("object", ""), {}) if isinstance(holder, dict) else {}
    if name in on_request:
        holder[name] = copy.deepcopy(on_request[name](holder))
    elif not isinstance(holder, dict) or name not in holder or not (rest or name in _LINKS):
        raise StripeError(f"This property cannot be expanded ({whole}).", param="expand")
    elif name in _LINKS and isinstance(holder[name], str):
        holder[name] = copy.deepcopy(state.get(_LINKS[name], holder[name]))
    if rest and holder[name] is not None:
        _expand(state, holder[name], rest, whole)
