"""Unpaid invoices: what the last refusal makes of a subscription, and paying out of turn."""

from __future__ import annotations

import pytest
import stripe


@pytest.fixture
def subscription(local, price):
    """Billed from the end of its trial on, with a card that is refused."""
    made = local.subscribe(price, subscription_data={"trial_period_days": 14})
    set_card(local, made, declines=True)
    return made


def set_card(local, subscription, *, declines: bool) -> None:
    local.local("POST", f"customers/{subscription.customer}/card", {"declines": declines})


def now(local, subscription):
    return local.client.v1.subscriptions.retrieve(subscription.id, params={"expand": ["latest_invoice"]})


def test_after_the_last_retry_the_subscription_is_unpaid_and_the_invoice_stays_open(local, subscription):
    events = local.advance(days=14 + 3 + 5 + 7 + 0.1)
    assert events.count("invoice.payment_failed") == 4
    assert "customer.subscription.deleted" not in events
    unpaid = now(local, subscription)
    assert unpaid.status == "unpaid"
    invoice = unpaid.latest_invoice
    assert (invoice.status, invoice.auto_advance, invoice.next_payment_attempt) == ("open", False, None)
    assert local.client.v1.customers.retrieve(str(subscription.customer)).delinquent


def test_an_unpaid_subscription_collects_nothing_more_and_heals_when_its_last_invoice_is_paid(local, subscription):
    local.advance(days=14 + 15.1)
    open_invoice = now(local, subscription).latest_invoice
    set_card(local, subscription, declines=False)
    assert "invoice.paid" not in local.advance(days=31)
    draft = now(local, subscription).latest_invoice
    assert (draft.status, draft.auto_advance, draft.attempted) == ("draft", False, False)

    paid = local.client.v1.invoices.pay(open_invoice.id)
    assert (paid.status, paid.amount_paid, paid.amount_remaining) == ("paid", 4000, 0)
    assert now(local, subscription).status == "unpaid", "the last period is not paid"
    assert local.client.v1.invoices.pay(draft.id).status == "paid"
    assert now(local, subscription).status == "active"
    assert not local.client.v1.customers.retrieve(str(subscription.customer)).delinquent


def test_paying_by_a_card_that_is_refused_is_a_card_error_and_keeps_the_schedule(local, subscription):
    local.advance(days=14.1)
    before = now(local, subscription).latest_invoice
    with pytest.raises(stripe.CardError) as refused:
        local.client.v1.invoices.pay(before.id)
    assert (refused.value.http_status, refused.value.code) == (402, "card_declined")
    after = now(local, subscription).latest_invoice
    assert (after.attempt_count, after.next_payment_attempt) == (before.attempt_count, before.next_payment_attempt)
    failures = local.client.v1.events.list(params={"type": "invoice.payment_failed"}).data
    assert len(failures) == 2


def test_a_refusal_is_repeated_for_the_same_idempotency_key(local, subscription):
    local.advance(days=14.1)
    invoice = now(local, subscription).latest_invoice
    for declines in (True, False):
        set_card(local, subscription, declines=declines)
        with pytest.raises(stripe.CardError):
            local.client.v1.invoices.pay(invoice.id, options={"idempotency_key": "pay-1"})
    assert local.client.v1.invoices.pay(invoice.id, options={"idempotency_key": "pay-2"}).status == "paid"
    assert now(local, subscription).status == "active"


def test_a_paid_invoice_is_not_paid_again(local, price):
    subscription = local.subscribe(price)
    with pytest.raises(stripe.InvalidRequestError, match="this one is paid"):
        local.client.v1.invoices.pay(str(subscription.latest_invoice))


def test_an_invoice_of_a_canceled_subscription_can_still_be_paid(local, subscription):
    local.advance(days=14.1)
    local.client.v1.subscriptions.cancel(subscription.id)
    invoice = now(local, subscription).latest_invoice
    set_card(local, subscription, declines=False)
    assert local.client.v1.invoices.pay(invoice.id).status == "paid"
    assert now(local, subscription).status == "canceled"


@pytest.mark.parametrize(
    ("agreed", "status", "event"),
    [
        ("cancel", "canceled", "customer.subscription.deleted"),
        ("pause", "paused", "customer.subscription.paused"),
        ("create_invoice", "past_due", "invoice.payment_failed"),
    ],
)
def test_a_trial_without_a_card_ends_as_agreed(local, price, agreed, status, event):
    session = local.open_session(
        price,
        customer_email="owner@bank.example",
        payment_method_collection="if_required",
        subscription_data={
            "trial_period_days": 14,
            "trial_settings": {"end_behavior": {"missing_payment_method": agreed}},
        },
    )
    assert "No card for now" in local.visit(str(session.url))[1]
    assert local.visit(str(session.url), "card=none")[0] == 303
    paid = local.client.v1.checkout.sessions.retrieve(session.id, params={"expand": ["subscription"]})
    assert paid.subscription.trial_settings.end_behavior.missing_payment_method == agreed
    assert event in local.advance(days=14.1)
    assert local.client.v1.subscriptions.retrieve(paid.subscription.id).status == status
    assert local.advance(days=2) == []


def test_a_paused_subscription_is_resumed_with_a_card(local, price):
    session = local.open_session(
        price,
        customer_email="owner@bank.example",
        payment_method_collection="if_required",
        subscription_data={
            "trial_period_days": 14,
            "trial_settings": {"end_behavior": {"missing_payment_method": "pause"}},
        },
    )
    local.visit(str(session.url), "card=none")
    local.advance(days=20)
    [paused] = local.client.v1.subscriptions.list(params={"status": "paused"}).data
    with pytest.raises(stripe.CardError):
        local.client.v1.subscriptions.resume(paused.id)
    set_card(local, paused, declines=False)
    resumed = local.client.v1.subscriptions.resume(paused.id, params={"billing_cycle_anchor": "now"})
    assert (resumed.status, now(local, paused).latest_invoice.amount_paid) == ("active", 4000)
    with pytest.raises(stripe.InvalidRequestError, match="Only a paused"):
        local.client.v1.subscriptions.resume(paused.id)


def test_a_session_that_is_paid_today_needs_a_card(local, price):
    session = local.open_session(price, customer_email="a@b.example", payment_method_collection="if_required")
    assert "No card for now" not in local.visit(str(session.url))[1]
    assert local.visit(str(session.url), "card=none")[0] == 402


def test_a_change_that_may_not_be_left_unpaid_is_refused_whole(local, price):
    subscription = local.subscribe(price)
    item = subscription["items"].data[0]
    set_card(local, subscription, declines=True)
    change = {"items": [{"id": item.id, "quantity": 9}], "proration_behavior": "always_invoice"}
    with pytest.raises(stripe.CardError):
        local.client.v1.subscriptions.update(
            subscription.id, params={**change, "payment_behavior": "error_if_incomplete"}
        )
    same = now(local, subscription)
    assert (same["items"].data[0].quantity, same.latest_invoice.id) == (2, subscription.latest_invoice)
    local.client.v1.subscriptions.update(subscription.id, params={**change, "payment_behavior": "allow_incomplete"})
    assert now(local, subscription).status == "past_due"
