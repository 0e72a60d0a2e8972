"""Rows broken on purpose, in the ways that core-banking extracts really break.

Each month has every kind at least once among its first few hundred customers, so that a short extract meets them
all, and a few more spread over the whole file. No customer is broken in more than one month, and 当前余额 is never
damaged, so the trailer's total can be summed by any reader that first drops lines with a wrong number of columns.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from layout import ADDRESS, CREDIT_LIMIT, CURRENCY, CUSTOMER_NUMBER, DELIMITER, OLDEST_DUE_DATE, OVERDUE_AMOUNT, PHONE
from portfolio import BUSINESS_DATES, Client, overdue_amount

REPEAT_DISTANCE = 25
"""How many customers later the second row of a duplicated account comes."""

_FIRST_PLACE = 10
_FIRST_WAVE_SPACING = 36
_MONTH_SPACING = 5
_SPREAD_PER_MONTH = 2


@dataclass(frozen=True, slots=True)
class Breakage:
    """One way to break a row.

    `damage` turns the row's columns into the broken ones. `least_overdue` is the overdue amount in whole dollars that
    an account needs for the damage to make sense. If `repeats`, the good row stays and the damaged one follows later
    in the same file. If not `quarantined`, the row is dirty but a reader can repair it.
    """

    kind: str
    damage: Callable[[list[str]], list[str]]
    least_overdue: int = 0
    repeats: bool = False
    quarantined: bool = True


def _replace(position: int, change: Callable[[str], str]) -> Callable[[list[str]], list[str]]:
    def damage(columns: list[str]) -> list[str]:
        return [*columns[:position], change(columns[position]), *columns[position + 1 :]]

    return damage


def _group_thousands(amount: str) -> str:
    whole, decimals = amount.split(".")
    return f"{int(whole):,}.{decimals}"


def _impossible_day(due_date: str) -> str:
    """Return the day after the end of the last month before `due_date` (YYYYMMDD) that has fewer than 31 days."""
    month_end = date(int(due_date[:4]), int(due_date[4:6]), 1) - timedelta(days=1)
    while month_end.day == 31:
        month_end = month_end.replace(day=1) - timedelta(days=1)
    return f"{month_end:%Y%m}{month_end.day + 1:02d}"


def _full_width(digits: str) -> str:
    return "".join(chr(ord(digit) - ord("0") + ord("０")) for digit in digits)


def _halve(amount: str) -> str:
    return f"{int(amount.split('.')[0]) // 2}.00"


def _cut_short(columns: list[str]) -> list[str]:
    """Return what is left of a line whose writer died inside the credit limit."""
    return [*columns[:CREDIT_LIMIT], columns[CREDIT_LIMIT][:3]]


DAMAGING = (
    Breakage("impossible_date", _replace(OLDEST_DUE_DATE, _impossible_day), least_overdue=1),
    Breakage("duplicate_account", _replace(OVERDUE_AMOUNT, _halve), least_overdue=2, repeats=True),
    Breakage("overdue_with_thousands", _replace(OVERDUE_AMOUNT, _group_thousands), least_overdue=1000),
    Breakage("limit_with_thousands", _replace(CREDIT_LIMIT, _group_thousands)),
    Breakage("amount_is_dash", _replace(OVERDUE_AMOUNT, lambda _: "-")),
    Breakage("customer_number_empty", _replace(CUSTOMER_NUMBER, lambda _: "")),
    Breakage("too_few_columns", _cut_short),
    Breakage("too_many_columns", _replace(ADDRESS, lambda text: f"{text[:3]}{DELIMITER}{text[3:]}")),
    Breakage("unknown_currency", _replace(CURRENCY, lambda _: "XXX")),
    Breakage("phone_with_letters", _replace(PHONE, lambda phone: f"{phone[:4]}O{phone[5:]}")),
    Breakage("negative_credit_limit", _replace(CREDIT_LIMIT, lambda amount: f"-{amount}")),
)
REPAIRABLE = Breakage("full_width_phone", _replace(PHONE, _full_width), quarantined=False)


def plan_breakages(clients: Sequence[Client]) -> dict[tuple[str, int], Breakage]:
    """Return which row is broken how: by month and the customer's place in `clients`, counted from 0.

    Plan over all customers even when fewer are written; then a short extract is broken exactly where the long one is.
    """
    plan: dict[tuple[str, int], Breakage] = {}
    broken: set[int] = set()
    for month_index, month in enumerate(BUSINESS_DATES):
        for start, breakage in _slots(month_index, len(clients)):
            place = _first_fit(clients, start, month, breakage, broken)
            if place is not None:
                broken.add(place)
                plan[month, place] = breakage
    return plan


def _slots(month_index: int, size: int) -> list[tuple[int, Breakage]]:
    """Return where to look for a row for each breakage: once each near the start, then a few spread over the file."""
    near_start = [
        (_FIRST_PLACE + _FIRST_WAVE_SPACING * index + _MONTH_SPACING * month_index, breakage)
        for index, breakage in enumerate([*DAMAGING, REPAIRABLE])
    ]
    first = _SPREAD_PER_MONTH * month_index
    spread = [DAMAGING[number % len(DAMAGING)] for number in range(first, first + _SPREAD_PER_MONTH)]
    share = size // (_SPREAD_PER_MONTH + 2)
    return near_start + [(share * part, breakage) for part, breakage in enumerate([*spread, REPAIRABLE], start=1)]


def _first_fit(clients: Sequence[Client], start: int, month: str, breakage: Breakage, broken: set[int]) -> int | None:
    for place in range(start, len(clients)):
        if place not in broken and overdue_amount(clients[place].statements[month]) >= breakage.least_overdue:
            return place
    return None
