"""How a tenant's people and API keys stand in an export: so that what they did can be told to be theirs. No secrets."""

from __future__ import annotations

from collections.abc import Iterator

from chalicelib.identity.api_keys import KEY, ApiKey
from chalicelib.identity.key_ring import list_keys
from chalicelib.identity.people import PERSON, User, people_in
from chalicelib.platform.exports import ExportedKind, RawItem, an_id, fixed
from chalicelib.platform.pages import Cursor

EXPORTED = (
    ExportedKind("users", User, pk=an_id("usr"), sk=fixed(PERSON), hidden=frozenset({"tenant_id"})),
    ExportedKind("api_keys", ApiKey, pk=an_id("key"), sk=fixed(KEY), hidden=frozenset({"tenant_id", "secret_hash"})),
)

_AT_ONCE = 100


def stored_credentials(tenant_id: str) -> Iterator[RawItem]:
    """The tenant's people and keys as they are stored, also those who were removed and those that were revoked."""
    for user in people_in(tenant_id):
        yield user.serialize()
    cursor: Cursor | None = None
    while True:
        keys, cursor = list_keys(tenant_id, limit=_AT_ONCE, cursor=cursor)
        for key in keys:
            yield key.serialize()
        if cursor is None:
            return
