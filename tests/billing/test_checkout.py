import pytest
import stripe

from chalicelib.billing import checkout, customers, find_plan, open_checkout
from chalicelib.billing.errors import PaymentsUnavailable
from chalicelib.billing.follow import Outcome, follow
from chalicelib.billing.process import follow_checkout
from chalicelib.platform.errors import Conflict, Invalid, NotFound
from chalicelib.tenancy import find_tenant, records
from tests.billing.payments import messages
from tests.billing.subscribers import Killed, Saboteur
from tests.billing.tenants import BEGUN, pending, subscriber

GROWTH, ENTERPRISE = find_plan("growth"), find_plan("enterprise")


def customers_of(payments, record):
    return payments.client.v1.customers.list({"email": record.owner_email}).data


def sessions_of(payments, record, **asked):
    customer_id = find_tenant(record.pk).customer_id
    return payments.client.v1.checkout.sessions.list({"customer": customer_id, **asked}).data


def test_a_tenant_gets_a_customer_and_one_page_to_pay_on(payments):
    record = pending()
    page = open_checkout(record, GROWTH, interval="month")
    noted = find_tenant(record.pk)
    customer = payments.client.v1.customers.retrieve(noted.customer_id)
    assert (customer.email, customer.name) == (record.owner_email, "Harbour Bank")
    assert (customer.metadata.to_dict(), customer.preferred_locales) == ({"tenant_id": record.pk}, ["zh"])
    assert customer.test_clock is None
    assert noted.checkout_session_id == page.session_id
    assert page.url.startswith(payments.url)
    session = payments.client.v1.checkout.sessions.retrieve(page.session_id)
    assert (session.customer, session.client_reference_id, session.locale) == (noted.customer_id, record.pk, "zh")
    assert session.automatic_tax.enabled
    assert session.billing_address_collection == "required"
    assert session.success_url.endswith(f"/signup/{record.pk}?checkout=completed")


@pytest.mark.parametrize(("interval", "seats"), [("month", 0), ("year", 3)])
def test_the_page_is_for_the_plan_the_seats_and_what_is_used_beyond(payments, interval, seats):
    page = open_checkout(pending(), GROWTH, interval=interval, seats=seats)
    session = payments.client.v1.checkout.sessions.retrieve(page.session_id, {"expand": ["line_items"]})
    items = {item.price.lookup_key: item.to_dict().get("quantity") for item in session.line_items.data}
    assert items == {
        f"growth_{interval}_cny": 1,
        f"growth_overage_{interval}_cny": None,
        **({f"growth_seat_{interval}_cny": 3} if seats else {}),
    }


def test_a_subscription_bills_what_was_used_before_a_change_of_plan(payments):
    mode = payments.client.v1.subscriptions.retrieve(subscriber(payments).subscription_id).billing_mode
    assert mode.type == "flexible"


def test_what_was_offered_is_kept_with_the_tenant(payments):
    record = pending()
    open_checkout(record, GROWTH, interval="month")
    assert find_tenant(record.pk).terms == GROWTH.terms.model_dump(mode="json")


def test_a_page_that_was_left_is_found_again(payments):
    record = pending()
    page = open_checkout(record, GROWTH, interval="month")
    assert open_checkout(find_tenant(record.pk), GROWTH, interval="month") == page
    assert len(customers_of(payments, record)) == len(sessions_of(payments, record)) == 1


def test_a_page_that_expired_is_replaced(payments):
    record = pending()
    first = open_checkout(record, GROWTH, interval="month")
    payments.client.v1.checkout.sessions.expire(first.session_id)
    second = open_checkout(find_tenant(record.pk), GROWTH, interval="month")
    assert second.session_id != first.session_id
    assert find_tenant(record.pk).checkout_session_id == second.session_id
    assert len(customers_of(payments, record)) == 1


@pytest.mark.parametrize(
    ("plan", "interval", "seats"), [("starter", "month", 0), ("growth", "year", 0), ("growth", "month", 1)]
)
def test_another_choice_closes_the_page_of_the_first(payments, plan, interval, seats):
    record = pending()
    first = open_checkout(record, GROWTH, interval="month")
    second = open_checkout(find_tenant(record.pk), find_plan(plan), interval=interval, seats=seats)
    assert [session.id for session in sessions_of(payments, record, status="open")] == [second.session_id]
    assert payments.client.v1.checkout.sessions.retrieve(first.session_id).status == "expired"


def test_a_page_that_was_paid_is_not_opened_again_and_its_event_is_made_good(payments):
    record = pending()
    page = open_checkout(record, GROWTH, interval="month")
    payments.pay(page.url)
    messages("billing")
    with pytest.raises(Conflict, match="is completed"):
        open_checkout(find_tenant(record.pk), find_plan("starter"), interval="month")
    assert messages("billing") == [{"tenant_id": record.pk, "action": "checkout"}]


def test_a_page_whose_subscription_ended_before_anybody_was_taken_on_is_replaced(payments):
    record = pending()
    page = open_checkout(record, GROWTH, interval="month")
    payments.pay(page.url)
    paid = payments.client.v1.checkout.sessions.retrieve(page.session_id)
    payments.client.v1.subscriptions.cancel(paid.subscription)
    follow_checkout(page.session_id)
    again = open_checkout(find_tenant(record.pk), GROWTH, interval="month")
    payments.pay(again.url)
    follow_checkout(again.session_id)
    assert find_tenant(record.pk).state == "trialing"


def test_a_page_that_is_paid_while_another_is_asked_for_is_not_replaced(payments, monkeypatch):
    record = pending()
    page = open_checkout(record, GROWTH, interval="month")
    found = checkout.find_session

    def paid_after_the_look(session_id):
        session = found(session_id)
        if session.status == "open":
            payments.pay(page.url)
        return session

    monkeypatch.setattr(checkout, "find_session", paid_after_the_look)
    with pytest.raises(Conflict, match="is completed"):
        open_checkout(find_tenant(record.pk), find_plan("starter"), interval="month")
    assert len(sessions_of(payments, record)) == 1


def test_two_that_open_at_once_get_the_same_page_and_one_customer(payments, monkeypatch):
    record, stale = pending(), None
    note, pages = customers._note, []

    def overtaken(*arguments):
        monkeypatch.setattr(customers, "_note", note)
        pages.append(open_checkout(find_tenant(record.pk), GROWTH, interval="month"))
        return note(*arguments)

    monkeypatch.setattr(customers, "_note", overtaken)
    stale = find_tenant(record.pk)
    pages.append(open_checkout(stale, GROWTH, interval="month"))
    assert pages[0] == pages[1]
    assert len(customers_of(payments, record)) == len(sessions_of(payments, record)) == 1


def test_of_two_choices_at_once_one_is_refused_and_its_page_closed(payments, monkeypatch):
    record = pending()
    open_checkout(record, GROWTH, interval="month")
    stale, note, pages = find_tenant(record.pk), checkout._note, []

    def overtaken(*arguments):
        monkeypatch.setattr(checkout, "_note", note)
        pages.append(open_checkout(find_tenant(record.pk), find_plan("starter"), interval="month"))
        return note(*arguments)

    monkeypatch.setattr(checkout, "_note", overtaken)
    with pytest.raises(Conflict, match="at the same time"):
        open_checkout(stale, GROWTH, interval="year")
    assert [session.id for session in sessions_of(payments, record, status="open")] == [pages[0].session_id]
    assert find_tenant(record.pk).checkout_session_id == pages[0].session_id


CALLS = ["/v1/test_helpers/test_clocks", "/v1/customers", "/v1/prices", "/v1/checkout/sessions"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize("how", ["timeout", "500"])
def test_whichever_call_stripe_does_not_answer_the_next_try_finds_what_was_made(payments, clocks, path, when, how):
    record = pending()
    payments.fail(path, how, when=when)
    with pytest.raises(PaymentsUnavailable):
        open_checkout(find_tenant(record.pk), GROWTH, interval="month")
    page = open_checkout(find_tenant(record.pk), GROWTH, interval="month")
    noted = find_tenant(record.pk)
    (customer,) = customers_of(payments, record)
    (session,) = sessions_of(payments, record)
    assert (noted.customer_id, noted.test_clock_id) == (customer.id, customer.test_clock)
    assert noted.checkout_session_id == session.id == page.session_id
    clocks = payments.client.v1.test_helpers.test_clocks.list({"limit": 100}).auto_paging_iter()
    assert len([clock for clock in clocks if clock.name == record.pk]) == 1


@pytest.mark.parametrize("step", ["customers._note", "checkout._note"])
def test_a_worker_killed_before_it_noted_what_it_made_is_made_good(payments, monkeypatch, step):
    record = pending()

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(f"chalicelib.billing.{step}", killed)
        with pytest.raises(KeyboardInterrupt):
            open_checkout(find_tenant(record.pk), GROWTH, interval="month")
    page = open_checkout(find_tenant(record.pk), GROWTH, interval="month")
    (session,) = sessions_of(payments, record)
    assert len(customers_of(payments, record)) == 1
    assert (session.id, session.status) == (page.session_id, "open")


def test_on_test_clocks_every_customer_has_its_own(payments, clocks):
    first, second = pending(), pending()
    for record in (first, second):
        open_checkout(record, GROWTH, interval="month")
        clock = payments.client.v1.test_helpers.test_clocks.retrieve(find_tenant(record.pk).test_clock_id)
        assert (clock.name, clock.frozen_time) == (record.pk, BEGUN.timestamp())
    assert find_tenant(first.pk).test_clock_id != find_tenant(second.pk).test_clock_id


def test_a_declined_card_leaves_the_page_open_and_the_tenant_pending(payments):
    record = pending()
    page = open_checkout(record, GROWTH, interval="month")
    payments.pay(page.url, card="declined")
    assert follow_checkout(page.session_id) == "not-settled"
    assert find_tenant(record.pk).state == "pending"
    assert open_checkout(find_tenant(record.pk), GROWTH, interval="month") == page


@pytest.mark.parametrize("state", ["trialing", "active", "past_due", "limited", "suspended", "erased"])
def test_a_tenant_that_has_subscribed_or_is_gone_gets_no_page(payments, state):
    with pytest.raises(Conflict, match=f"that is {state} cannot subscribe"):
        open_checkout(pending(state=state), GROWTH, interval="month")


def test_a_closing_tenant_returns_on_a_page_without_a_trial(payments):
    record = subscriber(payments)
    payments.client.v1.subscriptions.cancel(record.subscription_id)
    model = records()
    record.update(actions=[model.state.set("closing"), model.subscription_status.set("canceled")])
    page = open_checkout(find_tenant(record.pk), GROWTH, interval="month")
    session = payments.client.v1.checkout.sessions.retrieve(page.session_id)
    assert (session.customer, session.amount_total) == (record.customer_id, GROWTH.price("CNY").amount)
    assert "/signup/" not in session.success_url
    assert open_checkout(find_tenant(record.pk), GROWTH, interval="month") == page


def test_a_tenant_whose_customer_was_deleted_at_stripe_by_hand_subscribes_anew_as_another(payments):
    record = subscriber(payments, "enterprise")
    payments.client.v1.customers.delete(record.customer_id)
    follow(record.subscription_id)
    closing = find_tenant(record.pk)
    assert (closing.state, closing.customer_id) == ("closing", record.customer_id)

    page = open_checkout(closing, ENTERPRISE, interval="month")
    assert open_checkout(find_tenant(record.pk), ENTERPRISE, interval="month") == page
    follow(record.subscription_id)  # an event that comes late brings the old one not back
    payments.pay(page.url)
    follow_checkout(page.session_id)
    returned = find_tenant(record.pk)
    assert (returned.state, returned.customer_id != record.customer_id) == ("active", True)
    customer = payments.client.v1.customers.retrieve(returned.customer_id)
    assert customer.metadata.to_dict() == {"tenant_id": record.pk}


def test_the_page_of_a_customer_who_was_deleted_is_replaced_though_it_is_open(payments):
    record = pending()
    first = open_checkout(record, GROWTH, interval="month")
    payments.client.v1.customers.delete(find_tenant(record.pk).customer_id)
    second = open_checkout(find_tenant(record.pk), GROWTH, interval="month")
    assert second.session_id != first.session_id
    assert payments.client.v1.checkout.sessions.retrieve(first.session_id).status == "expired"
    payments.pay(second.url)
    assert follow_checkout(second.session_id) is Outcome.SETTLED


def test_one_who_was_killed_in_replacing_a_customer_and_the_next_get_the_same(payments, monkeypatch):
    record = pending()
    open_checkout(record, GROWTH, interval="month")
    payments.client.v1.customers.delete(find_tenant(record.pk).customer_id)
    for killed_at in range(1, 20):
        saboteur = Saboteur(killed_at)
        try:
            with saboteur.lurking(monkeypatch):
                open_checkout(find_tenant(record.pk), GROWTH, interval="month")
        except Killed:
            continue
        break
    [customer] = customers_of(payments, record)
    assert find_tenant(record.pk).customer_id == customer.id
    assert len(sessions_of(payments, record, status="open")) == 1


def test_a_customer_that_stripe_knows_nothing_of_is_not_replaced(payments):
    """It is another account's, whose key was put in by mistake."""
    record = pending(customer_id="cus_of_another_account")
    with pytest.raises(PaymentsUnavailable):
        open_checkout(record, GROWTH, interval="month")
    assert find_tenant(record.pk).customer_id == "cus_of_another_account"


def test_a_closing_tenant_whose_subscription_goes_on_waits_for_its_end(payments):
    record = subscriber(payments)
    record.update(actions=[records().state.set("closing")])
    with pytest.raises(Conflict, match="still being cancelled"):
        open_checkout(record, GROWTH, interval="month")


def test_a_tenant_whose_erasure_has_begun_does_not_return(payments):
    with pytest.raises(Conflict, match="that is closing cannot"):
        open_checkout(pending(state="closing", erasure={"begun": {}}), GROWTH, interval="month")


def test_a_tenant_whose_erasure_is_due_pays_for_nothing_any_more(payments):
    due = {"state": "closing", "subscription_status": "canceled", "erase_after": BEGUN}
    with pytest.raises(Conflict, match="about to be erased"):
        open_checkout(pending(**due), GROWTH, interval="month")
    held = pending(**due, legal_hold={"reason": "dispute"})
    assert open_checkout(held, GROWTH, interval="month").url


def test_an_address_that_stripe_refuses_is_told_where_it_was_given(payments):
    with pytest.raises(Invalid) as refused:
        open_checkout(pending(owner_email="nobody"), GROWTH, interval="month")
    assert refused.value.pointer == "/email"


def test_a_currency_that_the_plan_is_not_sold_in_is_refused(payments):
    with pytest.raises(Invalid, match="CNY, USD, GBP, EUR are accepted"):
        open_checkout(pending(currency="TWD"), GROWTH, interval="month")


def test_a_sign_up_that_was_forgotten_meanwhile_gets_no_page(payments):
    record = pending()
    find_tenant(record.pk).delete()
    with pytest.raises(NotFound):
        open_checkout(record, GROWTH, interval="month")


def test_without_its_price_at_stripe_a_plan_cannot_be_paid_for(payments):
    price = payments.client.v1.prices.list({"lookup_keys": ["growth_overage_month_gbp"]}).data[0]
    payments.client.v1.prices.update(price.id, {"active": False})
    with pytest.raises(PaymentsUnavailable, match="cannot be paid for yet"):
        open_checkout(pending(currency="GBP"), GROWTH, interval="month")


def test_with_stripe_down_nothing_is_noted(no_stripe):
    record = pending()
    with pytest.raises(PaymentsUnavailable) as refused:
        open_checkout(record, GROWTH, interval="month")
    assert isinstance(refused.value.__cause__, stripe.APIConnectionError)
    assert (find_tenant(record.pk).customer_id, refused.value.status) == (None, 503)
