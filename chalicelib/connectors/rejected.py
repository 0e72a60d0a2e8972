"""Rows that were not accepted: kept with their reasons, their text sealed, and shown page by page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, cast

from chalicelib.connectors.connectors import find_connector
from chalicelib.connectors.model import EXPIRED, QUARANTINE, REPAIRED, WAITING, QuarantinedRow, Run
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
MOST_LOOKED_AT = 2_000
"""How many rows are read for one page, however few of them are those that were asked for."""
_MOST_DIGITS = 10

Status = Literal["waiting", "repaired", "replayed", "discarded", "expired"]


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


@dataclass(frozen=True)
class QuarantineEntry:
    """A quarantined row as it stands at a moment, with its text opened; of an expired one no text is told.

    `reasons` are those that stand now, by `mapping_version`, and `first_reasons` those of the run, where they are
    others. `corrected` is the text that it was repaired to. `replay_run` is the run that replayed it last.
    """

    run_id: str
    line: int
    status: Status
    reasons: list[dict[str, str]]
    first_reasons: list[dict[str, str]] | None
    mapping_version: int
    raw: str
    raw_bytes: int
    corrected: str | None
    note: str | None
    replay_run: str | None
    changed_by: str | None
    changed_at: datetime | None
    expires_at: datetime | None
    version: int

    @property
    def truncated(self) -> bool:
        """Whether `raw` is only the beginning."""
        return len(self.raw.encode()) < self.raw_bytes

    @property
    def text(self) -> str | None:
        """The text to be mapped: as corrected, or as delivered; None where only the beginning of it is kept."""
        if self.corrected is not None:
            return self.corrected
        return None if self.truncated else self.raw

    @property
    def is_open(self) -> bool:
        """Whether it may still be repaired, replayed or discarded."""
        return self.status in (WAITING, REPAIRED)


@dataclass(frozen=True)
class Wanted:
    """Which rows are asked for: those with a reason against `field`, or of the kind `code` (with both: one reason that
    is both, whether it stands now or stood first), and those in a `status`."""

    field: str | None = None
    code: str | None = None
    status: str | None = None

    def holds(self, stored: QuarantinedRow, now: datetime) -> bool:
        """Whether a stored row is one of them."""
        if self.status is not None and status_of(stored, now) != self.status:
            return False
        if self.field is None and self.code is None:
            return True
        return any(
            self.field in (None, reason["field"]) and self.code in (None, reason["code"])
            for reason in (*stored.reasons, *(stored.first_reasons or ()))
        )


def store_rejected(tenant: Tenant, run_id: str, rows: Iterable[RejectedRow], *, until: datetime) -> None:
    """Stores the rows of a run, in batches, of each text the first `KEPT_BYTES`; they expire at `until`. Storing them
    again changes nothing."""
    model, vault = tenant.bind(QuarantinedRow), tenant.vault
    items = (
        model(
            run_id,
            model.key_of(row.line),
            line=row.line,
            reasons=row.reasons,
            mapping_version=row.mapping_version,
            sealed=vault.seal({"raw": _beginning(row.raw)}, bound_to=bound_to(run_id, row.line)),
            raw_bytes=row.raw_bytes,
            forget_after=int(until.timestamp()),
        )
        for row in rows
    )
    write_items(tenant.store, items)


def list_rejected(
    tenant: Tenant,
    connector_id: str,
    run_id: str | None,
    *,
    limit: int,
    cursor: Cursor | None,
    now: datetime,
    wanted: Wanted | None = None,
) -> tuple[list[QuarantineEntry], Cursor | None]:
    """A page of a run's rejected rows in order of their lines, and the next page's cursor. Where rows are long, or few
    of them are `wanted`, a page ends before `limit`.

    Without `run_id`, those of the run that was applied last, or of the newest while none was. Raises NotFound for an
    unknown connector or run, and for a connector that has no run yet.
    """
    if run_id is None:
        run_id = find_connector(tenant, connector_id).last_run or _newest_run(tenant, connector_id)
    # The run is looked up under its connector: rows of another connector's run are not shown as this one's.
    find_run(tenant, connector_id, run_id)
    entries: list[QuarantineEntry] = []
    size = looked_at = 0
    place: str | None = None
    while True:
        page, cursor = page_of(tenant.bind(QuarantinedRow), run_id, prefix=QUARANTINE, limit=limit, cursor=cursor)
        for stored in page:
            if wanted is not None and not wanted.holds(stored, now):
                place = stored.sk
                continue
            entry = entry_of(tenant.vault, stored, now)
            size += _answered_bytes(entry)
            if place is not None and entries and size > MAX_PAGE_BYTES:
                return entries, {"sk": place}
            entries.append(entry)
            place = stored.sk
            if len(entries) == limit:
                is_end = cursor is None and stored is page[-1]
                return entries, None if is_end else {"sk": place}
        looked_at += len(page)
        if cursor is None or looked_at >= MOST_LOOKED_AT:
            return entries, cursor


def find_row(tenant: Tenant, connector_id: str, run_id: str, line: str) -> tuple[Run, QuarantinedRow]:
    """A run and the quarantined row on that line of its file. Raises NotFound."""
    run = find_run(tenant, connector_id, run_id)
    number = int(line) if line.isascii() and line.isdigit() and len(line) <= _MOST_DIGITS else 0
    stored = tenant.bind(QuarantinedRow).find(run_id, QuarantinedRow.key_of(number))
    if stored is None:
        raise NotFound("no row of that line is in the run's quarantine (rows leave it when they expire)")
    return run, stored


def open_rows(tenant: Tenant, run_id: str) -> Iterator[QuarantinedRow]:
    """Every quarantined row of a run that was neither applied nor discarded, in order of their lines."""
    model = tenant.bind(QuarantinedRow)
    # Rows that an older version stored say nothing of their status: they wait.
    open_ = model.status.does_not_exist() | model.status.is_in(WAITING, REPAIRED)
    return model.query(run_id, model.sk.startswith(QUARANTINE), filter_condition=open_, consistent_read=True)


def entry_of(vault: Vault, stored: QuarantinedRow, now: datetime) -> QuarantineEntry:
    """A stored row as it stands now. Raises SealBroken."""
    status = status_of(stored, now)
    opened = {} if status == EXPIRED else opened_texts(vault, stored)
    return QuarantineEntry(
        run_id=stored.pk,
        line=stored.line,
        status=status,
        reasons=stored.reasons,
        first_reasons=stored.first_reasons,
        mapping_version=stored.mapping_version,
        raw=opened.get("raw", ""),
        raw_bytes=stored.raw_bytes,
        corrected=opened.get("corrected"),
        note=opened.get("note"),
        replay_run=stored.replay_run,
        changed_by=stored.changed_by,
        changed_at=stored.changed_at,
        expires_at=None if stored.forget_after is None else datetime.fromtimestamp(stored.forget_after, UTC),
        version=stored.version,
    )


def status_of(stored: QuarantinedRow, now: datetime) -> Status:
    """What has become of a row. One that nobody settled in time is expired, whether or not DynamoDB has deleted it."""
    is_late = stored.forget_after is not None and now.timestamp() >= stored.forget_after
    status = cast("Status", stored.status)
    return "expired" if is_late and status in (WAITING, REPAIRED) else status


def opened_texts(vault: Vault, stored: QuarantinedRow) -> dict[str, str]:
    """The texts of a stored row: `raw`, or as much of it as is kept, `corrected` and `note`. Raises SealBroken."""
    place = bound_to(stored.pk, stored.line)
    sealed = (stored.sealed, stored.corrected, stored.note)
    return {
        name: text for each in sealed if each is not None for name, text in vault.open(each, bound_to=place).items()
    }


def bound_to(run_id: str, line: int) -> str:
    """What the sealed texts of a row are bound to."""
    return f"{run_id}#{line}"


def _newest_run(tenant: Tenant, connector_id: str) -> str:
    runs, _ = list_runs(tenant, connector_id, limit=1, cursor=None)
    if not runs:
        raise NotFound("the connector has read no file yet, so no row of one is quarantined")
    return runs[0].id


def _answered_bytes(entry: QuarantineEntry) -> int:
    """How long the row is at most in the function's answer: JSON, within a text that is JSON again."""
    told = [entry.raw, entry.corrected, entry.note, entry.reasons, entry.first_reasons]
    return 500 + len(json.dumps(json.dumps(told, ensure_ascii=False)))


def _beginning(raw: str) -> str:
    """The first `KEPT_BYTES` of a text, less a character that would be cut."""
    return raw.encode()[:KEPT_BYTES].decode(errors="ignore")
