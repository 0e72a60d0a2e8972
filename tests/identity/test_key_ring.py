"""A tenant's keys as it manages them: nobody gives more than they have, and nobody locks the tenant out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from chalicelib.identity import api_keys, key_ring, membership
from chalicelib.identity.api_keys import SCOPES
from chalicelib.platform.clock import utc_now
from chalicelib.platform.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from chalicelib.platform.http import Caller
from chalicelib.platform.ids import new_id
from chalicelib.platform.store import shared
from tests.identity import crowd

DAY = timedelta(days=1)


@pytest.fixture
def tenant_id(aws: None) -> str:
    """A tenant of which only the keys matter."""
    return new_id("ten")


@pytest.fixture
def owner(tenant_id: str, now):
    """The first key, which may do everything."""
    return api_keys.create(tenant_id, name="owner", scopes=SCOPES, now=now)[1]


def somebody(now, scopes=SCOPES):
    """A person who stands, and carries these scopes. Keys made by nobody's key are easier to count."""
    return replace(crowd.caller(crowd.owner_of(new_id("ten"), now)), scopes=frozenset(scopes))


def made(tenant_id: str, now, *, by=None, **changes):
    wish = {"name": "core", "scopes": {"cases:read"}, "expires_at": None, "allowed_networks": []}
    return key_ring.create_key(tenant_id, by=by or somebody(now), now=now, **(wish | changes))


def rotated(tenant_id: str, key_id: str, now, *, by=None, overlap=DAY):
    return key_ring.rotate_key(tenant_id, key_id, by=by or somebody(now), overlap=overlap, now=now)


def revoked(tenant_id: str, key_id: str, now, *, by=None) -> None:
    key_ring.revoke_key(tenant_id, key_id, by=by or somebody(now), now=now)


def stored(key_id: str) -> api_keys.ApiKey:
    found = shared().bind(api_keys.ApiKey).find(key_id, "api-key")
    assert found is not None
    return found


def listed(tenant_id: str) -> list[str]:
    return [key.pk for key in key_ring.list_keys(tenant_id, limit=200, cursor=None)[0]]


def test_keys_are_listed_newest_first_in_pages_for_their_tenant_only(tenant_id, now) -> None:
    ids = [made(tenant_id, now + timedelta(seconds=n))[1].pk for n in range(5)]
    made(new_id("ten"), now)

    pages, cursor = [], None
    while True:
        page, cursor = key_ring.list_keys(tenant_id, limit=2, cursor=cursor)
        pages.append([key.pk for key in page])
        if cursor is None:
            break

    assert [key_id for page in pages for key_id in page] == ids[::-1]
    assert max(map(len, pages)) == 2


def test_a_tenant_without_keys_has_an_empty_list(tenant_id) -> None:
    assert key_ring.list_keys(tenant_id, limit=50, cursor=None) == ([], None)


def test_a_cursor_leads_to_no_key_of_another_tenant(tenant_id, now) -> None:
    other = made(new_id("ten"), now)[1]
    with pytest.raises(Invalid):
        key_ring.list_keys(tenant_id, limit=2, cursor={"pk": other.tenant_id, "sk": f"api-key#{other.pk}"})
    assert key_ring.list_keys(tenant_id, limit=2, cursor={"sk": f"api-key#{other.pk}"})[0] == []


def test_a_key_says_who_made_it_a_person_or_a_key_and_of_a_rotated_one_who_rotated_it(tenant_id, owner, now) -> None:
    person, key = somebody(now), crowd.key(tenant_id)
    _, one = made(tenant_id, now, by=person)
    _, other = made(tenant_id, now, by=key)
    _, successor = rotated(tenant_id, one.pk, now, by=key)
    told = {each.pk: each.made_by for each in key_ring.list_keys(tenant_id, limit=200, cursor=None)[0]}
    assert (told[one.pk], told[other.pk], told[successor.pk]) == (person.subject, key.subject, key.subject)
    assert told[owner.pk] is None


def test_a_new_key_works_with_what_it_was_given(tenant_id, now) -> None:
    text, key = made(
        tenant_id, now, scopes={"feed:read"}, expires_at=now + DAY, allowed_networks=["10.0.0.0/8", "2001:db8::/32"]
    )
    found = api_keys.verify(text, now=now)
    assert (found.pk, found.tenant_id, found.name, found.scopes) == (key.pk, tenant_id, "core", {"feed:read"})
    assert (found.expires_at, found.allowed_networks) == (now + DAY, ["10.0.0.0/8", "2001:db8::/32"])


def test_nobody_gives_a_scope_that_they_do_not_carry(tenant_id, now) -> None:
    with pytest.raises(Forbidden) as refused:
        made(
            tenant_id,
            now,
            scopes={"cases:read", "tenant:read", "rules:read"},
            by=somebody(now, {"cases:read", "keys:write"}),
        )
    assert (refused.value.pointer, refused.value.extra) == ("/scopes", {"scopes": ["rules:read", "tenant:read"]})
    assert listed(tenant_id) == []


@pytest.mark.parametrize("life", [timedelta(0), -DAY, timedelta(days=3661)])
def test_an_expiry_is_ahead_and_not_more_than_ten_years(tenant_id, now, life) -> None:
    with pytest.raises(Invalid) as refused:
        made(tenant_id, now, expires_at=now + life)
    assert refused.value.pointer == "/expires_at"


def removed_person(tenant_id: str, now):
    owner = crowd.caller(crowd.owner_of(tenant_id, now))
    admin = crowd.colleague(tenant_id, "admin", owner, now)
    membership.remove(tenant_id, admin.pk, by=owner, now=now)
    return crowd.caller(admin), Forbidden


def demoted_person(tenant_id: str, now):
    owner = crowd.caller(crowd.owner_of(tenant_id, now))
    admin = crowd.colleague(tenant_id, "admin", owner, now)
    membership.change_person(tenant_id, admin.pk, role="collector", name=None, by=owner)
    return crowd.caller(admin), Forbidden


def revoked_key(tenant_id: str, now):
    stolen = crowd.key(tenant_id)
    revoked(tenant_id, stolen.subject, now)
    return stolen, Unauthenticated


def expired_key(tenant_id: str, now):
    _, key = made(tenant_id, now, scopes=SCOPES, expires_at=now + DAY)
    return Caller(tenant_id, key.pk, frozenset(key.scopes)), Unauthenticated


@pytest.mark.parametrize("ended", [removed_person, demoted_person, revoked_key, expired_key])
def test_whoever_lost_access_a_moment_ago_makes_rotates_and_revokes_no_key_with_it(
    tenant_id, owner, now, ended
) -> None:
    # The authorizer's answer is kept for a minute: it would let these callers through.
    remembered, refusal = ended(tenant_id, now)
    _, target = made(tenant_id, now)
    before = listed(tenant_id)
    for act in (
        lambda: made(tenant_id, now, by=remembered),
        lambda: rotated(tenant_id, target.pk, now, by=remembered),
        lambda: revoked(tenant_id, target.pk, now, by=remembered),
    ):
        with pytest.raises(refusal):
            act()
    assert listed(tenant_id) == before
    assert (stored(target.pk).revoked_at, stored(target.pk).replaced_by) == (None, None)


def test_a_key_rotates_and_revokes_itself(tenant_id, owner, now) -> None:
    itself = Caller(tenant_id, owner.pk, SCOPES)
    _, successor = rotated(tenant_id, owner.pk, now, by=itself, overlap=timedelta(days=36_500))
    revoked(tenant_id, owner.pk, now, by=Caller(tenant_id, successor.pk, SCOPES))
    revoked(
        tenant_id, made(tenant_id, now, scopes={"keys:write"})[1].pk, now, by=Caller(tenant_id, successor.pk, SCOPES)
    )
    assert stored(successor.pk).revoked_at is None


def test_after_a_rotation_both_keys_work_and_after_the_overlap_only_the_new_one(tenant_id, now) -> None:
    old_text, old = made(tenant_id, now, scopes={"feed:read", "cases:read"}, allowed_networks=["10.0.0.0/8"])

    text, key = rotated(tenant_id, old.pk, now + DAY, overlap=timedelta(hours=2))

    found = api_keys.verify(text, now=now + 900 * DAY)
    assert (found.name, found.scopes, found.allowed_networks) == (old.name, old.scopes, old.allowed_networks)
    assert (found.pk, found.created_at, found.expires_at) == (key.pk, now + DAY, None)
    assert api_keys.verify(old_text, now=now + DAY + timedelta(minutes=119))
    with pytest.raises(Unauthenticated, match="expired"):
        api_keys.verify(old_text, now=now + DAY + timedelta(hours=2))
    assert listed(tenant_id) == [key.pk, old.pk]


def test_a_rotation_without_an_overlap_ends_the_old_key_at_once(tenant_id, now) -> None:
    text, key = made(tenant_id, now)
    rotated(tenant_id, key.pk, now, overlap=timedelta(0))
    with pytest.raises(Unauthenticated, match="expired"):
        api_keys.verify(text, now=now)


def test_a_key_that_expires_is_followed_by_one_of_the_same_life_and_never_lives_longer_itself(tenant_id, now) -> None:
    _, old = made(tenant_id, now, expires_at=now + 90 * DAY)
    later = now + 90 * DAY - timedelta(hours=1)

    _, key = rotated(tenant_id, old.pk, later, overlap=7 * DAY)

    assert key.expires_at == later + 90 * DAY
    assert stored(old.pk).expires_at == now + 90 * DAY


def expiring(tenant_id: str, *, life=DAY):
    """A key that may do everything for a while, as the authorizer shows it, and when it ends. What a caller still is
    is judged by the real clock."""
    moment = utc_now()
    _, key = made(tenant_id, moment, scopes=SCOPES, expires_at=moment + life)
    return Caller(tenant_id, key.pk, frozenset(key.scopes)), moment, moment + life


def test_a_key_makes_none_that_outlives_it(tenant_id) -> None:
    by, moment, end = expiring(tenant_id)
    assert made(tenant_id, moment, by=by)[1].expires_at == end
    sooner = end - timedelta(hours=1)
    assert made(tenant_id, moment, by=by, expires_at=sooner)[1].expires_at == sooner
    before = listed(tenant_id)
    with pytest.raises(Invalid, match="does not outlive") as refused:
        made(tenant_id, moment, by=by, expires_at=end + timedelta(seconds=1))
    assert refused.value.pointer == "/expires_at"
    assert listed(tenant_id) == before


def test_a_rotation_is_no_way_to_outlive_ones_own_key(tenant_id, owner) -> None:
    by, moment, end = expiring(tenant_id)
    _, of_another = rotated(tenant_id, owner.pk, moment, by=by)
    _, of_itself = rotated(tenant_id, by.subject, moment + timedelta(hours=1), by=by)
    assert (of_another.expires_at, of_itself.expires_at) == (end, end)


def test_a_key_that_was_rotated_a_moment_ago_makes_only_what_runs_out_with_it(tenant_id) -> None:
    # The authorizer's answer, a minute old, knows of no end.
    moment, by = utc_now(), crowd.key(tenant_id)
    rotated(tenant_id, by.subject, moment, overlap=timedelta(hours=2))
    assert made(tenant_id, moment, by=by)[1].expires_at == moment + timedelta(hours=2)


def test_a_key_whose_end_comes_nearer_at_the_very_moment_still_makes_none_that_outlives_it(
    tenant_id, monkeypatch
) -> None:
    moment, by, create = utc_now(), crowd.key(tenant_id), api_keys.create

    def overtaken(*arguments, **options):
        monkeypatch.setattr(api_keys, "create", create)
        rotated(tenant_id, by.subject, moment, overlap=timedelta(hours=2))
        return create(*arguments, **options)

    monkeypatch.setattr(api_keys, "create", overtaken)
    assert made(tenant_id, moment, by=by)[1].expires_at == moment + timedelta(hours=2)


def test_a_rotation_is_no_way_to_scopes_that_one_does_not_carry(tenant_id, owner, now) -> None:
    with pytest.raises(Forbidden) as refused:
        rotated(tenant_id, owner.pk, now, by=somebody(now, SCOPES - {"billing:write"}))
    assert refused.value.extra == {"scopes": ["billing:write"]}
    assert listed(tenant_id) == [owner.pk]
    assert stored(owner.pk).expires_at is None


@pytest.mark.parametrize("networks", [[], ["0.0.0.0/0"], ["10.0.0.0/8", "192.0.2.0/24"], ["2001:db8::/32"]])
def test_a_key_that_is_held_to_networks_makes_and_rotates_none_for_others(tenant_id, owner, now, networks) -> None:
    _, wide = made(tenant_id, now, scopes={"keys:write"}, allowed_networks=networks)
    held = replace(somebody(now), networks=("10.0.0.0/8", "198.51.100.0/24"))
    before = listed(tenant_id)
    with pytest.raises(Forbidden) as refused:
        made(tenant_id, now, by=held, allowed_networks=networks)
    assert (refused.value.pointer, refused.value.extra) == ("/allowed_networks", {"rule": "networks"})
    with pytest.raises(Forbidden, match="within its own"):
        rotated(tenant_id, wide.pk, now, by=held)
    assert listed(tenant_id) == before
    _, narrow = made(tenant_id, now, by=held, allowed_networks=["10.7.0.0/16", "198.51.100.7/32"])
    assert rotated(tenant_id, narrow.pk, now, by=held)[1].allowed_networks == narrow.allowed_networks


def test_a_key_is_rotated_once_and_says_to_which(tenant_id, now) -> None:
    _, old = made(tenant_id, now)
    _, key = rotated(tenant_id, old.pk, now)
    with pytest.raises(Conflict) as refused:
        rotated(tenant_id, old.pk, now)
    assert refused.value.extra == {"replaced_by": key.pk}


def test_a_key_that_no_longer_works_is_not_rotated(tenant_id, now) -> None:
    _, expired = made(tenant_id, now, expires_at=now + DAY)
    _, ended = made(tenant_id, now)
    revoked(tenant_id, ended.pk, now)
    with pytest.raises(Conflict, match="expired"):
        rotated(tenant_id, expired.pk, now + DAY)
    with pytest.raises(Conflict, match="revoked"):
        rotated(tenant_id, ended.pk, now)


def test_of_two_rotations_at_once_one_makes_a_key(tenant_id, now) -> None:
    _, old = made(tenant_id, now)

    def attempt(_: int) -> str | None:
        try:
            return rotated(tenant_id, old.pk, now)[1].pk
        except Conflict:
            return None

    with ThreadPoolExecutor(4) as pool:
        made_keys = [key_id for key_id in pool.map(attempt, range(4)) if key_id]
    assert sorted(listed(tenant_id)) == sorted([old.pk, *made_keys])
    assert made_keys == [stored(old.pk).replaced_by]


def test_a_revoked_key_is_refused_and_revoking_it_again_changes_nothing(tenant_id, owner, now) -> None:
    text, key = made(tenant_id, now)
    revoked(tenant_id, key.pk, now)
    revoked(tenant_id, key.pk, now + DAY)
    with pytest.raises(Unauthenticated, match="revoked"):
        api_keys.verify(text, now=now)
    assert stored(key.pk).revoked_at == now


def test_the_last_key_that_can_write_keys_is_not_revoked(tenant_id, owner, now) -> None:
    made(tenant_id, now, scopes=SCOPES - {"keys:write"})
    made(new_id("ten"), now, scopes=SCOPES)
    with pytest.raises(Conflict) as refused:
        revoked(tenant_id, owner.pk, now)
    assert "keys:write" in refused.value.detail
    assert stored(owner.pk).revoked_at is None

    made(tenant_id, now, scopes={"keys:write"})
    revoked(tenant_id, owner.pk, now)
    assert stored(owner.pk).revoked_at == now


def test_an_owner_who_has_joined_revokes_the_last_key_when_it_is_stolen(tenant_id, owner, now) -> None:
    person = crowd.caller(crowd.owner_of(tenant_id, now))
    revoked(tenant_id, owner.pk, now, by=person)
    assert stored(owner.pk).revoked_at == now
    assert made(tenant_id, now, scopes={"keys:write"}, by=person)


def test_an_owner_who_is_only_invited_could_not_make_another_key(tenant_id, owner, now) -> None:
    membership.add_owner(tenant_id, crowd.address())
    with pytest.raises(Conflict, match="no owner has signed in"):
        revoked(tenant_id, owner.pk, now)


@pytest.mark.parametrize("end", ["revoked", "expired", "rotated away"])
def test_a_key_that_does_not_last_is_no_other_key(tenant_id, owner, now, end: str) -> None:
    _, other = made(tenant_id, now, scopes={"keys:write"}, expires_at=now + DAY if end == "expired" else None)
    if end == "revoked":
        revoked(tenant_id, other.pk, now)
    if end == "rotated away":
        _, successor = rotated(tenant_id, other.pk, now)
        revoked(tenant_id, successor.pk, now)
    with pytest.raises(Conflict, match="last key"):
        revoked(tenant_id, owner.pk, now + DAY if end == "expired" else now)


def test_a_key_that_was_rotated_can_be_revoked_before_its_overlap_ends(tenant_id, owner, now) -> None:
    _, successor = rotated(tenant_id, owner.pk, now)
    with pytest.raises(Conflict, match="last key"):
        revoked(tenant_id, successor.pk, now)
    revoked(tenant_id, owner.pk, now)
    assert stored(owner.pk).revoked_at == now


def test_of_all_keys_revoked_at_once_one_that_can_write_keys_stays(tenant_id, owner, now) -> None:
    keys = [owner.pk, *(made(tenant_id, now, scopes={"keys:write"})[1].pk for _ in range(3))]

    def attempt(key_id: str) -> bool:
        try:
            revoked(tenant_id, key_id, now)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(attempt, keys))
    assert done == [stored(key_id).revoked_at is not None for key_id in keys]
    assert not all(done)


def test_the_other_key_is_checked_in_the_transaction_itself(tenant_id, owner, now, monkeypatch) -> None:
    _, other = made(tenant_id, now, scopes={"keys:write"})
    commit_one = key_ring.commit_one

    def overtaken(store, group):
        monkeypatch.setattr(key_ring, "commit_one", commit_one)
        revoked(tenant_id, other.pk, now)
        return commit_one(store, group)

    monkeypatch.setattr(key_ring, "commit_one", overtaken)
    with pytest.raises(Conflict, match="last key"):
        revoked(tenant_id, owner.pk, now)
    assert stored(owner.pk).revoked_at is None


def test_another_tenants_key_is_answered_like_one_that_does_not_exist(tenant_id, now) -> None:
    _, theirs = made(new_id("ten"), now, scopes=SCOPES)
    answers = []
    for key_id in (theirs.pk, new_id("key"), "key_", "../x", tenant_id):
        for verb in (
            lambda key_id: rotated(tenant_id, key_id, now, by=somebody(now, ())),
            lambda key_id: revoked(tenant_id, key_id, now),
        ):
            with pytest.raises(NotFound) as refused:
                verb(key_id)
            answers.append(refused.value.problem())
    assert all(answer == answers[0] for answer in answers)
    assert stored(theirs.pk).revoked_at is None
    assert stored(theirs.pk).replaced_by is None


def test_no_key_carries_what_is_about_a_person(tenant_id, now) -> None:
    with pytest.raises(ValueError, match="self"):
        api_keys.mint(tenant_id, name="core", scopes={"self", "cases:read"}, now=now)


@pytest.fixture
def three_at_most(monkeypatch):
    monkeypatch.setattr(key_ring, "MAX_KEYS", 3)


def test_a_tenant_has_only_so_many_keys_and_those_that_no_longer_work_do_not_count(tenant_id, now, three_at_most):
    ids = [made(tenant_id, now, expires_at=now + DAY if n == 0 else None)[1].pk for n in range(3)]
    with pytest.raises(Conflict, match="at most 3 keys") as refused:
        made(tenant_id, now)
    assert refused.value.extra == {"rule": "max_keys", "max_keys": 3}
    assert len(listed(tenant_id)) == 3

    assert made(tenant_id, now + 2 * DAY)  # the first has expired
    with pytest.raises(Conflict):
        made(tenant_id, now + 2 * DAY)
    key = made(new_id("ten"), now)[1]  # another tenant has keys of its own
    assert key.pk not in listed(tenant_id)
    revoked(tenant_id, ids[1], now + 2 * DAY)
    assert made(tenant_id, now + 2 * DAY)


def test_of_many_keys_made_at_once_only_so_many_come_to_be(tenant_id, now, three_at_most):
    def make(_: int):
        try:
            return made(tenant_id, now)[1].pk
        except Conflict as error:
            return error

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(make, range(6)))
    assert sorted(listed(tenant_id)) == sorted(each for each in outcomes if isinstance(each, str))
    assert 1 <= len(listed(tenant_id)) <= 3


def test_a_full_ring_still_rotates_until_too_many_run_out(tenant_id, now, three_at_most):
    newest = [made(tenant_id, now)[1].pk for _ in range(3)]
    for n in range(3):
        newest[n] = rotated(tenant_id, newest[n], now)[1].pk
    with pytest.raises(Conflict) as refused:
        rotated(tenant_id, newest[0], now)
    assert refused.value.extra == {"rule": "max_rotated_keys", "max_keys": 3}
    assert rotated(tenant_id, newest[0], now + 2 * DAY)
