"""The versions of a connector's mapping: every one is kept, because runs and quarantined rows name theirs.

A run keeps the version that was in force when its file was claimed. The next one compares every line anew where the
new version means something else by it, and changes the accounts whose values it maps differently, and no other.
"""

from __future__ import annotations

import json
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from chalicelib.connectors.errors import MappingInvalid
from chalicelib.connectors.mapping import Mapping, TextField, from_dict
from chalicelib.connectors.model import CONNECTORS, MAPPING, Connector, MappingVersion
from chalicelib.ledger import leaf_put
from chalicelib.platform.commit import Group, Put, Update, commit_one
from chalicelib.platform.errors import Conflict, NotFound, TooLarge
from chalicelib.platform.pages import Cursor, page_of
from chalicelib.platform.telemetry import logger
from chalicelib.platform.tenant import Tenant

MAX_MAPPING_BYTES = 300_000
"""Of a document as it is stored: JSON in ASCII. An item of DynamoDB holds 400 kB, all its attributes included."""


def checked(document: object, *, pointer: str = "") -> Mapping:
    """The mapping in a document, with all that can be checked before there is a file; `pointer` is where in the request
    the document stands. Raises MappingInvalid naming every problem by its JSON pointer."""
    try:
        mapping = from_dict(document)
        _check_patterns(mapping)
    except MappingInvalid as invalid:
        raise invalid.under(pointer) from None
    return mapping


def version_item(tenant: Tenant, connector_id: str, mapping: Mapping, *, made_by: str, now: datetime) -> MappingVersion:
    """A version of the connector's mapping as it is stored. Raises TooLarge for a document that an item cannot hold."""
    document = mapping.model_dump(mode="json")
    if (size := len(json.dumps(document))) > MAX_MAPPING_BYTES:
        raise TooLarge(f"the mapping takes {size} bytes of JSON in ASCII; at most {MAX_MAPPING_BYTES} are kept")
    return tenant.bind(MappingVersion)(
        connector_id,
        _key(mapping.version),
        version=mapping.version,
        document=document,
        made_by=made_by,
        made_at=now,
    )


def replace_mapping(
    tenant: Tenant,
    connector: Connector,
    mapping: Mapping,
    *,
    made_by: str,
    now: datetime,
    expected: int | None = None,
) -> MappingVersion:
    """Makes `mapping` the connector's mapping under the next version number (its own `version` is not looked at) and
    returns it as it is kept. A run at work goes on with the version that it began with.

    A document that is in force already is answered as it is, so repeating the call changes nothing. Raises Conflict
    when `expected` is given and another version is in force, or when somebody replaces it meanwhile; TooLarge.
    """
    current = connector.mapping_version
    again = as_version(mapping, current)
    if again.model_dump(mode="json") == connector.mapping and expected in (None, current, current - 1):
        return find_version(tenant, connector.sk, current)
    if expected not in (None, current):
        raise Conflict(f"version {current} of the mapping is in force, not {expected}", current_version=current)
    new = version_item(tenant, connector.sk, as_version(mapping, current + 1), made_by=made_by, now=now)
    if not commit_one(tenant.store, _replacement(tenant, connector, new)):
        raise Conflict("the mapping was replaced, or the connector deleted, meanwhile; read it again")
    logger.info(
        "a mapping is replaced",
        extra={"tenant_id": tenant.id, "connector_id": connector.sk, "mapping_version": new.version},
    )
    return new


def list_versions(
    tenant: Tenant, connector_id: str, *, limit: int, cursor: Cursor | None
) -> tuple[list[MappingVersion], Cursor | None]:
    """A page of the versions of the connector's mapping, the newest first, and the next page's cursor."""
    return page_of(
        tenant.bind(MappingVersion), connector_id, prefix=MAPPING, limit=limit, cursor=cursor, newest_first=True
    )


def first_version(tenant: Tenant, connector_id: str) -> MappingVersion:
    """The version that the connector was made with."""
    [first], _ = page_of(tenant.bind(MappingVersion), connector_id, prefix=MAPPING, limit=1, cursor=None)
    return first


def find_version(tenant: Tenant, connector_id: str, version: int) -> MappingVersion:
    """That version of the connector's mapping. Raises NotFound."""
    found = tenant.bind(MappingVersion).find(connector_id, _key(version))
    if found is None:
        raise NotFound("the connector's mapping has no such version")
    return found


def mapping_at(tenant: Tenant, connector: Connector, version: int) -> Mapping:
    """The connector's mapping as that version has it, which may have been replaced since. Raises MappingInvalid where
    it was stored by an older version of the code, to which it was valid."""
    if version == connector.mapping_version:
        return from_dict(connector.mapping)
    return from_dict(find_version(tenant, connector.sk, version).document)


def _replacement(tenant: Tenant, connector: Connector, new: MappingVersion) -> Group:
    """The writes that put a version in force: the version, the connector, and the leaf that proves who did it."""
    model = type(connector)
    in_force = Update(
        model,
        CONNECTORS,
        connector.sk,
        [
            model.mapping.set(new.document),
            model.mapping_version.set(new.version),
            model.preset.set(new.document["preset"]),
            model.version.add(1),
        ],
        (model.mapping_version == connector.mapping_version) & model.deleted_at.does_not_exist(),
    )
    content: dict[str, Any] = {"version": new.version, "mapping": new.document}
    leaf = leaf_put(
        tenant,
        subject=connector.sk,
        action="connector.mapping_replaced",
        content=content,
        actor=new.made_by,
        now=new.made_at,
    )
    return Group("mapping", [in_force, Put(new, type(new).pk.does_not_exist()), leaf])


def as_version(mapping: Mapping, version: int) -> Mapping:
    """The same mapping under that version number."""
    return mapping.model_copy(update={"version": version})


def _check_patterns(mapping: Mapping) -> None:
    if not any(isinstance(item, TextField) and item.pattern is not None for item in mapping.fields):
        return
    # DuckDB makes a cold start slow; only documents with patterns need it, and few calls bring one.
    from chalicelib.connectors.staging import check_patterns, connect

    with tempfile.TemporaryDirectory(prefix="patterns-") as folder, connect(Path(folder)) as con:
        check_patterns(con, mapping)


def _key(version: int) -> str:
    """Where a version stands among the connector's items: they sort by number."""
    return f"{MAPPING}{version:010d}"
