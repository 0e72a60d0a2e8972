"""API keys: `db_<key id>_<secret>`, shown once, kept only as a keyed hash.

The key id finds the item; the secret proves it. The hash is keyed with a pepper from Secrets Manager, so that a copy
of the table alone is of no use for guessing.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from datetime import datetime

from pynamodb.attributes import UnicodeAttribute, UnicodeSetAttribute, UTCDateTimeAttribute

from chalicelib.platform.aws import secret
from chalicelib.platform.errors import Unauthenticated
from chalicelib.platform.ids import new_id
from chalicelib.platform.settings import settings
from chalicelib.platform.store import SharedModel, shared

SCOPES = frozenset(
    {
        "billing:write",
        "cases:read",
        "cases:write",
        "connectors:read",
        "connectors:write",
        "feed:read",
        "feed:write",
        "rules:read",
        "rules:write",
        "tenant:read",
    }
)

_FORM = re.compile(r"^db_(key_[0-9A-HJKMNP-TV-Z]{26})_([A-Za-z0-9_-]{43})$")


class ApiKey(SharedModel):
    """A key: `pk` is its id, `sk` is always `api-key`."""

    class Meta:
        table_kind = "credentials"

    tenant_id = UnicodeAttribute()
    name = UnicodeAttribute()
    scopes = UnicodeSetAttribute()
    secret_hash = UnicodeAttribute()
    created_at = UTCDateTimeAttribute()
    expires_at = UTCDateTimeAttribute(null=True)
    revoked_at = UTCDateTimeAttribute(null=True)


def create(
    tenant_id: str,
    *,
    name: str,
    scopes: Collection[str],
    now: datetime,
    key_id: str | None = None,
    expires_at: datetime | None = None,
) -> tuple[str, ApiKey]:
    """Makes a key and returns its text, which exists nowhere else, with what is stored of it.

    `key_id` lets a caller reserve the id beforehand; making the same id again replaces its secret. Raises ValueError
    for a scope that does not exist.
    """
    if unknown := set(scopes) - SCOPES:
        raise ValueError(f"unknown scopes {sorted(unknown)}; there are {sorted(SCOPES)}")
    key_id = key_id or new_id("key", at=now)
    text = secrets.token_urlsafe(32)
    key = shared().bind(ApiKey)(
        key_id,
        "api-key",
        tenant_id=tenant_id,
        name=name,
        scopes=set(scopes),
        secret_hash=_hash(text),
        created_at=now,
        expires_at=expires_at,
    )
    key.save()
    return f"db_{key_id}_{text}", key


def verify(text: str, *, now: datetime) -> ApiKey:
    """The key that a caller presented. Raises Unauthenticated, with one and the same sentence for a key that is
    malformed, unknown or wrong, and its own for one that is revoked or has expired."""
    match = _FORM.match(text)
    key = shared().bind(ApiKey).find(match[1], "api-key") if match else None
    presented = _hash(match[2] if match else "")
    if not hmac.compare_digest(presented, key.secret_hash if key else "") or key is None:
        raise Unauthenticated("the API key is not valid")
    if key.revoked_at is not None and key.revoked_at <= now:
        raise Unauthenticated("the API key was revoked")
    if key.expires_at is not None and key.expires_at <= now:
        raise Unauthenticated("the API key has expired")
    return key


def _hash(text: str) -> str:
    pepper = secret(settings().api_key_secret_name)["pepper"].encode()
    return hmac.new(pepper, text.encode(), hashlib.sha256).hexdigest()
