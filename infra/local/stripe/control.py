"""Calls that Stripe does not have, for tests and demonstrations: time, deliveries, cards, faults. JSON in, JSON out."""

from __future__ import annotations

import re

from . import customers, deliveries, periods, timeline
from .errors import StripeError
from .faults import Faults
from .shapes import Object
from .state import State

MAX_ADVANCE = 5 * 366 * periods.DAY


def control(state: State, faults: Faults, method: str, path: str, body: Object, base_url: str) -> Object:
    """Answer a call below ``/_local``."""
    if (method, path) == ("GET", "/_local/health"):
        return {"status": "ok", "now": state.now}
    if (method, path) == ("GET", "/_local/deliveries"):
        return {"data": state.all("delivery")}
    if (method, path) == ("POST", "/_local/advance"):
        return _advance(state, body, base_url)
    if path == "/_local/faults":
        answers = {"GET": faults.armed, "POST": lambda: faults.arm(body), "DELETE": faults.clear}
        if method in answers:
            return answers[method]()
    if method == "POST" and (match := re.fullmatch(r"/_local/events/(\w+)/resend", path)):
        return deliveries.resend(state, match[1])
    if method == "POST" and (match := re.fullmatch(r"/_local/customers/(\w+)/card", path)):
        if not isinstance(body.get("declines"), bool):
            raise StripeError('Expected {"declines": true} or {"declines": false}', param="declines")
        return customers.set_card(state, match[1], declines=body["declines"])
    raise StripeError(f"Unrecognized request URL ({method}: {path}).", status=404)


def _advance(state: State, body: Object, base_url: str) -> Object:
    """Move the clock; answers the present and the types of the events that came of it, in order."""
    seconds = body.get("seconds")
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 0 <= seconds <= MAX_ADVANCE:
        raise StripeError(f'Expected {{"seconds": n}} with n from 0 to {MAX_ADVANCE}', param="seconds")
    before = len(state.all("event"))
    state.move_clock(seconds)
    timeline.settle(state, base_url)
    return {"now": state.now, "events": [event["type"] for event in state.all("event")[before:]]}
