"""What falls due as time passes, done in the order in which it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from . import checkout, invoices, subscriptions
from .changes import current_period
from .shapes import Object
from .state import State


@dataclass(frozen=True)
class Due:
    """Something that falls due: the test clock it lives by (None: this server's), the moment, and what to do then.

    ``rank`` orders what falls due at one moment: an ending comes before a renewal.
    """

    clock: str | None
    moment: int
    rank: int
    act: Callable[[], object]


def settle(state: State, base_url: str) -> None:
    """Do everything due by any clock, each thing with its clock at its own moment; then the present is now."""
    while (due := _first(state, base_url)) is not None:
        if due.clock is None:
            state.now = max(state.now, due.moment)
            due.act()
        else:
            _turn(state, due.clock, due.moment)
            with state.living_by(due.clock):
                due.act()
    state.now = max(state.now, state.target())


def _first(state: State, base_url: str) -> Due | None:
    reachable = (due for due in _upcoming(state, base_url) if due.moment <= state.reach(due.clock))
    return min(reachable, key=lambda due: (due.moment, due.rank), default=None)


def _turn(state: State, clock: str, moment: int) -> None:
    held = state.find("test_helpers.test_clock", clock)
    with state.changing(held):
        held["frozen_time"] = max(held["frozen_time"], moment)


def _upcoming(state: State, base_url: str) -> Iterator[Due]:
    for session in state.all("checkout.session"):
        if session["status"] == "open":
            act = partial(checkout.expire, state, session)
            yield Due(session["_test_clock"], session["expires_at"], 0, act)
    for subscription in state.all("subscription"):
        if subscription["status"] != "canceled":
            for moment, rank, act in _upcoming_of(state, subscription, base_url):
                yield Due(subscription["test_clock"], moment, rank, act)
    for invoice in state.all("invoice"):
        if invoice["automatically_finalizes_at"] is not None:
            act = partial(subscriptions.finalize, state, invoice)
            yield Due(invoice["test_clock"], invoice["automatically_finalizes_at"], 1, act)
        if invoice["status"] == "open" and invoice["next_payment_attempt"] is not None:
            yield Due(invoice["test_clock"], invoice["next_payment_attempt"], 1, partial(_retry, state, invoice))


def _upcoming_of(state: State, subscription: Object, base_url: str) -> Iterator[tuple[int, int, Callable[[], object]]]:
    if subscription["cancel_at"] is not None:
        yield subscription["cancel_at"], 0, lambda: subscriptions.end_at_period_end(state, subscription, base_url)
    if subscription["status"] == "trialing":
        trial_end = subscription["trial_end"]
        if not subscription["_trial_announced"]:
            announced_at = max(subscription["created"], trial_end - subscriptions.TRIAL_NOTICE)
            yield announced_at, 0, lambda: subscriptions.announce_trial_end(state, subscription)
        yield trial_end, 2, lambda: subscriptions.end_trial(state, subscription, base_url)
    elif subscription["status"] != "paused":
        end = current_period(subscription)[1]
        yield end, 2, lambda: subscriptions.renew(state, subscription, base_url)


def _retry(state: State, invoice: Object) -> None:
    invoices.collect(state, invoice)
    subscriptions.follow_payment(state, state.find("subscription", invoices.subscription_of(invoice)))
