"""A worker killed between any two of its requests to AWS and Stripe: whoever does its work again leaves the registry,
the queues and Stripe agreed, and nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from chalicelib.billing import customers, find_plan, open_checkout
from chalicelib.billing.ending import cancel
from chalicelib.billing.hourly import hour_of
from chalicelib.billing.model import EVENT, billing_events
from chalicelib.billing.process import process
from chalicelib.billing.receive import receive
from chalicelib.platform.clock import utc_now
from chalicelib.tenancy import TenantRecord, find_tenant, records
from tests.billing.payments import Payments, messages
from tests.billing.subscribers import Killed, Saboteur
from tests.billing.tenants import pending, subscriber

GROWTH = find_plan("growth")


@pytest.fixture
def killed_everywhere(monkeypatch) -> Callable[..., int]:
    """Does a piece of work in a world of its own once for each of its requests, killed at that one and then done again;
    looks at what came of it; and returns how many requests there are."""

    def run(world: Callable[[], TenantRecord], work: Callable[[TenantRecord], object], look) -> int:
        at = 0
        while True:
            at += 1
            for queue in ("billing", "leaving", "tenant-lifecycle"):
                messages(queue)
            record, saboteur = world(), Saboteur(at)
            try:
                with saboteur.lurking(monkeypatch):
                    work(record)
            except Killed:
                work(record)
                look(record)
                continue
            look(record)
            return at - 1

    return run


def test_a_checkout(payments: Payments, clocks, killed_everywhere):
    def look(record: TenantRecord) -> None:
        noted = find_tenant(record.pk)
        (customer,) = payments.client.v1.customers.list({"email": record.owner_email}).data
        (session,) = payments.client.v1.checkout.sessions.list({"customer": customer.id}).data
        assert (noted.customer_id, noted.test_clock_id) == (customer.id, customer.test_clock)
        assert (noted.checkout_session_id, session.status) == (session.id, "open")

    def work(record: TenantRecord) -> None:
        open_checkout(find_tenant(record.pk), GROWTH, interval="month", seats=1)

    assert killed_everywhere(pending, work, look) >= 7


def test_a_change_of_mind_about_the_plan(payments: Payments, killed_everywhere):
    def world() -> TenantRecord:
        record = pending()
        open_checkout(record, GROWTH, interval="month")
        return record

    def look(record: TenantRecord) -> None:
        noted = find_tenant(record.pk)
        (session,) = payments.client.v1.checkout.sessions.list({"customer": noted.customer_id, "status": "open"}).data
        assert (session.id, session.metadata["plan"]) == (noted.checkout_session_id, "starter")
        assert noted.terms == find_plan("starter").terms.model_dump(mode="json")

    def work(record: TenantRecord) -> None:
        open_checkout(find_tenant(record.pk), find_plan("starter"), interval="month")

    assert killed_everywhere(world, work, look) >= 5


def test_an_event(payments: Payments, now, killed_everywhere):
    paid: dict[str, str] = {}

    def world() -> TenantRecord:
        record = pending()
        page = open_checkout(record, GROWTH, interval="month")
        payments.pay(page.url)
        event = payments.completed(page.session_id)
        paid[record.pk] = event.id
        receive(event, now=now)
        return record

    def look(record: TenantRecord) -> None:
        noted = find_tenant(record.pk)
        assert (noted.state, noted.moves, len(noted.announcements)) == ("trialing", 1, 1)
        assert messages("tenant-lifecycle")[-1:] == [{"tenant_id": record.pk, "action": "provision"}]
        assert {"tenant_id": record.pk, "action": "announce"} in messages("billing")
        assert billing_events().get(paid[record.pk], EVENT).processed

    assert killed_everywhere(world, lambda record: process(paid[record.pk]), look) >= 9


def test_the_cancellation_of_who_leaves(payments: Payments, killed_everywhere):
    def world() -> TenantRecord:
        record = subscriber(payments)
        record.update(actions=[records().state.set("closing")])
        return record

    def look(record: TenantRecord) -> None:
        assert find_tenant(record.pk).subscription_status == "canceled"
        assert payments.client.v1.subscriptions.retrieve(record.subscription_id).status == "canceled"

    assert killed_everywhere(world, lambda record: cancel(record.pk), look) >= 5


def test_the_hour_of_a_tenant_whose_time_is_up(payments: Payments, killed_everywhere):
    def world() -> TenantRecord:
        record, model, delays = subscriber(payments), records(), GROWTH.delays
        payments.client.v1.subscriptions.update(record.subscription_id, {"trial_end": "now"})
        record.update(actions=[model.state.set("suspended")])
        payments.card(record.customer_id, declines=True)
        since = utc_now() - timedelta(days=delays.closing_after)
        # As Stripe has it after a renewal that failed: what it owes is open, and it is so for two months.
        seats = [{"price": price_of_a_seat(payments), "quantity": 1}]
        payments.client.v1.subscriptions.update(
            record.subscription_id, {"items": seats, "proration_behavior": "always_invoice"}
        )
        record.update(actions=[model.owing_since.set(since)])
        return record

    def look(record: TenantRecord) -> None:
        noted = find_tenant(record.pk)
        assert (noted.state, noted.subscription_status) == ("closing", "canceled")
        assert [each["cause"] for each in noted.announcements] == ["trial_began", "closed_by_time"]

    assert killed_everywhere(world, lambda record: hour_of(record.pk), look) >= 8


def price_of_a_seat(payments: Payments) -> str:
    return payments.client.v1.prices.list({"lookup_keys": ["growth_seat_month_cny"]}).data[0].id


def test_the_forgetting_of_a_customer(payments: Payments, killed_everywhere):
    def world() -> TenantRecord:
        record, model = subscriber(payments), records()
        record.update(actions=[model.state.set("closing"), model.erasure.set({"begun": {}})])
        return record

    def look(record: TenantRecord) -> None:
        assert payments.client.v1.customers.retrieve(record.customer_id).deleted
        assert find_tenant(record.pk).customer_deleted_at is not None
        assert messages("leaving")[-1:] == [{"tenant_id": record.pk, "action": "erase"}]

    assert killed_everywhere(world, lambda record: customers.forget_customer(record.pk), look) >= 4
