"""Planning a run: the waiting file is read, checked, compared to the last snapshot and cut into chunks of changes.

Nothing of this is visible to anyone before the run turns to `applying`, in one write: a worker that dies earlier
leaves objects that the next one overwrites with the same content. Every step after that write can be repeated too.
This is the one module here that works with DuckDB beside those that it calls: import it only where a file is planned.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from chalicelib.connectors import chunks, delta, drop, staging, unsettled
from chalicelib.connectors.chunk_store import (
    StoredChunk,
    fetch_snapshot,
    store_chunk,
    store_manifest,
    store_snapshot,
    store_unsettled,
)
from chalicelib.connectors.chunks import ChunkFile
from chalicelib.connectors.delta import Delta
from chalicelib.connectors.errors import FileRefused, MappingInvalid
from chalicelib.connectors.formats import TextFile
from chalicelib.connectors.forms import read_file
from chalicelib.connectors.layout import store_layout
from chalicelib.connectors.mapping import Mapping
from chalicelib.connectors.mappings import mapping_at
from chalicelib.connectors.model import APPLYING, DUPLICATE, REFUSED, Connector, Run
from chalicelib.connectors.quarantine import ReasonCount
from chalicelib.connectors.rejected import KEPT_BYTES, RejectedRow, store_rejected
from chalicelib.connectors.report import planning_requests_needed
from chalicelib.connectors.runs import change_planned
from chalicelib.connectors.staging import Staged
from chalicelib.platform import requests
from chalicelib.platform.tenant import Tenant

ROWS_PER_CHUNK = 2_000
"""What one invocation of the applying function does in a few seconds: 160 batch writes at most, and the cases."""
KEPT_OF_REFUSED = 1_000
"""How many quarantined rows are kept to look at when a file is refused because there are too many."""

BLOCK = 1_000
"""Quarantined rows held in memory at a time."""
QUARANTINE_FILE = "quarantine.parquet"
"""What staging calls the file of the rows that it did not accept."""


class _Duplicate(Exception):
    """The file is the one that was applied last."""


@dataclass
class _Desk:
    """Where one attempt works: a folder that goes with it, and how long each step took (milliseconds)."""

    tenant: Tenant
    connector: Connector
    run: Run
    mapping: Mapping
    folder: Path
    facts: dict[str, Any] = field(default_factory=dict[str, Any])
    timings: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def quarantine_until(self) -> datetime:
        """When the rows that the run quarantines expire: the same moment for every attempt."""
        return self.run.started_at.replace(microsecond=0) + timedelta(days=self.mapping.quarantine_days)

    @contextmanager
    def step(self, name: str) -> Generator[None]:
        """Times a step."""
        begun = time.monotonic()
        yield
        self.timings[name] = round((time.monotonic() - begun) * 1000)


def plan(tenant: Tenant, connector: Connector, run: Run, *, now: datetime) -> bool:
    """Reads the run's file and leaves the run either `applying` with everything stored, or with a verdict: refused, or
    a duplicate of the file applied last. False when another worker took the run over meanwhile.

    Planning the same file again gives the same chunks and the same snapshot.
    """
    with tempfile.TemporaryDirectory(prefix="plan-") as folder, requests.counted() as cost:
        # A mapping that is replaced while the run is at work holds from the next run on.
        mapping = mapping_at(tenant, connector, run.mapping_version)
        desk = _Desk(tenant, connector, run, mapping, Path(folder))
        try:
            changes = _plan(desk)
        except FileRefused as error:
            where = {"line": error.line, "byte": error.byte, "rows_kept": _keep_some_rejected(desk)}
            known = {name: value for name, value in where.items() if value is not None}
            changes = {"verdict": {"status": REFUSED, "code": error.code, "reason": error.detail, **known}}
        except MappingInvalid as error:
            changes = {"verdict": {"status": REFUSED, "code": "mapping_invalid", "reason": error.detail}}
        except _Duplicate:
            changes = {"verdict": {"status": DUPLICATE, "code": "duplicate"}}
        # The write below is one more request, and so are the claim, read and dispatch around this function.
        measured = {"plan": dict(cost + Counter(GetItem=1, TransactWriteItems=3))}
        return change_planned(
            tenant, run, desk.facts | changes | {"timings": desk.timings, "requests": measured, "planned_at": now}
        )


def _plan(desk: _Desk) -> dict[str, Any]:
    _check_turn(desk)
    text = _read(desk)
    _check_news(desk)
    with staging.connect(desk.folder) as con:
        staged, found = _compare(desk, con, text)
        with desk.step("quarantine"):
            store_rejected(desk.tenant, desk.run.id, _rejected(desk, con), until=desk.quarantine_until)
            left = _leave_unsettled(desk, con, text, staged)
        with desk.step("store"):
            stored = _store(desk, found, chunks.write(con, found, desk.folder, ROWS_PER_CHUNK))
    return stored | left | _account_for(text, staged, found) | {"status": APPLYING}


def _check_turn(desk: _Desk) -> None:
    """Refuses by its name a file that is not expected, or older than what was applied. Costs no reading."""
    given, last = desk.run.business_date, desk.connector.last_business_date
    if given is None:
        raise FileRefused(
            "unexpected_name",
            f"The file's name does not match {desk.mapping.source.file_pattern} with a day of the calendar",
        )
    if last is not None and given < last:
        raise FileRefused("older_than_applied", f"The file is of {given}, but that of {last} is applied already")


def _check_news(desk: _Desk) -> None:
    """Of the day that was applied last, the same file is a duplicate and any other is refused. The same content for a
    later day is news: nothing changed, and the accounts are a day later."""
    if desk.run.business_date != desk.connector.last_business_date:
        return
    if desk.facts["sha256"] == desk.connector.last_sha256:
        raise _Duplicate
    raise FileRefused("same_business_date", f"Another file of {desk.run.business_date} is applied already")


def _read(desk: _Desk) -> TextFile:
    opened = drop.open_file(desk.tenant, desk.run.object_key)
    if opened is None:
        raise FileRefused("file_gone", "The file was taken away before it could be read")
    body, desk.facts["etag"] = opened
    with desk.step("read"):
        required = desk.mapping.headings(required=True)
        text = read_file(body, desk.folder / "rows.txt", desk.mapping.format, columns=required)
    desk.facts |= {"sha256": text.sha256, "bytes": text.bytes}
    return text


def _compare(desk: _Desk, con: DuckDBPyConnection, text: TextFile) -> tuple[Staged, Delta]:
    assert desk.run.business_date is not None, "a file without one is refused before it is read"
    previous = None
    if desk.connector.last_snapshot is not None:
        previous = desk.folder / "previous.parquet"
        with desk.step("fetch_snapshot"):
            fetch_snapshot(desk.tenant, desk.connector.last_snapshot, previous)
    with desk.step("stage"):
        staged = staging.stage(con, text, desk.mapping, desk.folder, desk.run.business_date, previous)
    with desk.step("delta"):
        found = delta.compute(con, staged, desk.folder)
    return staged, found


def _leave_unsettled(desk: _Desk, con: DuckDBPyConnection, text: TextFile, staged: Staged) -> dict[str, Any]:
    """Stores what a replay of the quarantined rows will need to know; returns what the run has to know of that."""
    if not staged.quarantined:
        return {}
    before = None
    if desk.connector.last_unsettled is not None:
        before = desk.folder / "unsettled-before.parquet"
        fetch_snapshot(desk.tenant, desk.connector.last_unsettled, before)
    store_layout(desk.tenant, desk.run.id, text)
    unsettled.view_unsettled(con, before)
    path = desk.folder / "unsettled.parquet"
    is_any = unsettled.write(con, staged.label.business_date, path)
    key = store_unsettled(desk.tenant, desk.run.id, path) if is_any else None
    return {"unsettled": key, "quarantine_until": desk.quarantine_until}


def _store(desk: _Desk, found: Delta, files: Iterator[ChunkFile]) -> dict[str, Any]:
    """Stores snapshot, chunks and manifest; returns what the run has to know of them."""
    snapshot = store_snapshot(desk.tenant, desk.run.id, found.snapshot)
    return {"snapshot": snapshot} | store_chunks(desk.tenant, desk.run.id, files)


def store_chunks(tenant: Tenant, run_id: str, files: Iterator[ChunkFile]) -> dict[str, Any]:
    """Stores a run's chunks and manifest; returns what the run has to know of them. Each chunk file goes when it is
    stored, so the folder never holds more than one."""
    stored: list[StoredChunk] = []
    for file in files:
        stored.append(store_chunk(tenant, run_id, file.number, file.rows, file.path))
        file.path.unlink()
    manifest = store_manifest(tenant, run_id, stored)
    return {"chunks": len(stored), "manifest_sha256": manifest}


def _account_for(text: TextFile, staged: Staged, found: Delta) -> dict[str, Any]:
    """What the report says of the rows."""
    return {
        "counts": {
            "read": staged.rows,
            "new": found.new,
            "changed": found.changed,
            "unchanged": found.unchanged,
            "removed": found.removed,
            "quarantined": staged.quarantined,
        },
        "carried": found.carried,
        "control_totals": [asdict(total) for total in staged.totals],
        "trailer": _trailer(text, staged),
        "reasons": [_reason_count(count) for count in staged.reasons],
        "warnings": [_reason_count(count) for count in staged.warnings],
        "ignored_columns": list(staged.ignored),
        "requests_expected": planning_requests_needed(staged.quarantined),
    }


def _trailer(text: TextFile, staged: Staged) -> dict[str, Any] | None:
    if text.trailer is None:
        return None
    total = text.trailer.total
    return {
        "rows": text.trailer.count,
        "total": None if total is None else str(total),
        # A file whose total does not agree is refused; it cannot be checked where a row's amount cannot be read.
        "total_agrees": None if total is None or staged.unread_total_rows else True,
        "unreadable_rows": staged.unread_total_rows,
    }


def _reason_count(count: ReasonCount) -> dict[str, Any]:
    return asdict(count.reason) | {"rows": count.rows}


def _keep_some_rejected(desk: _Desk) -> int | None:
    """When the file was refused after rows of it were quarantined, the first of them show why: how many are kept, or
    None."""
    path = desk.folder / QUARANTINE_FILE
    if not path.exists():
        return None
    with staging.connect(desk.folder) as con:
        [(quarantined,)] = con.execute("SELECT count(*) FROM read_parquet(?)", [str(path)]).fetchall()
        rows = islice(_rejected(desk, con), KEPT_OF_REFUSED)
        store_rejected(desk.tenant, desk.run.id, rows, until=desk.quarantine_until)
    return min(quarantined, KEPT_OF_REFUSED) or None


def _rejected(desk: _Desk, con: DuckDBPyConnection) -> Iterator[RejectedRow]:
    """The quarantined rows in order of their lines, a block in memory at a time and of each no more than is kept."""
    path = str(desk.folder / QUARANTINE_FILE)
    cursor = con.execute(
        "SELECT line, left(raw, ?), strlen(raw), reasons FROM read_parquet(?) ORDER BY line", [KEPT_BYTES, path]
    )
    while block := cursor.fetchmany(BLOCK):
        for line, beginning, raw_bytes, reasons in block:
            yield RejectedRow(line, json.loads(reasons), desk.mapping.version, beginning, raw_bytes)
