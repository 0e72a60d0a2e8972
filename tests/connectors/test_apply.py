"""Chunks: applied once however often they come, counted exactly, and the run ended by the last."""

from __future__ import annotations

import pytest

from chalicelib.connectors import advance
from chalicelib.connectors.apply import apply_chunk
from chalicelib.connectors.chunk_store import ChunkDamaged
from chalicelib.connectors.report import ROW_COUNTS, reconcile, requests_needed
from chalicelib.connectors.runs import request_run
from chalicelib.connectors.views import report_view
from tests.connectors.institution import Institution, Loan, extract, late
from tests.connectors.tables import events, items


@pytest.fixture
def bank(tenant, now) -> Institution:
    return Institution(tenant, now)


def planned(bank: Institution, loans) -> list[dict]:
    """Drops a file and plans it; returns the messages of its chunks."""
    bank.drop("20050430", extract(loans))
    advance.advance(bank.tenant, bank.connector_id, now=bank.clock)
    messages = []
    for message, done in bank.messages("sync-chunks"):
        messages.append(message)
        done()
    return messages


def test_chunks_may_come_in_any_order_and_the_last_one_ends_the_run(bank, monkeypatch):
    monkeypatch.setattr("chalicelib.connectors.plan.ROWS_PER_CHUNK", 2)
    messages = planned(bank, [late(1), Loan(2), late(3), Loan(4), Loan(5)])
    assert [m["chunk"] for m in messages] == [1, 2, 3]
    for message in reversed(messages):
        assert bank.runs()[0].status == "applying"
        bank.handle(message)
    run = bank.runs()[0]
    assert (run.status, run.chunks_done, run.rows_applied, run.reconciled) == ("completed", 3, 5, True)
    assert run.applied["cases_opened"] == 2


def test_a_chunk_delivered_twice_is_counted_once(bank, monkeypatch):
    monkeypatch.setattr("chalicelib.connectors.plan.ROWS_PER_CHUNK", 1)
    first, second = planned(bank, [late(1), late(2)])
    bank.handle(first)
    bank.handle(first)
    assert (bank.runs()[0].chunks_done, bank.runs()[0].rows_applied) == (1, 1)
    bank.handle(second)
    assert bank.runs()[0].status == "completed"
    before = [items(bank.tenant, kind) for kind in ("connector", "cases", "feed", "ledger")]
    for message in (first, second):
        bank.handle(message)
    assert [items(bank.tenant, kind) for kind in ("connector", "cases", "feed", "ledger")] == before


def test_a_damaged_chunk_is_not_applied(bank):
    [message] = planned(bank, [late(1)])
    key = bank.tenant.object_key("runs", message["run_id"], "chunks", "000001.jsonl.gz")
    bank.tenant.s3.put_object(Bucket=bank.tenant.bucket, Key=key, Body=b"", **bank.tenant.encryption)
    with pytest.raises(ChunkDamaged):
        bank.handle(message)
    assert not items(bank.tenant, "cases")


def test_an_ended_run_is_announced_once_with_its_counts(bank):
    run = bank.deliver("20050430", [late(1), Loan(2)])
    [ended] = [e for e in events(bank.tenant) if e["type"] == "connector.run_completed"]
    assert ended["data"] == {
        "connector_id": bank.connector_id,
        "run_id": run.id,
        "counts": {"read": 2, "new": 2, "changed": 0, "unchanged": 0, "removed": 0, "quarantined": 0},
    }
    leaves = [i["action"]["S"] for i in items(bank.tenant, "ledger") if i["subject"]["S"] == run.id]
    assert sorted(leaves) == ["chunk.applied", "run.completed"]


def test_rows_that_did_not_change_cost_no_request(bank):
    portfolio = [Loan(n) for n in range(1, 301)]
    bank.deliver("20050430", portfolio)
    few = report_view(bank.deliver("20050531", [Loan(n, balance="1" if n <= 5 else "5000") for n in range(1, 301)]))
    assert (few.counts["changed"], few.counts["unchanged"]) == (5, 295)
    assert few.requests.total <= few.requests.expected, few.requests
    assert few.requests.beyond_expected == 0
    # The same five changes in a portfolio of five cost the same.
    alone = Institution(bank.tenant, bank.clock)
    alone.deliver("20050430", portfolio[:5])
    five = report_view(alone.deliver("20050531", [Loan(n, balance="1") for n in range(1, 6)]))
    assert five.requests.by_operation == few.requests.by_operation


def test_a_removed_account_is_applied_and_reconciled(bank):
    bank.deliver("20050430", [Loan(n) for n in range(1, 20)] + [late(20)])
    run = bank.deliver("20050531", [Loan(n) for n in range(1, 20)])
    report = report_view(run)
    assert (report.status, report.counts["removed"], report.rows_applied, report.reconciled) == (
        "completed",
        1,
        1,
        True,
    )
    assert report.applied["cases_closed"] == 1


COUNTS = dict.fromkeys(ROW_COUNTS, 0)


@pytest.mark.parametrize(
    ("counts", "totals", "trailer", "applied", "said"),
    [
        ({"read": 3, "new": 2}, 2, None, 2, "3 rows were read but 2"),
        ({"read": 2, "new": 2}, 2, None, 1, "2 rows are new, changed or removed but 1"),
        ({"read": 2, "new": 2}, 3, None, 2, "2 rows were accepted but the control totals sum 3"),
        ({"read": 2, "new": 2}, 2, {"rows": 4}, 2, "the trailer states 4 rows but 2"),
    ],
)
def test_what_does_not_agree_is_said(counts, totals, trailer, applied, said):
    [sentence] = reconcile(COUNTS | counts, [{"rows": totals}], trailer, applied)
    assert sentence.startswith(said)


def test_the_requests_needed_follow_from_full_batches():
    assert requests_needed(items=0, overdue_rows=0, opened=0, changed=0) == 3 + 2 + 1
    assert requests_needed(items=50, overdue_rows=100, opened=0, changed=0) == 3 + 2 + 2 * 1 + 2 + 2
    assert requests_needed(items=26, overdue_rows=20, opened=19, changed=1) == 3 + 2 + 2 * 1 + 2 + 1


def test_a_chunk_of_another_run_is_not_counted_for_this_one(bank):
    [message] = planned(bank, [late(1)])
    bank.handle(message)
    run = bank.runs()[0]
    apply_chunk(bank.tenant, bank.connector_id, run.id, 1, message["sha256"], now=bank.clock)
    request_run(bank.tenant, bank.connector_id)
    bank.work()
    assert [r.id for r in bank.runs()] == [run.id]
