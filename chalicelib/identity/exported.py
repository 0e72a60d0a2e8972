"""How a tenant's people and API keys stand in an export: so that what they did can be told to be theirs. No secrets."""

from __future__ import annotations

from collections.abc import Iterator

from chalicelib.identity import api_keys, people
from chalicelib.identity.api_keys import KEY, ApiKey
from chalicelib.identity.people import PERSON, User
from chalicelib.platform.batches import read_partition, read_raw
from chalicelib.platform.exports import ExportedKind, RawItem, an_id, fixed
from chalicelib.platform.settings import settings
from chalicelib.platform.store import StoredModel, shared

EXPORTED = (
    ExportedKind("users", User, pk=an_id("usr"), sk=fixed(PERSON), hidden=frozenset({"tenant_id"})),
    ExportedKind("api_keys", ApiKey, pk=an_id("key"), sk=fixed(KEY), hidden=frozenset({"tenant_id", "secret_hash"})),
)


def stored_credentials(tenant_id: str) -> Iterator[RawItem]:
    """The tenant's people and keys as DynamoDB has them, also those who were removed and those that were revoked, and
    any that is not as its model says: that is for the export to tell."""
    yield from _listed(tenant_id, PERSON, people.Listing)
    yield from _listed(tenant_id, KEY, api_keys.Listing)


def _listed(tenant_id: str, kind: str, listing: type[StoredModel]) -> Iterator[RawItem]:
    """The items of a kind that the tenant's listing of it leads to, in the listing's order."""
    entries = read_partition(shared(), tenant_id, {kind: shared().bind(listing)})
    ids = [entry.sk.removeprefix(f"{kind}#") for entry in entries]
    table = settings().shared_table("credentials")
    found = {raw["pk"]["S"]: raw for raw in read_raw(shared(), table, [(each, kind) for each in ids])}
    return (found[each] for each in ids if each in found)
