import json
from types import SimpleNamespace

import pytest
import stripe

from chalicelib.billing.activate import TENANT_STATES, Outcome, activate
from chalicelib.billing.handlers import bill
from chalicelib.billing.model import EVENT, billing_events
from chalicelib.billing.process import process
from chalicelib.billing.receive import Snapshot, receive
from chalicelib.identity.signup import Application, sign_up
from chalicelib.platform.ids import new_id
from chalicelib.platform.settings import settings
from chalicelib.tenancy import find_tenant
from tests.billing.payments import Payments, messages


@pytest.fixture
def signed_up(payments: Payments, now):
    """A pending tenant whose checkout is open, by plan."""
    messages("tenant-lifecycle")

    def make(plan: str = "growth"):
        application = Application.model_validate(
            {
                "organisation": "Harbour Bank",
                "jurisdiction": "CN",
                "region": settings().region,
                "locale": "zh_CN",
                "currency": "CNY",
                "email": "owner@harbour.example",
                "plan": plan,
            }
        )
        made = sign_up(application, now=now)
        return SimpleNamespace(
            tenant_id=made.tenant_id,
            page=made.checkout_url,
            session_id=find_tenant(made.tenant_id).checkout_session_id,
        )

    return make


def stored(event: Snapshot, now) -> str:
    receive(event, now=now)
    return event.id


def event_about(session_id: str | None, type: str = "checkout.session.completed") -> Snapshot:
    """An event that claims something of a session; only its id and type count."""
    return Snapshot.model_validate(
        {"id": new_id("evt"), "type": type, "created": 1, "data": {"object": {"id": session_id}}}
    )


@pytest.mark.parametrize(("plan", "state"), [("growth", "trialing"), ("enterprise", "active")])
def test_a_completed_checkout_takes_the_tenant_on_and_has_it_provisioned(payments, signed_up, now, plan, state):
    tenant = signed_up(plan)
    payments.pay(tenant.page)
    event_id = stored(payments.completed(tenant.session_id), now)
    assert process(event_id) is Outcome.ACTIVATED
    record = find_tenant(tenant.tenant_id)
    subscription = payments.client.v1.subscriptions.retrieve(record.subscription_id)
    assert (record.state, record.customer_id) == (state, subscription.customer)
    assert subscription.metadata["tenant_id"] == tenant.tenant_id
    assert messages("tenant-lifecycle") == [{"tenant_id": tenant.tenant_id, "action": "provision"}]
    event = billing_events().get(event_id, EVENT)
    assert (event.processed, event.outcome) == (True, "activated")


def test_a_checkout_completed_twice_changes_nothing_the_second_time(payments, signed_up, now):
    tenant = signed_up()
    payments.pay(tenant.page)
    process(stored(payments.completed(tenant.session_id), now))
    record = find_tenant(tenant.tenant_id)
    assert process(stored(event_about(tenant.session_id), now)) is Outcome.REPEATED
    assert find_tenant(tenant.tenant_id).to_simple_dict() == record.to_simple_dict()


def test_an_event_that_was_processed_is_left_alone(payments, signed_up, now):
    tenant = signed_up()
    payments.pay(tenant.page)
    event_id = stored(payments.completed(tenant.session_id), now)
    process(event_id)
    messages("tenant-lifecycle")
    assert process(event_id) is Outcome.REPEATED
    assert messages("tenant-lifecycle") == []


def test_a_worker_killed_before_it_asked_for_provisioning_is_made_good(payments, signed_up, now, monkeypatch):
    tenant = signed_up()
    payments.pay(tenant.page)
    event_id = stored(payments.completed(tenant.session_id), now)

    def killed(_: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("chalicelib.billing.activate.begin_provisioning", killed)
        with pytest.raises(KeyboardInterrupt):
            process(event_id)
    assert find_tenant(tenant.tenant_id).state == "trialing"
    assert messages("tenant-lifecycle") == []
    assert process(event_id) is Outcome.REPEATED
    assert messages("tenant-lifecycle") == [{"tenant_id": tenant.tenant_id, "action": "provision"}]


def test_an_event_that_says_completed_of_an_unpaid_session_is_not_believed(payments, signed_up, now):
    tenant = signed_up()
    payments.pay(tenant.page, card="declined")
    assert process(stored(event_about(tenant.session_id), now)) is Outcome.NOT_SETTLED
    assert find_tenant(tenant.tenant_id).state == "pending"


def test_an_event_for_an_unknown_tenant_is_noted_and_passed_over(payments, signed_up, now):
    tenant = signed_up()
    payments.pay(tenant.page)
    find_tenant(tenant.tenant_id).delete()
    event_id = stored(payments.completed(tenant.session_id), now)
    assert process(event_id) is Outcome.UNKNOWN_TENANT
    assert billing_events().get(event_id, EVENT).processed
    assert messages("tenant-lifecycle") == []


def test_a_session_that_sign_up_did_not_open_takes_nobody_on(payments, signed_up, now):
    tenant = signed_up()
    price = payments.client.v1.prices.list({"lookup_keys": ["starter_month_usd"]}).data[0]
    # What a payment link's address can do: name any tenant as the reference, without our metadata.
    foreign = payments.client.v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "line_items": [{"price": price.id, "quantity": 1}],
            "client_reference_id": tenant.tenant_id,
            "customer_email": "somebody@else.example",
            "success_url": "http://127.0.0.1:9/",
        }
    )
    payments.pay(foreign.url)
    event_id = stored(payments.completed(foreign.id), now)
    assert process(event_id) is Outcome.UNKNOWN_TENANT
    assert billing_events().get(event_id, EVENT).processed
    assert find_tenant(tenant.tenant_id).state == "pending"


@pytest.mark.parametrize(
    ("session_id", "type", "outcome"),
    [
        ("in_1", "invoice.some_new_kind", Outcome.UNKNOWN_TYPE),
        ("cs_test_of_nobody", "checkout.session.completed", Outcome.UNKNOWN_OBJECT),
        (None, "checkout.session.completed", Outcome.UNKNOWN_OBJECT),
    ],
)
def test_what_billing_does_not_know_is_noted_and_passed_over(payments, now, session_id, type, outcome):
    event_id = stored(event_about(session_id, type), now)
    assert process(event_id) is outcome
    event = billing_events().get(event_id, EVENT)
    assert (event.processed, event.outcome) == (True, outcome.value)


def test_a_message_about_an_event_that_was_never_stored_is_passed_over(aws):
    assert process("evt_never_stored") is Outcome.UNKNOWN_OBJECT


def test_a_second_subscription_does_not_displace_the_first(payments, signed_up, now):
    tenant = signed_up()
    payments.pay(tenant.page)
    process(stored(payments.completed(tenant.session_id), now))
    first = find_tenant(tenant.tenant_id).subscription_id
    messages("tenant-lifecycle")
    outcome = activate(tenant.tenant_id, customer_id="cus_2", subscription_id="sub_2", subscription_status="active")
    assert outcome is Outcome.SECOND_SUBSCRIPTION
    assert find_tenant(tenant.tenant_id).subscription_id == first
    assert messages("tenant-lifecycle") == []


@pytest.mark.parametrize("status", ["incomplete", "incomplete_expired", "past_due", "canceled", "unpaid", "paused"])
def test_a_subscription_that_is_not_running_takes_nobody_on(payments, signed_up, status):
    tenant = signed_up()
    assert status not in TENANT_STATES
    outcome = activate(tenant.tenant_id, customer_id="cus_1", subscription_id="sub_1", subscription_status=status)
    assert outcome is Outcome.NOT_SETTLED
    assert find_tenant(tenant.tenant_id).state == "pending"


def test_with_stripe_down_the_event_stays_to_be_processed(no_stripe, now):
    event_id = stored(event_about("cs_test_1"), now)
    with pytest.raises(stripe.APIConnectionError):
        process(event_id)
    assert not billing_events().get(event_id, EVENT).processed


def test_a_batch_gives_back_only_the_messages_that_failed(no_stripe, now):
    ignored = stored(event_about("in_1", "invoice.paid"), now)
    failing = stored(event_about("cs_test_1"), now)
    assert bill({"Records": [sqs_record("1", ignored), sqs_record("2", failing)]}, None) == {
        "batchItemFailures": [{"itemIdentifier": "2"}]
    }
    assert bill({"Records": [sqs_record("2", failing)]}, None) == {"batchItemFailures": [{"itemIdentifier": "2"}]}


def sqs_record(message_id: str, event_id: str) -> dict:
    return {"messageId": message_id, "eventSource": "aws:sqs", "body": json.dumps({"event_id": event_id})}
