"""Connectors of a tenant that owes: what is dropped waits, and after the payment every row is applied once."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta

import pytest

from chalicelib.connectors import watch
from chalicelib.connectors.handlers import sync_plan
from chalicelib.platform.aws import send
from chalicelib.platform.clock import utc_now
from chalicelib.tenancy import Standing, find_tenant, forget_access, records, settle
from tests.connectors.institution import Institution, Loan, extract, late
from tests.connectors.tables import count, events

FIRST = [Loan(1), late(2), late(3)]
SECOND = [Loan(1), late(2), Loan(3), late(4)]
THIRD = [Loan(1), Loan(2), Loan(3), late(4), late(5)]


@pytest.fixture
def bank(tenant, now) -> Institution:
    bank = Institution(tenant, now)
    bank.deliver("20050430", FIRST)
    return bank


def is_in(bank: Institution, state: str) -> None:
    model = records()
    actions = [model.state.set(state), model.owing_since.set(utc_now() - timedelta(days=20))]
    find_tenant(bank.tenant.id).update(actions=actions)
    forget_access(bank.tenant.id)


def pays(bank: Institution) -> None:
    """What is known of the tenant's subscription once its invoice is paid."""
    record = find_tenant(bank.tenant.id)
    paid = Standing("active", "active", "sub_1", "cus_1", record.plan, "CNY", "month", 5, None, None)
    settle(record.pk, paid, now=utc_now())


def is_woken(bank: Institution) -> int:
    """Hands what the queue `sync` has for the tenant as a whole to its function; how many messages there were."""
    woken = [(message, done) for message, done in bank.messages("sync") if message.get("action") == "wake"]
    for message, done in woken:
        record = {"messageId": "1", "body": json.dumps(message), "eventSource": "aws:sqs"}
        assert sync_plan({"Records": [record]}, None) == {"batchItemFailures": []}
        done()
    return len(woken)


@pytest.mark.parametrize("state", ["limited", "suspended"])
def test_while_a_tenant_is_paused_its_files_wait_and_then_every_row_is_applied_once(bank, state):
    is_in(bank, state)
    bank.drop("20050531", extract(SECOND))
    assert bank.run().business_date.isoformat() == "2005-04-30", "asked for, and not begun"
    bank.drop("20050630", extract(THIRD))
    watch.wake_all(now=bank.clock)
    assert list(bank.messages("sync")) == [], "the schedule passes a paused tenant over"

    pays(bank)
    assert is_woken(bank) == 1
    send("sync", bank.tenant.id, [{"tenant_id": bank.tenant.id, "connector_id": bank.connector_id}])  # woken twice
    bank.work()

    assert [(str(run.business_date), run.status) for run in reversed(bank.runs())] == [
        (day, "completed") for day in ("2005-04-30", "2005-05-31", "2005-06-30")
    ]
    assert count(bank.tenant, "cases", "account") == 5
    happened = Counter(event["type"] for event in events(bank.tenant))
    assert (happened["case.opened"], happened["case.closed"]) == (4, 2)


def test_a_run_that_is_under_way_when_a_tenant_is_paused_ends(bank):
    bank.drop("20050531", extract(SECOND))
    watch.wake_tenant(bank.tenant, now=bank.clock)
    [(begin, done)] = bank.messages("sync")
    bank.handle(begin)
    done()
    is_in(bank, "limited")
    bank.work()
    assert [run.status for run in bank.runs()] == ["completed", "completed"]
