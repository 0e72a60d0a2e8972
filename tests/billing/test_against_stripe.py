"""Billing's way through Stripe, told once and tried in two places: on the local stack's Stripe, and, with the key of a
sandbox in `STRIPE_API_KEY`, on Stripe itself (docs/billing.md). So whatever the local one answers otherwise comes out.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from chalicelib.billing import billing_now, find_plan, meter, open_checkout, plans
from chalicelib.billing.arrears import bill_drafts
from chalicelib.billing.checkout import close_page, find_session
from chalicelib.billing.choice import Wish
from chalicelib.billing.customers import forget_customer
from chalicelib.billing.ending import cancel
from chalicelib.billing.errors import PaymentDeclined
from chalicelib.billing.follow import items_by_kind
from chalicelib.billing.invoices import list_invoices
from chalicelib.billing.portal import open_portal
from chalicelib.billing.reconcile import reconcile, reconciliations
from chalicelib.billing.subscription import change_subscription, end_with_period, preview_change
from chalicelib.billing.usage import count_hour
from chalicelib.platform.clock import utc_now
from chalicelib.tenancy import find_tenant, records
from chalicelib.tenancy.lifecycle import close
from infra.stripe_sync import sync
from tests.billing.sandbox import DECLINING_CARD, GOOD_CARD, Sandbox

pytestmark = pytest.mark.timeout(3600)
"""Stripe's clocks take their time."""

FIELDS = Path(__file__).parents[1] / "infra" / "local" / "stripe_fields.json"

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def changed(record, wish: Wish):
    return change_subscription(record, wish, now=utc_now())


def use(sandbox: Sandbox, record, open_cases_are, case_hours: int) -> datetime:
    """The hour in which a tenant uses so much beyond its plan, once Stripe has counted it. It begins an hour later than
    the present one, and the next has begun by the end."""
    sandbox.advance(record, HOUR)
    now = billing_now(record)
    open_cases_are(find_plan(record.plan).entitlements.active_cases + case_hours)
    count_hour(None, record, now=now)
    hour = now.replace(minute=0, second=0)
    sandbox.until(lambda: billed(record, hour), lambda found: found == {hour: case_hours})
    sandbox.advance(record, HOUR)
    return hour


def billed(record, hour: datetime) -> dict[datetime, int]:
    return meter.sums(record.customer_id, hour, hour + HOUR, by="hour")


def test_what_the_plans_need_is_there_once_it_was_made(sandbox):
    assert sync(sandbox.client, plans()) == []


def test_a_checkout_page_is_open_until_it_is_closed(sandbox):
    record, growth = sandbox.signed_up("growth"), find_plan("growth")
    page = open_checkout(record, growth, interval="month", seats=2)
    session = find_session(page.session_id)
    assert (session.status, session.subscription, session.url) == ("open", None, page.url)
    assert (session.client_reference_id, session.metadata.to_dict()["seats"]) == (record.pk, "2")
    assert open_checkout(find_tenant(record.pk), growth, interval="month", seats=2) == page
    yearly = open_checkout(find_tenant(record.pk), growth, interval="year")
    assert yearly.session_id != page.session_id
    assert find_session(page.session_id).status == "expired"
    close_page(find_tenant(record.pk))
    assert find_session(yearly.session_id).status == "expired"
    assert find_session("cs_test_of_nobody") is None


def test_the_portal_opens_for_who_subscribes(sandbox):
    address = open_portal(sandbox.subscriber("enterprise"))
    assert address.startswith(sandbox.place.api_base or "https://billing.stripe.com/")


def test_a_tenant_goes_from_its_trial_through_arrears_to_being_paid_again(sandbox):
    record = sandbox.subscriber("growth", seats=3)
    growth = find_plan("growth")
    assert (record.state, record.subscription_status) == ("trialing", "trialing")
    assert (record.plan, record.currency, record.interval) == ("growth", "USD", "month")
    assert record.seats == growth.entitlements.seats + 3
    assert record.period_end == billing_now(record) + growth.trial_days * DAY
    sandbox.until(lambda: sandbox.followed(record).features, lambda found: found == list(growth.features))

    sandbox.advance(record, growth.trial_days * DAY + 2 * HOUR)
    record = sandbox.followed(record)
    assert (record.state, record.subscription_status, record.owing_since) == ("active", "active", None)
    first = sandbox.latest_invoice(record)
    assert (first.billing_reason, first.status) == ("subscription_cycle", "paid")
    assert first.amount_paid == growth.price("USD").amount + 3 * growth.seat_price("USD").amount

    sandbox.replace_card(record, DECLINING_CARD)
    sandbox.advance(record, 31 * DAY + 2 * HOUR)
    record = sandbox.followed(record)
    assert (record.state, record.subscription_status) == ("past_due", "past_due")
    assert record.owing_since == billing_now(record)

    owing_since = record.owing_since
    for _ in range(9):  # four weeks of retries, after which the tenant would be closing soon
        sandbox.advance(record, 3 * DAY)
        record = sandbox.followed(record)
        if record.subscription_status != "past_due":
            break
    assert record.subscription_status == "unpaid", "see docs/billing.md on what the account does after the last retry"
    assert (record.state in ("past_due", "limited"), record.owing_since) == (True, owing_since)

    sandbox.replace_card(record, GOOD_CARD)
    invoices = sandbox.client.v1.invoices
    unpaid = [invoice.id for invoice in invoices.list({"subscription": record.subscription_id, "status": "open"}).data]
    assert unpaid
    for invoice in unpaid:
        assert invoices.pay(invoice).status == "paid"
    bill_drafts(record.subscription_id)
    record = sandbox.until(lambda: sandbox.followed(record), lambda found: found.subscription_status == "active")
    assert (record.state, record.owing_since) == ("active", None)
    listed, _ = list_invoices(record, limit=100, cursor=None)
    assert {invoice.status for invoice in listed} == {"paid"}


def test_seats_a_plan_and_an_interval_are_prorated_as_the_preview_said(sandbox):
    record = sandbox.subscriber("enterprise")
    sandbox.advance(record, 10 * DAY)
    enterprise, growth = find_plan("enterprise"), find_plan("growth")

    expected = preview_change(record, Wish(extra_seats=3))
    record = changed(record, Wish(extra_seats=3))
    invoice = sandbox.latest_invoice(record)
    assert (invoice.billing_reason, invoice.status) == ("subscription_update", "paid")
    assert invoice.amount_paid == expected.amount_due == invoice.total
    assert 0 < invoice.amount_paid < 3 * enterprise.seat_price("USD").amount
    assert record.seats == enterprise.entitlements.seats + 3

    expected = preview_change(record, Wish(plan="growth"))
    record = changed(record, Wish(plan="growth"))
    assert sandbox.latest_invoice(record).total == expected.total < 0
    assert (record.plan, record.seats) == ("growth", growth.entitlements.seats + 3)
    sandbox.until(lambda: sandbox.followed(record).features, lambda found: found == list(growth.features))

    record = find_tenant(record.pk)
    expected = preview_change(record, Wish(interval="year", extra_seats=0))
    record = changed(record, Wish(interval="year", extra_seats=0))
    invoice = sandbox.latest_invoice(record)
    assert (invoice.total, invoice.amount_paid) == (expected.total, expected.amount_due)
    assert (record.interval, record.seats) == ("year", growth.entitlements.seats)
    assert record.period_end > billing_now(record) + 364 * DAY
    items = items_by_kind(sandbox.subscription(record))
    assert {kind: item.price.lookup_key for kind, (_, item) in items.items()} == {
        "plan": "growth_year_usd",
        "overage": "growth_overage_year_usd",
    }


def test_a_change_that_the_card_declines_changes_nothing(sandbox):
    record = sandbox.subscriber("enterprise")
    sandbox.advance(record, DAY)
    sandbox.replace_card(record, DECLINING_CARD)
    before = sandbox.subscription(record)
    with pytest.raises(PaymentDeclined):
        changed(record, Wish(extra_seats=5))
    after = sandbox.subscription(record)
    assert (after.status, after.latest_invoice.id) == (before.status, before.latest_invoice.id)
    assert items_by_kind(after).keys() == items_by_kind(before).keys() == {"plan", "overage"}
    assert sandbox.followed(record).version == record.version


def test_an_end_that_is_taken_back_is_none(sandbox):
    record = sandbox.subscriber("enterprise")
    ending = end_with_period(record, True)
    assert ending.cancel_at == ending.period_end == record.period_end
    back = end_with_period(ending, False)
    assert (back.cancel_at, back.state) == (None, "active")


def test_what_is_not_taken_back_ends_with_the_period(sandbox):
    record = end_with_period(sandbox.subscriber("enterprise"), True)
    sandbox.advance(record, 31 * DAY + 2 * HOUR)
    record = sandbox.followed(record)
    assert (record.state, record.subscription_status) == ("closing", "canceled")


def test_usage_is_summed_once_and_agrees_with_our_count(sandbox, open_cases_are):
    # Some days ago, so that no moment lies in the future of a Stripe that takes usage by real time.
    record = sandbox.subscriber("growth", at=utc_now() - 4 * DAY)
    hour = use(sandbox, record, open_cases_are, 50)
    meter.send_event(
        record.customer_id, f"{record.pk}-{hour:%Y-%m-%dT%H}", 50, at=hour + HOUR / 2, now=billing_now(record)
    )
    sandbox.advance(record, DAY + 2 * HOUR)
    assert billed(record, hour) == {hour: 50}
    reconcile(record, now=billing_now(record))
    days = {each.day: (each.counted, each.reported, each.difference) for each in reconciliations(record.pk, limit=5)}
    assert days[hour.date()] == (50, 50, 0)


def test_who_leaves_is_billed_for_what_was_used_and_for_nothing_more(sandbox, open_cases_are):
    record = sandbox.subscriber("enterprise", at=utc_now() - 4 * DAY)
    price = find_plan("enterprise").overage_price("USD").amount
    use(sandbox, record, open_cases_are, 100_000)
    close(record.pk, now=billing_now(record))
    cancel(record.pk)
    record = find_tenant(record.pk)
    assert (record.state, record.subscription_status) == ("closing", "canceled")
    sandbox.advance(record, 2 * HOUR)  # an invoice may be a draft for its first hour
    last = sandbox.latest_invoice(record)
    assert (last.status, last.total) == ("paid", round(100_000 * price))
    cancel(record.pk)
    assert sandbox.latest_invoice(record).id == last.id


def test_a_customer_that_is_forgotten_is_gone(sandbox):
    record = sandbox.subscriber("enterprise")
    model = records()
    record.update(actions=[model.state.set("closing"), model.erasure.set({"begun": {}})])
    for _ in range(2):
        forget_customer(record.pk)
    assert sandbox.client.v1.customers.retrieve(record.customer_id).deleted
    assert find_tenant(record.pk).customer_deleted_at is not None


def test_every_object_that_is_read_has_the_published_fields(sandbox, open_cases_are):
    record = sandbox.subscriber("growth", at=utc_now() - 4 * DAY)
    hour = use(sandbox, record, open_cases_are, 7)
    open_portal(record)
    v1, subscription = sandbox.client.v1, sandbox.subscription(record)
    items = items_by_kind(subscription)
    product = items["plan"][1].price.product
    the_meter = next(each for each in v1.billing.meters.list({"status": "active"}).data)
    window = {"customer": record.customer_id, "start_time": int(hour.timestamp()), "value_grouping_window": "hour"}
    granted = sandbox.until(
        lambda: v1.entitlements.active_entitlements.list({"customer": record.customer_id}).data, bool
    )
    read = {
        "customer": v1.customers.retrieve(record.customer_id),
        "product": v1.products.retrieve(product),
        "price": items["plan"][1].price,
        "checkout.session": find_session(record.checkout_session_id),
        "subscription": subscription,
        "subscription_item": items["plan"][1],
        "metered subscription_item": items["overage"][1],
        "invoice": subscription.latest_invoice,
        "line_item": subscription.latest_invoice.lines.data[0],
        "list": v1.invoices.list({"customer": record.customer_id}),
        "event": v1.events.list({"type": "customer.subscription.created", "limit": 1}).data[0],
        "payment_method": v1.payment_methods.retrieve(subscription.default_payment_method),
        "test_helpers.test_clock": v1.test_helpers.test_clocks.retrieve(record.test_clock_id),
        "billing.meter": the_meter,
        "billing.meter_event_summary": v1.billing.meters.event_summaries.list(
            the_meter.id, {**window, "end_time": int((hour + HOUR).timestamp())}
        ).data[0],
        "entitlements.feature": v1.entitlements.features.list().data[0],
        "product_feature": v1.products.features.list(product).data[0],
        "entitlements.active_entitlement": granted[0],
        "billing_portal.configuration": v1.billing_portal.configurations.list({"active": True}).data[0],
        "billing_portal.session": v1.billing_portal.sessions.create({"customer": record.customer_id}),
        "deleted_customer": v1.customers.delete(record.customer_id),
    }
    published = json.loads(FIELDS.read_text(encoding="utf-8"))
    shown = {kind: set(each.to_dict()) for kind, each in read.items()}
    missing = {kind: sorted(set(published[kind]) - names) for kind, names in shown.items()}
    unknown = {kind: sorted(names - set(published[kind])) for kind, names in shown.items()}
    assert {kind: names for kind, names in missing.items() if names} == {}
    assert {kind: names for kind, names in unknown.items() if names} == {}
