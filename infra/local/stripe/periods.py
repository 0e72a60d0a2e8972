"""Billing periods and amounts: pure arithmetic on UTC timestamps (seconds) and minor currency units."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta
from decimal import Decimal

DAY = 86_400
_ZERO_DECIMAL = frozenset(
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf"]
)
_THREE_DECIMAL = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])


def after_intervals(anchor: int, interval: str, number: int) -> int:
    """The moment ``number`` intervals (day, week, month, year) after ``anchor``.

    A day that the target month lacks becomes its last one; the anchor's own day returns the month after.
    """
    start = datetime.fromtimestamp(anchor, UTC)
    if interval in ("day", "week"):
        return int((start + timedelta(days=number * (7 if interval == "week" else 1))).timestamp())
    months = start.year * 12 + start.month - 1 + number * (12 if interval == "year" else 1)
    year, month = months // 12, months % 12 + 1
    day = min(start.day, calendar.monthrange(year, month)[1])
    return int(start.replace(year=year, month=month, day=day).timestamp())


def period_end(anchor: int, start: int, interval: str, count: int) -> int:
    """The end of the period that begins at ``start``: the first ``anchor`` + k × ``count`` intervals later than it."""
    longest_days = {"day": 1, "week": 7, "month": 31, "year": 366}[interval] * count
    k = max(0, (start - anchor) // (longest_days * DAY))
    while after_intervals(anchor, interval, k * count) <= start:
        k += 1
    return after_intervals(anchor, interval, k * count)


def prorate(amount: int, start: int, end: int, now: int) -> int:
    """The share of ``amount`` that belongs to what is left of the period at ``now``, rounded half up."""
    left = min(max(end - now, 0), end - start)
    return (2 * amount * left + (end - start)) // (2 * (end - start))


def display(amount: int | Decimal, currency: str) -> str:
    """An amount for a person: ``USD 1,234.50``, ``JPY 500``; fractions of a minor unit are shown: ``USD 0.0125``."""
    digits = 0 if currency in _ZERO_DECIMAL else 3 if currency in _THREE_DECIMAL else 2
    exact = Decimal(amount).scaleb(-digits)
    shown = max(digits, -int(exact.normalize().as_tuple().exponent))
    return f"{currency.upper()} {exact:,.{shown}f}"
