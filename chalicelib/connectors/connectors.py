"""Making and finding a tenant's connectors."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from chalicelib.connectors.mapping import Mapping, from_dict, load_preset
from chalicelib.connectors.model import CONNECTORS, Connector
from chalicelib.platform.errors import Conflict, NotFound
from chalicelib.platform.ids import new_id
from chalicelib.platform.tenant import Tenant

MAX_CONNECTORS = 100


def create_connector(
    tenant: Tenant, name: str, preset: str, *, now: datetime, key: str | None = None, at_most: int = MAX_CONNECTORS
) -> Connector:
    """A connector with its own copy of a preset's mapping. With the same `key` (the caller's idempotency key) the same
    connector is answered, however often it is asked for.

    Raises UnknownPreset, which lists those there are, and Conflict where the key was used for another connector or the
    tenant has `at_most` already, which is what its plan gives. Two that are made at the same moment may both be the
    last one: a connector more costs nobody anything.
    """
    mapping = load_preset(preset)
    model = tenant.bind(Connector)
    connector = model(
        CONNECTORS,
        new_id("con", at=now) if key is None else tenant.vault.derived_id("con", key),
        name=name,
        preset=preset,
        mapping=mapping.model_dump(mode="json"),
        mapping_version=mapping.version,
        created_at=now,
    )
    there = {each.sk for each in all_connectors(tenant)}
    if len(there) >= at_most and connector.sk not in there:
        raise Conflict(f"there are {len(there)} connectors, and the plan gives {at_most}", limit=at_most)
    if connector.put_new():
        return connector
    made = find_connector(tenant, connector.sk)
    if (made.name, made.preset) != (name, preset):
        raise Conflict("this Idempotency-Key was used to create another connector")
    return made


def find_connector(tenant: Tenant, connector_id: str) -> Connector:
    """The connector as it is now. Raises NotFound."""
    connector = tenant.bind(Connector).find(CONNECTORS, connector_id)
    if connector is None:
        raise NotFound("no such connector")
    return connector


def all_connectors(tenant: Tenant) -> Iterator[Connector]:
    """Every connector of the tenant, in order of their ids."""
    return tenant.bind(Connector).query(CONNECTORS)


def mapping_of(connector: Connector) -> Mapping:
    """The connector's mapping, checked once more: it may have been stored by an older version of the code."""
    return from_dict(connector.mapping)
