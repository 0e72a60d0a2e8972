"""Rows that were not accepted: kept with their reasons, their text sealed, and shown page by page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from chalicelib.connectors.connectors import find_connector
from chalicelib.connectors.model import QUARANTINE, QuarantinedRow
from chalicelib.connectors.runs import find_run
from chalicelib.platform.batches import write_items
from chalicelib.platform.errors import NotFound
from chalicelib.platform.pages import Cursor, page_of
from chalicelib.platform.tenant import Tenant


@dataclass(frozen=True)
class RejectedRow:
    """A row as it was refused: its line in the file (from 1), its text, and each reason as names without values."""

    line: int
    reasons: list[dict[str, str]]
    mapping_version: int
    raw: str


def store_rejected(tenant: Tenant, run_id: str, rows: Iterable[RejectedRow]) -> None:
    """Stores the rows of a run, in batches. Storing them again changes nothing."""
    model, vault = tenant.bind(QuarantinedRow), tenant.vault
    items = (
        model(
            run_id,
            f"{QUARANTINE}{row.line:010d}",
            line=row.line,
            reasons=row.reasons,
            mapping_version=row.mapping_version,
            sealed=vault.seal({"raw": row.raw}, bound_to=_bound_to(run_id, row.line)),
        )
        for row in rows
    )
    write_items(tenant.store, items)


def list_rejected(
    tenant: Tenant, connector_id: str, run_id: str | None, *, limit: int, cursor: Cursor | None
) -> tuple[list[RejectedRow], Cursor | None]:
    """A page of a run's rejected rows in order of their lines, and the next page's cursor.

    Without `run_id`, those of the run that was applied last. Raises NotFound for an unknown connector or run.
    """
    if run_id is None:
        run_id = find_connector(tenant, connector_id).last_run
        if run_id is None:
            raise NotFound("the connector has applied no file yet; name a run with ?run=")
    # The run is looked up under its connector: rows of another connector's run are not shown as this one's.
    find_run(tenant, connector_id, run_id)
    page, after = page_of(tenant.bind(QuarantinedRow), run_id, prefix=QUARANTINE, limit=limit, cursor=cursor)
    rows = [
        RejectedRow(
            stored.line,
            stored.reasons,
            stored.mapping_version,
            tenant.vault.open(stored.sealed, bound_to=_bound_to(run_id, stored.line))["raw"],
        )
        for stored in page
    ]
    return rows, after


def _bound_to(run_id: str, line: int) -> str:
    return f"{run_id}#{line}"
