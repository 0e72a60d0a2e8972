"""A quarantined row's text parted by headings, and put together again with other values."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.connectors.expressions import columns_of_line
from chalicelib.connectors.forms.model import INNER, DelimitedFormat
from chalicelib.connectors.layout import Layout, by_heading, inner
from chalicelib.platform.errors import Invalid
from tests.connectors.delivery import mapping

HEADINGS = ("a", "b/c", "d")


def form(**members: object) -> DelimitedFormat:
    return DelimitedFormat.model_validate({"kind": "delimited", "encoding": "utf-8", "delimiter": "||"} | members)


QUOTED = [form(quote='"'), form(quote='"', delimiter=","), form(quote="'", escape="\\", delimiter=";"), INNER]
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\x1f\ufdd0"), max_size=12) | st.sampled_from(
    ['"', '""', ",", "||", "|", "\n", "\\", "'", "\\'", '"\n"', "a,b", " "]
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(QUOTED), st.lists(TEXT, min_size=3, max_size=3))
def test_values_that_are_put_together_are_parted_again_here_and_where_they_are_mapped(form, values):
    layout = Layout(form, HEADINGS)
    text = layout.with_values(form.delimiter * 2, dict(zip(HEADINGS, values, strict=True)))
    assert layout.columns(text) == values
    assert by_heading(layout, text) == dict(zip(HEADINGS, values, strict=True))
    parted = duckdb.sql(f"SELECT {columns_of_line(form)} FROM (SELECT ? AS raw)", params=[inner(text)]).fetchall()
    assert parted == [(values,)]


def test_a_value_that_is_not_given_stays_as_it_was():
    layout = Layout(form(), HEADINGS)
    assert layout.with_values("1||2||3", {"b/c": "x"}) == "1||x||3"


@pytest.mark.parametrize(
    ("raw", "values", "pointer"),
    [
        ("1||2||3", {"e": "x"}, "/values/e"),
        ("1||2||3", {"b/c": "||"}, "/values/b~1c"),
        ("1||2||3", {"a": "1|"}, "/values"),
        ("1||2||3", {"a": "\n"}, "/values/a"),
        ("1||2||3", {"a": "\r"}, "/values/a"),
        ("1||2||3||4", {"a": "x"}, "/values"),
    ],
)
def test_what_the_row_cannot_hold_is_refused_with_its_place(raw, values, pointer):
    with pytest.raises(Invalid) as refused:
        Layout(form(), HEADINGS).with_values(raw, values)
    assert refused.value.pointer == pointer


def test_a_row_with_too_many_columns_is_put_together_of_all_values():
    layout = Layout(form(), HEADINGS)
    assert layout.with_values("1||2||3||4", dict.fromkeys(HEADINGS, "x")) == "x||x||x"


def test_quotes_that_the_mapping_has_learned_since_are_read_and_another_kind_of_file_is_not_made_of_it():
    kept = Layout(form(), HEADINGS)
    learned = kept.by(mapping(form={"quote": '"'}))
    assert learned.columns('1||"2||2"||3') == ["1", "2||2", "3"]
    assert kept.by(mapping(form={"delimiter": ","})) == kept
