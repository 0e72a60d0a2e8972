"""Days past due and buckets."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.cases.delinquency import Booking, bucket, days_past_due, overdue_after

DAYS = st.dates(date(2000, 1, 1), date(2030, 12, 31))
BOOKINGS = st.lists(st.builds(Booking, st.text(max_size=3), DAYS, st.integers(1, 10**9)), max_size=5)


def test_due_on_the_ides_of_march_is_seventeen_days_late_on_the_first_of_april():
    assert days_past_due(1, date(2005, 3, 15), date(2005, 4, 1)) == 17


@pytest.mark.parametrize(
    ("days", "expected"),
    [(0, "M0"), (1, "M1"), (30, "M1"), (31, "M2"), (60, "M2"), (150, "M5"), (151, "M6"), (180, "M6"), (181, "M7+")],
)
def test_buckets_change_after_every_thirty_days(days: int, expected: str):
    assert bucket(days) == expected


@given(st.integers(-(10**6), 0), DAYS, DAYS)
def test_nothing_overdue_is_never_late(amount: int, due: date, on: date):
    assert days_past_due(amount, due, on) == 0


@given(st.integers(1, 10**9), DAYS, st.integers(0, 1000), st.integers(1, 1000))
def test_one_day_later_is_one_day_more(amount: int, due: date, late: int, more: int):
    on = due + timedelta(late)
    assert days_past_due(amount, due, on + timedelta(more)) == days_past_due(amount, due, on) + more


@given(st.integers(1, 10**9), DAYS, st.integers(1, 1000))
def test_a_due_date_that_is_still_to_come_is_not_late(amount: int, on: date, ahead: int):
    assert days_past_due(amount, on + timedelta(ahead), on) == 0


@given(st.integers(0, 10**9), BOOKINGS, DAYS)
def test_repayments_lessen_what_is_overdue_and_never_below_nothing(amount: int, bookings: list[Booking], as_of: date):
    assert 0 <= overdue_after(amount, bookings, as_of) <= amount


@given(st.integers(0, 10**9), BOOKINGS)
def test_repayments_up_to_the_files_date_are_in_its_figures_already(amount: int, bookings: list[Booking]):
    last = max((b.booked_on for b in bookings), default=date(2005, 1, 1))
    assert overdue_after(amount, bookings, last) == amount
