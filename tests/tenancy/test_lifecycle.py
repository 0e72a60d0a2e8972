"""Moving tenants: by what Stripe says, by time, by leaving; repeated, reordered, at once, and killed in the middle."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from chalicelib.billing import find_plan
from chalicelib.platform.errors import Conflict, NotFound
from chalicelib.platform.ids import new_id
from chalicelib.tenancy import (
    SecondSubscription,
    Standing,
    State,
    close,
    find_tenant,
    is_due_for_erasure,
    lifecycle,
    records,
    settle,
    step_by_time,
)
from tests.billing.payments import messages

NOW = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
TERMS = find_plan("starter").terms
TRIAL = Standing(
    status="trialing",
    stripe_status="trialing",
    subscription_id="sub_first",
    customer_id="cus_first",
    plan="starter",
    currency="CNY",
    interval="month",
    seats=5,
    period_end=NOW + timedelta(days=14),
    cancel_at=None,
    features=("insight",),
    terms=TERMS,
)
ACTIVE = replace(TRIAL, status="active", stripe_status="active")
OWING = replace(TRIAL, status="owing", stripe_status="past_due")
ENDED = replace(TRIAL, status="ended", stripe_status="canceled")


@pytest.fixture
def pending(aws: None) -> str:
    """A sign-up that has not subscribed."""
    tenant_id = new_id("ten")
    records()(
        tenant_id,
        "tenant",
        name="Harbour Bank",
        jurisdiction="CN",
        region="eu-central-1",
        locale="zh_CN",
        currency="CNY",
        owner_email="owner@harbour.example",
        plan="starter",
        created_at=NOW,
        forget_after=int(NOW.timestamp()) + 600,
    ).save()
    return tenant_id


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is asked for by messages: queue and action."""
    asked: list[tuple[str, str]] = []

    def note(queue: str, tenant_id: str, messages: list[dict]) -> None:
        asked.extend((queue, message["action"]) for message in messages)

    monkeypatch.setattr(lifecycle, "send", note)
    monkeypatch.setattr("chalicelib.tenancy.provisioning.send", note)
    return asked


def days(number: float) -> datetime:
    return NOW + timedelta(days=number)


def causes(tenant_id: str) -> list[str]:
    return [each["cause"] for each in find_tenant(tenant_id).announcements]


def test_a_trial_begins_with_everything_that_was_agreed_to(pending: str, sent: list):
    assert settle(pending, TRIAL, now=NOW) == State.TRIALING
    record = find_tenant(pending)
    assert (record.state, record.state_since, record.subscription_id) == ("trialing", NOW, "sub_first")
    assert (record.seats, record.interval, record.features) == (5, "month", ["insight"])
    assert record.terms == TERMS.model_dump(mode="json")
    assert record.forget_after is None, "a tenant that subscribed is not forgotten"
    assert sent == [("tenant-lifecycle", "provision"), ("billing", "announce")]


def test_what_is_not_paid_changes_nothing(pending: str, sent: list):
    assert settle(pending, OWING, now=NOW) == State.PENDING
    assert find_tenant(pending).subscription_id is None
    assert sent == []


def test_the_same_standing_again_changes_nothing(pending: str, sent: list):
    settle(pending, TRIAL, now=NOW)
    before = find_tenant(pending)
    settle(pending, TRIAL, now=days(1))
    assert find_tenant(pending).version == before.version
    assert find_tenant(pending).state_since == NOW


def test_events_that_come_late_or_in_another_order_end_where_stripe_stands(pending: str, sent: list):
    for standing in (ACTIVE, TRIAL, ACTIVE, ACTIVE):
        settle(pending, standing, now=NOW)
    assert find_tenant(pending).state == State.ACTIVE


def test_a_tenant_that_does_not_pay_goes_down_step_by_step_and_comes_back_at_once(pending: str, sent: list):
    settle(pending, ACTIVE, now=NOW)
    assert settle(pending, OWING, now=days(30)) == State.PAST_DUE
    assert step_by_time(pending, now=days(30 + 13.9)) == State.PAST_DUE
    assert step_by_time(pending, now=days(30 + 14)) == State.LIMITED
    assert step_by_time(pending, now=days(30 + 28)) == State.SUSPENDED
    sent.clear()
    assert settle(pending, ACTIVE, now=days(60)) == State.ACTIVE
    assert ("sync", "wake") in sent, "what was paused is woken"
    assert find_tenant(pending).owing_since is None
    assert causes(pending) == ["paid", "payment_failed", "limited_by_time", "suspended_by_time", "paid"]
    assert [each["n"] for each in find_tenant(pending).announcements] == [1, 2, 3, 4, 5]


def test_a_second_failure_does_not_begin_the_count_anew(pending: str, sent: list):
    settle(pending, ACTIVE, now=NOW)
    settle(pending, OWING, now=days(30))
    settle(pending, replace(OWING, stripe_status="unpaid"), now=days(40))
    assert find_tenant(pending).owing_since == days(30)
    assert step_by_time(pending, now=days(44)) == State.LIMITED


def test_nobody_who_pays_is_moved_by_time(pending: str, sent: list):
    settle(pending, ACTIVE, now=NOW)
    assert step_by_time(pending, now=days(1000)) == State.ACTIVE


def test_a_tenant_that_never_pays_closes_and_is_erased_only_when_its_time_is_over(pending: str, sent: list):
    settle(pending, ACTIVE, now=NOW)
    settle(pending, OWING, now=days(30))
    assert step_by_time(pending, now=days(90)) == State.CLOSING
    record = find_tenant(pending)
    assert (record.closing_at, record.erase_after) == (days(90), days(120))
    assert not is_due_for_erasure(record, days(119.9))
    assert is_due_for_erasure(record, days(120))
    record.update(actions=[records().legal_hold.set({"reason": "litigation"})])
    assert not is_due_for_erasure(record, days(400))


def test_a_tenant_leaves_when_its_subscription_ends_and_returns_with_a_new_one(pending: str, sent: list):
    settle(pending, ACTIVE, now=NOW)
    assert settle(pending, ENDED, now=days(10)) == State.CLOSING
    assert settle(pending, ACTIVE, now=days(11)) == State.CLOSING, "the old subscription brings nothing back"
    again = replace(ACTIVE, subscription_id="sub_second")
    assert settle(pending, again, now=days(12)) == State.ACTIVE
    record = find_tenant(pending)
    assert (record.closing_at, record.erase_after, record.subscription_id) == (None, None, "sub_second")
    assert settle(pending, ENDED, now=days(13)) == State.ACTIVE, "an event of the old one comes late"


def test_a_return_that_is_not_paid_at_first_brings_the_tenant_back_when_it_is(pending: str, sent: list):
    settle(pending, ACTIVE, now=NOW)
    settle(pending, ENDED, now=days(10))
    again = replace(OWING, subscription_id="sub_second")
    assert settle(pending, again, now=days(11)) == State.CLOSING
    assert find_tenant(pending).subscription_id == "sub_first", "what is not paid takes no place"
    assert settle(pending, replace(ACTIVE, subscription_id="sub_second"), now=days(12)) == State.ACTIVE


def test_whoever_leaves_closes_at_once_and_only_once(pending: str, sent: list):
    with pytest.raises(Conflict):
        close(pending, now=NOW)
    settle(pending, ACTIVE, now=NOW)
    assert close(pending, now=days(1)) == State.CLOSING
    assert close(pending, now=days(2)) == State.CLOSING
    assert find_tenant(pending).closing_at == days(1)


def test_a_second_subscription_is_refused_and_the_first_goes_on(pending: str, sent: list):
    settle(pending, ACTIVE, now=NOW)
    with pytest.raises(SecondSubscription):
        settle(pending, replace(ACTIVE, subscription_id="sub_other"), now=NOW)
    assert find_tenant(pending).subscription_id == "sub_first"


def test_a_plan_that_changes_brings_new_terms_and_a_price_list_that_changes_does_not(pending: str, sent: list):
    settle(pending, ACTIVE, now=NOW)
    dearer = TERMS.model_copy(update={"entitlements": TERMS.entitlements.model_copy(update={"seats": 1})})
    settle(pending, replace(ACTIVE, terms=dearer), now=NOW)
    assert find_tenant(pending).terms == TERMS.model_dump(mode="json")
    growth = find_plan("growth").terms
    settle(pending, replace(ACTIVE, plan="growth", terms=growth), now=NOW)
    assert find_tenant(pending).terms == growth.model_dump(mode="json")
    settle(pending, replace(ACTIVE, plan="growth", terms=None), now=NOW)
    assert find_tenant(pending).terms == growth.model_dump(mode="json"), "sold no longer, and kept"


def test_an_erasure_that_has_begun_is_not_undone_by_a_payment(pending: str, sent: list):
    settle(pending, ACTIVE, now=NOW)
    close(pending, now=NOW)
    find_tenant(pending).update(actions=[records().erasure.set({"mapping": "gone"})])
    assert settle(pending, replace(ACTIVE, subscription_id="sub_second"), now=NOW) == State.CLOSING


def test_an_unknown_tenant_is_not_found(aws: None):
    with pytest.raises(NotFound):
        settle(new_id("ten"), ACTIVE, now=NOW)


def test_many_workers_at_once_make_one_move(pending: str, sent: list):
    settle(pending, ACTIVE, now=NOW)
    settle(pending, OWING, now=days(30))
    with ThreadPoolExecutor(6) as pool:
        states = list(pool.map(lambda _: step_by_time(pending, now=days(45)), range(6)))
    assert set(states) == {State.LIMITED}
    assert causes(pending) == ["paid", "payment_failed", "limited_by_time"]


def test_what_follows_a_move_is_asked_for_again_when_the_worker_died_before_asking(
    pending: str, monkeypatch: pytest.MonkeyPatch
):
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(lifecycle, "follow_moves", killed)
        with pytest.raises(KeyboardInterrupt):
            settle(pending, ACTIVE, now=NOW)
    assert find_tenant(pending).state == State.ACTIVE

    settle(pending, ACTIVE, now=NOW)

    assert {"tenant_id": pending, "action": "provision"} in messages("tenant-lifecycle")
