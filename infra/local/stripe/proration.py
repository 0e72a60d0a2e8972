"""Invoice lines of licensed items: whole periods, and the credits and charges of a change in the middle of one."""

from __future__ import annotations

from collections.abc import Iterable

from . import periods
from .catalog import cost, unit_amount
from .invoices import line
from .items import is_metered, period_of, product_name, replaced
from .shapes import Object
from .state import State


def full_lines(state: State, subscription: Object, *, free: bool = False) -> list[Object]:
    """One line for each licensed item over its whole current period; ``free`` in a trial."""
    lines: list[Object] = []
    for item in _licensed(subscription["items"]["data"]):
        name = product_name(state, item["price"])
        amount = 0 if free else _amount(subscription, item)
        each = f"{item['quantity']} × {name} (at {_price_phrase(subscription, item)})"
        description = f"Trial period for {name}" if free else each
        lines.append(line(item, amount, subscription["currency"], description, period_of(item)))
    return lines


def changed_lines(
    state: State, subscription: Object, before: list[Object], at: int, *, credit_only: bool
) -> list[Object]:
    """Credits for the unused time of licensed items that changed or went, charges for the rest of the new ones' period.

    ``credit_only`` leaves the charges out, for a change of interval, where a whole new period is billed instead.
    """
    gone, came = replaced(before, subscription["items"]["data"])
    lines = [_share(state, subscription, item, at, -1) for item in _licensed(gone)]
    return lines if credit_only else lines + [_share(state, subscription, item, at, 1) for item in _licensed(came)]


def _share(state: State, subscription: Object, item: Object, at: int, sign: int) -> Object:
    start, end = period_of(item)
    amount = sign * periods.prorate(_amount(subscription, item), start, end, at)
    title = "Remaining time on" if sign > 0 else "Unused time on"
    description = f"{title} {item['quantity']} × {product_name(state, item['price'])}"
    return line(item, amount, subscription["currency"], description, (at, end), proration=True)


def _licensed(items: Iterable[Object]) -> list[Object]:
    return [item for item in items if not is_metered(item["price"])]


def _amount(subscription: Object, item: Object) -> int:
    return cost(item["price"], subscription["currency"], item["quantity"], "price")


def _price_phrase(subscription: Object, item: Object) -> str:
    amount = unit_amount(item["price"], subscription["currency"], "price")
    return f"{periods.display(amount, subscription['currency'])} / {item['price']['recurring']['interval']}"
