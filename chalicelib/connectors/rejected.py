"""Rows that were not accepted: kept with their reasons, their text sealed, and shown page by page."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from chalicelib.connectors.connectors import find_connector
from chalicelib.connectors.model import QUARANTINE, QuarantinedRow
from chalicelib.connectors.runs import find_run, list_runs
from chalicelib.platform.batches import write_items
from chalicelib.platform.errors import NotFound
from chalicelib.platform.pages import Cursor, page_of
from chalicelib.platform.sealing import Vault
from chalicelib.platform.tenant import Tenant

KEPT_BYTES = 16 * 1024
"""How much of a row's text is kept, in UTF-8. A line may be far longer than an item can be."""
MAX_PAGE_BYTES = 5_000_000
"""How long a page's rows may get as Lambda passes them on; it passes on 6 MB, all else of the answer included."""


@dataclass(frozen=True)
class RejectedRow:
    """A row as it was refused: its line in the file (from 1), each reason as names without values, and its text.

    `raw` is the text, or the beginning of one that is too long to keep; `raw_bytes` is the whole's length in UTF-8.
    """

    line: int
    reasons: list[dict[str, str]]
    mapping_version: int
    raw: str
    raw_bytes: int

    @property
    def truncated(self) -> bool:
        """Whether `raw` is only the beginning."""
        return len(self.raw.encode()) < self.raw_bytes


def store_rejected(tenant: Tenant, run_id: str, rows: Iterable[RejectedRow]) -> None:
    """Stores the rows of a run, in batches, of each text the first `KEPT_BYTES`. Storing them again changes nothing."""
    model, vault = tenant.bind(QuarantinedRow), tenant.vault
    items = (
        model(
            run_id,
            f"{QUARANTINE}{row.line:010d}",
            line=row.line,
            reasons=row.reasons,
            mapping_version=row.mapping_version,
            sealed=vault.seal({"raw": _beginning(row.raw)}, bound_to=_bound_to(run_id, row.line)),
            raw_bytes=row.raw_bytes,
        )
        for row in rows
    )
    write_items(tenant.store, items)


def list_rejected(
    tenant: Tenant, connector_id: str, run_id: str | None, *, limit: int, cursor: Cursor | None
) -> tuple[list[RejectedRow], Cursor | None]:
    """A page of a run's rejected rows in order of their lines, and the next page's cursor. Where rows are long, a page
    ends before `limit`, so that its answer can be passed on.

    Without `run_id`, those of the run that was applied last, or of the newest while none was. Raises NotFound for an
    unknown connector or run, and for a connector that has no run yet.
    """
    if run_id is None:
        run_id = find_connector(tenant, connector_id).last_run or _newest_run(tenant, connector_id)
    # The run is looked up under its connector: rows of another connector's run are not shown as this one's.
    find_run(tenant, connector_id, run_id)
    page, after = page_of(tenant.bind(QuarantinedRow), run_id, prefix=QUARANTINE, limit=limit, cursor=cursor)
    rows: list[RejectedRow] = []
    size = 0
    for number, stored in enumerate(page):
        row = _opened(tenant, stored)
        size += _answered_bytes(row)
        if rows and size > MAX_PAGE_BYTES:
            return rows, {"sk": page[number - 1].sk}
        rows.append(row)
    return rows, after


def opened_text(vault: Vault, stored: QuarantinedRow) -> str:
    """The text of a stored row, or as much of it as is kept. Raises SealBroken."""
    return vault.open(stored.sealed, bound_to=_bound_to(stored.pk, stored.line))["raw"]


def _newest_run(tenant: Tenant, connector_id: str) -> str:
    runs, _ = list_runs(tenant, connector_id, limit=1, cursor=None)
    if not runs:
        raise NotFound("the connector has read no file yet, so no row of one is quarantined")
    return runs[0].id


def _opened(tenant: Tenant, stored: QuarantinedRow) -> RejectedRow:
    raw = opened_text(tenant.vault, stored)
    return RejectedRow(stored.line, stored.reasons, stored.mapping_version, raw, stored.raw_bytes)


def _answered_bytes(row: RejectedRow) -> int:
    """How long the row is at most in the function's answer: JSON, within a text that is JSON again."""
    return len(json.dumps(json.dumps(asdict(row), ensure_ascii=False)))


def _beginning(raw: str) -> str:
    """The first `KEPT_BYTES` of a text, less a character that would be cut."""
    return raw.encode()[:KEPT_BYTES].decode(errors="ignore")


def _bound_to(run_id: str, line: int) -> str:
    return f"{run_id}#{line}"
