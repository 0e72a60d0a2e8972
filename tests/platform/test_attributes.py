"""Stored numbers, dates and lists come back as they were, and only as what they are."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.platform.attributes import DateAttribute, IntegerAttribute, StringsAttribute


@given(st.integers(-(10**30), 10**30), st.dates(), st.lists(st.text()))
def test_what_was_stored_comes_back(number: int, day: date, texts: list[str]) -> None:
    for attribute, value in ((IntegerAttribute(), number), (DateAttribute(), day), (StringsAttribute(), texts)):
        assert attribute.deserialize(attribute.serialize(value)) == value


@given(st.dates(), st.dates())
def test_stored_dates_sort_as_the_days_do(one: date, other: date) -> None:
    attribute = DateAttribute()
    assert (attribute.serialize(one) < attribute.serialize(other)) == (one < other)


def test_a_stored_number_with_decimals_is_no_whole_number() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        IntegerAttribute().deserialize("12.5")
