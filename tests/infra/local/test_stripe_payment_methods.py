"""Cards without a page: Stripe's published test cards, and subscriptions that are begun by the API and paid by them."""

from __future__ import annotations

import pytest
import stripe

GOOD, BAD = "pm_card_visa", "pm_card_chargeCustomerFail"


@pytest.fixture
def customer(local):
    return local.client.v1.customers.create(params={"email": "owner@bank.example"})


@pytest.fixture
def subscribe(local, price, customer):
    """Begins a subscription for the customer by the API."""

    def begin(**params) -> stripe.Subscription:
        usual = {"customer": customer.id, "items": [{"price": price.id}], "payment_behavior": "error_if_incomplete"}
        return local.client.v1.subscriptions.create(params={**usual, **params})

    return begin


def attached(local, customer, card: str) -> str:
    return local.client.v1.payment_methods.attach(card, params={"customer": customer.id}).id


def default(local, customer, card: str) -> None:
    settings = {"default_payment_method": card}
    local.client.v1.customers.update(customer.id, params={"invoice_settings": settings})


def now(local, subscription):
    return local.client.v1.subscriptions.retrieve(subscription.id, params={"expand": ["latest_invoice"]})


def test_a_test_card_becomes_the_customers_own(local, customer, assert_shape):
    methods = local.client.v1.payment_methods
    card = methods.attach(GOOD, params={"customer": customer.id})
    assert_shape(card)
    assert (card.customer, card.card.last4, card.id != GOOD) == (customer.id, "4242", True)
    assert methods.retrieve(card.id).to_dict() == card.to_dict()
    assert methods.attach(card.id, params={"customer": customer.id}).id == card.id
    assert attached(local, customer, GOOD) != card.id
    assert len(methods.list(params={"customer": customer.id}).data) == 2


def test_only_published_cards_and_ones_own_can_be_attached(local, customer):
    other = local.client.v1.customers.create(params={})
    card = attached(local, other, GOOD)
    with pytest.raises(stripe.InvalidRequestError, match="already been attached"):
        attached(local, customer, card)
    with pytest.raises(stripe.InvalidRequestError) as unknown:
        attached(local, customer, "pm_card_imaginary")
    assert unknown.value.code == "resource_missing"


def test_a_card_that_is_attached_pays_nothing_until_it_is_chosen(local, customer, subscribe):
    card = attached(local, customer, GOOD)
    with pytest.raises(stripe.InvalidRequestError, match="no attached payment source or default payment method"):
        subscribe()
    assert local.client.v1.subscriptions.list().data == []
    default(local, customer, card)
    assert local.client.v1.customers.retrieve(customer.id).invoice_settings.default_payment_method == card
    assert (subscribe().status, subscribe().default_payment_method) == ("active", None)


def test_a_subscription_begun_by_the_api_is_as_one_of_a_page(local, price, customer, subscribe, assert_shape):
    card = attached(local, customer, GOOD)
    made = subscribe(
        items=[{"price": price.id, "quantity": 3}],
        default_payment_method=card,
        metadata={"tenant_id": "ten_1"},
        billing_mode={"type": "flexible"},
    )
    assert_shape(made)
    assert (made.status, made.metadata.to_dict(), made.default_payment_method) == (
        "active",
        {"tenant_id": "ten_1"},
        card,
    )
    invoice = now(local, made).latest_invoice
    assert (invoice.billing_reason, invoice.status, invoice.amount_paid) == ("subscription_create", "paid", 6000)
    by_page = local.subscribe(price, customer=customer.id).to_dict()
    assert made.to_dict().keys() == by_page.keys()
    types = {event.type for event in local.client.v1.events.list(params={"limit": 100}).data}
    assert {"payment_method.attached", "customer.subscription.created", "invoice.paid"} <= types


def test_one_with_a_trial_is_paid_when_the_trial_is_over(local, customer, subscribe):
    card = attached(local, customer, GOOD)
    trial = {
        "trial_period_days": 14,
        "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
    }
    made = subscribe(default_payment_method=card, **trial)
    assert (made.status, now(local, made).latest_invoice.amount_due) == ("trialing", 0)
    local.advance(days=14.1)
    assert (now(local, made).status, now(local, made).latest_invoice.amount_paid) == ("active", 2000)
    assert subscribe(**trial).status == "trialing", "a trial begins without a card"


def test_one_on_a_test_clock_begins_at_the_clocks_moment(local, price):
    clock = local.client.v1.test_helpers.test_clocks.create(params={"frozen_time": 1_700_000_000})
    customer = local.client.v1.customers.create(params={"test_clock": clock.id})
    default(local, customer, attached(local, customer, GOOD))
    made = local.client.v1.subscriptions.create(
        params={"customer": customer.id, "items": [{"price": price.id}], "payment_behavior": "error_if_incomplete"}
    )
    assert (made.created, made.test_clock) == (1_700_000_000, clock.id)


def test_usage_has_no_quantity_and_is_not_paid_at_once(local, price, customer, subscribe):
    meter = local.client.v1.billing.meters.create(
        params={"display_name": "Hours", "event_name": "hours", "default_aggregation": {"formula": "sum"}}
    )
    recurring = {"interval": "month", "usage_type": "metered", "meter": meter.id}
    metered = local.make_price(unit_amount_decimal="0.5", recurring=recurring)
    default(local, customer, attached(local, customer, GOOD))
    made = subscribe(items=[{"price": price.id}, {"price": metered.id}])
    assert ["quantity" in item.to_dict() for item in made["items"].data] == [True, False]
    assert now(local, made).latest_invoice.amount_paid == 2000


def test_one_that_cannot_be_paid_is_not_made(local, customer, subscribe):
    default(local, customer, attached(local, customer, BAD))
    with pytest.raises(stripe.CardError) as declined:
        subscribe()
    assert declined.value.code == "card_declined"
    assert local.client.v1.subscriptions.list().data == []


def test_the_subscriptions_card_comes_before_the_customers(local, customer, subscribe):
    good, bad = attached(local, customer, GOOD), attached(local, customer, BAD)
    default(local, customer, good)
    made = subscribe()
    local.client.v1.subscriptions.update(made.id, params={"default_payment_method": bad})
    local.advance(days=31.1)
    assert now(local, made).status == "past_due"
    local.client.v1.subscriptions.update(made.id, params={"default_payment_method": ""})
    assert local.client.v1.invoices.pay(now(local, made).latest_invoice.id).status == "paid"
    assert now(local, made).status == "active"


def test_a_change_is_paid_by_the_card_that_comes_with_it(local, customer, subscribe):
    good, bad = attached(local, customer, GOOD), attached(local, customer, BAD)
    made = subscribe(default_payment_method=good)
    item = {"id": made["items"].data[0].id, "quantity": 5}
    change = {"items": [item], "proration_behavior": "always_invoice", "payment_behavior": "error_if_incomplete"}
    with pytest.raises(stripe.CardError):
        local.client.v1.subscriptions.update(made.id, params={**change, "default_payment_method": bad})
    assert now(local, made).default_payment_method == good
    local.client.v1.subscriptions.update(made.id, params={"default_payment_method": bad})
    local.client.v1.subscriptions.update(made.id, params={**change, "default_payment_method": good})
    assert now(local, made)["items"].data[0].quantity == 5


def test_a_card_given_on_a_page_takes_the_place_of_a_chosen_one(local, price, customer, subscribe):
    bad = attached(local, customer, BAD)
    default(local, customer, bad)
    paid = local.subscribe(price, customer=customer.id)
    assert paid.status == "active"
    assert local.client.v1.customers.retrieve(customer.id).invoice_settings.default_payment_method is None
    local.client.v1.subscriptions.update(paid.id, params={"default_payment_method": bad})
    local.local("POST", f"customers/{customer.id}/card", {"declines": False})
    local.advance(days=31.1)
    assert (now(local, paid).status, now(local, paid).default_payment_method) == ("active", None)


def test_the_customers_choice_can_be_taken_back(local, customer, subscribe):
    default(local, customer, attached(local, customer, GOOD))
    made = subscribe()
    default(local, customer, "")
    local.advance(days=31.1)
    assert now(local, made).status == "past_due"


@pytest.mark.parametrize(
    ("params", "param", "code"),
    [
        ({"items": []}, "items", "parameter_missing"),
        ({"items": [{"price": "price_none"}]}, "items[0][price]", "resource_missing"),
        ({"items": [{"quantity": 1}]}, "items[0][price]", "parameter_missing"),
        ({"default_payment_method": GOOD}, "default_payment_method", "resource_missing"),
        ({"payment_behavior": "default_incomplete"}, "payment_behavior", None),
        ({"trial_period_days": 731}, "trial_period_days", None),
        ({"automatic_tax": {"enabled": True}}, "automatic_tax", "customer_tax_location_invalid"),
        ({"collection_method": "send_invoice"}, "collection_method", "parameter_unknown"),
    ],
)
def test_what_cannot_be_begun_is_refused_and_named(local, customer, subscribe, params, param, code):
    default(local, customer, attached(local, customer, GOOD))
    with pytest.raises(stripe.InvalidRequestError) as refused:
        subscribe(**params)
    assert (refused.value.param, refused.value.code) == (param, code)
    assert local.client.v1.subscriptions.list().data == []


def test_another_customers_card_is_refused_everywhere(local, customer, subscribe):
    other = local.client.v1.customers.create(params={})
    foreign = attached(local, other, GOOD)
    default(local, customer, attached(local, customer, GOOD))
    made = subscribe()
    with pytest.raises(stripe.InvalidRequestError) as refused:
        default(local, customer, foreign)
    assert refused.value.param == "invoice_settings[default_payment_method]"
    with pytest.raises(stripe.InvalidRequestError):
        subscribe(default_payment_method=foreign)
    with pytest.raises(stripe.InvalidRequestError):
        local.client.v1.subscriptions.update(
            made.id, params={"default_payment_method": foreign, "metadata": {"a": "b"}}
        )
    assert now(local, made).metadata.to_dict() == {}
