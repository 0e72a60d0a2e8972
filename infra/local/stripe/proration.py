"""Invoice lines of a subscription: whole periods, and the credits and charges of a change in the middle of one."""

from __future__ import annotations

from . import periods
from .catalog import unit_amount
from .invoices import line
from .shapes import Object
from .state import State


def full_lines(state: State, subscription: Object, *, free: bool = False) -> list[Object]:
    """One line for each item over its whole current period; ``free`` in a trial."""
    lines = []
    for item in subscription["items"]["data"]:
        name = _product_name(state, item)
        amount = 0 if free else _amount(subscription, item)
        per_unit = periods.display(
            unit_amount(item["price"], subscription["currency"], "price"), subscription["currency"]
        )
        interval = item["price"]["recurring"]["interval"]
        description = (
            f"Trial period for {name}" if free else f"{item['quantity']} × {name} (at {per_unit} / {interval})"
        )
        lines.append(line(item, amount, subscription["currency"], description, _period(item)))
    return lines


def changed_lines(state: State, subscription: Object, before: list[Object], *, credit_only: bool) -> list[Object]:
    """Credits for the unused time of items that changed or went, and charges for the rest of the period of the new.

    ``credit_only`` leaves the charges out, for a change of interval, where a whole new period is billed instead.
    """
    after = subscription["items"]["data"]
    gone = [item for item in before if not any(_same(item, other) for other in after)]
    came = [item for item in after if not any(_same(item, other) for other in before)]
    lines = [_share(state, subscription, item, -1) for item in gone]
    return lines if credit_only else lines + [_share(state, subscription, item, 1) for item in came]


def _share(state: State, subscription: Object, item: Object, sign: int) -> Object:
    start, end = _period(item)
    amount = sign * periods.prorate(_amount(subscription, item), start, end, state.now)
    title = "Remaining time on" if sign > 0 else "Unused time on"
    description = f"{title} {item['quantity']} × {_product_name(state, item)}"
    return line(item, amount, subscription["currency"], description, (state.now, end), proration=True)


def _same(one: Object, other: Object) -> bool:
    return (one["id"], one["price"]["id"], one["quantity"]) == (other["id"], other["price"]["id"], other["quantity"])


def _amount(subscription: Object, item: Object) -> int:
    return unit_amount(item["price"], subscription["currency"], "price") * item["quantity"]


def _period(item: Object) -> tuple[int, int]:
    return item["current_period_start"], item["current_period_end"]


def _product_name(state: State, item: Object) -> str:
    return state.find("product", item["price"]["product"], "product")["name"]
