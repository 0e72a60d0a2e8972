"""The table of calls, by topic; ``dispatch`` answers one."""

from __future__ import annotations

from ..errors import StripeError
from ..expansion import present
from ..shapes import Object
from ..state import State
from . import catalog, checkout, clocks, customers, features, meters, payment_methods, portal, subscriptions
from .table import Call

ROUTES = [
    *clocks.ROUTES,
    *customers.ROUTES,
    *catalog.ROUTES,
    *checkout.ROUTES,
    *features.ROUTES,
    *meters.ROUTES,
    *payment_methods.ROUTES,
    *portal.ROUTES,
    *subscriptions.ROUTES,
]


def dispatch(state: State, method: str, path: str, raw: Object, base_url: str) -> Object:
    """Answer a call, or raise the StripeError that refuses it."""
    for line in ROUTES:
        match = line.pattern.fullmatch(path)
        if match and line.method == method:
            params = line.read(raw, "")
            expand = params.pop("expand", [])
            ids = match.groupdict()
            call = Call(state, path, ids.get("id", ""), ids.get("part_id", ""), params, base_url)
            return present(state, line.answer(call), expand)
    raise StripeError(f"Unrecognized request URL ({method}: {path}).", status=404)
