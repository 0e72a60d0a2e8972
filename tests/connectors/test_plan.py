"""What becomes of a dropped file before anything is applied."""

from __future__ import annotations

import gzip
import json
from datetime import timedelta

import pytest

from chalicelib.connectors.connectors import find_connector
from chalicelib.connectors.quarantine_views import RejectedView, rejected_view
from chalicelib.connectors.rejected import KEPT_BYTES, RejectedRow, list_rejected, store_rejected
from chalicelib.connectors.runs import CLAIM_TIME
from chalicelib.connectors.views import report_view, run_view
from chalicelib.platform.errors import Invalid, NotFound
from chalicelib.platform.http import Page
from tests.connectors.institution import Institution, Loan, extract, file_name, late
from tests.connectors.tables import count, events, items


@pytest.fixture
def bank(tenant, now) -> Institution:
    return Institution(tenant, now)


def objects(bank: Institution, *under: str) -> dict[str, dict]:
    prefix = bank.tenant.object_key(*under)
    found = bank.tenant.s3.list_objects_v2(Bucket=bank.tenant.bucket, Prefix=prefix).get("Contents", [])
    return {o["Key"].removeprefix(prefix): o for o in found}


def test_a_first_file_is_applied_and_every_row_is_accounted_for(bank):
    run = bank.deliver("20050430", [Loan(1), late(2), Loan(3)])
    report = report_view(run)
    assert run.status == "completed"
    assert report.counts == {"read": 3, "new": 3, "changed": 0, "unchanged": 0, "removed": 0, "quarantined": 0}
    assert (report.reconciled, report.discrepancies, report.rows_applied) == (True, [], 3)
    assert report.trailer.model_dump() == {"rows": 3, "total": "15000", "total_agrees": True, "unreadable_rows": 0}
    assert [t.model_dump() for t in report.control_totals] == [
        {"currency": "CNY", "rows": 3, "balance": 1_500_000, "overdue_amount": 100_000}
    ]
    assert report.applied["cases_opened"] == 1
    assert count(bank.tenant, "cases", "account") == 3
    connector = find_connector(bank.tenant, bank.connector_id)
    assert (connector.active_run, connector.last_run, str(connector.last_business_date)) == (None, run.id, "2005-04-30")


def test_only_what_changed_reaches_the_chunks(bank):
    bank.deliver("20050430", [Loan(n) for n in range(1, 41)])
    run = bank.deliver("20050531", [Loan(n, balance="6000" if n == 7 else "5000") for n in range(1, 41)])
    report = report_view(run)
    assert (report.counts["changed"], report.counts["unchanged"], report.chunks) == (1, 39, 1)
    [stored] = [k for k in objects(bank, "runs", run.id) if "chunks/" in k]
    body = bank.tenant.s3.get_object(Bucket=bank.tenant.bucket, Key=bank.tenant.object_key("runs", run.id) + stored)[
        "Body"
    ]
    [row] = [json.loads(line) for line in gzip.decompress(body.read()).splitlines()]
    assert (row["op"], row["line"], row["account"]["balance"]) == ("changed", 8, 600_000)


def test_everything_written_lies_under_the_tenants_own_key(bank):
    run = bank.deliver("20050430", [late(1), Loan(2)])
    places = [*objects(bank, "runs", run.id), *objects(bank, "drop", bank.connector_id, "applied")]
    assert len(places) == 4, "snapshot, manifest, one chunk, the file itself"
    for under in (("runs", run.id), ("drop", bank.connector_id, "applied")):
        for name in objects(bank, *under):
            key = bank.tenant.object_key(*under) + name
            head = bank.tenant.s3.head_object(Bucket=bank.tenant.bucket, Key=key)
            assert head["ServerSideEncryption"] == "aws:kms"
            assert head["SSEKMSKeyId"] == bank.tenant.key_arn


def test_a_file_delivered_twice_changes_nothing(bank):
    bank.deliver("20050430", [late(1), Loan(2)])
    before = items(bank.tenant, "cases"), items(bank.tenant, "feed")
    run = bank.deliver("20050430", [late(1), Loan(2)])
    assert run.status == "duplicate"
    assert (items(bank.tenant, "cases"), items(bank.tenant, "feed")) == before
    assert not objects(bank, "drop", bank.connector_id, "incoming")
    assert find_connector(bank.tenant, bank.connector_id).active_run is None


def test_a_file_without_changes_ends_at_once(bank):
    bank.deliver("20050430", [late(1), Loan(2)])
    run = bank.deliver("20050531", [late(1), Loan(2)])
    assert (run.status, run.chunks, run.reconciled) == ("completed", 0, True)
    assert str(find_connector(bank.tenant, bank.connector_id).last_business_date) == "2005-05-31"


REFUSALS = {
    "older_than_applied": ("20050331", extract([Loan(1)])),
    "same_business_date": ("20050430", extract([Loan(1), Loan(9)])),
    "wrong_encoding": ("20050531", extract([Loan(1)]) + b"\x80\xff\n"),
    "missing_column": ("20050531", extract([Loan(1)]).replace("逾期金额".encode("gb18030"), b"x")),
    "trailer_count": ("20050531", extract([Loan(1), Loan(2)], count=3)),
    "missing_trailer": ("20050531", extract([Loan(1)]).rsplit(b"TRL", 1)[0]),
    "shrunk": ("20050531", extract([Loan(1)])),
    "empty_file": ("20050531", b""),
}


@pytest.mark.parametrize("code", REFUSALS)
def test_a_refused_file_applies_nothing_and_frees_the_connector(bank, code):
    bank.deliver("20050430", [late(1), Loan(2), Loan(3)])
    cases, connector = items(bank.tenant, "cases"), find_connector(bank.tenant, bank.connector_id)
    day, content = REFUSALS[code]
    bank.drop(day, content)
    run = bank.run()
    view = run_view(run)
    assert (view.status, view.refusal and view.refusal.code) == ("refused", code)
    assert view.refusal.reason
    assert items(bank.tenant, "cases") == cases
    after = find_connector(bank.tenant, bank.connector_id)
    assert (after.active_run, after.last_run) == (None, connector.last_run)
    assert list(objects(bank, "drop", bank.connector_id, "refused")) == [f"/{run.id}/{file_name(day)}"]
    [failed] = [e for e in events(bank.tenant) if e["type"] == "connector.run_failed"]
    assert failed["data"] == {"connector_id": bank.connector_id, "run_id": run.id, "reason": code}


def test_a_file_with_a_name_nobody_expects_is_refused_and_others_go_on(bank):
    key = bank.tenant.object_key("drop", bank.connector_id, "incoming", "notes.docx")
    bank.tenant.s3.put_object(Bucket=bank.tenant.bucket, Key=key, Body=b"?")
    bank.drop("20050430", extract([late(1)]))
    bank.run()
    assert [(r.file_name, r.status) for r in bank.runs()] == [
        (file_name("20050430"), "completed"),
        ("notes.docx", "refused"),
    ]


def test_files_that_wait_are_applied_one_after_another_from_one_request(bank):
    bank.drop("20050531", extract([late(1, due="20050301"), Loan(2)]))
    bank.drop("20050430", extract([late(1), Loan(2)]))
    bank.drop("20050630", extract([Loan(1), Loan(2)]))
    bank.run()
    assert [(str(r.business_date), r.status) for r in bank.runs()] == [
        ("2005-06-30", "completed"),
        ("2005-05-31", "completed"),
        ("2005-04-30", "completed"),
    ]


def test_rows_that_are_not_accepted_are_shown_page_by_page_with_reasons(bank):
    bank.deliver("20050430", [Loan(n) for n in range(1, 201)])
    broken = [n for n in range(1, 201) if n % 25 == 0]
    run = bank.deliver("20050531", [Loan(n, balance="-" if n in broken else "5000") for n in range(1, 201)])
    assert (run.status, run.counts["quarantined"], run.reconciled) == ("completed", 8, True)
    seen, cursor = [], None
    while True:
        rows, cursor = list_rejected(bank.tenant, bank.connector_id, None, limit=3, cursor=cursor, now=bank.clock)
        seen += rows
        assert len(rows) <= 3
        if cursor is None:
            break
    assert [row.line for row in seen] == [n + 1 for n in broken]
    assert all(reason["field"] == "account.balance" for row in seen for reason in row.reasons)
    assert all("张伟" in row.raw for row in seen)
    # As stored, the row's text is sealed and no reason quotes it.
    stored = str([i for i in items(bank.tenant, "connector") if i["sk"]["S"].startswith("quarantine#")])
    assert "张伟" not in stored and "5000" not in stored


def test_a_file_refused_for_too_many_bad_rows_still_shows_them(bank):
    bank.deliver("20050430", [Loan(n) for n in range(1, 21)])
    run = bank.deliver("20050531", [Loan(n, balance="-" if n > 10 else "5000") for n in range(1, 21)])
    refusal = run_view(run).refusal
    assert (refusal.code, refusal.rows_kept) == ("too_many_quarantined", 10)
    assert refusal.quarantine == f"/v1/connectors/{bank.connector_id}/quarantine?run={run.id}"
    rows, _ = list_rejected(bank.tenant, bank.connector_id, run.id, limit=50, cursor=None, now=bank.clock)
    assert [row.line for row in rows] == list(range(12, 22))


def test_a_file_refused_before_a_row_was_quarantined_points_to_none(bank):
    bank.deliver("20050430", [Loan(n) for n in range(1, 21)])
    refusal = run_view(bank.deliver("20050531", [Loan(1)])).refusal
    assert (refusal.code, refusal.rows_kept, refusal.quarantine) == ("shrunk", None, None)


def test_when_no_run_is_named_the_one_applied_last_is_meant_and_the_newest_before_there_is_one(bank):
    def shown() -> list[int]:
        rows, _ = list_rejected(bank.tenant, bank.connector_id, None, limit=50, cursor=None, now=bank.clock)
        return [row.line for row in rows]

    with pytest.raises(NotFound, match="no file yet"):
        shown()
    bank.deliver("20050430", [Loan(1, balance="-"), Loan(2)])
    assert shown() == [2], "of the refused run, as nothing is applied"
    bank.deliver("20050531", [Loan(n, balance="-" if n == 20 else "5000") for n in range(1, 41)])
    bank.deliver("20050630", [Loan(n, balance="-") for n in range(1, 41)])
    assert shown() == [21], "of the applied run, not of the refused one after it"


def test_of_a_huge_row_that_is_not_accepted_the_beginning_is_kept(bank):
    connector = find_connector(bank.tenant, bank.connector_id)
    connector.mapping["format"]["max_line_bytes"] = 1 << 20
    connector.save()
    huge = Loan(40, balance="-", phone="张" * 300_000)
    run = bank.deliver("20050430", [*(Loan(n) for n in range(1, 40)), huge])
    assert (run.status, run.counts["quarantined"]) == ("completed", 1)
    [row], _ = list_rejected(bank.tenant, bank.connector_id, run.id, limit=50, cursor=None, now=bank.clock)
    whole = huge.line.encode()
    assert (row.truncated, row.raw_bytes) == (True, len(whole))
    assert whole.startswith(row.raw.encode())
    assert 0 <= KEPT_BYTES - len(row.raw.encode()) < len("张".encode())


def test_a_page_of_long_rows_is_short_enough_to_be_passed_on(bank):
    run = bank.deliver("20050430", [Loan(1)])
    raw = '"' * KEPT_BYTES
    stored = [RejectedRow(line, [], 1, raw, len(raw)) for line in range(1, 201)]
    store_rejected(bank.tenant, run.id, stored, until=bank.clock + timedelta(days=90))
    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor is not None:
        rows, cursor = list_rejected(bank.tenant, bank.connector_id, run.id, limit=200, cursor=cursor, now=bank.clock)
        body = Page[RejectedView](items=[rejected_view(row) for row in rows]).model_dump_json()
        assert len(json.dumps({"body": body})) < 6_000_000
        seen, pages = [*seen, *rows], pages + 1
    assert [(row.line, row.raw, row.truncated) for row in seen] == [(row.line, row.raw, False) for row in stored]
    assert pages == 3


def test_quarantine_is_shown_for_the_connectors_own_runs_only(bank, other_tenant, now):
    run = bank.deliver("20050430", [Loan(1)])
    stranger = Institution(bank.tenant, now)
    for connector_id, tenant in ((stranger.connector_id, bank.tenant), (bank.connector_id, other_tenant)):
        with pytest.raises(NotFound):
            list_rejected(tenant, connector_id, run.id, limit=10, cursor=None, now=bank.clock)
    with pytest.raises(Invalid):
        list_rejected(bank.tenant, bank.connector_id, run.id, limit=10, cursor={"sk": "push#x"}, now=bank.clock)


def test_a_file_that_was_replaced_while_its_run_was_at_work_waits_for_a_run_of_its_own(bank):
    bank.drop("20050430", extract([Loan(1), Loan(2)]))
    [(message, done)] = list(_after_request(bank))
    bank.handle(message)
    done()
    bank.drop("20050430", extract([Loan(1), Loan(3)]))
    bank.work()
    assert [(r.status, run_view(r).refusal and run_view(r).refusal.code) for r in bank.runs()] == [
        ("refused", "same_business_date"),
        ("completed", None),
    ]


def test_a_file_that_comes_after_one_that_was_taken_away_waits_for_a_run_of_its_own(bank, monkeypatch):
    bank.drop("20050430", extract([Loan(1)]))

    def taken_away_and_replaced(*_):
        monkeypatch.undo()
        bank.drop("20050430", extract([Loan(1), Loan(2)]))

    monkeypatch.setattr("chalicelib.connectors.drop.open_file", taken_away_and_replaced)
    bank.run()
    assert [(r.status, run_view(r).refusal and run_view(r).refusal.code) for r in bank.runs()] == [
        ("completed", None),
        ("refused", "file_gone"),
    ]
    assert bank.runs()[0].counts["read"] == 2


def test_a_file_that_replaces_one_that_no_worker_could_plan_is_not_refused_with_it(bank, monkeypatch):
    bank.drop("20050430", extract([Loan(1)]))
    with monkeypatch.context() as patch:
        patch.setattr("chalicelib.connectors.advance.MAX_DEATHS", 0)
        patch.setattr("chalicelib.connectors.runs.settle", lambda *_, **__: None)
        [(message, done)] = list(_after_request(bank))
        bank.handle(message)
        done()
    bank.drop("20050430", extract([Loan(1), Loan(2)]))
    bank.clock += CLAIM_TIME
    bank.run()
    assert [(r.status, run_view(r).refusal and run_view(r).refusal.code) for r in bank.runs()] == [
        ("completed", None),
        ("refused", "planning_failed"),
    ]


def _after_request(bank: Institution):
    from chalicelib.connectors.runs import request_run

    request_run(bank.tenant, bank.connector_id)
    return bank.messages("sync")
