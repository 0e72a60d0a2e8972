"""Making, finding, pausing and deleting a tenant's connectors."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pynamodb.expressions.update import Action

from chalicelib.connectors import mappings
from chalicelib.connectors.mapping import Mapping, from_dict, load_preset
from chalicelib.connectors.model import CONNECTORS, Connector
from chalicelib.ledger import leaf_put
from chalicelib.platform.commit import Group, Put, Update, Write, commit_one
from chalicelib.platform.errors import Conflict, Gone, NotFound
from chalicelib.platform.ids import new_id
from chalicelib.platform.telemetry import logger
from chalicelib.platform.tenant import Tenant

MAX_CONNECTORS = 100
DEFAULT_AUTHOR = "duebridge"
"""Who did what no caller asked for."""


def create_connector(
    tenant: Tenant,
    name: str,
    made_from: str | Mapping,
    *,
    now: datetime,
    made_by: str = DEFAULT_AUTHOR,
    key: str | None = None,
    at_most: int = MAX_CONNECTORS,
) -> Connector:
    """A connector with a mapping of its own: a copy of the preset's of that name, or the one given. With the same `key`
    (the caller's idempotency key) the same connector is answered, however often it is asked for.

    Raises UnknownPreset, which lists those there are, TooLarge for a mapping that cannot be kept, and Conflict where
    the key was used for another connector or the tenant has `at_most` already, which is what its plan gives. Two that
    are made at the same moment may both be the last one: a connector more costs nobody anything.
    """
    mapping = load_preset(made_from) if isinstance(made_from, str) else mappings.as_version(made_from, 1)
    model = tenant.bind(Connector)
    connector = model(
        CONNECTORS,
        new_id("con", at=now) if key is None else tenant.vault.derived_id("con", key),
        name=name,
        preset=mapping.preset,
        mapping=mapping.model_dump(mode="json"),
        mapping_version=mapping.version,
        created_at=now,
    )
    there = {each.sk for each in all_connectors(tenant)}
    if len(there) >= at_most and connector.sk not in there:
        raise Conflict(f"there are {len(there)} connectors, and the plan gives {at_most}", limit=at_most)
    first = mappings.version_item(tenant, connector.sk, mapping, made_by=made_by, now=now)
    leaf = _leaf(tenant, connector.sk, "created", {"name": name, "mapping": first.document}, made_by, now)
    absent = model.pk.does_not_exist()
    if commit_one(tenant.store, Group("create", [Put(connector, absent), Put(first, absent), leaf])):
        return connector
    made = find_connector(tenant, connector.sk)
    if made.deleted_at is not None:
        raise Conflict("this Idempotency-Key was used to create a connector that is deleted")
    if made.name != name or mappings.first_version(tenant, made.sk).document != first.document:
        raise Conflict("this Idempotency-Key was used to create another connector")
    return made


def find_connector(tenant: Tenant, connector_id: str) -> Connector:
    """The connector as it is now, be it deleted. Raises NotFound."""
    connector = tenant.bind(Connector).find(CONNECTORS, connector_id)
    if connector is None:
        raise NotFound("no such connector")
    return connector


def connector_in_use(tenant: Tenant, connector_id: str) -> Connector:
    """The connector as it is now, for what a deleted one does no more. Raises NotFound and Gone."""
    connector = find_connector(tenant, connector_id)
    if connector.deleted_at is not None:
        raise Gone("the connector is deleted; its runs and their quarantine can still be read")
    return connector


def all_connectors(tenant: Tenant) -> Iterator[Connector]:
    """Every connector of the tenant that is not deleted, in order of their ids."""
    model = tenant.bind(Connector)
    return model.query(CONNECTORS, filter_condition=model.deleted_at.does_not_exist())


def change_connector(
    tenant: Tenant,
    connector_id: str,
    *,
    name: str | None = None,
    paused: bool | None = None,
    made_by: str,
    now: datetime,
) -> Connector:
    """Renames the connector, or pauses it or lets it go on; what is None stays as it is.

    While it is paused no run is started: files wait, and a run at work ends. Repeating it is harmless. Raises NotFound
    and Gone.
    """
    connector = connector_in_use(tenant, connector_id)
    model = type(connector)
    changes = {"name": name, "paused": paused}
    news = {key: value for key, value in changes.items() if value not in (None, getattr(connector, key))}
    if not news:
        return connector
    # Counting the version keeps out a worker that read the connector before and is about to claim it.
    actions: list[Action] = [model.version.add(1), *(getattr(model, key).set(value) for key, value in news.items())]
    changed = Update(model, CONNECTORS, connector_id, actions, model.deleted_at.does_not_exist())
    if not commit_one(
        tenant.store, Group("change", [changed, _leaf(tenant, connector_id, "changed", news, made_by, now)])
    ):
        return connector_in_use(tenant, connector_id)
    logger.info("a connector is changed", extra=_log_ids(tenant, connector_id) | {"members": sorted(news)})
    return find_connector(tenant, connector_id)


def delete_connector(tenant: Tenant, connector_id: str, *, made_by: str, now: datetime) -> None:
    """Deletes the connector: it takes in nothing more. Repeating it is harmless.

    What it brought stays: accounts and cases, its runs, their reports, quarantined rows and files. Raises NotFound, and
    Conflict while a run is at work.
    """
    connector = find_connector(tenant, connector_id)
    if connector.deleted_at is not None:
        return
    model = type(connector)
    writes: list[Write] = [
        Update(
            model,
            CONNECTORS,
            connector_id,
            [model.deleted_at.set(now), model.version.add(1)],
            model.active_run.does_not_exist() & model.deleted_at.does_not_exist(),
        ),
        _leaf(tenant, connector_id, "deleted", {}, made_by, now),
    ]
    if commit_one(tenant.store, Group("delete", writes)):
        logger.info("a connector is deleted", extra=_log_ids(tenant, connector_id))
        return
    found = find_connector(tenant, connector_id)
    if found.deleted_at is None:
        raise Conflict(
            "a run is at work; pause the connector and delete it when the run has ended", active_run=found.active_run
        )


def mapping_of(connector: Connector) -> Mapping:
    """The connector's mapping, checked once more: it may have been stored by an older version of the code."""
    return from_dict(connector.mapping)


def _leaf(tenant: Tenant, connector_id: str, what: str, content: dict[str, Any], made_by: str, now: datetime) -> Write:
    return leaf_put(tenant, subject=connector_id, action=f"connector.{what}", content=content, actor=made_by, now=now)


def _log_ids(tenant: Tenant, connector_id: str) -> dict[str, str]:
    return {"tenant_id": tenant.id, "connector_id": connector_id}
