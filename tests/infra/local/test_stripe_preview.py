"""Previews: what a change would cost equals what it then costs, and nothing happens."""

from __future__ import annotations

import pytest
import stripe

START = 1_800_000_000
DAY = 86_400


@pytest.fixture
def clock(local):
    return local.client.v1.test_helpers.test_clocks.create(params={"frozen_time": START})


@pytest.fixture
def subscription(local, price, clock):
    customer = local.client.v1.customers.create(params={"test_clock": clock.id})
    return local.subscribe(price, customer=customer.id)


def advance(local, clock, days: float) -> None:
    clocks = local.client.v1.test_helpers.test_clocks
    clocks.advance(clock.id, params={"frozen_time": clocks.retrieve(clock.id).frozen_time + int(days * DAY)})


def preview(local, subscription, **details):
    return local.client.v1.invoices.create_preview(
        params={"subscription": subscription.id, "subscription_details": details}
    )


def bill(invoice) -> list[tuple[str, int, int]]:
    return [(line.description, line.quantity, line.amount) for line in invoice.lines.data]


def events(local) -> int:
    return len(local.client.v1.events.list(params={"limit": 100}).data)


@pytest.mark.parametrize("behaviour", ["always_invoice", "create_prorations", "none"])
@pytest.mark.parametrize("interval", ["month", "year"])
def test_what_was_previewed_is_what_is_billed(local, clock, subscription, price, behaviour, interval):
    other = local.make_price(product=str(price.product), unit_amount=50_000, recurring={"interval": interval})
    advance(local, clock, 10)
    before = events(local)
    item = subscription["items"].data[0]
    change = {"items": [{"id": item.id, "price": other.id, "quantity": 3}], "proration_behavior": behaviour}
    previewed = preview(local, subscription, **change)
    assert events(local) == before
    assert local.client.v1.subscriptions.retrieve(subscription.id)["items"].data[0].price.id == price.id

    local.client.v1.subscriptions.update(subscription.id, params=change)
    if interval == "month" and behaviour != "always_invoice":
        advance(local, clock, 22)
    now = local.client.v1.subscriptions.retrieve(subscription.id, params={"expand": ["latest_invoice"]})
    assert bill(previewed) == bill(now.latest_invoice)
    assert (previewed.total, previewed.amount_due) == (now.latest_invoice.total, now.latest_invoice.amount_due)


def test_a_preview_is_an_invoice_that_does_not_exist(local, clock, subscription, assert_shape):
    shown = preview(local, subscription)
    assert_shape(shown)
    assert shown.id.startswith("upcoming_in_")
    assert (shown.status, shown.billing_reason, shown.amount_due) == ("draft", "upcoming", 4000)
    with pytest.raises(stripe.InvalidRequestError) as missing:
        local.client.v1.invoices.retrieve(shown.id)
    assert missing.value.code == "resource_missing"
    assert len(local.client.v1.invoices.list(params={"subscription": subscription.id}).data) == 1


def test_a_trial_previews_its_first_payment(local, price):
    subscription = local.subscribe(price, subscription_data={"trial_period_days": 14})
    shown = preview(local, subscription, items=[{"id": subscription["items"].data[0].id, "quantity": 5}])
    assert shown.amount_due == 10_000
    assert shown.lines.data[0].period.start == subscription.trial_end


@pytest.mark.parametrize("ending", ["cancel", "cancel_at_period_end"])
def test_a_subscription_that_ends_has_no_next_invoice(local, subscription, ending):
    if ending == "cancel":
        local.client.v1.subscriptions.cancel(subscription.id)
    details = {} if ending == "cancel" else {"cancel_at_period_end": True}
    with pytest.raises(stripe.InvalidRequestError) as none:
        preview(local, subscription, **details)
    assert none.value.code == "invoice_upcoming_none"


def test_a_preview_for_another_customer_is_refused(local, subscription):
    with pytest.raises(stripe.InvalidRequestError) as refused:
        local.client.v1.invoices.create_preview(params={"subscription": subscription.id, "customer": "cus_none"})
    assert refused.value.param == "customer"
