"""Money in minor units: exact, or refused."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.platform.errors import Invalid
from chalicelib.platform.money import EXPONENTS, exponent_of, to_minor


@pytest.mark.parametrize(("currency", "exponent"), [("CNY", 2), ("TWD", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4)])
def test_a_currency_has_the_decimals_of_iso_4217(currency, exponent):
    assert exponent_of(currency) == exponent


@pytest.mark.parametrize("code", ["XXX", "cny", "", "XAU"])
def test_a_code_that_money_is_not_owed_in_is_refused(code):
    with pytest.raises(Invalid):
        exponent_of(code)


@pytest.mark.parametrize("amount", ["", "1,234.50", "NaN", "Infinity", "1.005", "1e999999999", "1e-999999999"])
def test_what_is_no_exact_amount_is_refused(amount):
    with pytest.raises(Invalid):
        to_minor(amount, "CNY")


@given(st.integers(-(2**63), 2**63 - 1), st.sampled_from(sorted(EXPONENTS)))
def test_minor_units_come_back_from_major_ones(minor, currency):
    major = Decimal(f"{minor}e-{exponent_of(currency)}")
    assert to_minor(major, currency) == to_minor(str(major), currency) == minor
