"""The kinds of rows in an export: what the domains declare of their items, and one for items that nobody declared."""

from __future__ import annotations

from collections.abc import Mapping

from chalicelib.cases import EXPORTED as CASES
from chalicelib.connectors import EXPORTED as CONNECTORS
from chalicelib.feed import EXPORTED as FEED
from chalicelib.identity import EXPORTED as PEOPLE
from chalicelib.ledger import EXPORTED as LEDGER
from chalicelib.platform.exports import Column, ExportedKind, RawItem, Row, plain
from chalicelib.platform.sealing import SealBroken
from chalicelib.platform.telemetry import log_failure
from chalicelib.platform.tenant import Tenant

CREDENTIALS = "credentials"
"""The table that tenants share for their people and keys, of which the tenant's own are read."""

TABLES = (CREDENTIALS, "connector", "cases", "feed", "ledger")
"""The order in which tables are read. The ledger is last: of all that is exported its leaf is too, although the tenant
goes on working meanwhile."""

KINDS: Mapping[str, ExportedKind] = {kind.name: kind for kind in (*PEOPLE, *CONNECTORS, *CASES, *FEED, *LEDGER)}

OTHER = "other"
"""The kind of items that no model fits: their keys, and all their attributes as they are stored."""

LEAVES, UNPROVED_LEAVES = "leaves", "unproved-leaves"
"""Leaves of the ledger with their proofs; and as they are laid aside until all are there and the tree can be made."""

EXPORTED_KINDS = (*KINDS, OTHER)
"""What an export has files of, as far as there are rows."""

_COLUMNS: dict[str, Mapping[str, Column]] = {
    **{name: kind.columns for name, kind in KINDS.items()},
    UNPROVED_LEAVES: KINDS[LEAVES].columns,
    LEAVES: {**KINDS[LEAVES].columns, "leaf_index": "integer", "proof": "json"},
    OTHER: {"table": "text", "pk": "text", "sk": "text", "attributes": "json"},
}


def columns_of(kind: str) -> Mapping[str, Column]:
    """The columns of a kind, in their order."""
    return _COLUMNS[kind]


def row_of(tenant: Tenant, table: str, raw: RawItem) -> tuple[str, Row]:
    """The kind and the row of an item in one of `TABLES`. One that is not as its model says, or whose personal fields
    cannot be opened, is of the kind `OTHER`: nothing is left out but what its kind keeps secret."""
    secret: frozenset[str] = frozenset()
    for kind in KINDS.values():
        if kind.fits(table, raw):
            try:
                return kind.name, kind.row(tenant.vault, raw)
            except (ValueError, TypeError, KeyError, AttributeError, SealBroken) as error:
                log_failure("an item is exported as it is stored", error, tenant_id=tenant.id, kind=kind.name)
                # Where a kind opens what is sealed, what it hides is the tenant's own data in another form.
                secret = frozenset() if kind.opens else kind.hidden
    keys = {"table": table, "pk": raw["pk"]["S"], "sk": raw["sk"]["S"]}
    attributes = {name: plain(value) for name, value in raw.items() if name not in {"pk", "sk", *secret}}
    return OTHER, {**keys, "attributes": attributes}
