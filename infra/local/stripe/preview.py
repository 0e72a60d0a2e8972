"""What the next invoice of a subscription would be, as it is or with a change: tried on a copy, stored nowhere."""

from __future__ import annotations

import copy

from . import changes, invoices
from .errors import StripeError
from .items import changed_items
from .shapes import Object, new_id
from .state import State
from .usage import usage_lines


def create(state: State, params: Object) -> Object:
    """The invoice that would come of ``subscription_details`` at once, or else at the end of the period."""
    subscription = state.find("subscription", params["subscription"], "subscription")
    if params.get("customer", subscription["customer"]) != subscription["customer"]:
        raise StripeError("The subscription belongs to another customer.", param="customer")
    if subscription["status"] in ("canceled", "paused"):
        raise _nothing_upcoming()
    with state.living_by(subscription["test_clock"]):
        return _previewed(state, copy.deepcopy(subscription), params.get("subscription_details", {}))


def _previewed(state: State, tried: Object, details: Object) -> Object:
    if "cancel_at_period_end" in details:
        tried["cancel_at_period_end"] = details["cancel_at_period_end"]
    lines = None
    if "items" in details:
        items = changed_items(state, tried, details["items"])
        behaviour = details.get("proration_behavior", "create_prorations")
        lines = changes.replace_items(state, tried, items, behaviour, details.get("proration_date"))
    if lines is None:
        lines = _at_period_end(state, tried)
    made = invoices.composed(state, tried, lines, "upcoming")
    made["id"] = new_id("upcoming_in_")
    for line in lines:
        line["invoice"] = made["id"]
    return made


def _at_period_end(state: State, tried: Object) -> list[Object]:
    end = changes.current_period(tried)[1]
    trialing = tried["status"] == "trialing"
    if trialing:
        changes.forgive_usage(tried, end)
    if not tried["cancel_at_period_end"]:
        return changes.enter_period(state, tried, end)
    usage = [] if trialing else usage_lines(state, tried, tried["items"]["data"], end)
    lines = changes.take_pending(tried) + usage
    if not lines:
        raise _nothing_upcoming()
    return lines


def _nothing_upcoming() -> StripeError:
    return StripeError("No upcoming invoices for customer", code="invoice_upcoming_none", status=404)
