import json
import random
from datetime import timedelta

import pytest
import stripe

from chalicelib.billing import ending, find_plan, follow, open_checkout, process
from chalicelib.billing.clock import billing_now
from chalicelib.billing.follow import Outcome
from chalicelib.billing.handlers import ACTIONS, bill
from chalicelib.billing.model import EVENT, billing_events
from chalicelib.billing.plans import METER_EVENT
from chalicelib.billing.receive import Snapshot, receive
from chalicelib.billing.usage import Unreported, UsageHour
from chalicelib.platform.ids import new_id
from chalicelib.platform.store import shared
from chalicelib.tenancy import find_tenant, records
from chalicelib.tenancy.provisioning import provision
from tests.billing.payments import messages
from tests.billing.tenants import pending, subscriber


@pytest.fixture(autouse=True)
def empty_queues(aws):
    for queue in ("billing", "leaving", "tenant-lifecycle"):
        messages(queue)


def stored(event: Snapshot, now) -> str:
    receive(event, now=now)
    return event.id


def event_about(object_id: str | None, type: str = "checkout.session.completed", **members) -> Snapshot:
    """An event that claims something of an object; only its type and the object's id count."""
    about = {"id": object_id, **members}
    return Snapshot.model_validate({"id": new_id("evt"), "type": type, "created": 1, "data": {"object": about}})


def processed(event: Snapshot, now) -> Outcome:
    return process.process(stored(event, now))


def outcome_of(event_id: str) -> tuple[bool, str | None]:
    event = billing_events().get(event_id, EVENT)
    return event.processed, event.outcome


@pytest.mark.parametrize(("plan", "state"), [("growth", "trialing"), ("enterprise", "active")])
def test_a_completed_checkout_takes_the_tenant_on_and_has_it_provisioned(payments, now, plan, state):
    record = pending(plan)
    page = open_checkout(record, find_plan(plan), interval="month")
    payments.pay(page.url)
    event_id = stored(payments.completed(page.session_id), now)
    assert process.process(event_id) is Outcome.SETTLED
    assert find_tenant(record.pk).state == state
    assert messages("tenant-lifecycle") == [{"tenant_id": record.pk, "action": "provision"}]
    assert outcome_of(event_id) == (True, "settled")


def test_a_checkout_completed_twice_changes_nothing_the_second_time(payments, now):
    record = subscriber(payments)
    assert processed(event_about(record.checkout_session_id), now) is Outcome.UNCHANGED
    assert find_tenant(record.pk).to_simple_dict() == record.to_simple_dict()


def test_an_event_that_was_processed_is_left_alone(payments, now, monkeypatch):
    record = subscriber(payments)
    event_id = stored(event_about(record.subscription_id, "customer.subscription.updated"), now)
    process.process(event_id)
    monkeypatch.setattr(process, "ACTIONS", {})
    assert process.process(event_id) is Outcome.REPEATED
    assert outcome_of(event_id) == (True, "unchanged")


def test_an_event_that_says_completed_of_an_unpaid_session_is_not_believed(payments, now):
    record = pending()
    page = open_checkout(record, find_plan("growth"), interval="month")
    payments.pay(page.url, card="declined")
    assert processed(event_about(page.session_id), now) is Outcome.NOT_SETTLED
    assert find_tenant(record.pk).state == "pending"


@pytest.mark.parametrize(
    ("type", "named"),
    [
        ("customer.subscription.created", "subscription"),
        ("customer.subscription.updated", "subscription"),
        ("customer.subscription.deleted", "subscription"),
        ("customer.subscription.paused", "subscription"),
        ("customer.subscription.resumed", "subscription"),
        ("customer.subscription.trial_will_end", "subscription"),
        ("invoice.paid", "invoice"),
        ("invoice.payment_failed", "invoice"),
        ("invoice.payment_action_required", "invoice"),
        ("entitlements.active_entitlement_summary.updated", "customer"),
    ],
)
def test_whatever_an_event_says_the_truth_is_fetched(payments, now, type, named):
    record = subscriber(payments, "enterprise")
    payments.client.v1.subscriptions.update(record.subscription_id, {"cancel_at_period_end": True})
    if named == "customer":
        event = event_about(None, type, customer=record.customer_id)
    elif named == "invoice":
        (invoice,) = payments.client.v1.invoices.list({"customer": record.customer_id}).data
        event = event_about(invoice.id, type, status="uncollectible")
    else:
        event = event_about(record.subscription_id, type, status="canceled")
    assert processed(event, now) is Outcome.SETTLED
    found = find_tenant(record.pk)
    assert (found.state, found.cancel_at) == ("active", found.period_end)


def test_events_of_a_year_late_doubled_and_in_any_order_end_in_the_truth(payments, clocks, now):
    record = subscriber(payments)
    payments.card(record.customer_id, declines=True)
    payments.advance(record.test_clock_id, timedelta(days=15))
    payments.card(record.customer_id, declines=False)
    payments.advance(record.test_clock_id, timedelta(days=60))
    payments.client.v1.subscriptions.update(record.subscription_id, {"cancel_at_period_end": True})
    mine = [event for event in payments.events() if is_of(event, record)]
    assert {event.type for event in mine} >= {"invoice.payment_failed", "invoice.paid", "customer.subscription.updated"}
    order = random.Random(7)
    for _ in range(3):
        shuffled = [event_about(event.data.object.id, event.type, customer=record.customer_id) for event in mine]
        order.shuffle(shuffled)
        for event in shuffled:
            processed(event, now)
            processed(event, now)
        found = find_tenant(record.pk)
        assert (found.state, found.subscription_status, found.cancel_at) == ("active", "active", found.period_end)
        assert found.moves == 2


def test_who_pays_what_is_open_pays_for_the_periods_since_and_is_active_at_once(payments, clocks, now):
    record = subscriber(payments)
    payments.card(record.customer_id, declines=True)
    payments.advance(record.test_clock_id, timedelta(days=50))
    payments.card(record.customer_id, declines=False)
    follow.follow(record.subscription_id)
    (open_one,) = payments.client.v1.invoices.list({"customer": record.customer_id, "status": "open"}).data
    payments.client.v1.invoices.pay(open_one.id)
    assert find_tenant(record.pk).subscription_status == "unpaid"
    for _ in range(2):
        processed(event_about(open_one.id, "invoice.paid"), now)
    assert find_tenant(record.pk).state == "active"
    paid = payments.client.v1.invoices.list({"customer": record.customer_id}).data
    price = find_plan("growth").price("CNY").amount
    assert [(invoice.status, invoice.amount_paid) for invoice in paid] == [
        ("paid", price),
        ("paid", price),
        ("paid", 0),
    ]


def is_of(event: Snapshot, record) -> bool:
    about = event.data.object
    return record.customer_id in (about.customer, about.id) or about.id == record.subscription_id


@pytest.mark.parametrize(
    ("object_id", "type", "outcome"),
    [
        ("in_1", "invoice.some_new_kind", Outcome.UNKNOWN_TYPE),
        ("cs_test_of_nobody", "checkout.session.completed", Outcome.UNKNOWN_OBJECT),
        ("in_of_nobody", "invoice.paid", Outcome.UNKNOWN_OBJECT),
        ("sub_of_nobody", "customer.subscription.updated", Outcome.UNKNOWN_OBJECT),
        ("sub_of_nobody", "customer.subscription.trial_will_end", Outcome.UNKNOWN_OBJECT),
        ("cus_of_nobody", "customer.deleted", Outcome.NOTED),
        (None, "checkout.session.completed", Outcome.UNKNOWN_OBJECT),
    ],
)
def test_what_billing_does_not_know_is_noted_and_passed_over(payments, now, object_id, type, outcome):
    event_id = stored(event_about(object_id, type), now)
    assert process.process(event_id) is outcome
    assert outcome_of(event_id) == (True, outcome.value)


def test_entitlements_of_a_customer_that_subscribes_to_nothing_are_noted(payments, now):
    customer = payments.client.v1.customers.create({"email": "somebody@else.example"})
    event = event_about(None, "entitlements.active_entitlement_summary.updated", customer=customer.id)
    assert processed(event, now) is Outcome.NOTED


def test_an_event_for_an_unknown_tenant_is_noted_and_passed_over(payments, now):
    record = subscriber(payments)
    record.delete()
    event_id = stored(event_about(record.subscription_id, "customer.subscription.updated"), now)
    assert process.process(event_id) is Outcome.UNKNOWN_TENANT
    assert outcome_of(event_id) == (True, "unknown-tenant")


def test_a_session_that_sign_up_did_not_open_takes_nobody_on(payments, now):
    record = pending()
    price = payments.client.v1.prices.list({"lookup_keys": ["starter_month_usd"]}).data[0]
    # What a payment link's address can do: name any tenant as the reference, without our metadata.
    foreign = payments.client.v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "line_items": [{"price": price.id, "quantity": 1}],
            "client_reference_id": record.pk,
            "customer_email": "somebody@else.example",
            "success_url": "http://127.0.0.1:9/",
        }
    )
    payments.pay(foreign.url)
    assert processed(payments.completed(foreign.id), now) is Outcome.UNKNOWN_TENANT
    assert find_tenant(record.pk).state == "pending"


def test_a_message_about_an_event_that_was_never_stored_is_passed_over(aws):
    assert process.process("evt_never_stored") is Outcome.UNKNOWN_OBJECT


def test_owners_are_told_once_that_the_trial_ends_soon_and_not_after_it_ended(payments, now, monkeypatch):
    told = []
    monkeypatch.setattr(process, "tell_trial_ending", lambda *said: told.append(said))
    record = subscriber(payments)
    event = event_about(record.subscription_id, "customer.subscription.trial_will_end")
    assert processed(event, now) is Outcome.UNCHANGED
    assert told == [(record.pk, record.period_end)]
    payments.client.v1.subscriptions.update(record.subscription_id, {"trial_end": "now"})
    late = event_about(record.subscription_id, "customer.subscription.trial_will_end")
    assert processed(late, now) is Outcome.SETTLED
    assert len(told) == 1


@pytest.mark.parametrize("how", ["timeout", "500"])
def test_while_stripe_fails_the_event_stays_to_be_processed(payments, now, how):
    record = subscriber(payments)
    event_id = stored(event_about(record.subscription_id, "customer.subscription.updated"), now)
    payments.fail("/v1/subscriptions/*", how)
    with pytest.raises(stripe.StripeError):
        process.process(event_id)
    assert outcome_of(event_id) == (False, None)
    assert process.process(event_id) is Outcome.UNCHANGED


def test_a_batch_gives_back_only_the_messages_that_failed(no_stripe, now):
    ignored = stored(event_about("in_1", "invoice.some_new_kind"), now)
    failing = stored(event_about("cs_test_1"), now)
    batch = {"Records": [sqs_record("1", event_id=ignored), sqs_record("2", event_id=failing)]}
    assert bill(batch, None) == {"batchItemFailures": [{"itemIdentifier": "2"}]}


def sqs_record(message_id: str, **message: str) -> dict:
    return {"messageId": message_id, "eventSource": "aws:sqs", "body": json.dumps(message)}


def asked(record, action: str) -> dict:
    return bill({"Records": [sqs_record("1", tenant_id=record.pk, action=action)]}, None)


DONE: dict = {"batchItemFailures": []}


def test_a_lost_checkout_is_made_good_when_asked(payments):
    record = pending()
    page = open_checkout(record, find_plan("growth"), interval="month")
    payments.pay(page.url)
    assert asked(record, "checkout") == DONE
    assert find_tenant(record.pk).state == "trialing"


def test_a_closing_tenants_subscription_is_cancelled_and_only_that(payments):
    closing, staying = subscriber(payments), subscriber(payments)
    closing.update(actions=[records().state.set("closing")])
    for record in (closing, closing, staying):
        assert asked(record, "cancel") == DONE
    assert payments.client.v1.subscriptions.retrieve(closing.subscription_id).status == "canceled"
    assert payments.client.v1.subscriptions.retrieve(staying.subscription_id).status == "trialing"
    assert find_tenant(closing.pk).subscription_status == "canceled"
    assert find_tenant(staying.pk).to_simple_dict() == staying.to_simple_dict()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_cancellation_that_stripe_does_not_answer_is_repeated(payments, when):
    record = subscriber(payments)
    record.update(actions=[records().state.set("closing")])
    payments.fail("/v1/subscriptions/*", when=when, method="DELETE")
    with pytest.raises(stripe.APIConnectionError):
        ending.cancel(record.pk)
    ending.cancel(record.pk)
    assert find_tenant(record.pk).subscription_status == "canceled"


def test_who_leaves_pays_for_what_was_used_beyond_the_plan(payments, clocks):
    record = subscriber(payments, "enterprise")
    payments.advance(record.test_clock_id, timedelta(days=1))
    used = {"stripe_customer_id": record.customer_id, "value": "1000"}
    payments.client.v1.billing.meter_events.create({"event_name": METER_EVENT, "payload": used})
    payments.advance(record.test_clock_id, timedelta(days=1))
    record.update(actions=[records().state.set("closing")])
    ending.cancel(record.pk)
    last, first = payments.client.v1.invoices.list({"customer": record.customer_id}).data
    assert (first.total, first.status) == (find_plan("enterprise").price("CNY").amount, "paid")
    assert (last.total, last.status) == (find_plan("enterprise").overage_price("CNY").amount * 1000, "paid")


def unreported(record, case_hours: int, *, ahead: timedelta = timedelta(0)) -> None:
    """An hour that was counted while Stripe was silent; by a clock that goes ahead of Stripe's it will be refused."""
    at = billing_now(record) + ahead
    members = {"open_cases": case_hours, "included": 0, "case_hours": case_hours, "counted_at": at, "reported": False}
    shared().bind(UsageHour)(record.pk, f"usage#{at:%Y-%m-%dT%H}", **members).save()
    shared().bind(Unreported)(record.pk, f"unreported#{at:%Y-%m-%dT%H}").save()


def test_who_leaves_pays_for_hours_too_that_stripe_was_not_told_of_yet(payments, clocks):
    record = subscriber(payments, "enterprise")
    payments.advance(record.test_clock_id, timedelta(days=1))
    unreported(record, 1000)
    payments.advance(record.test_clock_id, timedelta(hours=1))
    record.update(actions=[records().state.set("closing")])
    ending.cancel(record.pk)
    last = payments.client.v1.invoices.list({"customer": record.customer_id}).data[0]
    assert last.total == find_plan("enterprise").overage_price("CNY").amount * 1000


def test_usage_that_stripe_refuses_keeps_nobody_in_a_subscription(payments, clocks):
    record = subscriber(payments, "enterprise")
    unreported(record, 1000, ahead=timedelta(hours=1))
    record.update(actions=[records().state.set("closing")])
    ending.cancel(record.pk)
    assert find_tenant(record.pk).subscription_status == "canceled"


def test_moves_are_announced(payments):
    record = subscriber(payments)
    provision(record.pk)
    assert asked(record, "announce") == DONE
    assert find_tenant(record.pk).announcements == []


def test_what_nobody_knows_how_to_do_comes_back_and_waits_for_a_person(aws):
    assert asked(pending(), "dance") == {"batchItemFailures": [{"itemIdentifier": "1"}]}
    assert set(ACTIONS) == {"announce", "cancel", "checkout", "forget_customer", "hour"}


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_customer_is_forgotten_once_its_erasure_has_begun(payments, when):
    record, model = subscriber(payments), records()
    assert asked(record, "forget_customer") == DONE
    assert not payments.client.v1.customers.retrieve(record.customer_id).to_dict().get("deleted")
    assert messages("leaving") == []
    record.update(actions=[model.state.set("closing"), model.erasure.set({"begun": {}})])
    payments.fail("/v1/customers/*", when=when, method="DELETE")
    assert asked(record, "forget_customer") == {"batchItemFailures": [{"itemIdentifier": "1"}]}
    assert find_tenant(record.pk).customer_deleted_at is None
    for _ in range(2):
        assert asked(record, "forget_customer") == DONE
    assert payments.client.v1.customers.retrieve(record.customer_id).deleted
    assert find_tenant(record.pk).customer_deleted_at is not None
    assert messages("leaving") == [{"tenant_id": record.pk, "action": "erase"}] * 2


def test_a_follower_killed_before_it_asked_for_what_follows_is_made_good(payments, monkeypatch):
    record = pending()
    page = open_checkout(record, find_plan("growth"), interval="month")
    payments.pay(page.url)
    subscription_id = payments.client.v1.checkout.sessions.retrieve(page.session_id).subscription

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("chalicelib.tenancy.lifecycle.follow_moves", killed)
        with pytest.raises(KeyboardInterrupt):
            follow.follow(subscription_id)
    assert find_tenant(record.pk).state == "trialing"
    assert messages("tenant-lifecycle") == []
    assert follow.follow(subscription_id) is Outcome.UNCHANGED
    assert messages("tenant-lifecycle") == [{"tenant_id": record.pk, "action": "provision"}]
