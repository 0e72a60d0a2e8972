"""A run's claim: one worker at a time, taken over when that one dies, and given up on in the end."""

from __future__ import annotations

from datetime import timedelta

import duckdb
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from pynamodb.exceptions import GetError, PutError

from chalicelib.connectors import advance, watch
from chalicelib.connectors.connectors import find_connector, mapping_of
from chalicelib.connectors.drop import waiting
from chalicelib.connectors.runs import (
    CLAIM_TIME,
    FIRST_REST,
    LONGEST_REST,
    MAX_DEATHS,
    change_planned,
    claim,
    give_back,
    list_runs,
    take_over,
)
from chalicelib.connectors.views import run_view
from chalicelib.platform.errors import Invalid, NotFound, Unavailable
from tests.connectors.institution import Institution, Loan, extract


@pytest.fixture
def bank(tenant, now) -> Institution:
    bank = Institution(tenant, now)
    bank.drop("20050430", extract([Loan(1), Loan(2)]))
    return bank


def raising(fault: Exception):
    """A function that always fails like that."""

    def fail(*_, **__):
        raise fault

    return fail


def claimed(bank: Institution):
    connector = find_connector(bank.tenant, bank.connector_id)
    file = waiting(bank.tenant, bank.connector_id, mapping_of(connector))[0]
    return claim(bank.tenant, connector, file, now=bank.clock)


def test_of_two_workers_that_see_the_same_file_one_gets_it(bank):
    connector = find_connector(bank.tenant, bank.connector_id)
    file = waiting(bank.tenant, bank.connector_id, mapping_of(connector))[0]
    runs = [claim(bank.tenant, connector, file, now=bank.clock) for _ in range(2)]
    assert [run is not None for run in runs] == [True, False]
    assert len(bank.runs()) == 1


def test_a_worker_that_may_still_be_alive_is_left_alone(bank):
    run = claimed(bank)
    advance.advance(bank.tenant, bank.connector_id, now=bank.clock + CLAIM_TIME - timedelta(seconds=1))
    assert [(r.id, r.status, r.attempt) for r in bank.runs()] == [(run.id, "planning", 1)]


def test_a_dead_workers_run_is_continued_under_the_same_id(bank):
    run = claimed(bank)
    bank.clock += CLAIM_TIME
    assert bank.run().id == run.id
    assert [(r.status, r.attempt) for r in bank.runs()] == [("completed", 2)]


def test_of_two_workers_that_find_a_dead_one_one_continues_and_the_dead_one_is_fenced_off(bank):
    dead = claimed(bank)
    connector = find_connector(bank.tenant, bank.connector_id)
    later = bank.clock + CLAIM_TIME
    heirs = [take_over(bank.tenant, connector, now=later) for _ in range(2)]
    assert [run is not None for run in heirs] == [True, False]
    verdict = {"verdict": {"status": "refused", "code": "empty_file", "reason": "of the dead"}}
    assert not change_planned(bank.tenant, dead, verdict)
    assert change_planned(bank.tenant, heirs[0], verdict)


AWS_FAULTS = [
    ClientError({"Error": {"Code": "SlowDown", "Message": "Please reduce your request rate."}}, "GetObject"),
    EndpointConnectionError(endpoint_url="https://s3.eu-central-1.amazonaws.com"),
    GetError("the table is throttled"),
    Unavailable("DynamoDB puts off what it is asked"),
    ConnectionResetError("S3 went away"),
]


@pytest.mark.parametrize("fault", AWS_FAULTS, ids=lambda fault: type(fault).__name__)
def test_however_often_aws_fails_a_good_file_is_applied_in_the_end(bank, monkeypatch, fault):
    with monkeypatch.context() as patch:
        patch.setattr("chalicelib.connectors.drop.open_file", raising(fault))
        for _ in range(2 * MAX_DEATHS):
            with pytest.raises(type(fault)):
                advance.advance(bank.tenant, bank.connector_id, now=bank.clock)
            bank.clock += LONGEST_REST
    assert bank.run().status == "completed"
    assert [(r.given_back, r.deaths) for r in bank.runs()] == [(2 * MAX_DEATHS, 0)]


def test_a_run_that_aws_failed_rests_longer_each_time_and_is_then_woken(bank, monkeypatch):
    monkeypatch.setattr("chalicelib.connectors.drop.open_file", raising(AWS_FAULTS[0]))
    rests = []
    for _ in range(9):
        with pytest.raises(ClientError):
            advance.advance(bank.tenant, bank.connector_id, now=bank.clock)
        ends = find_connector(bank.tenant, bank.connector_id).claimed_until
        assert watch.wake_tenant(bank.tenant, now=ends - timedelta(seconds=1)) == 0
        assert watch.wake_tenant(bank.tenant, now=ends) == 1
        rests.append(ends - bank.clock)
        bank.clock = ends
    assert rests[:3] == [FIRST_REST, 2 * FIRST_REST, 4 * FIRST_REST]
    assert rests == sorted(rests)
    assert rests[-1] == LONGEST_REST


def test_a_wake_that_is_delivered_again_costs_the_run_nothing(bank, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("chalicelib.connectors.drop.open_file", raising(AWS_FAULTS[0]))
        with pytest.raises(ClientError):
            advance.advance(bank.tenant, bank.connector_id, now=bank.clock)
        for _ in range(2 * MAX_DEATHS):
            advance.advance(bank.tenant, bank.connector_id, now=bank.clock)
    assert [(r.status, r.attempt) for r in bank.runs()] == [("planning", 1)]
    bank.clock += FIRST_REST
    assert bank.run().status == "completed"


def test_a_worker_that_was_taken_over_has_nothing_to_give_back(bank):
    dead = claimed(bank)
    connector = find_connector(bank.tenant, bank.connector_id)
    later = bank.clock + CLAIM_TIME
    heir = take_over(bank.tenant, connector, now=later)
    give_back(bank.tenant, connector, dead, now=later)
    [run] = bank.runs()
    assert (run.attempt, run.given_back, run.deaths) == (heir.attempt, 0, 1)
    assert find_connector(bank.tenant, bank.connector_id).claimed_until == later + CLAIM_TIME


TOO_LARGE = ClientError({"Error": {"Code": "ValidationException", "Message": "Item size exceeded"}}, "BatchWriteItem")
OUR_FAULTS = [
    duckdb.OutOfMemoryException("could not allocate a block"),
    TOO_LARGE,
    PutError("the item is too large", cause=TOO_LARGE),
    UnicodeDecodeError("utf-8", b"x", 0, 1, "a slip of ours"),
]


@pytest.mark.parametrize("fault", OUR_FAULTS, ids=lambda fault: type(fault).__name__)
def test_what_breaks_every_worker_that_reads_the_file_counts_as_their_deaths(bank, monkeypatch, fault):
    monkeypatch.setattr("chalicelib.connectors.plan.plan", raising(fault))
    for _ in range(MAX_DEATHS):
        with pytest.raises(type(fault)):
            advance.advance(bank.tenant, bank.connector_id, now=bank.clock)
        advance.advance(bank.tenant, bank.connector_id, now=bank.clock + CLAIM_TIME - timedelta(seconds=1))
        bank.clock += CLAIM_TIME
    assert run_view(bank.run()).refusal.code == "planning_failed"


def test_a_file_that_kills_every_worker_is_refused_at_last(bank, monkeypatch):
    class OutOfMemory(BaseException):
        """Nothing that the worker could catch."""

    def dies(*_, **__):
        raise OutOfMemory

    # A fault of AWS's in between neither counts nor hides the deaths.
    with monkeypatch.context() as patch:
        patch.setattr("chalicelib.connectors.drop.open_file", raising(AWS_FAULTS[0]))
        with pytest.raises(ClientError):
            advance.advance(bank.tenant, bank.connector_id, now=bank.clock)
        bank.clock += FIRST_REST
    monkeypatch.setattr("chalicelib.connectors.plan.plan", dies)
    for _ in range(MAX_DEATHS):
        with pytest.raises(OutOfMemory):
            advance.advance(bank.tenant, bank.connector_id, now=bank.clock)
        bank.clock += CLAIM_TIME
    run = bank.run()
    assert (run.status, run_view(run).refusal.code) == ("refused", "planning_failed")
    monkeypatch.undo()
    assert bank.deliver("20050430", [Loan(1)]).status == "completed"


def test_the_schedule_wakes_connectors_with_waiting_files_and_dead_workers_only(bank, now):
    idle = Institution(bank.tenant, now)
    assert watch.wake_tenant(bank.tenant, now=now) == 1
    claimed(bank)
    assert watch.wake_tenant(bank.tenant, now=now) == 0
    assert watch.wake_tenant(bank.tenant, now=now + CLAIM_TIME) == 1
    assert {m["connector_id"] for m, done in bank.messages("sync") if done() is None} == {bank.connector_id}
    assert idle.connector_id != bank.connector_id


def test_the_schedule_looks_at_every_ready_tenant_and_survives_a_broken_one(
    bank, other_tenant, now, monkeypatch, caplog
):
    other = Institution(other_tenant, now)
    other.drop("20050430", extract([Loan(1)]))
    real = watch.wake_tenant

    def broken_for_one(tenant, *, now):
        if tenant.id == bank.tenant.id:
            raise ConnectionError("the account of 张伟 cannot be read")
        return real(tenant, now=now)

    monkeypatch.setattr(watch, "wake_tenant", broken_for_one)
    assert watch.wake_all(now=now) >= 1
    assert [m["connector_id"] for m, _ in other.messages("sync")] == [other.connector_id]
    [line] = [record for record in caplog.records if record.tenant_id == bank.tenant.id and record.levelname == "ERROR"]
    assert (line.error, line.exc_info) == ("ConnectionError", None)
    assert "张伟" not in caplog.text


def test_runs_are_listed_newest_first_page_by_page(bank):
    for day in ("20050430", "20050531", "20050630"):
        bank.deliver(day, [Loan(1), Loan(2)])
    first, cursor = list_runs(bank.tenant, bank.connector_id, limit=2, cursor=None)
    rest, end = list_runs(bank.tenant, bank.connector_id, limit=2, cursor=cursor)
    assert [str(r.business_date) for r in (*first, *rest)] == ["2005-06-30", "2005-05-31", "2005-04-30"]
    assert end is None
    with pytest.raises(Invalid):
        list_runs(bank.tenant, bank.connector_id, limit=2, cursor={"sk": "quarantine#0000000001"})
    with pytest.raises(NotFound):
        list_runs(bank.tenant, "con_01J00000000000000000000000", limit=2, cursor=None)


def test_run_ids_follow_the_order_of_application_even_where_clocks_differ(bank):
    first = bank.run()
    bank.clock -= timedelta(minutes=5)
    second = bank.deliver("20050531", [Loan(1), Loan(2)])
    assert second.id > first.id
