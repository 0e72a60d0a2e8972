"""How late an account is: days past due, buckets, and what remains overdue after repayments. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from chalicelib.platform.clock import days_between

BUCKET_DAYS = 30
LAST_BUCKET = 7


@dataclass(frozen=True, slots=True)
class Booking:
    """A repayment as far as figures are concerned; `amount` is in the account's currency, in its minor unit."""

    repayment_id: str
    booked_on: date
    amount: int


def days_past_due(overdue_amount: int, oldest_due_date: date | None, on: date) -> int:
    """Days from the oldest unpaid due date to `on`; 0 when nothing is overdue or no due date has passed.

    Due on the 15th of March and still unpaid on the 1st of April is 17 days past due.
    """
    if overdue_amount <= 0 or oldest_due_date is None:
        return 0
    return max(0, days_between(oldest_due_date, on))


def bucket(days: int) -> str:
    """The delinquency bucket of so many days past due: M0 is current, M1 is 1 to 30, …, M7+ is more than 180."""
    number = -(-max(0, days) // BUCKET_DAYS)
    return f"M{number}" if number < LAST_BUCKET else f"M{LAST_BUCKET}+"


def overdue_after(overdue_amount: int, bookings: Iterable[Booking], as_of: date) -> int:
    """What remains overdue of a figure stated at the end of `as_of` after the repayments booked later.

    Repayments booked on `as_of` or before are in the figure already.
    """
    return max(0, overdue_amount - sum(b.amount for b in bookings if b.booked_on > as_of))
