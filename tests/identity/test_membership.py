"""Who belongs to a tenant: seats are never more than there are, roles never more than one's own, and an owner stays."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import boto3
import pytest

from chalicelib.identity import cognito, key_ring, membership, people
from chalicelib.identity.permissions import KEY_SCOPES, ROLES, scopes_of
from chalicelib.platform.errors import Conflict, DuebridgeError, Forbidden, NotFound, Unauthenticated
from chalicelib.platform.ids import new_id
from chalicelib.platform.settings import settings
from tests.identity.crowd import (
    Claims,
    address,
    caller,
    colleague,
    counted,
    invited,
    joined,
    key,
    owner_of,
    recounted,
)


@pytest.fixture
def tenant_id(aws: None) -> str:
    """A tenant of which only the people matter."""
    return new_id("ten")


@pytest.fixture
def owner(tenant_id: str, now):
    return owner_of(tenant_id, now)


@pytest.fixture
def admin(tenant_id: str, owner, now):
    return colleague(tenant_id, "admin", caller(owner), now)


def changed(user, *, by, role=None, name=None, version=None):
    return membership.change_person(user.tenant_id, user.pk, role=role, name=name, by=by, version=version)


def removed(user, *, by, now) -> None:
    membership.remove(user.tenant_id, user.pk, by=by, now=now)


def at_once(*calls) -> list[Any]:
    """What each call returns or refuses with, all made at the same time."""

    def outcome(call):
        try:
            return call()
        except DuebridgeError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(outcome, calls))


def in_pool(email: str) -> bool:
    """Whether the user pool knows somebody under an address."""
    client = boto3.client("cognito-idp")
    try:
        client.admin_get_user(UserPoolId=settings().user_pool_id, Username=email)
    except client.exceptions.UserNotFoundException:
        return False
    return True


# --- seats and addresses


def test_two_invitations_at_once_for_the_last_seat_are_one_invitation(tenant_id, owner, now) -> None:
    def invite():
        return invited(tenant_id, "collector", caller(owner), now, seats=2)

    outcomes = at_once(invite, invite, invite)
    refused = [each for each in outcomes if isinstance(each, Conflict)]
    assert len(refused) == 2
    assert {(each.extra["rule"], each.extra["seats"], each.extra["seats_used"]) for each in refused} == {
        ("seats", 2, 2)
    }
    assert counted(tenant_id) == recounted(tenant_id) == (2, 1, 1)


def test_when_seats_became_fewer_than_are_in_use_nobody_is_lost_and_nobody_is_invited(
    tenant_id, owner, admin, now
) -> None:
    with pytest.raises(Conflict) as refused:
        invited(tenant_id, "collector", caller(owner), now, seats=1)
    assert refused.value.extra == {"rule": "seats", "seats": 1, "seats_used": 2}
    assert counted(tenant_id) == (2, 1, 1)


def test_an_address_of_the_tenant_is_refused_with_whose_it_is(tenant_id, owner, now) -> None:
    user = invited(tenant_id, "collector", caller(owner), now)
    with pytest.raises(Conflict, match="of this tenant") as refused:
        invited(tenant_id, "auditor", caller(owner), now, email=user.email.upper())
    assert (refused.value.pointer, refused.value.extra) == ("/email", {"user_id": user.pk})
    assert counted(tenant_id) == (2, 1, 1)


def test_an_address_of_another_tenant_is_refused_like_one_that_no_mail_reaches(tenant_id, owner, now) -> None:
    theirs = owner_of(new_id("ten"), now)
    answers = []
    for email in (theirs.email, "somebody@branch.local", "somebody@bank.invalid"):
        with pytest.raises(Conflict) as refused:
            invited(tenant_id, "collector", caller(owner), now, email=email)
        answers.append(refused.value.problem())
    assert answers[0] == answers[1] == answers[2]
    assert counted(tenant_id) == (1, 1, 1)


def test_one_address_invited_by_two_tenants_at_once_belongs_to_one(tenant_id, owner, now) -> None:
    other = owner_of(new_id("ten"), now)
    email = address()
    outcomes = at_once(
        lambda: invited(tenant_id, "collector", caller(owner), now, email=email),
        lambda: invited(other.tenant_id, "collector", caller(other), now, email=email),
    )
    assert sorted(type(each).__name__ for each in outcomes) == ["Conflict", "User"]
    assert counted(tenant_id) == recounted(tenant_id)
    assert counted(other.tenant_id) == recounted(other.tenant_id)


# --- roles


def test_an_owner_gives_every_role(tenant_id, owner, now) -> None:
    for role in ROLES:
        assert invited(tenant_id, role, caller(owner), now).role == role


@pytest.mark.parametrize("role", ROLES)
def test_nobody_gives_a_role_that_carries_more_than_they_do(tenant_id, owner, admin, now, role) -> None:
    allowed = role != "owner" and scopes_of(role) <= scopes_of("admin")
    collector = invited(tenant_id, "collector", caller(owner), now)
    if allowed:
        assert invited(tenant_id, role, caller(admin), now).role == role
        assert changed(collector, by=caller(admin), role=role).role == role
        return
    with pytest.raises(Forbidden) as refused:
        invited(tenant_id, role, caller(admin), now)
    assert refused.value.pointer == "/role"
    with pytest.raises(Forbidden):
        changed(collector, by=caller(admin), role=role)
    with pytest.raises(Forbidden):
        changed(admin, by=caller(admin), role=role)
    assert membership.find_person(tenant_id, collector.pk).role == "collector"


def test_an_admin_does_nothing_to_an_owner(tenant_id, owner, admin, now) -> None:
    second = colleague(tenant_id, "owner", caller(owner), now)
    for act in (
        lambda: changed(second, by=caller(admin), role="collector"),
        lambda: changed(second, by=caller(admin), name="Nobody"),
        lambda: removed(second, by=caller(admin), now=now),
        lambda: membership.end_sessions(tenant_id, second.pk, by=caller(admin), now=now),
    ):
        with pytest.raises(Forbidden) as refused:
            act()
        assert refused.value.extra["rule"] == "owners_only"
    assert membership.find_person(tenant_id, second.pk).version == second.version


def test_an_api_key_manages_those_who_may_do_no_more_than_it_and_never_an_owner(tenant_id, owner, now) -> None:
    auditor = invited(tenant_id, "auditor", key(tenant_id), now)
    narrow = key(tenant_id, frozenset({"users:write", "cases:read", "cases:write", "tenant:read"}))
    assert invited(tenant_id, "collector", narrow, now).role == "collector"
    for act in (
        lambda: invited(tenant_id, "auditor", narrow, now),
        lambda: removed(auditor, by=narrow, now=now),
        lambda: invited(tenant_id, "owner", key(tenant_id), now),
        lambda: removed(owner, by=key(tenant_id), now=now),
    ):
        with pytest.raises(Forbidden):
            act()
    removed(auditor, by=key(tenant_id), now=now)


def test_a_key_that_was_revoked_a_moment_ago_changes_nobody(tenant_id, owner, admin, now) -> None:
    stolen, other = key(tenant_id), key(tenant_id)
    waiting = invited(tenant_id, "collector", other, now)
    key_ring.revoke_key(tenant_id, stolen.subject, by=other, now=now)
    for act in (
        lambda: invited(tenant_id, "admin", stolen, now),
        lambda: changed(waiting, role="admin", by=stolen),
        lambda: removed(admin, by=stolen, now=now),
        lambda: membership.end_sessions(tenant_id, admin.pk, by=stolen, now=now),
        lambda: membership.check_may_invite_again(waiting, stolen),
    ):
        with pytest.raises(Unauthenticated):
            act()
    assert counted(tenant_id) == recounted(tenant_id)


def test_whoever_lost_their_role_a_moment_ago_changes_nobody_with_it(tenant_id, owner, admin, now) -> None:
    remembered = caller(admin)
    collector = invited(tenant_id, "collector", caller(owner), now)
    changed(admin, by=caller(owner), role="supervisor")
    for act in (
        lambda: invited(tenant_id, "collector", remembered, now),
        lambda: changed(collector, by=remembered, role="supervisor"),
        lambda: removed(collector, by=remembered, now=now),
        lambda: membership.end_sessions(tenant_id, collector.pk, by=remembered, now=now),
        lambda: membership.check_may_invite_again(collector, remembered),
        lambda: changed(admin, by=remembered, role="admin"),
    ):
        with pytest.raises(Forbidden, match="your own role has changed"):
            act()
    assert membership.find_person(tenant_id, collector.pk).version == collector.version
    assert counted(tenant_id) == recounted(tenant_id)


def test_an_owner_who_was_one_until_a_moment_ago_does_not_make_themselves_one_again(tenant_id, owner, now) -> None:
    second = colleague(tenant_id, "owner", caller(owner), now)
    changed(second, by=caller(owner), role="admin")
    for act in (
        lambda: changed(second, by=caller(second), role="owner"),
        lambda: changed(owner, by=caller(second), role="collector"),
        lambda: invited(tenant_id, "owner", caller(second), now),
    ):
        with pytest.raises(Forbidden, match="your own role has changed"):
            act()
    assert counted(tenant_id) == recounted(tenant_id) == (2, 1, 1)


def test_a_change_names_the_version_that_it_is_for(tenant_id, owner, now) -> None:
    user = invited(tenant_id, "collector", caller(owner), now)
    first = changed(user, by=caller(owner), role="credit_officer", version=1)
    assert (first.role, first.version) == ("credit_officer", 2)
    with pytest.raises(Conflict) as refused:
        changed(user, by=caller(owner), role="auditor", version=1)
    assert refused.value.extra == {"version": 2}
    assert changed(user, by=caller(owner), name="陈美", version=2).name == "陈美"


def test_two_changes_of_one_version_at_once_are_one_change(tenant_id, owner, now) -> None:
    user = invited(tenant_id, "collector", caller(owner), now)
    outcomes = at_once(
        lambda: changed(user, by=caller(owner), role="auditor", version=1),
        lambda: changed(user, by=caller(owner), role="supervisor", version=1),
    )
    assert sum(isinstance(each, Conflict) for each in outcomes) == 1
    assert membership.find_person(tenant_id, user.pk).version == 2


def test_a_change_to_what_is_changes_nothing(tenant_id, owner, now) -> None:
    assert changed(owner, by=caller(owner), role="owner").version == owner.version


# --- owners


def test_the_last_owner_stays_one(tenant_id, owner, admin, now) -> None:
    for act in (
        lambda: changed(owner, by=caller(owner), role="admin"),
        lambda: removed(owner, by=caller(owner), now=now),
    ):
        with pytest.raises(Conflict) as refused:
            act()
        assert refused.value.extra == {"rule": "last_owner"}
    assert counted(tenant_id) == recounted(tenant_id) == (2, 1, 1)


def test_an_owner_who_has_not_joined_replaces_nobody(tenant_id, owner, now) -> None:
    second = invited(tenant_id, "owner", caller(owner), now)
    with pytest.raises(Conflict, match="must sign in first"):
        removed(owner, by=caller(owner), now=now)

    joined(second, now)
    removed(owner, by=caller(owner), now=now)
    assert counted(tenant_id) == recounted(tenant_id) == (1, 1, 1)


def test_two_owners_who_remove_each_other_at_once_leave_one(tenant_id, owner, now) -> None:
    second = colleague(tenant_id, "owner", caller(owner), now)
    at_once(
        lambda: removed(second, by=caller(owner), now=now),
        lambda: removed(owner, by=caller(second), now=now),
    )
    assert counted(tenant_id) == recounted(tenant_id) == (1, 1, 1)


def test_all_owners_who_step_down_at_once_leave_one(tenant_id, owner, now) -> None:
    owners = [owner, *(colleague(tenant_id, "owner", caller(owner), now) for _ in range(3))]
    outcomes = at_once(*(lambda user=user: changed(user, by=caller(user), role="auditor") for user in owners))
    assert sum(isinstance(each, Conflict) for each in outcomes) >= 1
    seats, left, _ = counted(tenant_id)
    assert counted(tenant_id) == recounted(tenant_id)
    assert (seats, left >= 1) == (4, True)


def test_adding_the_owner_again_finds_the_owner_and_lets_them_sign_in(tenant_id, now) -> None:
    email = address()
    first = membership.add_owner(tenant_id, email.upper(), "周")
    cognito.delete_user(email)  # as if the first try had been killed before it
    again = membership.add_owner(tenant_id, email)
    assert (first.pk, first.role, first.name, first.email) == (again.pk, "owner", "周", email)
    assert in_pool(email)
    assert counted(tenant_id) == recounted(tenant_id) == (1, 1, 0)


def test_an_owner_added_twice_at_once_is_one_person(tenant_id, now) -> None:
    email = address()
    added = at_once(*[lambda: membership.add_owner(tenant_id, email)] * 4)
    assert len({user.pk for user in added}) == 1
    assert counted(tenant_id) == recounted(tenant_id) == (1, 1, 0)


def test_an_address_of_somebody_else_makes_no_owner(tenant_id, owner, now) -> None:
    collector = invited(tenant_id, "collector", caller(owner), now)
    for place, email in ((new_id("ten"), owner.email), (tenant_id, collector.email)):
        with pytest.raises(Conflict):
            membership.add_owner(place, email)


# --- removal


def test_a_removed_person_has_no_seat_no_sign_in_and_no_session(tenant_id, owner, now) -> None:
    user = colleague(tenant_id, "auditor", caller(owner), now)
    cognito.create_user(user.email)
    later = now + timedelta(hours=1)

    removed(user, by=caller(owner), now=later)

    found = membership.find_person(tenant_id, user.pk)
    assert (found.state, found.removed_at, found.sessions_valid_after) == ("removed", later, later)
    assert (found.issuer, found.subject, found.totp_since) == (None, None, None)
    assert people.find_by_identity("https://issuer.example", f"sub-of-{user.pk}") is None
    assert people.find_by_email(user.email) is None
    assert not in_pool(user.email)
    assert counted(tenant_id) == recounted(tenant_id) == (1, 1, 1)


def test_a_person_is_removed_once_and_changed_no_more(tenant_id, owner, now) -> None:
    user = invited(tenant_id, "collector", caller(owner), now)
    at_once(*[lambda: removed(user, by=caller(owner), now=now)] * 4)
    removed(user, by=caller(owner), now=now + timedelta(days=1))
    assert membership.find_person(tenant_id, user.pk).removed_at == now
    with pytest.raises(Conflict, match="was removed"):
        changed(user, by=caller(owner), role="auditor")
    assert counted(tenant_id) == recounted(tenant_id) == (1, 1, 1)


def test_who_is_invited_anew_is_another_person_with_nothing_of_the_former(tenant_id, owner, now) -> None:
    former = colleague(tenant_id, "supervisor", caller(owner), now)
    removed(former, by=caller(owner), now=now)

    user = invited(tenant_id, "collector", caller(owner), now, email=former.email)

    assert user.pk != former.pk
    found = people.bind(Claims(f"sub-of-{former.pk}", user.email), now=now)
    assert found is not None
    assert (found.pk, found.role, found.sessions_valid_after, found.totp_since) == (user.pk, "collector", None, None)
    removed(former, by=caller(owner), now=now)
    assert people.find_by_email(user.email) is not None
    assert counted(tenant_id) == recounted(tenant_id) == (2, 1, 1)


def test_another_tenant_invites_who_was_removed(tenant_id, owner, now) -> None:
    former = colleague(tenant_id, "collector", caller(owner), now)
    other = owner_of(new_id("ten"), now)
    removed(former, by=caller(owner), now=now)
    user = invited(other.tenant_id, "collector", caller(other), now, email=former.email)
    assert people.bind(Claims(f"sub-of-{former.pk}", user.email), now=now).tenant_id == other.tenant_id


@pytest.mark.parametrize("killed_at", ["sign_out_everywhere", "delete_user"])
def test_a_removal_that_was_killed_is_finished_by_the_next_one_or_by_inviting_anew(
    tenant_id, owner, now, monkeypatch, killed_at
) -> None:
    class Killed(Exception):
        pass

    def die(_: str) -> None:
        raise Killed

    users = [colleague(tenant_id, "collector", caller(owner), now) for _ in range(2)]
    for user in users:
        cognito.create_user(user.email)
        with monkeypatch.context() as patched, pytest.raises(Killed):
            patched.setattr(cognito, killed_at, die)
            removed(user, by=caller(owner), now=now)
        # The seat is free at once and nobody signs in; only the address is still held.
        assert people.find_by_identity("https://issuer.example", f"sub-of-{user.pk}") is None
        assert in_pool(user.email)
    assert counted(tenant_id) == recounted(tenant_id) == (1, 1, 1)

    removed(users[0], by=caller(owner), now=now)
    anew = invited(tenant_id, "collector", caller(owner), now, email=users[1].email)

    assert not in_pool(users[0].email)
    assert not in_pool(users[1].email)  # what the former had is gone; the invitation's letter makes a new sign-in
    assert people.find_by_email(users[1].email).pk == anew.pk


# --- sessions, and other tenants


def test_an_end_of_sessions_is_noted_for_those_who_may_be_signed_in(tenant_id, owner, admin, now) -> None:
    waiting = invited(tenant_id, "collector", caller(owner), now)
    for user in (admin, waiting):
        membership.end_sessions(tenant_id, user.pk, by=caller(owner), now=now)
    assert membership.find_person(tenant_id, admin.pk).sessions_valid_after == now
    assert membership.find_person(tenant_id, waiting.pk).sessions_valid_after is None


def test_another_tenants_person_is_answered_like_one_who_does_not_exist(tenant_id, owner, now) -> None:
    theirs = owner_of(new_id("ten"), now)
    answers = set()
    by = caller(owner)
    for user_id in (theirs.pk, new_id("usr"), "usr_x", "../x"):
        for act in (
            lambda user_id=user_id: membership.find_person(tenant_id, user_id),
            lambda user_id=user_id: membership.remove(tenant_id, user_id, by=by, now=now),
            lambda user_id=user_id: membership.end_sessions(tenant_id, user_id, by=by, now=now),
            lambda user_id=user_id: membership.change_person(tenant_id, user_id, role="auditor", name=None, by=by),
        ):
            with pytest.raises(NotFound) as refused:
                act()
            answers.add(str(refused.value.problem()))
    assert len(answers) == 1
    assert membership.find_person(theirs.tenant_id, theirs.pk).version == theirs.version


def test_only_those_who_wait_are_invited_again(tenant_id, owner, admin, now) -> None:
    waiting = invited(tenant_id, "collector", caller(owner), now)
    membership.check_may_invite_again(waiting, caller(admin))
    with pytest.raises(Conflict, match="joined already"):
        membership.check_may_invite_again(admin, caller(owner))
    with pytest.raises(Forbidden):
        membership.check_may_invite_again(waiting, key(tenant_id, frozenset(KEY_SCOPES - {"cases:write"})))
