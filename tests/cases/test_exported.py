"""What cases, accounts and borrowers look like in an export."""

from __future__ import annotations

import pytest

from chalicelib.cases import EXPORTED, apply_rows
from tests.cases.bank import Bank, items


@pytest.fixture
def rows(tenant, now):
    """The rows of a bank with one late account, by kind; each item is of exactly one kind."""
    bank = Bank()
    row = bank.row("A", 5_000, 40, op="new", id_number="A123456789", address="1 Harbour Road")
    apply_rows(tenant, [row], bank.source(), now=now)
    found: dict[str, list[dict]] = {}
    for item in items(tenant, "cases"):
        [kind] = [kind for kind in EXPORTED if kind.fits("cases", item)]
        found.setdefault(kind.name, []).append(kind.row(tenant.vault, item))
    return found


def test_personal_fields_are_opened_and_blind_indexes_left_out(rows):
    [account], [borrower] = rows["accounts"], rows["borrowers"]
    assert (account["key"], account["number"], account["overdue_amount"]) == ("A", "62A", 5_000)
    opened = {"key": "of A", "name": "Name of A", "phone": "0912 345 678"}
    assert borrower.items() >= (opened | {"id_number": "A123456789", "address": "1 Harbour Road"}).items()
    assert account["borrower_id"] == borrower["id"]
    assert not {name for row in (account, borrower) for name in row if "index" in name or "sealed" in name}


def test_a_case_is_told_with_its_evidence_and_its_borrowers_standing(rows):
    [case], [standing], [account] = rows["cases"], rows["standings"], rows["accounts"]
    assert (case["status"], case["account_ids"], case["trigger"]["account_id"]) == (
        "open",
        [account["id"]],
        account["id"],
    )
    assert (standing["borrower_id"], standing["case_id"]) == (case["borrower_id"], case["id"])
    assert standing["accounts"].keys() == {account["id"]}


def test_a_collectors_load_and_every_version_of_the_rules_are_told(rows):
    assert [(row["collector"], row["open_cases"]) for row in rows["workloads"]] == [("team", 1)]
    ids = ["assignment", "assignment#v000001", "triggers", "triggers#v000001"]
    assert sorted(row["id"] for row in rows["rules"]) == ids


def test_a_collector_who_is_called_like_a_kind_is_still_a_collector():
    item = {"pk": {"S": "workload"}, "sk": {"S": "case"}, "open_cases": {"N": "1"}}
    assert [kind.name for kind in EXPORTED if kind.fits("cases", item)] == ["workloads"]
