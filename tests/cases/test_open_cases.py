"""The count that a tenant pays by, against a count of every case there is."""

from __future__ import annotations

import threading
from datetime import timedelta

from chalicelib.cases import Repayment, apply_repayment, apply_rows, open_cases
from chalicelib.cases.model import Case
from chalicelib.cases.rules import ASSIGNMENT, replace_rules
from chalicelib.platform import requests
from tests.cases.bank import Bank, cases


def counted_one_by_one(tenant) -> int:
    return sum(case["status"]["S"] == "open" for case in cases(tenant))


def late_rows(bank: Bank, accounts, overdue: int = 700, **row):
    return [bank.row(f"{n:03d}", overdue, 55 if overdue else 0, before=700, **row) for n in accounts]


def assigned_to(tenant, *collectors: str, now) -> None:
    document = ASSIGNMENT.schema.model_validate({"collectors": [{"id": c, "capacity": 9} for c in collectors]})
    replace_rules(tenant, ASSIGNMENT, document, made_by="usr_1", now=now)


def test_a_tenant_without_cases_has_none_open(tenant):
    assert open_cases(tenant) == 0


def test_the_count_is_that_of_all_open_cases_as_they_open_close_and_leave(tenant, now):
    bank = Bank()
    for run, (rows, expected) in enumerate(
        [
            (late_rows(bank, range(40)), 40),
            (late_rows(bank, range(10), overdue=0), 30),
            (late_rows(bank, range(10, 15), op="removed"), 25),
            (late_rows(bank, range(5)), 30),
        ],
        start=1,
    ):
        apply_rows(tenant, rows, bank.source(run=run), now=now)
        assert open_cases(tenant) == counted_one_by_one(tenant) == expected


def test_a_chunk_applied_twice_counts_once(tenant, now):
    bank = Bank()
    for _ in range(2):
        apply_rows(tenant, late_rows(bank, range(12)), bank.source(), now=now)
    assert open_cases(tenant) == counted_one_by_one(tenant) == 12


def test_a_case_that_a_pushed_repayment_cures_counts_no_longer(tenant, now):
    bank = Bank()
    apply_rows(tenant, late_rows(bank, range(3)), bank.source(), now=now)
    repayment = Repayment("001", "R1", 700, "TWD", bank.on + timedelta(1))
    assert apply_repayment(tenant, repayment, connector_id=bank.connector_id, now=now).case_closed
    assert open_cases(tenant) == counted_one_by_one(tenant) == 2


def test_cases_of_a_collector_who_was_taken_off_the_list_still_count(tenant, now):
    bank = Bank()
    assigned_to(tenant, "leaving", now=now)
    apply_rows(tenant, late_rows(bank, range(6)), bank.source(), now=now)
    assigned_to(tenant, "staying", now=now)
    apply_rows(tenant, late_rows(bank, range(6, 10)), bank.source(run=2), now=now)
    assert {case["assignee"]["S"] for case in cases(tenant)} == {"leaving", "staying"}
    assert open_cases(tenant) == counted_one_by_one(tenant) == 10


def test_no_case_can_be_without_an_assignee():
    # Otherwise it would be in nobody's load, and in no count.
    assert Case.assignee.null is False
    assert ASSIGNMENT.schema.model_fields["collectors"].metadata[0].min_length == 1


def test_workers_at_the_same_time_leave_an_exact_count(tenant, now):
    bank = Bank()
    chunks = [late_rows(bank, range(start, start + 15)) for start in range(0, 60, 15)]
    workers = [
        threading.Thread(target=apply_rows, args=(tenant, rows, bank.source(number)), kwargs={"now": now})
        for number, rows in enumerate(chunks)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert open_cases(tenant) == counted_one_by_one(tenant) == 60


def test_the_count_takes_one_request_however_many_cases_there_are(tenant, now):
    bank = Bank()
    assigned_to(tenant, "a", "b", "c", now=now)
    apply_rows(tenant, late_rows(bank, range(50)), bank.source(), now=now)
    with requests.counted() as count:
        assert open_cases(tenant) == 50
    assert sum(count.values()) == 1
