"""The arithmetic of billing periods and amounts."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local.stripe.catalog import cost
from infra.local.stripe.deliveries import MAX_ATTEMPTS, retry_delay
from infra.local.stripe.forms import parse_form
from infra.local.stripe.periods import after_intervals, display, period_end, prorate

moments = st.integers(min_value=0, max_value=4_000_000_000)
intervals = st.sampled_from(["day", "week", "month", "year"])


def at(year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, 12, tzinfo=UTC).timestamp())


def test_a_month_from_the_last_of_january_returns_to_the_last_day():
    anchor = at(2024, 1, 31)
    assert [after_intervals(anchor, "month", n) for n in (1, 2, 3)] == [
        at(2024, 2, 29),
        at(2024, 3, 31),
        at(2024, 4, 30),
    ]
    assert after_intervals(at(2024, 2, 29), "year", 1) == at(2025, 2, 28)


@given(anchor=moments, start_after=st.integers(0, 10**9), interval=intervals, count=st.integers(1, 3))
def test_a_period_ends_at_the_first_boundary_after_its_start(anchor, start_after, interval, count):
    start = anchor + start_after
    end = period_end(anchor, start, interval, count)
    boundaries = (after_intervals(anchor, interval, k * count) for k in range(40_000))
    assert end > start
    assert end == next(moment for moment in boundaries if moment > start)


@given(
    amount=st.integers(-(10**9), 10**9),
    start=moments,
    length=st.integers(1, 10**8),
    share=st.floats(min_value=0, max_value=1),
)
def test_what_is_used_and_what_is_left_make_the_whole(amount, start, length, share):
    now = start + int(length * share)
    left = prorate(amount, start, start + length, now)
    assert abs(left) <= abs(amount)
    assert abs(left - amount * (start + length - now) / length) <= 0.5 + abs(amount) * 1e-9


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        (123450, "usd", "USD 1,234.50"),
        (500, "jpy", "JPY 500"),
        (1005, "kwd", "KWD 1.005"),
        (-5, "eur", "EUR -0.05"),
        (0, "cny", "CNY 0.00"),
        (Decimal("0.125"), "usd", "USD 0.00125"),
        (Decimal("250.0"), "usd", "USD 2.50"),
        (Decimal("0.5"), "jpy", "JPY 0.5"),
    ],
)
def test_amounts_are_shown_in_the_currencys_own_digits(amount, currency, shown):
    assert display(amount, currency) == shown


@given(
    amount=st.decimals(min_value=0, max_value=10**6, places=12, allow_nan=False, allow_infinity=False),
    used=st.integers(0, 10**7),
)
def test_usage_costs_its_exact_product_rounded_half_up(amount, used):
    price = {"id": "price_1", "_currency_options": {"usd": {"unit_amount_decimal": f"{amount:f}"}}}
    over = cost(price, "usd", used, "price") - Fraction(amount) * used
    assert Fraction(-1, 2) < over <= Fraction(1, 2)


def test_a_webhook_is_tried_for_about_seven_minutes():
    delays = [retry_delay(attempts) for attempts in range(1, MAX_ATTEMPTS + 1)]
    assert delays[:7] == [0.5, 1, 2, 4, 8, 15, 15]
    assert delays[-2:] == [15, None]


def test_brackets_nest():
    assert parse_form("a[b]=1&a[c][0][d]=2&e[]=x&e[]=y&f=&a[c][0][g]=%E9%93%B6") == {
        "a": {"b": "1", "c": {"0": {"d": "2", "g": "银"}}},
        "e": {"0": "x", "1": "y"},
        "f": "",
    }
