"""Rows as the connectors hand them over."""

import json

import pytest
from pydantic import ValidationError

from chalicelib.cases import Applied, Row

LINE = {
    "op": "changed",
    "line": 7,
    "account": {
        "key": "6210990000000025",
        "number": "6210990000000025",
        "product": "CC-STD",
        "branch": "1001",
        "currency": "TWD",
        "credit_limit": 2000000,
        "balance": 391300,
        "overdue_amount": 100000,
        "last_paid_amount": 0,
        "oldest_due_date": "2005-08-06",
    },
    "borrower": {"key": "C00000002", "name": "王小明", "id_number": None, "phone": None, "address": None},
    "borrower_changed": False,
    "before": {"overdue_amount": 0, "oldest_due_date": None},
}


def row(op: str = "changed", now: int | None = 0, before: int | None = 0) -> Row:
    changed = LINE | {"op": op, "account": LINE["account"] | {"overdue_amount": now}}
    changed["before"] = None if op == "new" else {"overdue_amount": before, "oldest_due_date": None}
    return Row.model_validate(changed)


def test_a_chunk_line_is_read_as_it_is_written():
    assert Row.model_validate_json(json.dumps(LINE)).account.key == "6210990000000025"


def test_a_member_that_nobody_knows_is_refused():
    with pytest.raises(ValidationError):
        Row.model_validate(LINE | {"overdue": 1})


def test_what_is_wrong_with_a_row_is_said_without_its_values():
    wrong = LINE | {"borrower": LINE["borrower"] | {"key": "", "name": ["王小明"]}}
    with pytest.raises(ValidationError) as caught:
        Row.model_validate_json(json.dumps(wrong))
    assert "borrower.name" in str(caught.value)
    assert "王小明" not in str(caught.value)


@pytest.mark.parametrize(
    ("op", "now", "before", "touches"),
    [
        ("new", 0, None, False),
        ("new", 5, None, True),
        ("changed", 0, 0, False),
        ("changed", 0, 5, True),
        ("changed", 5, 0, True),
        ("removed", 0, 0, False),
        ("removed", 5, 5, True),
        ("changed", None, 5, False),
        ("changed", 0, None, True),
    ],
)
def test_only_what_is_or_was_overdue_can_matter_to_a_case(op: str, now: int | None, before: int | None, touches: bool):
    assert row(op, now, before).touches_overdue is touches


def test_what_chunks_did_adds_up():
    assert Applied(1, 2, cases_opened=3) + Applied(10, cases_opened=4, rows_stale=1) == Applied(
        11, 2, cases_opened=7, rows_stale=1
    )
