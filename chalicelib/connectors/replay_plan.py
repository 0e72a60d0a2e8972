"""Planning a replay: a run's quarantined rows are mapped by the mapping in force, compared to the last snapshot and cut
into chunks of changes, as the rows of a file are.

Nothing of this is visible to anyone before the run turns to `applying`, in one write. While the replay is at work
nobody repairs or discards rows of that run, so planning again finds the same rows. This module works with DuckDB:
import it only where a replay is planned.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from chalicelib.connectors import chunks, plan, replay_delta, staging, unsettled
from chalicelib.connectors.chunk_store import fetch_snapshot, store_snapshot, store_unsettled
from chalicelib.connectors.compile import Reason
from chalicelib.connectors.errors import FileRefused, MappingInvalid
from chalicelib.connectors.layout import load_layout
from chalicelib.connectors.mapping import Mapping
from chalicelib.connectors.mappings import mapping_at
from chalicelib.connectors.model import APPLYING, REFUSED, Connector, Replay, Run
from chalicelib.connectors.rejected import Wanted, entry_of, open_rows
from chalicelib.connectors.remapped import OfferedRow, map_rows
from chalicelib.connectors.replay import find_replay
from chalicelib.connectors.replay_delta import Kept, Replayed
from chalicelib.connectors.report import planning_requests_needed
from chalicelib.connectors.runs import change_planned
from chalicelib.connectors.turns import DIGEST, Outcome, Turn, store_outcomes
from chalicelib.platform import requests
from chalicelib.platform.tenant import Tenant

MOST_ROWS = 10_000
"""How many rows one run replays, so that settling them fits in the time of the function that applies its last chunk.
The others of the same request follow in another run."""
NOT_KEPT_WHOLE = Reason(
    "", "", "not_kept_whole", "the whole text of the row, by repairing it: only its beginning is kept"
)


@dataclass
class _Desk:
    """Where one attempt works, and what it found of the selected rows: the digest of each one's text, those that cannot
    be mapped, and the line behind which others are left for another run (None: none are)."""

    tenant: Tenant
    connector: Connector
    run: Run
    replay: Replay
    mapping: Mapping
    folder: Path
    digests: dict[int, str] = field(default_factory=dict[int, str])
    unreadable: list[Kept] = field(default_factory=list[Kept])
    rest_after: int | None = None
    timings: dict[str, int] = field(default_factory=dict[str, int])

    @contextmanager
    def step(self, name: str) -> Generator[None]:
        """Times a step (milliseconds)."""
        begun = time.monotonic()
        yield
        self.timings[name] = round((time.monotonic() - begun) * 1000)


def plan_replay(tenant: Tenant, connector: Connector, run: Run, *, now: datetime) -> bool:
    """Leaves the run of a replay either `applying` with everything stored, or refused, where the mapping in force
    cannot read the file's columns at all. False when another worker took the run over meanwhile."""
    with tempfile.TemporaryDirectory(prefix="replay-") as folder, requests.counted() as cost:
        replay = find_replay(tenant, connector.sk, run.replay or "")
        mapping = mapping_at(tenant, connector, run.mapping_version)
        desk = _Desk(tenant, connector, run, replay, mapping, Path(folder))
        try:
            changes = _plan(desk, now)
        except FileRefused as error:
            changes = {"verdict": {"status": REFUSED, "code": error.code, "reason": error.detail}}
        except MappingInvalid as error:
            changes = {"verdict": {"status": REFUSED, "code": "mapping_invalid", "reason": error.detail}}
        measured = {"plan": dict(cost + Counter(GetItem=1, TransactWriteItems=3))}
        return change_planned(tenant, run, changes | {"timings": desk.timings, "requests": measured, "planned_at": now})


def _plan(desk: _Desk, now: datetime) -> dict[str, Any]:
    run, connector = desk.run, desk.connector
    assert run.replay_of and run.business_date, "a replay is of a run that was completed"
    assert connector.last_snapshot and connector.last_business_date, "a connector with a completed run has both"
    layout = load_layout(desk.tenant, run.replay_of)
    previous, before = desk.folder / "previous.parquet", None
    with desk.step("fetch_snapshot"):
        fetch_snapshot(desk.tenant, connector.last_snapshot, previous)
        if connector.last_unsettled is not None:
            before = desk.folder / "unsettled-before.parquet"
            fetch_snapshot(desk.tenant, connector.last_unsettled, before)
    with staging.connect(desk.folder) as con:
        with desk.step("stage"):
            rows = _offered(desk, now)
            program = map_rows(con, rows, layout, desk.mapping, run.business_date, desk.folder)
        with desk.step("delta"):
            unsettled.view_unsettled(con, before)
            found = replay_delta.compute(
                con,
                program,
                of=run.business_date,
                last=connector.last_business_date,
                previous=previous,
                out=desk.folder,
            )
        with desk.step("store"):
            files = chunks.write(con, found.delta, desk.folder, plan.ROWS_PER_CHUNK)
            stored = plan.store_chunks(desk.tenant, run.id, files) | _store(desk, found)
        warnings = replay_delta.warnings_of(con, program)
    return stored | _account_for(desk, found) | {"warnings": warnings, "status": APPLYING}


def _offered(desk: _Desk, now: datetime) -> Iterator[OfferedRow]:
    """Every open row of the run, since a key may be met twice among them; of one row that was named, that one alone:
    who names it has decided which of them is right."""
    replay, turn = desk.replay, Turn.read((desk.connector.replays or [""])[0])
    wanted = Wanted(field=replay.field, code=replay.code)
    selected = 0
    assert desk.run.replay_of is not None
    for stored in open_rows(desk.tenant, desk.run.replay_of):
        entry = entry_of(desk.tenant.vault, stored, now)
        if not entry.is_open or replay.line not in (None, entry.line):
            continue
        is_selected = wanted.holds(stored, now) and entry.line > turn.after
        if is_selected and selected == MOST_ROWS:
            desk.rest_after = desk.rest_after or max(desk.digests)
            is_selected = False
        selected += is_selected
        if is_selected:
            desk.digests[entry.line] = desk.tenant.vault.digest(DIGEST, (entry.text or entry.raw).encode())
        if entry.text is not None:
            yield OfferedRow(entry.line, entry.text, is_selected)
        elif is_selected:
            desk.unreadable.append(Kept(entry.line, [asdict(NOT_KEPT_WHOLE)]))


def _store(desk: _Desk, found: Replayed) -> dict[str, Any]:
    """Stores what the next run, and the end of this one, will need; returns what the run has to know of that."""
    tenant, run = desk.tenant, desk.run
    reasons = {kept.line: kept.reasons for kept in (*found.kept, *desk.unreadable)}
    outcomes = (Outcome(line, digest, reasons.get(line)) for line, digest in sorted(desk.digests.items()))
    return {
        # Where no account moved, what the next file is compared with stays what it is.
        "snapshot": store_snapshot(tenant, run.id, found.delta.snapshot)
        if found.moved
        else desk.connector.last_snapshot,
        "unsettled": store_unsettled(tenant, run.id, desk.folder / "unsettled.parquet") if found.unsettled else None,
        "outcomes_sha256": store_outcomes(tenant, run.id, outcomes),
        "replay_next": desk.rest_after,
    }


def _account_for(desk: _Desk, found: Replayed) -> dict[str, Any]:
    """What the report says of the rows."""
    kept = [*found.kept, *desk.unreadable]
    against = Counter(tuple(sorted(reason.items())) for each in kept for reason in each.reasons)
    return {
        "counts": {
            "read": len(found.lines) + len(kept),
            "new": found.delta.new,
            "changed": found.delta.changed,
            "unchanged": found.delta.unchanged,
            "removed": 0,
            "quarantined": len(kept),
        },
        "control_totals": [asdict(total) for total in found.totals],
        "reasons": [dict(reason) | {"rows": rows} for reason, rows in against.most_common()],
        "requests_expected": planning_requests_needed(0),
    }
