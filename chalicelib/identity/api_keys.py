"""API keys: `db_<key id>_<secret>`, shown once, kept only as a keyed hash.

The key id finds the item; the secret proves it. A second item lists the key among its tenant's.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from pynamodb.attributes import UnicodeAttribute, UnicodeSetAttribute, UTCDateTimeAttribute
from pynamodb.exceptions import PynamoDBException

from chalicelib.identity.keyed import keyed_hash
from chalicelib.identity.permissions import KEY_SCOPES
from chalicelib.platform.attributes import StringsAttribute
from chalicelib.platform.commit import Group, Put, Write, commit_one
from chalicelib.platform.errors import Unauthenticated
from chalicelib.platform.ids import new_id
from chalicelib.platform.store import SharedModel, shared
from chalicelib.platform.telemetry import log_failure

SCOPES = KEY_SCOPES
"""What a key may carry: every scope but `self`, which is for people."""

KEY = "api-key"
"""The `sk` of every key, and what stands before the key's id in the `sk` of a listing."""

USE_NOTED_EVERY = timedelta(hours=1)
"""How exact `last_used_at` is: a key in constant use costs one write in this time."""

_FORM = re.compile(r"^db_(key_[0-9A-HJKMNP-TV-Z]{26})_([A-Za-z0-9_-]{43})$")


class ApiKey(SharedModel):
    """A key: `pk` is its id, `sk` is always `api-key`. `replaced_by` is the id of the key that it was rotated to,
    `made_by` that of the person or key that made it; the first key of a tenant, which a claim token fetched, has
    none."""

    class Meta:
        table_kind = "credentials"

    tenant_id = UnicodeAttribute()
    name = UnicodeAttribute()
    scopes = UnicodeSetAttribute()
    secret_hash = UnicodeAttribute()
    created_at = UTCDateTimeAttribute()
    made_by = UnicodeAttribute(null=True)
    expires_at = UTCDateTimeAttribute(null=True)
    revoked_at = UTCDateTimeAttribute(null=True)
    last_used_at = UTCDateTimeAttribute(null=True)
    allowed_networks = StringsAttribute(default=list)
    replaced_by = UnicodeAttribute(null=True)


class Listing(SharedModel):
    """That a tenant has a key: `pk` is the tenant's id, `sk` is `api-key#` and the key's id. It says nothing else, so
    nothing in it can grow old."""

    class Meta:
        table_kind = "credentials"


def mint(
    tenant_id: str,
    *,
    name: str,
    scopes: Collection[str],
    now: datetime,
    expires_at: datetime | None = None,
    allowed_networks: Collection[str] = (),
    made_by: str | None = None,
) -> tuple[str, ApiKey]:
    """Makes up a key and returns its text, which exists nowhere else, with what is to be stored of it by `puts`.

    Raises ValueError for a scope that does not exist, and for `self`, which no key may carry.
    """
    if unknown := set(scopes) - SCOPES:
        raise ValueError(f"a key cannot carry {sorted(unknown)}; there are {sorted(SCOPES)}")
    key_id, text = new_id("key", at=now), secrets.token_urlsafe(32)
    key = shared().bind(ApiKey)(
        key_id,
        KEY,
        tenant_id=tenant_id,
        name=name,
        scopes=set(scopes),
        secret_hash=keyed_hash(text),
        created_at=now,
        expires_at=expires_at,
        allowed_networks=list(allowed_networks),
        made_by=made_by,
    )
    return f"db_{key_id}_{text}", key


def puts(key: ApiKey) -> list[Write]:
    """What brings a minted key to life: the key and its place among its tenant's, for one transaction."""
    listing = shared().bind(Listing)(key.tenant_id, f"{KEY}#{key.pk}")
    return [Put(key, type(key).pk.does_not_exist()), Put(listing)]


def create(
    tenant_id: str,
    *,
    name: str,
    scopes: Collection[str],
    now: datetime,
    expires_at: datetime | None = None,
    allowed_networks: Collection[str] = (),
    made_by: str | None = None,
    beside: Sequence[Write] = (),
) -> tuple[str, ApiKey] | None:
    """Mints a key and brings it to life in one transaction with the writes `beside`; otherwise as `mint`.

    None, and there is no key, when a condition of these does not hold.
    """
    text, key = mint(
        tenant_id,
        name=name,
        scopes=scopes,
        now=now,
        expires_at=expires_at,
        allowed_networks=allowed_networks,
        made_by=made_by,
    )
    return (text, key) if commit_one(shared(), Group(key.pk, [*puts(key), *beside])) else None


def verify(text: str, *, now: datetime) -> ApiKey:
    """The key that a caller presented. Raises Unauthenticated, with one and the same sentence for a key that is
    malformed, unknown or wrong, and its own for one that is revoked or has expired."""
    match = _FORM.match(text)
    key = shared().bind(ApiKey).find(match[1], KEY) if match else None
    presented = keyed_hash(match[2] if match else "")
    if not hmac.compare_digest(presented, key.secret_hash if key else "") or key is None:
        raise Unauthenticated("the API key is not valid")
    if key.revoked_at is not None and key.revoked_at <= now:
        raise Unauthenticated("the API key was revoked")
    if key.expires_at is not None and key.expires_at <= now:
        raise Unauthenticated("the API key has expired")
    return key


def note_use(key: ApiKey, *, now: datetime) -> None:
    """Notes that a key is in use, unless that was noted within the hour. That it cannot be noted is logged and no
    more: a call is never refused for it."""
    before = now - USE_NOTED_EVERY
    if key.last_used_at is not None and key.last_used_at > before:
        return
    model = type(key)
    stale = model.pk.exists() & (model.last_used_at.does_not_exist() | (model.last_used_at <= before))
    try:
        # When another call noted it first, there is nothing left to do.
        key.update_if(stale, [model.last_used_at.set(now)])
    except PynamoDBException as error:
        log_failure("use of a key not noted", error, key_id=key.pk)
