"""Usage: meters, the events reported to them, and the invoices they lead to."""

from __future__ import annotations

from decimal import Decimal

import pytest
import stripe

START = 1_800_000_000 // 86_400 * 86_400
HOUR, DAY = 3600, 86_400
NAME = "case_hours"


@pytest.fixture
def meter(local):
    return local.client.v1.billing.meters.create(
        params={
            "display_name": "Case hours",
            "event_name": NAME,
            "default_aggregation": {"formula": "sum"},
            "customer_mapping": {"type": "by_id", "event_payload_key": "stripe_customer_id"},
            "value_settings": {"event_payload_key": "value"},
        }
    )


@pytest.fixture
def overage(local, meter):
    """An eighth of a cent for each case-hour."""
    return make_overage(local, meter, "0.125")


def make_overage(local, meter, amount: str, **params):
    recurring = {"interval": "month", "usage_type": "metered", "meter": meter.id}
    return local.make_price(**{"unit_amount_decimal": Decimal(amount), "recurring": recurring, **params})


@pytest.fixture
def clock(local):
    return local.client.v1.test_helpers.test_clocks.create(params={"frozen_time": START})


@pytest.fixture
def customer(local, clock):
    return local.client.v1.customers.create(params={"test_clock": clock.id, "email": "owner@bank.example"})


@pytest.fixture
def subscription(local, customer, price, overage):
    """Two seats at USD 20.00, and use."""
    lines = [{"price": price.id, "quantity": 2}, {"price": overage.id}]
    return local.subscribe(price, customer=customer.id, line_items=lines)


def report(local, customer, value: object = 1, **params):
    payload = {"stripe_customer_id": customer.id, "value": str(value)}
    return local.client.v1.billing.meter_events.create(params={"event_name": NAME, "payload": payload, **params})


def advance(local, clock, days: float) -> None:
    clocks = local.client.v1.test_helpers.test_clocks
    clocks.advance(clock.id, params={"frozen_time": clocks.retrieve(clock.id).frozen_time + int(days * DAY)})


def usage(local, meter, customer, start: int, end: int, **params) -> list[tuple[int, int]]:
    found = local.client.v1.billing.meters.event_summaries.list(
        meter.id, params={"customer": customer.id, "start_time": start, "end_time": end, **params}
    )
    return [(summary.start_time, int(summary.aggregated_value)) for summary in found.auto_paging_iter()]


def items_of(local, subscription):
    found = local.client.v1.subscriptions.retrieve(subscription.id)["items"].data
    return {item.price.recurring.usage_type: item for item in found}


def lines_of(local, subscription) -> list[tuple[int, int]]:
    """Quantity and amount of each line of the latest invoice."""
    now = local.client.v1.subscriptions.retrieve(subscription.id, params={"expand": ["latest_invoice"]})
    return [(line.quantity, line.amount) for line in now.latest_invoice.lines.data]


def test_a_meter_is_made_listed_renamed_and_retired(local, meter, assert_shape):
    assert_shape(meter)
    meters = local.client.v1.billing.meters
    with pytest.raises(stripe.InvalidRequestError, match="already exists"):
        meters.create(params={"display_name": "B", "event_name": NAME, "default_aggregation": {"formula": "sum"}})
    assert meters.update(meter.id, params={"display_name": "Hours"}).display_name == "Hours"
    assert [found.id for found in meters.list(params={"status": "active"}).data] == [meter.id]
    assert meters.deactivate(meter.id).status == "inactive"
    assert meters.list(params={"status": "active"}).data == []
    with pytest.raises(stripe.InvalidRequestError, match="already inactive"):
        meters.deactivate(meter.id)
    with pytest.raises(stripe.InvalidRequestError, match="inactive meter"):
        make_overage(local, meter, "1")
    assert meters.reactivate(meter.id).status_transitions.deactivated_at is None


def test_a_fraction_of_a_cent_is_a_price(local, meter, overage, assert_shape):
    assert_shape(overage)
    assert (overage.unit_amount, overage.unit_amount_decimal) == (None, Decimal("0.125"))
    assert overage.recurring.meter == meter.id
    assert make_overage(local, meter, "3", lookup_key="three").unit_amount == 3


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"recurring": {"interval": "month", "usage_type": "metered"}}, "recurring[meter]"),
        ({"unit_amount": 5}, "unit_amount"),
        ({"recurring": {"interval": "month", "usage_type": "metered", "meter": "mtr_none"}}, "recurring[meter]"),
    ],
)
def test_a_price_that_cannot_be_metered_is_refused(local, meter, params, param):
    with pytest.raises(stripe.InvalidRequestError) as refused:
        make_overage(local, meter, "0.125", **params)
    assert refused.value.param == param


def test_a_metered_item_has_no_quantity_and_takes_none(local, customer, subscription, overage, assert_shape):
    item = items_of(local, subscription)["metered"]
    assert_shape(item, "metered subscription_item")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        local.open_session(overage, line_items=[{"price": overage.id, "quantity": 1}])
    assert refused.value.param == "line_items[0][quantity]"
    with pytest.raises(stripe.InvalidRequestError) as refused:
        local.client.v1.subscriptions.update(subscription.id, params={"items": [{"id": item.id, "quantity": 2}]})
    assert refused.value.param == "items[0][quantity]"


def test_the_page_shows_what_use_costs(local, customer, price, overage):
    lines = [{"price": price.id, "quantity": 2}, {"price": overage.id}]
    session = local.open_session(price, customer=customer.id, line_items=lines)
    assert session.amount_total == 4000
    page = local.visit(str(session.url))[1]
    assert "as used" in page
    assert "USD 0.00125 per unit used" in page


def test_an_event_counts_once_whatever_becomes_of_its_answer(local, meter, customer, subscription, assert_shape):
    first = report(local, customer, 7, identifier="ten_1-2027-01-15T08")
    assert_shape(first)
    assert first.timestamp == first.created == START
    with pytest.raises(stripe.InvalidRequestError, match="An event already exists with identifier ten_1-") as repeat:
        report(local, customer, 7, identifier="ten_1-2027-01-15T08")
    assert (repeat.value.http_status, repeat.value.code) == (400, None)
    report(local, customer, 5, identifier="ten_1-2027-01-15T09")
    assert usage(local, meter, customer, START, START + DAY) == [(START, 12)]


def test_an_identifier_is_free_again_after_a_day_of_real_time(local, meter, customer, clock, subscription):
    report(local, customer, identifier="one")
    advance(local, clock, 3)
    with pytest.raises(stripe.InvalidRequestError):
        report(local, customer, identifier="one")
    local.advance(days=1.1)
    report(local, customer, identifier="one")
    assert usage(local, meter, customer, START, START + 30 * DAY) == [(START, 2)]


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"event_name": "other"}, "event_name"),
        ({"timestamp": START - 36 * DAY}, "timestamp"),
        ({"timestamp": START + 301}, "timestamp"),
        ({"payload": {"stripe_customer_id": "cus_none", "value": "1"}}, "payload[stripe_customer_id]"),
        ({"payload": {"value": "1"}}, "payload[stripe_customer_id]"),
    ],
)
def test_an_event_that_would_not_be_counted_is_refused(local, meter, customer, params, param):
    with pytest.raises(stripe.InvalidRequestError) as refused:
        report(local, customer, **params)
    assert refused.value.param == param
    report(local, customer, identifier="still free")


@pytest.mark.parametrize("value", ["-1", "1.5", "many", ""])
def test_usage_is_a_whole_number(local, meter, customer, value):
    with pytest.raises(stripe.InvalidRequestError) as refused:
        report(local, customer, value, identifier="one")
    assert refused.value.param == "payload[value]"
    report(local, customer, identifier="one")


def test_summaries_tell_usage_by_hour_and_by_day(local, meter, customer, clock, assert_shape):
    for hour in range(0, 50, 5):
        report(local, customer, hour, timestamp=START - 2 * DAY + hour * HOUR)
    days = usage(local, meter, customer, START - 2 * DAY, START + DAY, value_grouping_window="day")
    assert days == [(START - DAY, 25 + 30 + 35 + 40 + 45), (START - 2 * DAY, 5 + 10 + 15 + 20)]
    hours = usage(local, meter, customer, START - DAY, START, value_grouping_window="hour", limit=2)
    assert [value for _, value in hours] == [45, 40, 35, 30, 25]
    assert usage(local, meter, customer, START, START + DAY) == [(START, 0)]
    [whole] = local.client.v1.billing.meters.event_summaries.list(
        meter.id, params={"customer": customer.id, "start_time": START - 60, "end_time": START}
    ).data
    assert_shape(whole)


@pytest.mark.parametrize(
    ("start", "end", "window", "param"),
    [
        (START + 1, START + DAY, None, "start_time"),
        (START, START + 90 * 60, "hour", "end_time"),
        (START + HOUR, START + DAY, "day", "start_time"),
        (START, START, None, "end_time"),
    ],
)
def test_a_summary_covers_whole_windows(local, meter, customer, start, end, window, param):
    grouping = {} if window is None else {"value_grouping_window": window}
    with pytest.raises(stripe.InvalidRequestError) as refused:
        usage(local, meter, customer, start, end, **grouping)
    assert refused.value.param == param


def test_the_renewal_bills_what_was_used_rounded_half_up_once(local, customer, clock, subscription):
    assert lines_of(local, subscription) == [(2, 4000)]
    report(local, customer, 10)
    advance(local, clock, 15)
    report(local, customer, 2)
    advance(local, clock, 17)
    assert lines_of(local, subscription) == [(2, 4000), (12, 2)]
    report(local, customer, 100)
    advance(local, clock, 31)
    assert lines_of(local, subscription) == [(2, 4000), (100, 13)]


def test_usage_reported_while_the_invoice_is_a_draft_is_billed_by_it(local, customer, clock, subscription):
    """A period's last hour is reported when the next has begun."""
    report(local, customer, 10)
    advance(local, clock, 31)
    assert lines_of(local, subscription) == [(2, 4000), (10, 1)]
    report(local, customer, 90, timestamp=START + 31 * DAY - 1)
    report(local, customer, 40)
    advance(local, clock, 1)
    assert lines_of(local, subscription) == [(2, 4000), (100, 13)]
    invoice = local.client.v1.invoices.retrieve(
        str(local.client.v1.subscriptions.retrieve(subscription.id).latest_invoice)
    )
    assert (invoice.status, invoice.total, invoice.amount_paid) == ("paid", 4013, 4013)
    report(local, customer, 1000, timestamp=START + 31 * DAY - 1)
    advance(local, clock, 30)
    assert lines_of(local, subscription) == [(2, 4000), (40, 5)]


def test_use_during_a_trial_is_free(local, customer, clock, price, overage):
    lines = [{"price": price.id, "quantity": 2}, {"price": overage.id}]
    trial = {"trial_period_days": 14}
    made = local.subscribe(price, customer=customer.id, line_items=lines, subscription_data=trial)
    report(local, customer, 1000)
    advance(local, clock, 14.1)
    assert lines_of(local, made) == [(2, 4000), (0, 0)]


def test_the_end_of_the_last_period_bills_what_was_used_in_it(local, customer, clock, subscription):
    report(local, customer, 80)
    local.client.v1.subscriptions.update(subscription.id, params={"cancel_at_period_end": True})
    advance(local, clock, 32)
    ended = local.client.v1.subscriptions.retrieve(subscription.id)
    assert ended.status == "canceled"
    assert lines_of(local, subscription) == [(80, 10)]
    assert local.client.v1.invoices.retrieve(str(ended.latest_invoice)).status == "paid"


def test_canceling_now_bills_usage_and_credits_unused_time_if_asked(local, customer, clock, subscription):
    report(local, customer, 80)
    advance(local, clock, 15.5)
    local.client.v1.subscriptions.cancel(subscription.id, params={"invoice_now": True, "prorate": True})
    assert lines_of(local, subscription) == [(2, -2000), (80, 10)]
    assert local.client.v1.customers.retrieve(customer.id).balance == -1990


def test_canceling_now_bills_nothing_unless_asked(local, customer, clock, subscription):
    report(local, customer, 80)
    ended = local.client.v1.subscriptions.cancel(subscription.id)
    assert ended.latest_invoice == subscription.latest_invoice


def test_a_change_of_the_metered_price_bills_each_use_at_the_price_of_its_time(
    local, customer, clock, subscription, meter, overage
):
    dearer = make_overage(local, meter, "0.5")
    report(local, customer, 80)
    advance(local, clock, 10)
    item = items_of(local, subscription)["metered"]
    changed = local.client.v1.subscriptions.update(
        subscription.id, params={"items": [{"id": item.id, "price": dearer.id}]}
    )
    assert {entry.price.id for entry in changed["items"].data} >= {dearer.id}
    report(local, customer, 40)
    advance(local, clock, 22)
    assert lines_of(local, subscription) == [(80, 10), (2, 4000), (40, 20)]


def test_without_proration_use_at_the_price_before_is_not_billed(local, customer, clock, subscription, meter, overage):
    dearer = make_overage(local, meter, "0.5")
    report(local, customer, 80)
    advance(local, clock, 10)
    item = items_of(local, subscription)["metered"]
    local.client.v1.subscriptions.update(
        subscription.id, {"items": [{"id": item.id, "price": dearer.id}], "proration_behavior": "none"}
    )
    report(local, customer, 40)
    advance(local, clock, 22)
    assert lines_of(local, subscription) == [(2, 4000), (40, 20)]


def test_seats_plan_and_interval_change_together(local, customer, clock, subscription, meter, price):
    """A year's price for four seats, with use billed by the year from then on."""
    product = str(price.product)
    yearly = local.make_price(product=product, unit_amount=20_000, recurring={"interval": "year"})
    recurring = {"interval": "year", "usage_type": "metered", "meter": meter.id}
    yearly_use = make_overage(local, meter, "0.125", recurring=recurring)
    report(local, customer, 80)
    advance(local, clock, 15.5)
    items = items_of(local, subscription)
    changed = local.client.v1.subscriptions.update(
        subscription.id,
        params={
            "items": [
                {"id": items["licensed"].id, "price": yearly.id, "quantity": 4},
                {"id": items["metered"].id, "price": yearly_use.id},
            ],
            "proration_behavior": "always_invoice",
        },
    )
    assert [entry.price.recurring.interval for entry in changed["items"].data] == ["year", "year"]
    assert lines_of(local, subscription) == [(80, 10), (2, -2000), (4, 80_000), (0, 0)]


def test_a_proration_lies_in_the_current_period(local, customer, clock, subscription):
    advance(local, clock, 15.5)
    item = items_of(local, subscription)["licensed"]
    change = {"items": [{"id": item.id, "quantity": 4}], "proration_behavior": "always_invoice"}
    update = local.client.v1.subscriptions.update
    with pytest.raises(stripe.InvalidRequestError) as refused:
        update(subscription.id, params={**change, "proration_date": START - 1})
    assert refused.value.param == "proration_date"
    update(subscription.id, params={**change, "proration_date": START})
    assert lines_of(local, subscription) == [(2, -4000), (4, 8000)]
