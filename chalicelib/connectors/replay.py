"""Replaying quarantined rows: asked for, then each run's rows in a run of their own, through the same path as a file's.

A request names rows by what is wrong with them. It takes its place behind the connector's other replays, one turn for
each run that has such rows, the oldest run first, and goes before files that wait. A turn becomes a run: it claims the
connector, so no file is read and no row repaired beside it, it is planned (`replay_plan`) and applied in chunks, and
ends in one transaction with the snapshot that the next file is compared with. Killed anywhere it is continued, as any
run is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pynamodb.expressions.condition import size

from chalicelib.connectors.connectors import connector_in_use, find_connector
from chalicelib.connectors.model import (
    COMPLETED,
    CONNECTORS,
    PLANNING,
    REPLAY,
    RUN,
    Connector,
    Replay,
    Run,
)
from chalicelib.connectors.rejected import entry_of, find_row
from chalicelib.connectors.report import quarantine_counts
from chalicelib.connectors.runs import begin, find_run, next_id, wake
from chalicelib.connectors.turns import Turn
from chalicelib.platform.commit import Group, Put, Update, Write, commit_one
from chalicelib.platform.errors import Conflict, NotFound
from chalicelib.platform.ids import new_id
from chalicelib.platform.telemetry import logger
from chalicelib.platform.tenant import Tenant

MOST_TURNS = 1_000
"""How many turns may wait for one connector."""


@dataclass(frozen=True)
class Selection:
    """Which rows are to be replayed: of one `run` or of all, the one on `line`, or those with a reason against `field`
    or of the kind `code`."""

    run: str | None = None
    line: int | None = None
    field: str | None = None
    code: str | None = None


def request_replay(
    tenant: Tenant, connector_id: str, selection: Selection, *, by: str, now: datetime, key: str | None = None
) -> Replay:
    """Asks for the selected rows to be replayed by the mapping in force when their turn comes. With the same `key` (the
    caller's idempotency key) the same request is answered.

    Raises NotFound and Gone; Conflict for a row, or a run, that has nothing to replay, where the key was used for
    another selection, and while too many replays wait.
    """
    connector = connector_in_use(tenant, connector_id)
    if selection.run is not None and selection.line is not None:
        _check_row(tenant, connector_id, selection.run, str(selection.line), now)
    runs = list(_runs_of(tenant, connector_id, selection, now))
    replay = tenant.bind(Replay)(
        connector_id,
        REPLAY + (new_id("rpl", at=now) if key is None else tenant.vault.derived_id("rpl", connector_id, key)),
        run=selection.run,
        line=selection.line,
        field=selection.field,
        code=selection.code,
        runs=len(runs),
        runs_left=len(runs),
        requested_by=by,
        requested_at=now,
        finished_at=None if runs else now,
    )
    if not _queue(tenant, connector, replay, runs):
        return _same(tenant, connector_id, replay, selection)
    logger.info(
        "a replay is requested",
        extra={"tenant_id": tenant.id, "connector_id": connector_id, "replay": replay.id, "runs": len(runs)},
    )
    if runs:
        wake(tenant, connector_id)
    return replay


def find_replay(tenant: Tenant, connector_id: str, replay_id: str) -> Replay:
    """The request as it is now. Raises NotFound."""
    found = tenant.bind(Replay).find(connector_id, REPLAY + replay_id)
    if found is None:
        raise NotFound("the connector has no such replay")
    return found


def state_of(tenant: Tenant, replay: Replay) -> Literal["waiting", "running", "done"]:
    """How far a request is."""
    if replay.runs_left == 0:
        return "done"
    active = find_connector(tenant, replay.pk).active_run
    run = None if active is None else tenant.bind(Run).find(replay.pk, RUN + active)
    return "running" if run is not None and run.replay == replay.id else "waiting"


def claim_turn(tenant: Tenant, connector: Connector, *, now: datetime) -> Run | None:
    """Begins the run of the replay whose turn it is; None when another worker began one first."""
    assert connector.replays, "a turn is claimed only where one waits"
    turn = Turn.read(connector.replays[0])
    source = find_run(tenant, connector.sk, turn.run_id)
    run = tenant.bind(Run)(
        connector.sk,
        RUN + next_id(connector, now),
        status=PLANNING,
        attempt=1,
        replay=turn.replay_id,
        replay_of=source.id,
        object_key=source.object_key,
        file_name=source.file_name,
        etag=source.etag,
        business_date=source.business_date,
        mapping_version=connector.mapping_version,
        started_at=now,
    )
    return begin(tenant, connector, run, tenant.bind(Connector).replaying.set(source.id), now=now)


def check_applied(run: Run) -> None:
    """Raises Conflict for a run whose quarantined rows only show what was wrong: nothing of its file is applied, or not
    yet."""
    if run.status != COMPLETED or run.replay_of is not None:
        raise Conflict(
            f"the run is {run.status}: rows are repaired, replayed and discarded when the rest of their file is "
            "applied; a file that was refused is delivered again",
            run=run.id,
        )


def _check_row(tenant: Tenant, connector_id: str, run_id: str, line: str, now: datetime) -> None:
    run, stored = find_row(tenant, connector_id, run_id, line)
    check_applied(run)
    entry = entry_of(tenant.vault, stored, now)
    if not entry.is_open:
        raise Conflict(f"the row is {entry.status}", status_of_row=entry.status)
    if entry.text is None:
        raise Conflict(
            f"only the beginning of the row's {entry.raw_bytes} bytes is kept: repair it with its whole text first"
        )


def _runs_of(tenant: Tenant, connector_id: str, selection: Selection, now: datetime) -> Iterator[str]:
    """The runs that have rows to replay, the oldest first."""
    if selection.run is not None:
        run = find_run(tenant, connector_id, selection.run)
        check_applied(run)
        if _has_open_rows(run, now):
            yield run.id
        return
    model = tenant.bind(Run)
    for run in model.query(connector_id, model.sk.startswith(RUN), model.replay_of.does_not_exist()):
        if run.status == COMPLETED and _has_open_rows(run, now):
            yield run.id


def _has_open_rows(run: Run, now: datetime) -> bool:
    counts = quarantine_counts(run, now)
    return counts is not None and counts.waiting > 0


def _queue(tenant: Tenant, connector: Connector, replay: Replay, runs: list[str]) -> bool:
    """Stores the request and its turns together; False when it is there already, or too many turns wait."""
    writes: list[Write] = [Put(replay, type(replay).pk.does_not_exist())]
    if runs:
        model = type(connector)
        turns = [Turn(replay.id, run_id).written for run_id in runs]
        room = model.replays.does_not_exist() | (size(model.replays) <= MOST_TURNS - len(turns))
        append = model.replays.set((model.replays | []).append(turns))
        writes.append(Update(model, CONNECTORS, connector.sk, [append], room & model.deleted_at.does_not_exist()))
    return commit_one(tenant.store, Group("replay", writes))


def _same(tenant: Tenant, connector_id: str, replay: Replay, selection: Selection) -> Replay:
    stored = tenant.bind(Replay).find(connector_id, replay.sk)
    if stored is None:
        raise Conflict(f"{MOST_TURNS} replays wait for this connector at most; ask again when some have run")
    if Selection(stored.run, stored.line, stored.field, stored.code) != selection:
        raise Conflict("this Idempotency-Key was used to replay other rows")
    return stored
