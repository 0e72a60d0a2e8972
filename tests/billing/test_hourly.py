from datetime import timedelta

import pytest
import stripe

from chalicelib.billing import find_plan, hourly, open_checkout
from chalicelib.billing.follow import follow
from chalicelib.billing.handlers import bill
from chalicelib.billing.hourly import ask_all, hour_of
from chalicelib.billing.usage import hours_of
from chalicelib.platform.clock import utc_now
from chalicelib.platform.store import SharedModel
from chalicelib.tenancy import find_tenant, records
from chalicelib.tenancy.provisioning import provision
from tests.billing.payments import messages
from tests.billing.subscribers import counted_requests
from tests.billing.tenants import BEGUN, pending, subscribe, subscriber

GROWTH = find_plan("growth")


@pytest.fixture(autouse=True)
def empty_queues(aws):
    for queue in ("billing", "leaving", "tenant-lifecycle"):
        messages(queue)


def changed(record, **members):
    model = records()
    record.update(actions=[getattr(model, name).set(value) for name, value in members.items()])
    return record


def owing(payments, record):
    """The tenant once its trial has ended and its card was declined."""
    payments.card(record.customer_id, declines=True)
    payments.advance(record.test_clock_id, timedelta(days=15))
    hour_of(record.pk)
    return find_tenant(record.pk)


def test_the_hour_asks_for_everyone_who_may_have_something_to_be_looked_at(payments):
    clear = records()
    for record in clear.scan(clear.sk == "tenant"):
        record.delete()
    idle, gone = pending(), pending(state="erased")
    paying = pending(checkout_session_id="cs_test_1")
    states = [pending(state=state) for state in ("trialing", "active", "past_due", "limited", "suspended", "closing")]
    assert bill({"source": "aws.events"}, None) == {"asked": 7}
    asked = messages("billing")
    assert {message["tenant_id"] for message in asked} == {record.pk for record in (paying, *states)}
    assert {message["action"] for message in asked} == {"hour"}
    assert not {idle.pk, gone.pk} & {message["tenant_id"] for message in asked}


def test_what_else_is_in_the_registry_is_no_tenant(payments):
    class Export(SharedModel):
        class Meta:
            table_kind = "tenants"

    before = ask_all()
    from chalicelib.platform.store import shared

    export = shared().bind(Export)("ten_x", "export#exp_1")
    export.save()
    assert ask_all() == before
    export.delete()


def test_many_tenants_are_looked_at_a_few_at_a_time(payments, monkeypatch):
    sent = []
    monkeypatch.setattr(hourly, "send", lambda queue, group, sent_now, **how: sent.append((len(sent_now), group, how)))
    made = [pending(state="active") for _ in range(25)]
    total = ask_all()
    assert sum(size for size, _, _ in sent) == total >= 25
    assert max(size for size, _, _ in sent) == 10
    assert [how["delay_seconds"] for _, _, how in sent[:3]] == [0, 2, 4]
    assert {group for _, group, _ in sent} == {"hourly"}
    for record in made:
        record.delete()


def test_a_payment_that_nobody_told_us_of_takes_the_tenant_on(payments):
    record = pending()
    payments.pay(open_checkout(record, GROWTH, interval="month").url)
    hour_of(record.pk)
    assert find_tenant(record.pk).state == "trialing"


def test_a_page_that_nobody_paid_changes_nothing(payments):
    record = pending()
    open_checkout(record, GROWTH, interval="month")
    before = find_tenant(record.pk).to_simple_dict()
    hour_of(record.pk)
    assert find_tenant(record.pk).to_simple_dict() == before


def test_a_change_that_nobody_told_us_of_is_followed(payments):
    record = subscriber(payments)
    payments.client.v1.subscriptions.update(record.subscription_id, {"cancel_at_period_end": True})
    hour_of(record.pk)
    assert find_tenant(record.pk).cancel_at == record.period_end


def test_an_hour_in_which_nothing_changed_asks_stripe_for_the_subscription_and_its_features(payments, monkeypatch):
    record = subscriber(payments)
    provision(record.pk)
    hour_of(record.pk)
    with counted_requests(monkeypatch) as sent:
        hour_of(record.pk)
    assert [address.partition("/v1/")[2].partition("?")[0] for address in sent] == [
        f"subscriptions/{record.subscription_id}",
        "entitlements/active_entitlements",
    ]


def test_who_never_pays_goes_from_step_to_step_and_is_cancelled_at_the_end(payments, clocks):
    record = owing(payments, subscriber(payments))
    since, delays, states = record.owing_since, GROWTH.delays, [record.state]
    assert since == BEGUN + timedelta(days=15)
    for days in (delays.limited_after, delays.suspended_after, delays.closing_after):
        before = find_tenant(record.pk)
        payments.advance(
            record.test_clock_id, since + timedelta(days=days, hours=-1) - BEGUN - elapsed(payments, record)
        )
        hour_of(record.pk)
        assert find_tenant(record.pk).state == before.state
        payments.advance(record.test_clock_id, timedelta(hours=1))
        hour_of(record.pk)
        states.append(find_tenant(record.pk).state)
    assert states == ["past_due", "limited", "suspended", "closing"]
    closed = find_tenant(record.pk)
    assert closed.subscription_status == "canceled"
    assert payments.client.v1.subscriptions.retrieve(record.subscription_id).status == "canceled"
    assert closed.erase_after == since + timedelta(days=delays.closing_after + delays.erased_after)


def elapsed(payments, record) -> timedelta:
    clock = payments.client.v1.test_helpers.test_clocks.retrieve(record.test_clock_id)
    return timedelta(seconds=clock.frozen_time - BEGUN.timestamp())


def test_paying_brings_a_suspended_tenant_back_at_once(payments, clocks):
    record = owing(payments, subscriber(payments))
    payments.advance(record.test_clock_id, timedelta(days=GROWTH.delays.suspended_after))
    hour_of(record.pk)
    assert find_tenant(record.pk).state == "suspended"
    payments.card(record.customer_id, declines=False)
    for invoice in payments.client.v1.invoices.list({"customer": record.customer_id, "status": "open"}).data:
        payments.client.v1.invoices.pay(invoice.id)
    hour_of(record.pk)
    assert (find_tenant(record.pk).state, find_tenant(record.pk).owing_since) == ("active", None)
    assert {invoice.status for invoice in invoices_of(payments, record)} == {"paid"}, "also of the periods since"


def test_what_is_declined_of_the_periods_since_is_left_to_be_paid_in_the_portal(payments, clocks):
    record = owing(payments, subscriber(payments))
    payments.advance(record.test_clock_id, timedelta(days=40))
    hour_of(record.pk)
    assert "draft" in {invoice.status for invoice in invoices_of(payments, record)}
    payments.card(record.customer_id, declines=False)
    for invoice in payments.client.v1.invoices.list({"customer": record.customer_id, "status": "open"}).data:
        payments.client.v1.invoices.pay(invoice.id)
    payments.card(record.customer_id, declines=True)
    for _ in range(2):
        hour_of(record.pk)
    assert [invoice.status for invoice in invoices_of(payments, record)] == ["open", "paid", "paid"]
    assert find_tenant(record.pk).state != "active"
    payments.card(record.customer_id, declines=False)
    payments.client.v1.invoices.pay(invoices_of(payments, record)[0].id)
    hour_of(record.pk)
    assert find_tenant(record.pk).state == "active"


def invoices_of(payments, record):
    return payments.client.v1.invoices.list({"customer": record.customer_id}).data


def test_while_stripe_is_down_time_alone_moves_nobody(payments, clocks):
    record = owing(payments, subscriber(payments))
    payments.advance(record.test_clock_id, timedelta(days=40))
    payments.fail("/v1/subscriptions/*", times=3)
    with pytest.raises(stripe.APIConnectionError):
        hour_of(record.pk)
    assert find_tenant(record.pk).state == "past_due"


def test_while_stripe_does_not_know_the_subscription_time_alone_moves_nobody(payments, clocks):
    record = owing(payments, subscriber(payments))
    payments.advance(record.test_clock_id, timedelta(days=40))
    changed(record, subscription_id="sub_of_another_account")
    hour_of(record.pk)
    assert find_tenant(record.pk).state == "past_due"


def test_a_closing_tenant_whose_cancellation_was_lost_is_cancelled(payments):
    record = changed(subscriber(payments), state="closing", closing_at=utc_now(), erase_after=utc_now())
    changed(record, erase_after=utc_now() + timedelta(days=30))
    hour_of(record.pk)
    assert find_tenant(record.pk).subscription_status == "canceled"
    assert messages("leaving") == [{"tenant_id": record.pk, "action": "expire_exports"}]


def closing(payments, record, *, due_in: timedelta):
    """The tenant once it has left, with its erasure due some time from now."""
    payments.client.v1.subscriptions.cancel(record.subscription_id)
    follow(record.subscription_id)
    return changed(find_tenant(record.pk), erase_after=utc_now() + due_in)


def test_a_closing_tenant_that_paid_to_return_is_not_erased_though_nobody_told_us(payments):
    record = closing(payments, subscriber(payments), due_in=timedelta(days=1))
    page = open_checkout(find_tenant(record.pk), GROWTH, interval="month")
    payments.pay(page.url)
    changed(find_tenant(record.pk), erase_after=utc_now())
    messages("leaving")
    hour_of(record.pk)
    back = find_tenant(record.pk)
    assert (back.state, back.erase_after) == ("active", None)
    assert messages("leaving") == []


def test_a_closing_tenant_is_erased_when_its_time_is_over_and_not_before(payments):
    record = closing(payments, subscriber(payments), due_in=timedelta(days=1))
    hour_of(record.pk)
    assert messages("leaving") == [{"tenant_id": record.pk, "action": "expire_exports"}]
    changed(find_tenant(record.pk), erase_after=utc_now())
    hour_of(record.pk)
    assert messages("leaving") == [{"tenant_id": record.pk, "action": "erase"}]


def test_nobody_can_pay_any_more_for_a_tenant_that_is_about_to_be_erased(payments):
    record = closing(payments, subscriber(payments), due_in=timedelta(days=1))
    page = open_checkout(record, GROWTH, interval="month")
    changed(find_tenant(record.pk), erase_after=utc_now())
    hour_of(record.pk)
    assert messages("leaving") == [{"tenant_id": record.pk, "action": "erase"}]
    assert payments.client.v1.checkout.sessions.retrieve(page.session_id).status == "expired"


def test_a_legal_hold_keeps_a_tenant_from_being_erased(payments):
    record = closing(payments, subscriber(payments), due_in=timedelta(days=-1))
    changed(record, legal_hold={"reason": "dispute"})
    hour_of(record.pk)
    assert messages("leaving") == [{"tenant_id": record.pk, "action": "expire_exports"}]


def test_an_erasure_that_came_to_a_halt_is_set_going_again(payments):
    record = pending(state="closing", erasure={"begun": {}}, customer_id="cus_gone")
    hour_of(record.pk)
    assert messages("leaving") == [{"tenant_id": record.pk, "action": "erase"}]


def test_an_erased_tenant_and_a_forgotten_sign_up_have_no_hour(payments):
    record = pending(state="erased", subscription_id="sub_1")
    hour_of(record.pk)
    record.delete()
    hour_of(record.pk)
    assert messages("leaving") == messages("billing") == []


def test_the_hour_is_counted_and_a_tenant_that_is_being_set_up_has_none(payments):
    record = subscriber(payments)
    hour_of(record.pk)
    assert hours_of(record.pk, limit=5, cursor=None)[0] == []
    provision(record.pk)
    hour_of(record.pk)
    hour_of(record.pk)
    (hour,) = hours_of(record.pk, limit=5, cursor=None)[0]
    assert (hour.open_cases, hour.included) == (0, GROWTH.entitlements.active_cases)


def test_usage_that_cannot_be_counted_does_not_keep_the_state_from_being_right(payments, monkeypatch):
    record = subscriber(payments)
    changed(record, ready=True)
    payments.client.v1.subscriptions.update(record.subscription_id, {"trial_end": "now"})

    def broken(*_, **__):
        raise stripe.APIConnectionError("no meter today")

    monkeypatch.setattr(hourly, "open_tenant", lambda tenant_id: tenant_id)
    monkeypatch.setattr(hourly, "count_hour", broken)
    with pytest.raises(stripe.APIConnectionError):
        hour_of(record.pk)
    assert find_tenant(record.pk).state == "active"


def test_a_tenant_from_before_terms_were_kept_is_counted_by_those_it_gets(payments):
    record, model = subscriber(payments), records()
    provision(record.pk)
    find_tenant(record.pk).update(actions=[model.terms.remove(), model.subscription_status.remove()])
    hour_of(record.pk)
    (hour,) = hours_of(record.pk, limit=5, cursor=None)[0]
    assert hour.included == GROWTH.entitlements.active_cases


def test_a_returned_tenant_is_looked_at_as_any_other(payments):
    record = closing(payments, subscriber(payments), due_in=timedelta(days=5))
    back = subscribe(payments, record)
    hour_of(record.pk)
    assert (find_tenant(record.pk).state, find_tenant(record.pk).subscription_id) == ("active", back.subscription_id)
