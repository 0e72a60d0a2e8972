"""Test clocks: moments of their own by which chosen customers live, moved forward by the caller only.

Everything of such a customer (subscriptions, invoices, checkouts, usage) happens at the clock's ``frozen_time``;
neither real time nor ``/_local/advance`` reaches it.
"""

from __future__ import annotations

from . import customers, periods, timeline
from .errors import StripeError
from .shapes import Object, new_object, public
from .state import State

CLOCK_LIFE = 30 * periods.DAY
"""Seconds after which Stripe deletes a clock; told in ``deletes_after``, not acted upon here."""


def create(state: State, params: Object) -> Object:
    """A clock that stands at ``frozen_time``, in the past or the future."""
    made = new_object(
        "test_helpers.test_clock",
        created=state.now,
        deletes_after=state.now + CLOCK_LIFE,
        frozen_time=params["frozen_time"],
        name=params.get("name"),
        _target=params["frozen_time"],
    )
    return state.add(made, "test_helpers.test_clock.created")


def advance(state: State, identifier: str, target: int, base_url: str) -> Object:
    """Move a clock forward to ``target``, doing on the way everything that falls due.

    Answers as Stripe does, with a clock that is still ``advancing``; the one retrieved next is ``ready``. So callers
    learn to wait for it.
    """
    clock = state.find("test_helpers.test_clock", identifier)
    furthest = _furthest(state, clock)
    if not clock["frozen_time"] < target <= furthest:
        raise StripeError(
            f"A test clock moves forward only, and at most two intervals of its shortest subscription at once "
            f"(two years without one): expected a frozen_time from {clock['frozen_time'] + 1} to {furthest}.",
            param="frozen_time",
        )
    details = {"advancing": {"target_frozen_time": target}}
    with state.changing(clock, "test_helpers.test_clock.advancing"):
        clock.update(status="advancing", status_details=details, _target=target)
    answered = public(clock)
    timeline.settle(state, base_url)
    with state.changing(clock, "test_helpers.test_clock.ready"):
        clock.update(status="ready", status_details={}, frozen_time=target)
    return answered


def delete(state: State, identifier: str) -> Object:
    """Forget a clock and the customers that live by it."""
    clock = state.find("test_helpers.test_clock", identifier)
    for customer in customers.on_clock(state, identifier):
        customers.delete(state, customer["id"])
    state.emit("test_helpers.test_clock.deleted", clock)
    gone = new_object("deleted_test_helpers.test_clock", id=identifier)
    state.put("test_helpers.test_clock", identifier, gone)
    return gone


def _furthest(state: State, clock: Object) -> int:
    """The latest moment to which a clock may be moved at once."""
    now = clock["frozen_time"]
    recurring = [
        subscription["items"]["data"][0]["price"]["recurring"]
        for subscription in state.all("subscription")
        if subscription["test_clock"] == clock["id"] and subscription["status"] != "canceled"
    ]
    return min(
        (periods.after_intervals(now, each["interval"], 2 * each["interval_count"]) for each in recurring),
        default=periods.after_intervals(now, "year", 2),
    )
