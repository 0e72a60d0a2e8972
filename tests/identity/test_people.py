"""How a sign-in finds its person, and how people are listed and counted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from chalicelib.identity import membership, people
from chalicelib.identity.people import NOBODY, Counted, counts_for, recount
from chalicelib.identity.permissions import ROLES
from chalicelib.platform.errors import Invalid
from chalicelib.platform.ids import new_id
from chalicelib.platform.store import shared
from tests.identity.crowd import Claims, address, caller, colleague, counted, invited, owner_of


@pytest.fixture
def tenant_id(aws: None) -> str:
    """A tenant of which only the people matter."""
    return new_id("ten")


@pytest.fixture
def owner(tenant_id: str, now):
    return owner_of(tenant_id, now)


def test_an_invited_person_joins_with_the_first_sign_in_and_is_found_by_it_from_then_on(tenant_id, owner, now) -> None:
    user = invited(tenant_id, "collector", caller(owner), now, email=address().upper())
    claims = Claims("sub-1" + user.pk, user.email.upper())
    assert people.find_by_identity(claims.issuer, claims.subject) is None

    later = now + timedelta(hours=1)
    found = people.bind(claims, now=later)

    assert found is not None
    assert (found.pk, found.state, found.joined_at, found.subject) == (user.pk, "active", later, claims.subject)
    by_identity = people.find_by_identity(claims.issuer, claims.subject)
    assert by_identity is not None
    assert (by_identity.pk, by_identity.version) == (user.pk, user.version + 1)
    assert people.find_by_identity("https://other.example", claims.subject) is None


@pytest.mark.parametrize(("email", "verified"), [(None, True), ("theirs", False)])
def test_only_a_verified_address_joins(tenant_id, owner, now, email, verified) -> None:
    user = invited(tenant_id, "collector", caller(owner), now)
    assert people.bind(Claims("sub-x", email and user.email, verified), now=now) is None
    assert membership.find_person(tenant_id, user.pk).state == "invited"


def test_nobody_joins_who_was_not_invited(aws, now) -> None:
    assert people.bind(Claims("sub-y", address()), now=now) is None


def test_a_person_is_bound_once(tenant_id, owner, now) -> None:
    user = colleague(tenant_id, "collector", caller(owner), now)
    assert people.bind(Claims("another-sub", user.email), now=now) is None
    again = people.find_user(user.pk)
    assert again is not None
    assert again.subject == user.subject


def test_a_first_sign_in_that_comes_twice_at_once_binds_once_and_answers_both(tenant_id, owner, now) -> None:
    user = invited(tenant_id, "owner", caller(owner), now)
    claims = Claims("sub-of-two-calls", user.email)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: people.bind(claims, now=now), range(6)))
    assert {each and each.pk for each in found} == {user.pk}
    assert counted(tenant_id) == (2, 2, 2)


def test_two_identities_with_one_address_at_once_bind_one_of_them(tenant_id, owner, now) -> None:
    user = invited(tenant_id, "collector", caller(owner), now)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: people.bind(Claims(f"{user.pk}-{n}", user.email), now=now), range(4)))
    assert [each.pk for each in found if each is not None] == [user.pk]
    bound = [n for n in range(4) if people.find_by_identity("https://issuer.example", f"{user.pk}-{n}")]
    assert len(bound) == 1


def test_people_are_listed_newest_first_in_pages_for_their_tenant_only(tenant_id, owner, now) -> None:
    owner_of(new_id("ten"), now)
    ids = [invited(tenant_id, "collector", caller(owner), now + timedelta(seconds=n)).pk for n in range(4)]
    membership.remove(tenant_id, ids[1], by=caller(owner), now=now)

    pages, cursor = [], None
    while True:
        page, cursor = people.list_people(tenant_id, limit=2, cursor=cursor)
        pages.append([user.pk for user in page])
        if cursor is None:
            break

    seen = [user_id for page in pages for user_id in page]
    assert sorted(seen) == sorted([owner.pk, *ids])
    assert [user_id for user_id in seen if user_id != owner.pk] == ids[::-1]
    assert {user.pk for user in people.people_in(tenant_id)} == set(seen)
    assert people.seats_used(tenant_id) == 4


def test_a_cursor_leads_to_nobody_of_another_tenant(tenant_id, owner, now) -> None:
    other = owner_of(new_id("ten"), now)
    with pytest.raises(Invalid):
        people.list_people(tenant_id, limit=2, cursor={"pk": other.tenant_id, "sk": f"user#{other.pk}"})
    found, _ = people.list_people(tenant_id, limit=2, cursor={"sk": f"user#{other.pk}"})
    assert other.pk not in [user.pk for user in found]


def test_the_owners_are_those_who_are_and_were_not_removed(tenant_id, owner, now) -> None:
    second, third = (invited(tenant_id, "owner", caller(owner), now) for _ in range(2))
    invited(tenant_id, "admin", caller(owner), now)
    membership.remove(tenant_id, third.pk, by=caller(owner), now=now)
    assert {user.pk for user in people.owners_of(tenant_id)} == {owner.pk, second.pk}


def test_a_tenant_without_people_has_nobody(tenant_id) -> None:
    assert people.list_people(tenant_id, limit=50, cursor=None) == ([], None)
    assert (people.people_in(tenant_id), people.owners_of(tenant_id), people.seats_used(tenant_id)) == ([], [], 0)


def test_what_finds_a_person_does_not_tell_address_or_identity(aws) -> None:
    for key in (people.email_key("zhang@bank.cn"), people.identity_key("https://issuer.example", "zhang")):
        assert "zhang" not in key
    assert people.email_key("Zhang@Bank.cn") == people.email_key("zhang@bank.cn")
    assert people.identity_key("a", "zhang") != people.identity_key("b", "zhang")


@pytest.mark.parametrize("role", ROLES)
def test_an_invitation_takes_a_seat_and_a_removal_frees_it(role) -> None:
    owner = int(role == "owner")
    assert counts_for(role, "invited") == Counted(1, owner, 0)
    assert counts_for(role, "active") == Counted(1, owner, owner)
    assert counts_for(role, "removed") == NOBODY


def test_a_change_that_counts_for_nothing_writes_no_headcount(aws) -> None:
    assert recount("ten_1", counts_for("collector", "invited"), counts_for("auditor", "active")) == []


def test_ids_that_are_none_find_nobody(aws) -> None:
    assert [people.find_user(text) for text in ("", "usr_", "../x", new_id("key"), new_id("usr"))] == [None] * 5
    assert shared().bind(people.User).find("usr_", "user") is None
