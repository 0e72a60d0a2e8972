"""What falls due as time passes, done in the order in which it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from . import checkout, invoices, subscriptions
from .shapes import Object
from .state import State

Due = tuple[int, int, Callable[[], object]]
"""A moment, a rank among things of the same moment (an ending before a renewal), and what to do then."""


def settle(state: State, base_url: str) -> None:
    """Do everything due up to the present, each thing with the clock at its own moment; then the clock is now."""
    target = state.target()
    while True:
        due = min(_upcoming(state, base_url), key=lambda entry: entry[:2], default=None)
        if due is None or due[0] > target:
            break
        state.now = max(state.now, due[0])
        due[2]()
    state.now = max(state.now, target)


def _upcoming(state: State, base_url: str) -> Iterator[Due]:
    for session in state.all("checkout.session"):
        if session["status"] == "open":
            yield session["expires_at"], 0, lambda session=session: checkout.expire(state, session)
    for subscription in state.all("subscription"):
        if subscription["status"] != "canceled":
            yield from _upcoming_of(state, subscription, base_url)
    for invoice in state.all("invoice"):
        if invoice["status"] == "open" and invoice["next_payment_attempt"] is not None:
            yield invoice["next_payment_attempt"], 1, lambda invoice=invoice: _retry(state, invoice)


def _upcoming_of(state: State, subscription: Object, base_url: str) -> Iterator[Due]:
    if subscription["cancel_at"] is not None:
        yield subscription["cancel_at"], 0, lambda: subscriptions.cancel(state, subscription, "cancellation_requested")
    if subscription["status"] == "trialing":
        trial_end = subscription["trial_end"]
        if not subscription["_trial_announced"]:
            announced_at = max(subscription["created"], trial_end - subscriptions.TRIAL_NOTICE)
            yield announced_at, 0, lambda: subscriptions.announce_trial_end(state, subscription)
        yield trial_end, 2, lambda: subscriptions.end_trial(state, subscription, base_url)
    else:
        end = subscriptions.current_period(subscription)[1]
        yield end, 2, lambda: subscriptions.renew(state, subscription, base_url)


def _retry(state: State, invoice: Object) -> None:
    invoices.collect(state, invoice)
    subscriptions.follow_payment(state, state.find("subscription", invoices.subscription_of(invoice)))
