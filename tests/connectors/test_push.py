"""Rows that a business system pushes between two files."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from pydantic import ValidationError

from chalicelib.connectors.push import PushedRow, find_push, push
from chalicelib.connectors.push_views import Push, receipt_view
from chalicelib.platform.errors import Conflict, NotFound
from chalicelib.platform.http import invalid
from tests.connectors.institution import Institution, Loan, late
from tests.connectors.tables import events, items


@pytest.fixture
def bank(tenant, now) -> Institution:
    bank = Institution(tenant, now)
    bank.deliver("20050430", [late(1, overdue="1000"), late(2), Loan(3)])
    return bank


def repayment(loan: Loan, amount: int, id: str = "R1", currency: str = "CNY") -> PushedRow:
    return PushedRow(loan.key, id, amount, currency, date(2005, 5, 3))


def test_a_pushed_repayment_closes_the_case_that_it_cures(bank):
    receipt = push(bank.tenant, bank.connector_id, [repayment(late(1), 100_000)], now=bank.clock)
    assert receipt_view(receipt).model_dump(include={"status", "rows"}) == {"status": "accepted", "rows": None}
    bank.work()
    view = receipt_view(find_push(bank.tenant, bank.connector_id, receipt.id))
    assert view.status == "applied"
    [row] = view.rows
    assert (row["row"], row["status"], row["case_closed"]) == (0, "applied", True)
    assert [e["data"]["case_id"] for e in events(bank.tenant) if e["type"] == "case.closed"] == [row["case_id"]]


def test_a_row_that_cannot_be_applied_is_recorded_and_the_others_go_on(bank):
    rows = [
        repayment(Loan(99), 100),
        repayment(late(1), 100, currency="USD"),
        repayment(late(1), 100),
        repayment(late(1), 200),
        repayment(late(2), 100),
    ]
    receipt = push(bank.tenant, bank.connector_id, rows, now=bank.clock)
    bank.work()
    view = receipt_view(find_push(bank.tenant, bank.connector_id, receipt.id))
    assert view.status == "partly_applied"
    assert [(r["status"], r.get("reason")) for r in view.rows] == [
        ("quarantined", "not-found"),
        ("quarantined", "invalid"),
        ("applied", None),
        ("quarantined", "conflict"),
        ("applied", None),
    ]
    assert all(r["detail"] for r in view.rows if r["status"] == "quarantined")


def test_a_push_of_which_no_row_is_booked_is_not_applied(bank):
    receipt = push(bank.tenant, bank.connector_id, [repayment(Loan(99), 100), repayment(Loan(98), 100)], now=bank.clock)
    bank.work()
    assert receipt_view(find_push(bank.tenant, bank.connector_id, receipt.id)).status == "not_applied"


def test_the_same_key_answers_with_the_same_receipt_and_books_once(bank):
    rows = [repayment(late(1), 100)]
    first = push(bank.tenant, bank.connector_id, rows, now=bank.clock, key="k-1")
    again = push(bank.tenant, bank.connector_id, rows, now=bank.clock, key="k-1")
    bank.work()
    later = push(bank.tenant, bank.connector_id, rows, now=bank.clock, key="k-1")
    assert first.id == again.id == later.id
    assert receipt_view(later).status == "applied"
    assert not list(bank.messages("sync-chunks")), "what is applied is not sent again"
    assert sum(e["type"] == "payment.received" for e in events(bank.tenant)) == 1
    with pytest.raises(Conflict):
        push(bank.tenant, bank.connector_id, [repayment(late(1), 999)], now=bank.clock, key="k-1")
    assert push(bank.tenant, bank.connector_id, rows, now=bank.clock, key="k-2").id != first.id


def test_a_repayment_pushed_twice_under_two_receipts_is_booked_once(bank):
    first = push(bank.tenant, bank.connector_id, [repayment(late(1), 100)], now=bank.clock)
    second = push(bank.tenant, bank.connector_id, [repayment(late(1), 100)], now=bank.clock)
    bank.work()
    outcomes = [receipt_view(find_push(bank.tenant, bank.connector_id, r.id)).rows for r in (first, second)]
    assert sorted(rows[0]["status"] for rows in outcomes) == ["applied", "repeated"]
    statuses = [receipt_view(find_push(bank.tenant, bank.connector_id, r.id)).status for r in (first, second)]
    assert statuses == ["applied", "applied"], "a repeated row is booked"
    assert sum(e["type"] == "payment.received" for e in events(bank.tenant)) == 1


def test_a_message_delivered_twice_leaves_the_first_record(bank):
    receipt = push(bank.tenant, bank.connector_id, [repayment(late(1), 100)], now=bank.clock)
    bank.work()
    before = items(bank.tenant, "connector")
    bank.handle({"connector_id": bank.connector_id, "push": receipt.id})
    assert items(bank.tenant, "connector") == before


def test_a_push_needs_a_connector_and_a_receipt_is_its_own(bank, other_tenant):
    with pytest.raises(NotFound):
        push(bank.tenant, "con_01J00000000000000000000000", [repayment(late(1), 1)], now=bank.clock)
    receipt = push(bank.tenant, bank.connector_id, [repayment(late(1), 1)], now=bank.clock)
    with pytest.raises(NotFound):
        find_push(other_tenant, bank.connector_id, receipt.id)


GOOD = {
    "kind": "repayment",
    "account": "62",
    "repayment_id": "R1",
    "amount": "1234.50",
    "currency": "TWD",
    "booked_on": "2005-10-03",
}


def test_amounts_are_decimal_strings_and_exact():
    assert Push.model_validate({"rows": [GOOD]}).rows[0].pushed().amount == 123_450
    yen = GOOD | {"currency": "JPY", "amount": "1234"}
    assert Push.model_validate({"rows": [yen]}).rows[0].pushed().amount == 1234


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"amount": "1234.505"}, "/rows/1/amount"),
        ({"amount": "12.5", "currency": "JPY"}, "/rows/1/amount"),
        ({"amount": "0"}, "/rows/1/amount"),
        ({"amount": "-5"}, "/rows/1/amount"),
        ({"amount": "1,234.50"}, "/rows/1/amount"),
        ({"amount": "１２"}, "/rows/1/amount"),
        ({"amount": "1e5"}, "/rows/1/amount"),
        ({"amount": "NaN"}, "/rows/1/amount"),
        ({"amount": 1234.5}, "/rows/1/amount"),
        ({"currency": "ZZZ"}, "/rows/1/currency"),
        ({"booked_on": "03/10/2005"}, "/rows/1/booked_on"),
        ({"booked_on": 0}, "/rows/1/booked_on"),
        ({"booked_on": "1989-12-31"}, "/rows/1/booked_on"),
        ({"booked_on": "9999-12-31"}, "/rows/1/booked_on"),
        ({"account": ""}, "/rows/1/account"),
        ({"kind": "fee"}, "/rows/1/kind"),
        ({"note": "x"}, "/rows/1/note"),
    ],
)
def test_a_bad_row_is_named_by_its_place(changes, pointer):
    with pytest.raises(ValidationError) as caught:
        Push.model_validate({"rows": [GOOD, GOOD | changes]})
    problem = invalid(caught.value)
    assert (problem.status, problem.pointer) == (422, pointer)


def test_a_repayment_is_booked_no_later_than_where_the_day_begins_first(monkeypatch):
    monkeypatch.setattr("chalicelib.connectors.push_views.utc_now", lambda: datetime(2026, 3, 31, 23, 59, tzinfo=UTC))
    for day in ("1990-01-01", "2005-10-03", "2026-04-01"):
        assert Push.model_validate({"rows": [GOOD | {"booked_on": day}]}).rows[0].booked_on.isoformat() == day
    with pytest.raises(ValidationError) as caught:
        Push.model_validate({"rows": [GOOD | {"booked_on": "2026-04-02"}]})
    assert "1990-01-01 to 2026-04-01" in invalid(caught.value).detail


@pytest.mark.parametrize("rows", [[], [GOOD] * 101])
def test_a_push_has_one_to_a_hundred_rows(rows):
    with pytest.raises(ValidationError):
        Push.model_validate({"rows": rows})
