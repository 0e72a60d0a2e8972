"""A sample under a mapping: what a run would make of it, shown before anything is applied."""

from __future__ import annotations

import gzip
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.connectors.mapping import Mapping, from_dict
from chalicelib.connectors.preview import MAX_TEXT, preview
from chalicelib.connectors.samples import Sample
from chalicelib.platform.errors import Invalid
from tests.connectors.delivery import DAY, FIELDS, GOOD, Desk, codes, delivered, document, mapping, row, with_field

COUNTED = {"trailer": {"prefix": "T", "count": 1}}
SUMMED = {"trailer": {"prefix": "T", "count": 1, "total": 2, "total_field": "account.balance"}}
ROWS = [row(key=f"A{n}", balance=f"{n}.50") for n in range(1, 6)]


def previewed(content: bytes, under: Mapping, *, whole: bool = True, **options: Any):
    return preview(Sample(content, whole), under, **({"business_date": DAY, "rows": 10} | options))


def test_the_first_rows_are_shown_before_and_after():
    found = previewed(delivered(ROWS), mapping(), rows=2)
    assert (found.refusal, found.read) == (None, True)
    assert found.counts == {"rows": 5, "accepted": 5, "quarantined": 0}
    assert [shown.line for shown in found.rows] == [2, 3]
    assert found.rows[0].before == GOOD | {"balance": "1.50"}
    assert found.rows[0].after == {
        "account.key": "A1",
        "borrower.key": "C1",
        "borrower.name": "王伟",
        "borrower.phone": "13812345678",
        "account.currency": "CNY",
        "account.balance": 150,
        "account.overdue_amount": 0,
        "account.oldest_due_date": None,
    }
    assert [(total.currency, total.rows, total.balance) for total in found.totals] == [("CNY", 5, 1750)]


def test_rows_that_would_be_quarantined_come_with_their_reasons_however_many_they_are():
    broken = [row(key="A9", currency="?"), row(key="A1"), "too||few", row(key="A8", due="20050931")]
    found = previewed(delivered([*ROWS, *broken]), mapping(max_quarantine_share=0.05))
    assert found.refusal is not None
    assert found.refusal.code == "too_many_quarantined"
    assert found.counts == {"rows": 9, "accepted": 4, "quarantined": 5}
    assert [(shown.line, codes(shown.reasons)) for shown in found.rejected] == [
        (2, ["duplicate_key"]),
        (7, ["unknown_currency"]),
        (8, ["duplicate_key"]),
        (9, ["wrong_column_count"]),
        (10, ["not_a_date"]),
    ]
    assert found.rejected[1].after["account.balance"] is None, "in no currency an amount has no minor units"
    assert found.rejected[3].before == {"key": "too", "customer": "few"}
    assert sum(count.rows for count in found.reasons) == 5


@pytest.mark.parametrize(
    ("trailer", "verdict", "code"),
    [
        ("T||5||17.50", (True, True), None),
        ("T||6||17.50", (False, True), "trailer_count"),
        ("T||5||17.49", (True, False), "trailer_total"),
    ],
)
def test_the_trailer_is_judged(trailer, verdict, code):
    found = previewed(delivered(ROWS, trailer=trailer), mapping(form=SUMMED))
    assert (found.trailer.rows_agree, found.trailer.total_agrees) == verdict
    assert (found.refusal.code if found.refusal else None) == code
    assert len(found.rows) == 5


def test_a_sum_that_cannot_be_proven_is_said_to_be_open():
    rows = [*ROWS, row(key="A9", balance="?")]
    found = previewed(delivered(rows, trailer="T||6||17.50"), mapping(form=SUMMED))
    assert (found.trailer.total_agrees, found.trailer.unreadable_rows, found.refusal) == (None, 1, None)


def test_a_missing_trailer_refuses_the_file_and_its_rows_are_shown_all_the_same():
    found = previewed(delivered(ROWS), mapping(form=COUNTED))
    assert (found.refusal.code, found.trailer, found.counts["rows"]) == ("missing_trailer", None, 5)


def test_of_the_beginning_of_a_file_whole_rows_are_looked_at_and_no_trailer_is_expected():
    content = delivered(ROWS, trailer="T||5||17.50")
    cut = content[: content.index(b"A4") + 10]
    found = previewed(cut, mapping(form=SUMMED), whole=False)
    assert (found.refusal, found.trailer, found.counts["rows"]) == (None, None, 3)


def test_a_beginning_that_ends_within_quotes_is_cut_before_them():
    lines = ['a,b"', "1,x", '2,"two', 'lines"', "3,y", '4,"cut off', "here"]
    fields = [
        {"target": target, "source": source, "type": kind, "empty": "reject"}
        for target, source, kind in (
            ("account.key", "a", "text"),
            ("borrower.key", "b", "text"),
            ("account.overdue_amount", "a", "money"),
        )
    ]
    under = mapping(form={"delimiter": ",", "quote": '"'}, fields=fields, currency="CNY")
    found = previewed("\n".join(["a,b", *lines[1:]]).encode() + b"\n", under, whole=False)
    assert [(shown.line, shown.before["b"]) for shown in found.rows] == [(2, "x"), (3, "two\nlines"), (5, "y")]


def test_what_is_packed_is_unpacked():
    packed = gzip.compress(delivered(ROWS))
    under = mapping(form={"container": "gzip"})
    assert previewed(packed, under).counts["rows"] == 5
    with pytest.raises(Invalid, match="read whole"):
        previewed(packed, mapping(form={"container": "zip"}), whole=False)
    with pytest.raises(Invalid, match="not gzip"):
        previewed(delivered(ROWS), under)


@pytest.mark.parametrize("whole", [True, False])
def test_records_of_a_fixed_length_are_cut_between_two_of_them(whole):
    widths = {"key": 4, "customer": 4, "overdue": 6}
    places = {name: sum(list(widths.values())[:at]) + 1 for at, name in enumerate(widths)}
    form = {
        "kind": "fixed-width",
        "encoding": "cp037",
        "record_length": 14,
        "record_end": "none",
        "columns": [{"name": name, "start": places[name], "length": width} for name, width in widths.items()],
        "trailer": {"prefix": "T", "count": {"start": 2, "length": 5}},
    }
    targets = {"account.key": "key", "borrower.key": "customer", "account.overdue_amount": "overdue"}
    fields = [
        {"target": target, "source": name, "type": "money" if "amount" in target else "text", "empty": "reject"}
        for target, name in targets.items()
    ]
    under = from_dict(document(fields=fields, currency="CNY") | {"format": form})
    text = "".join(f"A{n:<3}C{n:<3}{n}.50  " for n in range(1, 5)) + "T    4        "
    content = text.encode("cp037")
    found = previewed(content if whole else content[:50], under, whole=whole)
    assert [shown.after["account.overdue_amount"] for shown in found.rows] == [150, 250, 350, 450][: 4 if whole else 3]
    assert (found.refusal, found.trailer is not None) == (None, whole)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty_file"),
        ("ä||b\n".encode("latin-1"), "wrong_encoding"),
        (b"key||customer\n1||2\n", "missing_column"),
        (b"a\0b", "nul_byte"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_as_a_run_would_refuse_it(content, code):
    found = previewed(content, mapping())
    assert (found.read, found.refusal.code, found.rows, found.counts) == (False, code, (), {})


def test_long_values_are_cut_and_an_answer_stays_small():
    long = [row(key=f"A{n}", name="字" * 10_000) for n in range(50)]
    found = previewed(delivered(long), mapping(fields=with_field("borrower.name", max_length=10_000)), rows=50)
    assert {len(shown.before["name"]) for shown in found.rows} == {MAX_TEXT + 1}
    assert {len(shown.after["borrower.name"]) for shown in found.rows} == {MAX_TEXT + 1}


def test_against_the_mapping_in_force_each_field_that_differs_is_counted():
    rows = [row(key=f"A{n}", name="王伟" if n % 3 else " 李娜 ", overdue="１" if n == 5 else "1") for n in range(1, 10)]
    candidate = mapping(
        fields=[
            item | ({"full_width_to_half": True} if item["target"] == "account.overdue_amount" else {})
            for item in with_field("borrower.name", trim=False)
        ]
    )
    found = previewed(delivered(rows), candidate, in_force=mapping()).differences
    assert (found.same, found.changed, found.only_in_force, found.only_candidate) == (5, 3, 0, 1)
    assert found.fields == {"borrower.name": 3}


def test_a_key_read_from_another_column_makes_other_accounts():
    candidate = mapping(
        fields=[item | {"source": "phone"} if item["target"] == "account.key" else item for item in FIELDS]
    )
    rows = [row(key=f"A{n}", phone=f"1380000000{n}") for n in range(1, 4)]
    found = previewed(delivered(rows), candidate, in_force=mapping()).differences
    assert (found.same, found.changed, found.only_in_force, found.only_candidate) == (0, 0, 3, 3)


def test_where_the_mapping_in_force_cannot_read_the_file_that_is_said():
    found = previewed(delivered(ROWS), mapping(), in_force=mapping(form={"delimiter": ","}))
    assert (found.differences.refusal.code, found.counts["accepted"]) == ("missing_column", 5)


cells = st.fixed_dictionaries(
    {
        "key": st.sampled_from(["A1", "A2", "A3", ""]),
        "overdue": st.sampled_from(["0", "1.50", "-1", "x", ""]),
        "due": st.sampled_from(["20050901", "20051001", "20050230", ""]),
        "currency": st.sampled_from(["CNY", "JPY", "RMB", ""]),
    }
)


@settings(max_examples=25, deadline=None)
@given(st.lists(cells, min_size=1, max_size=8))
def test_a_preview_says_of_every_row_what_a_run_does_with_it(tmp_path_factory, rows):
    content = delivered([row(**values) for values in rows])
    desk = Desk(tmp_path_factory.mktemp("run"), mapping())
    staged, delta = desk.take(content, date(2005, 9, 30))
    found = previewed(content, mapping())
    assert found.counts == {"rows": staged.rows, "accepted": staged.accepted, "quarantined": staged.quarantined}
    assert [(shown.line, list(shown.reasons)) for shown in found.rejected] == [
        (line, reasons) for line, _, _, reasons in desk.quarantined(staged)
    ]
    applied = {change["account"]["key"]: change["account"] for change in desk.changes(delta)}
    shown = {shown.after["account.key"]: shown.after for shown in found.rows if not shown.reasons}
    assert {key: account["overdue_amount"] for key, account in applied.items()} == {
        key: after["account.overdue_amount"] for key, after in shown.items()
    }
