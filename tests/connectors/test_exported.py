"""What connectors, runs and quarantined rows look like in an export."""

from __future__ import annotations

from datetime import date

import pytest

from chalicelib.connectors import EXPORTED, push
from tests.connectors.institution import Institution, Loan, late
from tests.connectors.tables import items

BROKEN = Loan(5, balance="-")


@pytest.fixture
def bank(tenant, now) -> Institution:
    """An institution with one file applied, one row of it quarantined, and one repayment pushed."""
    bank = Institution(tenant, now)
    bank.deliver("20050430", [*(BROKEN if n == 5 else Loan(n) for n in range(1, 40)), late(40)])
    push.push(tenant, bank.connector_id, [push.PushedRow(late(40).key, "R1", 100, "CNY", date(2005, 5, 2))], now=now)
    bank.work()
    return bank


@pytest.fixture
def rows(tenant, bank) -> dict[str, list[dict]]:
    """The rows by kind; each item is of exactly one kind."""
    found: dict[str, list[dict]] = {}
    for item in items(tenant, "connector"):
        [kind] = [kind for kind in EXPORTED if kind.fits("connector", item)]
        found.setdefault(kind.name, []).append(kind.row(tenant.vault, item))
    return found


def test_a_run_is_told_with_all_that_was_found(bank, rows):
    [run], [connector] = rows["runs"], rows["connectors"]
    assert (run["id"], run["connector_id"], run["status"]) == (connector["last_run"], bank.connector_id, "completed")
    assert (run["counts"]["quarantined"], run["business_date"], run["reconciled"]) == (1, "2005-04-30", True)
    assert connector["mapping"]["preset"] == connector["preset"]
    [receipt] = rows["chunk_receipts"]
    assert (receipt["run_id"], receipt["chunk"], receipt["rows"]) == (run["id"], 1, 39)


def test_a_quarantined_row_is_told_with_its_text_and_its_reasons(rows):
    [row] = rows["quarantined_rows"]
    assert (row["raw"], row["line"], row["run_id"]) == (BROKEN.line, 6, rows["runs"][0]["id"])
    assert [reason["field"] for reason in row["reasons"]] == ["account.balance"]


def test_a_push_is_told_with_what_became_of_each_row(bank, rows):
    [receipt] = rows["push_receipts"]
    assert (receipt["connector_id"], receipt["status"], len(receipt["outcomes"])) == (bank.connector_id, "applied", 1)
