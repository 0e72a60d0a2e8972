"""What a change or a new period makes of a subscription, and the lines it is billed by.

These functions change the subscription they are given and store nothing, so that a preview can try them on a copy.
"""

from __future__ import annotations

from . import periods
from .errors import StripeError
from .items import period_of, replaced
from .proration import changed_lines, full_lines
from .shapes import Object
from .state import State
from .usage import usage_lines


def current_period(subscription: Object) -> tuple[int, int]:
    """Start and end of the current period, which all items share."""
    return period_of(subscription["items"]["data"][0])


def replace_items(
    state: State, subscription: Object, items: list[Object], behaviour: str, prorated_at: int | None
) -> list[Object] | None:
    """Put ``items`` in place; the lines to bill at once, or None when what is owed waits for the next invoice.

    ``behaviour`` is Stripe's proration behaviour and ``prorated_at`` the moment that counts for it, now unless given.
    Without proration the use of a metered item that goes or changes its price is not billed any more.
    """
    at = state.now if prorated_at is None else prorated_at
    start, end = current_period(subscription)
    if not start <= at <= end:
        raise StripeError("The proration date must lie in the current period.", param="proration_date")
    before = subscription["items"]["data"]
    subscription["items"]["data"] = items
    if subscription["status"] == "trialing":
        return None
    same_interval = _interval(before) == _interval(items)
    pending = subscription["_pending_lines"]
    if behaviour != "none":
        pending += usage_lines(state, subscription, replaced(before, items)[0], state.now)
        pending += changed_lines(state, subscription, before, at, credit_only=not same_interval)
    if not same_interval:
        subscription["billing_cycle_anchor"] = state.now
        return enter_period(state, subscription, state.now)
    return take_pending(subscription) if behaviour == "always_invoice" and pending else None


def enter_period(state: State, subscription: Object, start: int) -> list[Object]:
    """Begin the period that starts at ``start``; its lines: what was pending, the period itself, usage before it."""
    items = subscription["items"]["data"]
    usage = usage_lines(state, subscription, items, start)
    interval, count = _interval(items)
    end = periods.period_end(subscription["billing_cycle_anchor"], start, interval, count)
    for item in items:
        item.update(current_period_start=start, current_period_end=end)
    if subscription["cancel_at_period_end"]:
        subscription["cancel_at"] = end
    return take_pending(subscription) + full_lines(state, subscription) + usage


def forgive_usage(subscription: Object, until: int) -> None:
    """Let what was used before ``until`` cost nothing, as in a trial."""
    for item in subscription["items"]["data"]:
        item["_usage_from"] = until


def take_pending(subscription: Object) -> list[Object]:
    """The lines that waited for the next invoice, which wait no longer."""
    taken, subscription["_pending_lines"] = subscription["_pending_lines"], []
    return taken


def _interval(items: list[Object]) -> tuple[str, int]:
    recurring = items[0]["price"]["recurring"]
    return recurring["interval"], recurring["interval_count"]
