"""A tenant's API keys as it manages them: it lists, makes, rotates and revokes them, and cannot lock itself out."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from chalicelib.identity import api_keys
from chalicelib.identity.api_keys import KEY, ApiKey, Listing
from chalicelib.identity.people import headcount
from chalicelib.identity.standing import check_standing, expiry_of, outlasting, standing
from chalicelib.platform.attributes import IntegerAttribute
from chalicelib.platform.batches import read_each, read_partition
from chalicelib.platform.clock import rfc3339
from chalicelib.platform.commit import Check, Group, Update, Write, commit_one
from chalicelib.platform.errors import Conflict, Forbidden, Invalid, NotFound
from chalicelib.platform.ids import is_id
from chalicelib.platform.networks import within
from chalicelib.platform.pages import Cursor, page_of
from chalicelib.platform.store import SharedModel, StoredModel, shared
from chalicelib.platform.telemetry import logger

if TYPE_CHECKING:
    # It brings pydantic along, which the authorizer's cold start does without.
    from chalicelib.platform.http import Caller

WRITES_KEYS = "keys:write"

LONGEST_LIFE = timedelta(days=3660)
"""How far ahead a key may expire: ten years. Whoever means longer leaves the expiry out."""

MAX_KEYS = 100
"""How many keys of a tenant may stand at once. As many again may run out beside them after a rotation."""

RING = "api-keys"
"""The `sk` of a tenant's key ring."""

_TRIES = 5


class KeyRing(SharedModel):
    """How often a tenant's keys have become more: `pk` is the tenant's id, `sk` is always `api-keys`.

    Whoever counts the keys before making one holds the transaction to this number, so that of two at once one counts
    anew.
    """

    class Meta:
        table_kind = "credentials"

    made = IntegerAttribute(default=0)


def list_keys(tenant_id: str, *, limit: int, cursor: Cursor | None) -> tuple[list[ApiKey], Cursor | None]:
    """A page of the tenant's keys, newest first, also those that were revoked or have expired; and where to go on."""
    listed, position = page_of(
        shared().bind(Listing), tenant_id, prefix=f"{KEY}#", limit=limit, cursor=cursor, newest_first=True
    )
    ids = _ids(listed)
    found = _read(ids)
    return [found[key_id] for key_id in ids if key_id in found], position


def create_key(
    tenant_id: str,
    *,
    name: str,
    scopes: Collection[str],
    by: Caller,
    expires_at: datetime | None,
    allowed_networks: Collection[str],
    now: datetime,
) -> tuple[str, ApiKey]:
    """A new key's text, which exists nowhere else, and what is stored of it. Made by a key that expires, it expires
    with that one at the latest: without an `expires_at`, then.

    Raises Forbidden for a scope that the caller does not carry, and for use from where the caller's own key may not be
    used; what `check_standing` raises for a caller who may no longer do this; Invalid for an expiry that is past, more
    than ten years ahead or later than that of the caller's own key; and Conflict when the tenant has as many keys as it
    may.
    """
    _check_scopes(scopes, by, pointer="/scopes")
    _check_networks(allowed_networks, by, pointer="/allowed_networks")
    if expires_at is not None and not now < expires_at <= now + LONGEST_LIFE:
        raise Invalid("the expiry must be later than now and at most ten years ahead", pointer="/expires_at")
    for _ in range(_TRIES):
        ends = _within_own_life(expires_at, by)
        made = api_keys.create(
            tenant_id,
            name=name,
            scopes=scopes,
            now=now,
            expires_at=ends,
            allowed_networks=allowed_networks,
            made_by=by.subject,
            beside=[_room_for_another(tenant_id, now), *outlasting(by, ends)],
        )
        if made is not None:
            logger.info("API key made", extra={"tenant_id": tenant_id, "key_id": made[1].pk, "by": by.subject})
            return made
        check_standing(by)
    raise _busy()


def rotate_key(tenant_id: str, key_id: str, *, by: Caller, overlap: timedelta, now: datetime) -> tuple[str, ApiKey]:
    """A new key in place of another: its text, which exists nowhere else, and what is stored of it.

    It has the old one's name, scopes and networks, and a life as long as the old one was given, but never beyond that
    of the key that calls: a key that expires is renewed by a person, or by a key that lasts longer. The old one expires
    after `overlap`, or earlier if it was to. Both happen in one transaction. Raises NotFound; Forbidden when the old
    key carries a scope that the caller does not, or may be used from where the caller's own key may not (the new key's
    text would be a way to that scope, or from there); what `check_standing` raises; Conflict when the old key was
    revoked, has expired, or was rotated before (`replaced_by` says to which key), and when too many keys that were
    rotated still run out.
    """
    old = _find(tenant_id, key_id)
    _check_rotatable(old, now)
    _check_scopes(old.scopes, by)
    _check_networks(old.allowed_networks, by)
    room = _room_for_a_successor(tenant_id, now)
    own_end = expiry_of(by)
    ends = [own_end] if own_end is not None else []
    ends += [now + (old.expires_at - old.created_at)] if old.expires_at is not None else []
    text, key = api_keys.mint(
        tenant_id,
        name=old.name,
        scopes=old.scopes,
        now=now,
        expires_at=min(ends, default=None),
        allowed_networks=old.allowed_networks,
        made_by=by.subject,
    )
    model, end = type(old), now + overlap
    retire = Update(
        model,
        old.pk,
        KEY,
        [
            model.expires_at.set(end if old.expires_at is None else min(end, old.expires_at)),
            model.replaced_by.set(key.pk),
        ],
        model.revoked_at.does_not_exist() & model.replaced_by.does_not_exist(),
    )
    held = outlasting(by, key.expires_at, old.pk)
    if not commit_one(shared(), Group(key.pk, [retire, *api_keys.puts(key), room, *held])):
        check_standing(by)
        _check_rotatable(_find(tenant_id, key_id), now)
        raise Conflict("the key changed while it was rotated; look at it and try again")
    logger.info(
        "API key rotated",
        extra={"tenant_id": tenant_id, "key_id": old.pk, "replaced_by": key.pk, "by": by.subject},
    )
    return text, key


def revoke_key(tenant_id: str, key_id: str, *, by: Caller, now: datetime) -> None:
    """Makes a key useless for good; nothing changes when it was revoked before.

    Raises NotFound; what `check_standing` raises; Conflict for the last key that can write keys while no owner has
    joined, who could make another: the transaction also checks that another such key still stands, so that of two
    revocations at once one is refused.
    """
    for _ in range(_TRIES):
        key = _find(tenant_id, key_id)
        if key.revoked_at is not None:
            return
        model, held = type(key), [key.pk]
        writes: list[Write] = [
            Update(model, key.pk, KEY, [model.revoked_at.set(now)], model.revoked_at.does_not_exist())
        ]
        if _writes_keys(key, now):
            other = _another_that_writes_keys(key, now)
            if other is not None:
                stands = model.revoked_at.does_not_exist() & model.replaced_by.does_not_exist()
                writes.append(Check(model, other.pk, KEY, stands))
                held.append(other.pk)
            elif not headcount(tenant_id).owners_joined:  # once there is one, there always is
                raise Conflict(
                    "this is the last key that can write keys, and no owner has signed in who could make another one; "
                    "make one with the scope keys:write first",
                    rule="last_key_that_writes_keys",
                )
        if commit_one(shared(), Group(key.pk, [*writes, *standing(by, *held)])):
            logger.info("API key revoked", extra={"tenant_id": tenant_id, "key_id": key.pk, "by": by.subject})
            return
        check_standing(by)
    raise _busy()


def _find(tenant_id: str, key_id: str) -> ApiKey:
    """The tenant's key; another tenant's is answered like one that does not exist."""
    model = shared().bind(ApiKey)
    key = model.find_if(key_id, KEY, model.tenant_id == tenant_id) if is_id("key", key_id) else None
    if key is None:
        raise NotFound("no API key under that id")
    return key


def _check_scopes(scopes: Collection[str], by: Caller, *, pointer: str | None = None) -> None:
    if beyond := sorted(set(scopes) - by.scopes):
        raise Forbidden(
            f"nobody gives a key a scope that they do not carry; you lack {', '.join(beyond)}",
            pointer=pointer,
            scopes=beyond,
        )


def _check_networks(networks: Collection[str], by: Caller, *, pointer: str | None = None) -> None:
    """A key that is held to networks would be held to none if it could make one that is not."""
    if by.networks and not (networks and all(within(each, by.networks) for each in networks)):
        raise Forbidden(
            "a key that is held to networks gives keys for networks within its own only",
            pointer=pointer,
            rule="networks",
        )


def _within_own_life(expires_at: datetime | None, by: Caller) -> datetime | None:
    """When a key that the caller makes is to expire. A stolen key would live on in one that outlived it."""
    own_end = expiry_of(by)
    if own_end is None or expires_at is None:
        return own_end or expires_at
    if expires_at > own_end:
        raise Invalid(
            f"a key does not outlive the one that makes it, which expires at {rfc3339(own_end)}", pointer="/expires_at"
        )
    return expires_at


def _check_rotatable(key: ApiKey, now: datetime) -> None:
    if key.revoked_at is not None:
        raise Conflict("the key was revoked; make a new one")
    if key.replaced_by is not None:
        raise Conflict("the key was rotated before; rotate the one that replaced it", replaced_by=key.replaced_by)
    if key.expires_at is not None and key.expires_at <= now:
        raise Conflict("the key has expired; make a new one")


def _works(key: ApiKey, now: datetime) -> bool:
    return key.revoked_at is None and (key.expires_at is None or key.expires_at > now)


def _stands(key: ApiKey, now: datetime) -> bool:
    """Whether the key works and is to go on doing so. One that was rotated only runs out."""
    return _works(key, now) and key.replaced_by is None


def _writes_keys(key: ApiKey, now: datetime) -> bool:
    return _stands(key, now) and WRITES_KEYS in key.scopes


def _another_that_writes_keys(key: ApiKey, now: datetime) -> ApiKey | None:
    others = (other for other in _all_keys(key.tenant_id) if other.pk != key.pk)
    return next((other for other in others if _writes_keys(other, now)), None)


def _room_for_another(tenant_id: str, now: datetime) -> Write:
    """What a transaction that makes a key must hold to. Raises Conflict when there are too many."""
    grown = _grown(tenant_id)
    standing = sum(_stands(key, now) for key in _all_keys(tenant_id))
    if standing >= MAX_KEYS:
        raise Conflict(
            f"a tenant has at most {MAX_KEYS} keys; revoke one that is not in use (last_used_at says when it was)",
            rule="max_keys",
            max_keys=MAX_KEYS,
        )
    return grown


def _room_for_a_successor(tenant_id: str, now: datetime) -> Write:
    grown = _grown(tenant_id)
    running_out = sum(_works(key, now) and not _stands(key, now) for key in _all_keys(tenant_id))
    if running_out >= MAX_KEYS:
        raise Conflict(
            f"{running_out} keys that were rotated still work; revoke those that nobody needs any more",
            rule="max_rotated_keys",
            max_keys=MAX_KEYS,
        )
    return grown


def _grown(tenant_id: str) -> Write:
    """One key more than there are at this moment: it is written only if nobody makes another in between."""
    model = shared().bind(KeyRing)
    ring = model.find(tenant_id, RING)
    unchanged = model.made.does_not_exist() if ring is None else model.made == ring.made
    return Update(model, tenant_id, RING, [model.made.add(1)], unchanged)


def _all_keys(tenant_id: str) -> Collection[ApiKey]:
    # Read consistently: a key that was made a moment ago counts.
    listed = read_partition(shared(), tenant_id, {KEY: shared().bind(Listing)})
    return _read(_ids(listed)).values()


def _busy() -> Conflict:
    return Conflict("the tenant's keys are being changed by others; try again")


def _ids(listed: Iterable[StoredModel]) -> list[str]:
    return [each.sk.removeprefix(f"{KEY}#") for each in listed]


def _read(ids: Iterable[str]) -> dict[str, ApiKey]:
    return read_each(shared(), shared().bind(ApiKey), ids, KEY)
