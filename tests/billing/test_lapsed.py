"""A sign-up that nobody paid is forgotten at Stripe and here, and never while somebody may still pay or has."""

from datetime import timedelta

import pytest
import stripe

from chalicelib.billing import checkout, find_plan, hourly, lapsed, open_checkout
from chalicelib.billing.customers import ensure_customer
from chalicelib.billing.handlers import bill
from chalicelib.billing.hourly import hour_of
from chalicelib.billing.lapsed import forget_if_over
from chalicelib.platform.clock import utc_now
from chalicelib.platform.errors import Conflict, NotFound
from chalicelib.tenancy import find_tenant, pending_members, records
from tests.billing.payments import messages
from tests.billing.subscribers import Killed, Saboteur
from tests.billing.tenants import pending

GROWTH = find_plan("growth")


def sign_up(*, over: timedelta = timedelta(seconds=1), **members):
    """A sign-up with a proved mailbox whose time was over some time ago."""
    now = utc_now()
    return pending(claim_hash="hash", email_verified_at=now, **pending_members(now - over), **members)


def is_known(tenant_id: str) -> bool:
    try:
        return bool(find_tenant(tenant_id))
    except NotFound:
        return False


def at_checkout(record):
    page = open_checkout(record, GROWTH, interval="month")
    return page, find_tenant(record.pk)


def customers_of(payments, record) -> list[str]:
    found = payments.client.v1.customers.list({"email": record.owner_email}).data
    return [customer.id for customer in found]


def test_a_sign_up_that_nobody_paid_leaves_nothing_here_and_no_customer_at_stripe(payments):
    page, record = at_checkout(sign_up())
    assert customers_of(payments, record) == [record.customer_id]
    hour_of(record.pk)
    assert not is_known(record.pk)
    assert payments.client.v1.customers.retrieve(record.customer_id).deleted
    assert payments.client.v1.checkout.sessions.retrieve(page.session_id).status == "expired"


def test_the_hour_asks_for_it_once_its_time_is_over_and_not_before(payments, monkeypatch):
    # Nothing is held back, however many tenants other tests have left in the registry.
    monkeypatch.setattr(hourly, "_SECONDS_APART", 0)
    over, lasting = sign_up(), sign_up(over=timedelta(hours=-1))
    messages("billing")
    bill({"source": "aws.events"}, None)
    asked = {message["tenant_id"] for message in messages("billing")}
    assert (over.pk in asked, lasting.pk in asked) == (True, False)
    hour_of(lasting.pk)
    assert is_known(lasting.pk)


def test_a_customer_that_a_killed_call_made_and_did_not_note_is_found_and_deleted(payments):
    record = sign_up()
    ensure_customer(record)
    model = records()
    find_tenant(record.pk).update(actions=[model.customer_id.remove()])
    assert len(customers_of(payments, record)) == 1
    hour_of(record.pk)
    assert (customers_of(payments, record), is_known(record.pk)) == ([], False)


def test_another_sign_ups_customer_with_the_same_address_stays(payments):
    over = sign_up(owner_email="twice@harbour.example")
    lasting = sign_up(owner_email="twice@harbour.example", over=timedelta(days=-1))
    ensure_customer(over)
    kept = ensure_customer(lasting)
    hour_of(over.pk)
    assert customers_of(payments, lasting) == [kept]


def test_of_a_mailbox_that_was_never_proved_stripe_is_not_even_asked(no_stripe):
    model, record = records(), sign_up()
    record.update(actions=[model.email_verified_at.remove()])
    hour_of(record.pk)
    assert not is_known(record.pk)


def test_what_was_paid_at_the_last_moment_is_set_up_and_not_forgotten(payments):
    page, record = at_checkout(sign_up())
    payments.pay(page.url)
    hour_of(record.pk)
    taken = find_tenant(record.pk)
    assert (taken.state, taken.pending_until, taken.forget_after, taken.claim_hash) == ("trialing", None, None, "hash")


def test_a_payment_that_is_on_its_way_keeps_the_sign_up_and_its_customer(payments):
    page, record = at_checkout(sign_up())
    payments.pay(page.url)
    now = utc_now()
    forget_if_over(record.pk, now=now)  # Stripe says of the page that it is complete, and nothing is settled yet
    kept = find_tenant(record.pk)
    assert (kept.pending_until, kept.claim_hash) == (now + timedelta(days=1), "hash")
    assert kept.forget_after == int((now + timedelta(days=8)).timestamp())
    assert customers_of(payments, record) == [record.customer_id]


def test_a_page_that_is_paid_while_it_is_being_closed_stops_the_forgetting(payments, monkeypatch):
    page, record = at_checkout(sign_up())
    find = checkout.find_session

    def overtaken(session_id):
        session = find(session_id)
        payments.pay(page.url)
        return session

    monkeypatch.setattr(checkout, "find_session", overtaken)
    with pytest.raises(Conflict):
        forget_if_over(record.pk, now=utc_now())
    assert find_tenant(record.pk).claim_hash == "hash"


def test_who_goes_on_with_a_sign_up_at_that_very_moment_keeps_it(payments, monkeypatch):
    _, record = at_checkout(sign_up())

    def overtaken(record) -> bool:
        model = records()
        model(record.pk, "tenant").update(actions=[model.version.add(1)])
        return True

    monkeypatch.setattr(lapsed, "close_unless_paid", overtaken)
    forget_if_over(record.pk, now=utc_now())
    assert find_tenant(record.pk).claim_hash == "hash"
    assert customers_of(payments, record) == [record.customer_id]


def test_while_stripe_is_down_nothing_is_forgotten_by_half(payments):
    _, record = at_checkout(sign_up())
    payments.fail("/v1/customers/*", times=3)
    with pytest.raises(stripe.APIConnectionError):
        hour_of(record.pk)
    assert is_known(record.pk)
    payments.mend()
    hour_of(record.pk)
    assert (is_known(record.pk), customers_of(payments, record)) == (False, [])


def test_killed_at_any_moment_the_next_hour_finishes(payments, monkeypatch):
    killed_at = 0
    while True:
        killed_at += 1
        _, record = at_checkout(sign_up())
        saboteur = Saboteur(killed_at)
        try:
            with saboteur.lurking(monkeypatch):
                hour_of(record.pk)
        except Killed:
            hour_of(record.pk)
            assert (is_known(record.pk), customers_of(payments, record)) == (False, [])
            continue
        break
    assert killed_at > 7
