"""Test clocks: customers that live by a time of their own."""

from __future__ import annotations

import pytest
import stripe

START = 1_800_000_000
DAY = 86_400


@pytest.fixture
def clock(local):
    return local.client.v1.test_helpers.test_clocks.create(params={"frozen_time": START, "name": "a tenant"})


@pytest.fixture
def customer(local, clock):
    return local.client.v1.customers.create(params={"test_clock": clock.id, "email": "owner@bank.example"})


def advance(local, clock, *, days: float) -> list[str]:
    """Moves a clock on, waits for it as Stripe's own must be waited for, and tells the events that came of it."""
    clocks = local.client.v1.test_helpers.test_clocks
    before = {event.id for event in local.client.v1.events.list(params={"limit": 100}).data}
    moved = clocks.advance(clock.id, params={"frozen_time": clocks.retrieve(clock.id).frozen_time + int(days * DAY)})
    assert moved.status == "advancing"
    assert clocks.retrieve(clock.id).status == "ready"
    events = local.client.v1.events.list(params={"limit": 100}).data[::-1]
    return [event.type for event in events if event.id not in before and "test_clock" not in event.type]


def test_a_clock_is_made_listed_and_stands_still(local, clock, assert_shape):
    assert_shape(clock)
    assert (clock.frozen_time, clock.status, clock.name) == (START, "ready", "a tenant")
    clocks = local.client.v1.test_helpers.test_clocks
    assert [listed.id for listed in clocks.list().data] == [clock.id]
    local.advance(days=3)
    assert clocks.retrieve(clock.id).frozen_time == START


def test_everything_of_a_customer_on_a_clock_happens_at_its_time(local, clock, customer, price):
    assert (customer.test_clock, customer.created) == (clock.id, START)
    session = local.open_session(price, customer=customer.id)
    assert (session.created, session.expires_at) == (START, START + DAY)
    local.visit(str(session.url), "card=accepted")
    subscription = local.client.v1.subscriptions.list(params={"test_clock": clock.id}).data[0]
    invoice = local.client.v1.invoices.retrieve(str(subscription.latest_invoice))
    assert (subscription.created, subscription.test_clock) == (START, clock.id)
    assert (invoice.created, invoice.status_transitions.paid_at, invoice.test_clock) == (START, START, clock.id)


def test_a_clock_moves_its_own_customers_only(local, clock, customer, price):
    other = local.subscribe(price)
    mine = local.subscribe(price, customer=customer.id, subscription_data={"trial_period_days": 14})
    assert advance(local, clock, days=11.1) == ["customer.subscription.trial_will_end"]
    assert advance(local, clock, days=3)[1:2] == ["customer.subscription.updated"]
    assert local.client.v1.subscriptions.retrieve(mine.id).status == "active"
    assert local.client.v1.subscriptions.retrieve(other.id).latest_invoice == other.latest_invoice

    latest = local.client.v1.subscriptions.retrieve(mine.id).latest_invoice
    assert "invoice.paid" in local.advance(days=32)
    assert local.client.v1.subscriptions.retrieve(mine.id).latest_invoice == latest


def test_what_falls_due_on_the_way_happens_at_its_own_moment(local, clock, customer, price):
    subscription = local.subscribe(price, customer=customer.id)
    advance(local, clock, days=58)
    invoices = local.client.v1.invoices.list(params={"subscription": subscription.id}).data[::-1]
    starts = [invoice.lines.data[0].period.start for invoice in invoices]
    assert [invoice.created for invoice in invoices] == starts
    assert starts[0] == START
    assert len(starts) == 2


def test_a_session_on_a_clock_expires_by_it(local, clock, customer, price):
    session = local.open_session(price, customer=customer.id)
    assert local.advance(days=2) == []
    assert advance(local, clock, days=1) == ["checkout.session.expired"]
    assert local.client.v1.checkout.sessions.list(params={"customer": customer.id, "status": "open"}).data == []
    again = local.client.v1.checkout.sessions.list(params={"customer": customer.id}).data
    assert [found.id for found in again] == [session.id]


@pytest.mark.parametrize("days", [0, -1, 62, 800])
def test_a_clock_moves_forward_two_intervals_at_most(local, clock, customer, price, days):
    local.subscribe(price, customer=customer.id)
    clocks = local.client.v1.test_helpers.test_clocks
    with pytest.raises(stripe.InvalidRequestError) as refused:
        clocks.advance(clock.id, params={"frozen_time": START + days * DAY})
    assert refused.value.param == "frozen_time"
    assert clocks.retrieve(clock.id).frozen_time == START


def test_a_clock_without_subscriptions_moves_two_years_at_most(local, clock):
    assert advance(local, clock, days=730) == []
    with pytest.raises(stripe.InvalidRequestError):
        advance(local, clock, days=732)


def test_a_clock_has_at_most_three_customers(local, clock):
    for _ in range(3):
        local.client.v1.customers.create(params={"test_clock": clock.id})
    with pytest.raises(stripe.InvalidRequestError, match="at most 3"):
        local.client.v1.customers.create(params={"test_clock": clock.id})
    with pytest.raises(stripe.InvalidRequestError) as missing:
        local.client.v1.customers.create(params={"test_clock": "clock_none"})
    assert (missing.value.param, missing.value.code) == ("test_clock", "resource_missing")


def test_deleting_a_clock_deletes_its_customers(local, clock, customer, price, assert_shape):
    subscription = local.subscribe(price, customer=customer.id)
    other = local.subscribe(price)
    local.open_session(price, customer=customer.id)
    clocks = local.client.v1.test_helpers.test_clocks
    assert_shape(clocks.delete(clock.id), "deleted_test_helpers.test_clock")
    assert local.client.v1.customers.retrieve(customer.id).deleted
    assert local.client.v1.subscriptions.retrieve(subscription.id).status == "canceled"
    assert local.client.v1.subscriptions.retrieve(other.id).status == "active"
    assert clocks.list().data == []
    with pytest.raises(stripe.InvalidRequestError) as gone:
        clocks.retrieve(clock.id)
    assert gone.value.code == "resource_missing"
    local.advance(days=40)
