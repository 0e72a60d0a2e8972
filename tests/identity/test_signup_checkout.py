"""From a proved mailbox to the payment page: left and gone back to, expired, at once, with Stripe down, or killed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from chalicelib.billing.errors import PaymentsUnavailable
from chalicelib.billing.process import follow_checkout
from chalicelib.identity import abuse, add_owner, people, signup
from chalicelib.identity.signup import claim, progress, verify
from chalicelib.platform.errors import Conflict, Gone, Invalid, NotFound
from chalicelib.platform.ids import new_id
from chalicelib.platform.settings import settings
from chalicelib.tenancy import find_tenant, records
from chalicelib.tenancy.provisioning import provision
from tests.billing.payments import Payments, no_stripe, payments, stripe_server  # noqa: F401 - fixtures
from tests.billing.subscribers import Killed, Saboteur
from tests.identity import crowd
from tests.identity.applicants import Applicant, apply, check_out, code_for, other_code, prove

DAY = timedelta(days=1)
PENDING_DAYS = timedelta(days=7)


@pytest.fixture
def applicant(payments, now) -> Applicant:  # noqa: F811
    return apply(now)


@pytest.fixture
def proved(applicant, now) -> Applicant:
    return prove(applicant, now)


def session_of(payments: Payments, applicant: Applicant):  # noqa: F811
    return payments.client.v1.checkout.sessions.retrieve(applicant.record.checkout_session_id)


def test_the_page_is_for_what_was_chosen_and_leads_back_to_the_sign_up(payments, proved):  # noqa: F811
    session, record = session_of(payments, proved), proved.record
    assert (session.status, session.url) == ("open", proved.page)
    assert (session.client_reference_id, session.customer) == (record.pk, record.customer_id)
    assert (session.currency, session.locale) == ("cny", "zh")
    assert session.metadata.to_dict() == {"tenant_id": record.pk, "plan": "growth", "interval": "month", "seats": "0"}
    assert session.success_url == f"{settings().public_url}/signup/{record.pk}?checkout=completed"
    assert session.cancel_url == f"{settings().public_url}/signup/{record.pk}?checkout=cancelled"


def test_a_year_is_paid_by_the_year(payments, now):  # noqa: F811
    yearly = prove(apply(now, interval="year", plan="starter"), now)
    assert session_of(payments, yearly).metadata["interval"] == "year"


def test_nobody_gets_to_the_page_before_the_mailbox_is_proved(payments, applicant, now):  # noqa: F811
    with pytest.raises(Conflict) as early:
        check_out(applicant, now)
    assert early.value.problem()["rule"] == "email_unverified"
    with pytest.raises(Invalid):
        verify(applicant.tenant_id, applicant.token, other_code(code_for(applicant.email)), now=now)
    with pytest.raises(Conflict):
        check_out(applicant, now)
    assert applicant.record.customer_id is None


def test_a_checkout_that_was_left_is_gone_back_to(payments, proved, now):  # noqa: F811
    for later in (now, now + timedelta(minutes=1), now + timedelta(hours=20)):
        assert check_out(proved, later) == proved.page
    (only,) = payments.client.v1.checkout.sessions.list({"customer": proved.record.customer_id}).data
    assert only.url == proved.page


def test_a_checkout_that_has_expired_is_replaced(payments, proved, now):  # noqa: F811
    expired = proved.record.checkout_session_id
    payments.client.v1.checkout.sessions.expire(expired)
    page = check_out(proved, now + DAY)
    assert page != proved.page
    assert (session_of(payments, proved).id != expired, session_of(payments, proved).url) == (True, page)
    assert check_out(proved, now + DAY) == page


def test_going_to_the_checkout_keeps_the_sign_up_for_another_week(proved, now):
    assert proved.record.pending_until == now + PENDING_DAYS
    check_out(proved, now + 6 * DAY)
    assert proved.record.pending_until == now + 13 * DAY
    assert proved.record.forget_after == int((now + 20 * DAY).timestamp()), "DynamoDB comes a week after the hour"


def test_a_sign_up_whose_time_is_over_is_as_good_as_forgotten(proved, now):
    over = now + PENDING_DAYS
    for verb in (check_out, lambda applicant, at: progress(applicant.tenant_id, applicant.token, now=at)):
        verb(proved, over - timedelta(seconds=1))
        model = records()
        proved.record.update(actions=[model.pending_until.set(over)])
        with pytest.raises(NotFound):
            verb(proved, over)
    assert proved.record.pending_until == over


def test_what_is_paid_is_not_forgotten_and_needs_no_checkout_any_more(payments, proved, now):  # noqa: F811
    payments.pay(proved.page)
    with pytest.raises(Conflict, match="completed"):
        check_out(proved, now)
    follow_checkout(proved.record.checkout_session_id)
    record = proved.record
    assert (record.state, record.pending_until, record.forget_after) == ("trialing", None, None)
    with pytest.raises(Conflict) as late:
        check_out(proved, now)
    assert late.value.problem()["state"] == "trialing"
    with pytest.raises(Conflict):
        verify(proved.tenant_id, proved.token, "000000", now=now)
    assert proved.record.forget_after is None


def test_a_tenant_that_subscribes_at_the_very_moment_is_not_marked_to_be_forgotten(payments, proved, now, monkeypatch):  # noqa: F811
    """Its record would be deleted a week later, with all that it is needed for."""

    def overtaken(*arguments, **options) -> None:
        payments.pay(proved.page)
        follow_checkout(proved.record.checkout_session_id)

    monkeypatch.setattr(abuse, "admit_checkout", overtaken)
    with pytest.raises(Conflict):
        check_out(proved, now)
    assert (proved.record.state, proved.record.forget_after) == ("trialing", None)


def test_a_sign_up_that_is_forgotten_at_the_very_moment_comes_not_half_back(payments, proved, now, monkeypatch):  # noqa: F811
    monkeypatch.setattr(abuse, "admit_checkout", lambda *_, **__: proved.record.delete())
    with pytest.raises(Conflict):
        check_out(proved, now)
    with pytest.raises(NotFound):
        find_tenant(proved.tenant_id)
    with pytest.raises(NotFound):
        progress(proved.tenant_id, proved.token, now=now)


def test_with_stripe_down_the_mailbox_stays_proved_and_the_checkout_opens_later(no_stripe, now):  # noqa: F811
    applicant = apply(now)
    with pytest.raises(PaymentsUnavailable):
        prove(applicant, now)
    assert (applicant.record.email_verified_at, applicant.record.state) == (now, "pending")
    with pytest.raises(PaymentsUnavailable):
        check_out(applicant, now)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_stripe_that_does_not_answer_once_is_asked_again(payments, applicant, now, when):  # noqa: F811
    payments.fail("/v1/checkout/sessions", when=when, method="POST")
    with pytest.raises(PaymentsUnavailable):
        prove(applicant, now)
    page = check_out(applicant, now)
    (only,) = payments.client.v1.checkout.sessions.list({"customer": applicant.record.customer_id}).data
    assert only.url == page


def test_many_that_go_to_the_checkout_at_once_get_one_page(payments, proved, now):  # noqa: F811
    payments.client.v1.checkout.sessions.expire(proved.record.checkout_session_id)

    def page(_: int) -> str | None:
        try:
            return check_out(proved, now)
        except (Conflict, PaymentsUnavailable):  # Stripe takes no call that it is still at under another's same key
            return None

    with ThreadPoolExecutor(4) as pool:
        pages = {found for found in pool.map(page, range(4)) if found}
    assert len(pages) == 1
    found = payments.client.v1.checkout.sessions.list({"customer": proved.record.customer_id, "status": "open"}).data
    assert [session.url for session in found] == list(pages)


def test_that_somebody_has_the_address_already_is_said_only_to_whoever_has_the_mailbox(payments, now):  # noqa: F811
    applicant = apply(now)
    add_owner(new_id("ten"), applicant.email.upper())
    with pytest.raises(Conflict) as unproved:
        check_out(applicant, now)
    assert unproved.value.problem()["rule"] == "email_unverified"
    with pytest.raises(Conflict) as taken:
        prove(applicant, now)
    assert taken.value.problem()["rule"] == "email_taken"
    assert applicant.email not in str(taken.value.problem())
    assert (applicant.record.customer_id, applicant.record.checkout_session_id) == (None, None)


def test_of_two_sign_ups_with_one_address_the_second_cannot_be_paid_beside_the_first(payments, proved, now):  # noqa: F811
    second = apply(now, email=proved.email)
    with pytest.raises(Conflict) as waits:
        prove(second, now)
    assert waits.value.problem()["rule"] == "email_at_checkout"
    assert second.record.email_verified_at == now
    assert second.record.customer_id is None, "nothing could be paid there"
    assert check_out(proved, now) == proved.page

    payments.pay(proved.page)
    follow_checkout(proved.record.checkout_session_id)
    provision(proved.tenant_id)
    with pytest.raises(Conflict) as taken:
        check_out(second, now + 2 * DAY)
    assert taken.value.problem()["rule"] == "email_taken"


def test_nobody_invites_an_address_that_is_being_paid_for_so_what_is_paid_can_be_set_up(payments, proved, now):  # noqa: F811
    owner = crowd.owner_of(new_id("ten"), now)
    answers = []
    for taken in (proved.email.upper(), crowd.owner_of(new_id("ten"), now).email):
        with pytest.raises(Conflict) as refused:
            crowd.invited(owner.tenant_id, "collector", crowd.caller(owner), now, email=taken)
        answers.append(refused.value.problem())
    assert answers[0] == answers[1], "that somebody is signing up is not told"
    assert crowd.counted(owner.tenant_id) == (1, 1, 1)

    payments.pay(proved.page)
    follow_checkout(proved.record.checkout_session_id)
    provision(proved.tenant_id)
    assert people.find_by_email(proved.email).tenant_id == proved.tenant_id


def test_an_address_that_was_not_paid_for_can_be_invited_once_the_page_has_closed(proved, now):
    owner = crowd.owner_of(new_id("ten"), now)
    later = now + DAY + timedelta(hours=2)
    assert crowd.invited(owner.tenant_id, "collector", crowd.caller(owner), later, email=proved.email).pk


def test_an_invitation_at_the_very_moment_of_the_checkout_is_found_by_it(payments, now, monkeypatch):  # noqa: F811
    applicant, owner = apply(now), crowd.owner_of(new_id("ten"), now)
    admit = abuse.admit_checkout

    def overtaken(*arguments, **options) -> None:
        crowd.invited(owner.tenant_id, "collector", crowd.caller(owner), now, email=applicant.email)
        admit(*arguments, **options)

    monkeypatch.setattr(abuse, "admit_checkout", overtaken)
    with pytest.raises(Conflict) as taken:
        prove(applicant, now)
    assert taken.value.problem()["rule"] == "email_taken"
    assert applicant.record.customer_id is None, "nothing could be paid there"


def test_who_lost_the_first_sign_up_pays_for_the_second_once_the_firsts_page_has_closed(payments, proved, now):  # noqa: F811
    second = apply(now, email=proved.email)
    with pytest.raises(Conflict):
        prove(second, now)
    payments.client.v1.checkout.sessions.expire(proved.record.checkout_session_id)
    assert check_out(second, now + DAY + timedelta(hours=1))
    with pytest.raises(Conflict):
        check_out(proved, now + DAY + timedelta(hours=2))


def test_from_form_to_key(payments, proved, now):  # noqa: F811
    payments.pay(proved.page)
    follow_checkout(proved.record.checkout_session_id)
    provision(proved.tenant_id)
    done = progress(proved.tenant_id, proved.token, now=now)
    assert (done.email_verified, done.state, done.ready, done.claimed) == (True, "trialing", True, False)
    assert done.steps_done == done.steps_total
    assert claim(proved.tenant_id, proved.token, now=now).text
    with pytest.raises(Gone):
        claim(proved.tenant_id, proved.token, now=now)


def test_killed_at_any_moment_between_code_and_page_it_is_gone_on_with_by_the_same_code(payments, now, monkeypatch):  # noqa: F811
    killed_at = 0
    while True:
        killed_at += 1
        applicant, saboteur = apply(now), Saboteur(killed_at)
        code = code_for(applicant.email)
        try:
            with saboteur.lurking(monkeypatch):
                verify(applicant.tenant_id, applicant.token, code, now=now)
        except Killed:
            page = verify(applicant.tenant_id, applicant.token, code, now=now)
            assert session_of(payments, applicant).url == page
            record = applicant.record
            assert (record.email_verified_at, record.verification) == (now, None)
            assert record.pending_until == now + PENDING_DAYS
            (customer,) = payments.client.v1.customers.list({"email": applicant.email}).data
            (session,) = payments.client.v1.checkout.sessions.list({"customer": customer.id}).data
            assert (session.status, record.customer_id) == ("open", customer.id)
            continue
        break
    assert killed_at > 8


def test_another_code_is_asked_for_again_wherever_sending_it_was_killed(payments, now, monkeypatch):  # noqa: F811
    killed_at = 0
    while True:
        killed_at += 1
        applicant, saboteur = apply(now), Saboteur(killed_at)
        try:
            with saboteur.lurking(monkeypatch):
                signup.send_code(applicant.tenant_id, applicant.token, now=now)
        except Killed:
            signup.send_code(applicant.tenant_id, applicant.token, now=now)
            assert prove(applicant, now).page
            continue
        break
    assert killed_at > 3


def test_a_plan_that_is_sold_no_longer_is_said_to_be_so_at_the_checkout(payments, applicant, now):  # noqa: F811
    applicant.record.update(actions=[records().plan.set("retired")])
    with pytest.raises(Invalid) as refused:
        prove(applicant, now)
    assert refused.value.pointer == "/plan"
