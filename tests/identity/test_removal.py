"""An address is kept by who has it, and by nobody else for long: what lapsed gives way, wherever it is killed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from chalicelib.identity import cognito, key_ring, membership, people, signup
from chalicelib.identity.removal import INVITATION_LASTS, make_way
from chalicelib.platform.errors import Conflict, Unauthenticated
from chalicelib.platform.ids import new_id
from tests.billing.payments import payments, stripe_server  # noqa: F401 - fixtures
from tests.billing.subscribers import Killed, Saboteur
from tests.identity import crowd
from tests.identity.applicants import apply, code_for, prove

A_MOMENT = timedelta(seconds=1)


@pytest.fixture
def first(aws, now):
    """The owner of a tenant that invites."""
    return crowd.owner_of(new_id("ten"), now)


@pytest.fixture
def second(aws, now):
    """The owner of another tenant, which wants the same people."""
    return crowd.owner_of(new_id("ten"), now)


def invited(owner, now, email: str, *, seats: int = 50, role="collector"):
    return crowd.invited(owner.tenant_id, role, crowd.caller(owner), now, email=email, seats=seats)


def test_an_invitation_that_nobody_followed_gives_way_to_another_tenants(first, second, now) -> None:
    stale = invited(first, now, crowd.address())
    cognito.create_user(stale.email)
    with pytest.raises(Conflict, match="cannot be used"):
        invited(second, now + INVITATION_LASTS - A_MOMENT, stale.email)

    later = now + INVITATION_LASTS
    anew = invited(second, later, stale.email.upper())

    assert people.find_by_email(stale.email).pk == anew.pk
    gone = membership.find_person(first.tenant_id, stale.pk)
    assert (gone.state, gone.removed_at) == ("removed", later)
    assert not cognito.has_user(stale.email), "what was sent with the lapsed invitation lets nobody in"
    for owner, seats in ((first, 1), (second, 2)):
        assert crowd.counted(owner.tenant_id) == crowd.recounted(owner.tenant_id) == (seats, 1, 1)


def test_an_invitation_that_was_sent_again_lasts_from_then(first, second, now) -> None:
    waiting = invited(first, now, crowd.address())
    waiting.update(actions=[type(waiting).invited_at.set(now + INVITATION_LASTS)])
    with pytest.raises(Conflict):
        invited(second, now + INVITATION_LASTS, waiting.email)


def test_who_was_invited_long_ago_still_joins_while_nobody_else_asks_for_the_address(first, second, now) -> None:
    late = crowd.joined(invited(first, now, crowd.address()), now + 4 * INVITATION_LASTS)
    assert late.state == "active"
    with pytest.raises(Conflict):
        invited(second, now + 5 * INVITATION_LASTS, late.email)
    assert membership.find_person(first.tenant_id, late.pk).state == "active"


def test_a_tenants_own_invitation_is_sent_again_and_not_replaced(first, now) -> None:
    waiting = invited(first, now, crowd.address())
    with pytest.raises(Conflict, match="of this tenant") as refused:
        invited(first, now + INVITATION_LASTS, waiting.email)
    assert refused.value.extra == {"user_id": waiting.pk}


def test_the_only_owner_keeps_the_address_of_a_tenant_that_was_paid_for(second, now) -> None:
    email = crowd.address()
    owner = membership.add_owner(new_id("ten"), email)
    owner.update(actions=[type(owner).invited_at.set(now)])
    with pytest.raises(Conflict, match="cannot be used"):
        invited(second, now + 9 * INVITATION_LASTS, email)
    assert people.find_by_email(email).pk == owner.pk
    assert crowd.counted(owner.tenant_id) == (1, 1, 0)


def test_who_may_not_invite_takes_no_address_from_anybody(first, second, now) -> None:
    stale, later = invited(first, now, crowd.address()), now + INVITATION_LASTS
    with pytest.raises(Conflict, match="seats"):
        invited(second, later, stale.email, seats=1)
    by = crowd.key(second.tenant_id)
    key_ring.revoke_key(second.tenant_id, by.subject, by=crowd.caller(second), now=now)
    with pytest.raises(Unauthenticated):
        crowd.invited(second.tenant_id, "collector", by, later, email=stale.email)
    assert membership.find_person(first.tenant_id, stale.pk).state == "invited"


def test_of_a_lapsed_invitation_and_its_person_who_joins_at_the_same_moment_one_counts(first, second, now) -> None:
    later = now + INVITATION_LASTS
    for _ in range(4):
        waiting = invited(first, now, crowd.address())
        claims = crowd.Claims(f"sub-of-{waiting.pk}", waiting.email)
        with ThreadPoolExecutor(2) as pool:
            joins = pool.submit(people.bind, claims, now=later)
            gives_way = pool.submit(make_way, waiting.email, to=second.tenant_id, now=later)
            joined, _ = joins.result(), gives_way.result()
        holder = people.find_by_email(waiting.email)
        assert (holder is None) == (joined is None)
        assert crowd.counted(first.tenant_id) == crowd.recounted(first.tenant_id)


def test_an_invitation_that_nobody_followed_gives_way_to_who_has_the_mailbox_and_signs_up(payments, first, now) -> None:  # noqa: F811
    applicant, day = apply(now), timedelta(days=1)
    stale = invited(first, now + day - INVITATION_LASTS, applicant.email)
    with pytest.raises(Conflict) as taken:
        prove(applicant, now)
    assert taken.value.problem()["rule"] == "email_taken"
    assert membership.find_person(first.tenant_id, stale.pk).state == "invited"

    assert signup.check_out(applicant.tenant_id, applicant.token, now=now + day)
    assert people.find_by_email(applicant.email) is None
    assert crowd.counted(first.tenant_id) == crowd.recounted(first.tenant_id) == (1, 1, 1)


def test_a_code_that_was_not_entered_takes_no_address_from_anybody(payments, first, now) -> None:  # noqa: F811
    applicant = apply(now)
    stale = invited(first, now - INVITATION_LASTS, applicant.email)
    with pytest.raises(Conflict):
        signup.check_out(applicant.tenant_id, applicant.token, now=now)
    assert code_for(applicant.email)
    assert membership.find_person(first.tenant_id, stale.pk).state == "invited"


def test_a_giving_way_that_was_killed_anywhere_is_finished_by_the_next_try(first, second, now, monkeypatch) -> None:
    killed_at, later = 0, now + INVITATION_LASTS
    while True:
        killed_at += 1
        stale, saboteur = invited(first, now, crowd.address()), Saboteur(killed_at)
        cognito.create_user(stale.email)
        try:
            with saboteur.lurking(monkeypatch):
                make_way(stale.email, to=second.tenant_id, now=later)
        except Killed:
            make_way(stale.email, to=second.tenant_id, now=later)
            assert people.find_by_email(stale.email) is None
            assert not cognito.has_user(stale.email)
            assert crowd.counted(first.tenant_id) == crowd.recounted(first.tenant_id) == (1, 1, 1)
            continue
        break
    assert killed_at > 3
