"""Properties: what a file says comes out as it went in, and changes applied to the last state give the next one."""

from __future__ import annotations

import csv
import io
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.connectors import formats
from chalicelib.platform.money import EXPONENTS, to_minor
from tests.connectors.delivery import HEADINGS, Desk, delivered, mapping, row, with_field
from tests.connectors.forms.packing import packed

# Bank systems hold any character but controls; a record's own blanks at its ends are trimmed, so none are made here.
NOT_MADE = "|\u240d\ufeff\ufffd"
WRITTEN_LIKE_ANOTHER = "\xa2\xa3\xa5•‾∼☉♁､"
"""In Big5."""


def texts_in(codec: str) -> st.SearchStrategy[str]:
    characters = st.characters(
        codec=codec, exclude_categories=["Cc", "Cs", "Cn"], exclude_characters=NOT_MADE + WRITTEN_LIKE_ANOTHER
    )
    return st.text(characters, max_size=20).map(lambda text: text.strip(formats.BLANKS))


def records_of(texts: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    keys = texts.filter(bool)
    return st.fixed_dictionaries(
        {
            "key": keys,
            "customer": keys,
            "name": texts,
            "phone": texts,
            "currency": st.sampled_from(sorted(EXPONENTS)),
            "balance": st.none() | st.integers(-(2**63), 2**63 - 1),
            "overdue": st.none() | st.integers(0, 10**12),
            "due": st.none() | st.dates(),
        }
    )


def tables_of(records: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(records, max_size=12, unique_by=lambda record: record["key"])


records = records_of(texts_in("utf-8"))


def written(record: dict[str, Any]) -> dict[str, str]:
    """The record's values as a file writes them."""
    texts = {name: value for name, value in record.items() if isinstance(value, str)}
    amounts = {
        name: "" if record[name] is None else str(Decimal(f"{record[name]}e-{EXPONENTS[record['currency']]}"))
        for name in ("balance", "overdue")
    }
    due = record["due"]
    day = "" if due is None else f"{due.year:04d}{due.month:02d}{due.day:02d}"
    return texts | amounts | {"due": day}


def read_back(change: dict[str, Any]) -> dict[str, Any]:
    account, borrower = change["account"], change["borrower"]
    due = account["oldest_due_date"]
    return {
        "key": account["key"],
        "customer": borrower["key"],
        "name": borrower["name"] or "",
        "phone": borrower["phone"] or "",
        "currency": account["currency"],
        "balance": account["balance"],
        "overdue": account["overdue_amount"],
        "due": None if due is None else date.fromisoformat(due),
    }


@pytest.mark.parametrize(
    ("encoding", "codec"),
    [
        ("utf-8", "utf-8"),
        ("gb18030", "gb18030"),
        ("gbk", "gbk"),
        ("big5", "cp950"),
        ("big5hkscs", "big5hkscs"),
        ("latin-1", "latin-1"),
        ("cp1252", "cp1252"),
    ],
)
def test_any_table_of_values_comes_back_as_it_was_written(tmp_path_factory, encoding, codec):
    @settings(max_examples=15, deadline=None)
    @given(tables_of(records_of(texts_in(codec))))
    def comes_back(table: list[dict[str, Any]]) -> None:
        desk = Desk(tmp_path_factory.mktemp("desk"), mapping(form={"encoding": encoding}))
        _, found = desk.take(delivered([row(**written(record)) for record in table], encoding=codec))
        assert [read_back(change) for change in desk.changes(found)] == table

    comes_back()


@pytest.mark.parametrize("container", ["gzip", "zip", "zip in zip"])
def test_any_table_comes_back_from_a_packed_file_without_headings(tmp_path_factory, container):
    form = {
        "container": container.split()[0],
        "header": False,
        "names": list(HEADINGS),
        "skip_lines": 1,
        "comment": "\u240d#",  # no value holds it
    }

    @settings(max_examples=10, deadline=None)
    @given(tables_of(records))
    def comes_back(table: list[dict[str, Any]]) -> None:
        desk = Desk(tmp_path_factory.mktemp("desk"), mapping(form=form))
        lines = ["HDR 20050930", "\u240d# made at night", *(row(**written(record)) for record in table)]
        _, found = desk.take(packed("\n".join([*lines, ""]).encode(), container))
        changes = desk.changes(found)
        assert [read_back(change) for change in changes] == table
        assert [change["line"] for change in changes] == list(range(3, 3 + len(table)))

    comes_back()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(records, st.text('ab ,"\n', max_size=8)), max_size=8, unique_by=lambda pair: pair[0]["key"]))
def test_any_table_written_as_quoted_csv_comes_back(tmp_path_factory, table):
    records = [record | {"name": name.strip(formats.BLANKS)} for record, name in table]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(HEADINGS)
    for record in records:
        values = written(record)
        writer.writerow([values[name] for name in HEADINGS])
    desk = Desk(tmp_path_factory.mktemp("desk"), mapping(form={"delimiter": ",", "quote": '"'}))
    _, found = desk.take(buffer.getvalue().encode())
    assert [read_back(change) for change in desk.changes(found)] == records


amounts_as_written = st.one_of(
    st.decimals(-(10**20), 10**20, places=2).map(str),
    st.integers(-(10**20), 10**20).map(str),
    st.from_regex(r"-?[0-9]{0,22}\.?[0-9]{0,5}", fullmatch=True),
    st.text("0123456789.-+e, ", max_size=8),
).map(str.strip)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(amounts_as_written, st.sampled_from(["CNY", "JPY", "KWD", "CLF"])), max_size=40))
def test_an_amount_is_read_exactly_as_decimal_arithmetic_reads_it_or_not_at_all(tmp_path_factory, amounts):
    desk = Desk(tmp_path_factory.mktemp("desk"))
    rows = [row(key=f"A{n}", balance=text, currency=currency) for n, (text, currency) in enumerate(amounts)]
    _, found = desk.take(delivered(rows))
    taken = {change["account"]["key"]: change["account"]["balance"] for change in desk.changes(found)}
    expected = {f"A{n}": minor_units(text, currency) for n, (text, currency) in enumerate(amounts)}
    assert taken == {key: value for key, value in expected.items() if value != "refused"}


def minor_units(text: str, currency: str) -> int | str | None:
    """What the rules say of an amount, written again in the plainest way."""
    if text == "":
        return None
    whole, point, fraction = text.removeprefix("-").partition(".")
    digits = set("0123456789")
    if not whole or not set(whole) <= digits or not set(fraction) <= digits or bool(point) != bool(fraction):
        return "refused"
    if len(fraction) > EXPONENTS[currency] or Decimal(text).adjusted() > 30:
        return "refused"
    minor = to_minor(text, currency)
    return minor if -(2**63) <= minor < 2**63 else "refused"


BROKEN = ("balance", "x")
lines = st.lists(
    st.tuples(st.integers(0, 9), st.sampled_from(["1", "2", BROKEN[1]]), st.sampled_from(["a", "b"])), max_size=14
)


@settings(max_examples=40, deadline=None)
@given(st.lists(lines, min_size=1, max_size=4), st.booleans())
def test_changes_applied_to_the_last_state_give_the_next_and_every_row_is_counted_once(
    tmp_path_factory, files, changes_mapping
):
    desk = Desk(tmp_path_factory.mktemp("desk"))
    state: dict[str, tuple[int, str]] = {}
    for number, file in enumerate(files):
        if changes_mapping:
            desk.mapping = mapping(fields=with_field("borrower.phone", max_length=50 + number))
        before = dict(state)
        keys = [f"A{key}" for key, _, _ in file]
        good = {
            f"A{key}": (int(balance) * 100, name)
            for key, balance, name in file
            if balance != BROKEN[1] and keys.count(f"A{key}") == 1
        }
        staged, found = desk.take(delivered([row(key=f"A{k}", balance=b, name=n) for k, b, n in file]))
        for change in desk.changes(found):
            key = change["account"]["key"]
            if change["op"] == "removed":
                del state[key]
            else:
                assert (change["op"] == "new") == (key not in before)
                state[key] = (change["account"]["balance"], change["borrower"]["name"])
        carried = {key: value for key, value in before.items() if key in keys and key not in good}
        assert state == good | carried
        assert (found.new, found.changed) == (
            len(good.keys() - before.keys()),
            sum(1 for key in good.keys() & before.keys() if good[key] != before[key]),
        )
        assert len(file) == found.new + found.changed + found.unchanged + found.quarantined == staged.rows
        assert len(before) == found.changed + found.unchanged + found.removed + found.carried == found.previous
        assert found.carried == len(carried)
