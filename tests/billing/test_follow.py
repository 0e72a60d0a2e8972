import logging
from datetime import timedelta

import pytest
import stripe

from chalicelib.billing import billing_now, find_plan, follow, open_checkout, process
from chalicelib.billing.follow import STATUSES, Outcome, read_standing
from chalicelib.billing.plans import plans
from chalicelib.platform.clock import utc_now
from chalicelib.tenancy import find_tenant, records
from tests.billing.payments import messages
from tests.billing.tenants import BEGUN, pending, subscribe, subscriber

follow_now = follow.follow


@pytest.fixture(autouse=True)
def empty_queues(aws):
    for queue in ("billing", "sync", "tenant-lifecycle"):
        messages(queue)


def fetched(record):
    return follow.find_subscription(record.subscription_id)


def changed(subscription, **members):
    """A subscription as Stripe would have it with these members."""
    return stripe.Subscription.construct_from({**subscription.to_dict(), **members}, "sk_test_local")


@pytest.mark.parametrize(("plan", "state"), [("growth", "trialing"), ("enterprise", "active")])
def test_who_begins_a_trial_or_pays_is_taken_on(payments, plan, state):
    record = subscriber(payments, plan, interval="year", seats=3)
    subscription = payments.client.v1.subscriptions.retrieve(record.subscription_id)
    sold = find_plan(plan)
    assert (record.state, record.subscription_status) == (state, state)
    assert record.customer_id == subscription.customer
    assert (record.plan, record.currency, record.interval) == (plan, "CNY", "year")
    assert record.seats == sold.entitlements.seats + 3
    assert record.terms == sold.terms.model_dump(mode="json")
    assert set(record.features) == set(sold.features)
    assert record.period_end.timestamp() == subscription["items"].data[0].current_period_end
    assert record.cancel_at is None


def test_being_taken_on_is_announced_and_provisioned(payments):
    record = subscriber(payments)
    assert {"tenant_id": record.pk, "action": "provision"} in messages("tenant-lifecycle")
    assert {"tenant_id": record.pk, "action": "announce"} in messages("billing")


def test_following_again_changes_nothing(payments):
    record = subscriber(payments)
    assert follow_now(record.subscription_id) is Outcome.UNCHANGED
    assert find_tenant(record.pk).version == record.version


@pytest.mark.parametrize(("status", "standing"), STATUSES.items())
def test_stripes_word_for_a_subscription_says_how_it_stands(payments, status, standing):
    record = subscriber(payments)
    found = read_standing(changed(fetched(record), status=status), record)
    assert (found.status, found.stripe_status) == (standing, status)
    assert bool(found.features) == (standing != "ended")


def test_an_incomplete_subscription_stands_nowhere(payments):
    record = subscriber(payments)
    assert read_standing(changed(fetched(record), status="incomplete"), record) is None


def test_a_first_invoice_that_is_still_being_debited_takes_nobody_on(payments):
    record = subscriber(payments, "enterprise")
    subscription = fetched(record)
    invoice = {**subscription.latest_invoice.to_dict(), "status": "open"}
    assert read_standing(changed(subscription, latest_invoice=invoice), record) is None
    renewal = {**invoice, "billing_reason": "subscription_cycle"}
    assert read_standing(changed(subscription, latest_invoice=renewal), record).status == "active"


def test_a_failed_payment_and_its_recovery_are_followed_through_billing_time(payments, clocks):
    record = subscriber(payments)
    payments.card(record.customer_id, declines=True)
    payments.advance(record.test_clock_id, timedelta(days=15))
    assert follow_now(record.subscription_id) is Outcome.SETTLED
    owing = find_tenant(record.pk)
    assert (owing.state, owing.subscription_status) == ("past_due", "past_due")
    assert owing.owing_since == billing_now(owing) == BEGUN + timedelta(days=15)
    payments.card(record.customer_id, declines=False)
    (invoice,) = payments.client.v1.invoices.list({"customer": record.customer_id, "status": "open"}).data
    payments.client.v1.invoices.pay(invoice.id)
    assert follow_now(record.subscription_id) is Outcome.SETTLED
    assert (find_tenant(record.pk).state, find_tenant(record.pk).owing_since) == ("active", None)


def test_a_subscription_that_ended_closes_the_tenant(payments):
    record = subscriber(payments)
    payments.client.v1.subscriptions.cancel(record.subscription_id)
    assert follow_now(record.subscription_id) is Outcome.SETTLED
    closed = find_tenant(record.pk)
    assert (closed.state, closed.subscription_status, closed.features) == ("closing", "canceled", [])


def test_a_tenant_that_returns_keeps_its_new_subscription_whatever_comes_of_the_old(payments):
    record = subscriber(payments)
    payments.client.v1.subscriptions.cancel(record.subscription_id)
    follow_now(record.subscription_id)
    back = subscribe(payments, record)
    assert (back.state, back.subscription_status) == ("active", "active")
    assert back.subscription_id != record.subscription_id
    assert follow_now(record.subscription_id) is Outcome.UNCHANGED
    assert find_tenant(record.pk).to_simple_dict() == back.to_simple_dict()


def test_whoever_asked_stripe_before_a_payment_and_writes_after_it_asks_again(payments, monkeypatch):
    record = subscriber(payments, "enterprise")
    find, stale = follow.find_subscription, [changed(fetched(record), status="past_due")]
    monkeypatch.setattr(follow, "find_subscription", lambda asked: stale.pop() if stale else find(asked))
    assert follow_now(record.subscription_id) is Outcome.SETTLED
    assert find_tenant(record.pk).state == "active"


def test_a_plan_that_is_sold_no_longer_stays_as_it_was_agreed_on(payments, monkeypatch):
    record = subscriber(payments, "enterprise", seats=2)
    monkeypatch.setattr(follow, "plans", lambda: tuple(plan for plan in plans() if plan.key != "enterprise"))
    assert follow_now(record.subscription_id) is Outcome.UNCHANGED
    kept = find_tenant(record.pk)
    assert (kept.plan, kept.seats, kept.terms) == ("enterprise", record.seats, record.terms)


def test_a_plan_that_goes_off_sale_while_its_page_is_open_is_given_to_whoever_paid(payments, monkeypatch):
    record = pending("enterprise")
    page = open_checkout(record, find_plan("enterprise"), interval="month")
    monkeypatch.setattr(follow, "plans", lambda: ())
    payments.pay(page.url)
    assert process.follow_checkout(page.session_id) is Outcome.SETTLED
    taken = find_tenant(record.pk)
    assert (taken.state, taken.terms) == ("active", find_plan("enterprise").terms.model_dump(mode="json"))


def test_seats_count_by_the_terms_that_a_tenant_has_and_not_by_what_is_sold_today(payments):
    record = subscriber(payments, seats=1)
    terms = {**record.terms, "entitlements": {**record.terms["entitlements"], "seats": 7}}
    record.update(actions=[records().terms.set(terms)])
    follow_now(record.subscription_id)
    assert find_tenant(record.pk).seats == 8


def test_a_tenant_from_before_terms_were_kept_gets_them(payments):
    record, model = subscriber(payments), records()
    old = ("terms", "seats", "interval", "subscription_status", "period_end", "state_since")
    record.update(actions=[getattr(model, name).remove() for name in old])
    assert follow_now(record.subscription_id) is Outcome.SETTLED
    now = find_tenant(record.pk)
    assert (now.state, now.terms) == ("trialing", find_plan("growth").terms.model_dump(mode="json"))


def test_a_second_subscription_does_not_displace_the_first_and_is_shouted_about(payments, caplog):
    record = subscriber(payments, "enterprise")
    second = another_subscription(payments, record, {"tenant_id": record.pk})
    with caplog.at_level(logging.ERROR):
        assert follow_now(second) is Outcome.SECOND_SUBSCRIPTION
    assert "second subscription" in caplog.text
    assert find_tenant(record.pk).to_simple_dict() == record.to_simple_dict()
    payments.client.v1.subscriptions.cancel(second)
    assert follow_now(second) is Outcome.UNCHANGED


def test_a_subscription_that_names_another_customers_tenant_is_not_believed(payments, caplog):
    record, stranger = subscriber(payments, "enterprise"), subscriber(payments, "enterprise")
    foreign = another_subscription(payments, stranger, {"tenant_id": record.pk})
    assert follow_now(foreign) is Outcome.UNKNOWN_TENANT
    assert "another customer's" in caplog.text
    assert find_tenant(record.pk).to_simple_dict() == record.to_simple_dict()


def test_a_subscription_of_something_else_is_passed_over(payments, caplog):
    foreign = another_subscription(payments, subscriber(payments), {})
    assert follow_now(foreign) is Outcome.UNKNOWN_TENANT
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


def test_money_for_a_tenant_that_is_unknown_is_shouted_about(payments, caplog):
    record = subscriber(payments)
    record.delete()
    assert follow_now(record.subscription_id) is Outcome.UNKNOWN_TENANT
    assert "tenant that is unknown" in caplog.text


def test_a_subscription_that_stripe_does_not_have_is_noted(payments):
    assert follow_now("sub_of_nobody") is Outcome.UNKNOWN_OBJECT


def test_with_stripe_down_nobody_moves(payments):
    record = subscriber(payments)
    payments.fail("/v1/entitlements/*")
    with pytest.raises(stripe.APIConnectionError):
        follow_now(record.subscription_id)
    assert find_tenant(record.pk).to_simple_dict() == record.to_simple_dict()


def test_billing_time_is_the_test_clocks_and_real_where_there_is_none_or_it_is_gone(payments, clocks):
    record = subscriber(payments)
    assert billing_now(record) == BEGUN
    payments.client.v1.test_helpers.test_clocks.delete(record.test_clock_id)
    before = utc_now()
    assert before <= billing_now(record) <= utc_now()
    record.test_clock_id = None
    assert before <= billing_now(record) <= utc_now()


def another_subscription(payments, record, metadata: dict[str, str]) -> str:
    """A subscription of the tenant's customer that our checkout did not make."""
    price = payments.client.v1.prices.list({"lookup_keys": ["enterprise_month_cny"]}).data[0]
    session = payments.client.v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "customer": record.customer_id,
            "line_items": [{"price": price.id, "quantity": 1}],
            "subscription_data": {"metadata": metadata},
            "client_reference_id": record.pk,
            "success_url": "http://127.0.0.1:9/",
        }
    )
    payments.pay(session.url)
    return payments.client.v1.checkout.sessions.retrieve(session.id).subscription
