"""A replay's turn: how it waits with the connector, and how the run that it became ends."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from pynamodb.expressions.update import Action

from chalicelib.connectors.chunk_store import ChunkDamaged
from chalicelib.connectors.model import REPLAY, REPLAYED, RUN, Connector, QuarantinedRow, Replay, Run
from chalicelib.platform.batches import write_items
from chalicelib.platform.commit import Update, Write
from chalicelib.platform.tenant import Tenant

DIGEST = "quarantine"
"""The purpose of the digests of rows' texts."""


@dataclass(frozen=True)
class Turn:
    """One run's rows for one request; of them those behind the line `after`."""

    replay_id: str
    run_id: str
    after: int = 0

    @classmethod
    def read(cls, written: str) -> Self:
        """The turn that was `written`."""
        replay_id, run_id, after = written.split("/")
        return cls(replay_id, run_id, int(after))

    @property
    def written(self) -> str:
        """The turn as it waits in the connector's item."""
        return f"{self.replay_id}/{self.run_id}/{self.after}"


@dataclass(frozen=True)
class Outcome:
    """What was found of one row when its replay was planned: the keyed digest of its text, and the reasons for which it
    stays in quarantine, or None where it is applied."""

    line: int
    digest: str
    reasons: list[dict[str, str]] | None


@dataclass(frozen=True)
class Settled:
    """What a replay did to its rows."""

    replayed: int
    kept: int
    rows: list[dict[str, Any]]
    """Line, digest and whether it was applied, of each: what the ledger proves."""


def store_outcomes(tenant: Tenant, run_id: str, outcomes: Iterable[Outcome]) -> str:
    """Keeps what was found of the rows (ordered by line) and returns the SHA-256 of the object."""
    lines = (json.dumps(vars(outcome), ensure_ascii=False) for outcome in outcomes)
    content = gzip.compress("\n".join(lines).encode(), mtime=0)
    tenant.write_object(_key(tenant, run_id), content)
    return hashlib.sha256(content).hexdigest()


def settle_rows(tenant: Tenant, run: Run, *, now: datetime) -> Settled:
    """Writes into the quarantine what became of each row of a replay that is applied. Repeating it is harmless: nobody
    else changes rows of that run meanwhile (see `repair`). Raises ChunkDamaged."""
    assert run.replay_of is not None, "only a replay settles rows"
    outcomes = _load(tenant, run)
    write_items(tenant.store, _changed(tenant, run, outcomes, now))
    replayed = sum(outcome.reasons is None for outcome in outcomes.values())
    rows = [{"line": each.line, "digest": each.digest, "applied": each.reasons is None} for each in outcomes.values()]
    return Settled(replayed, len(outcomes) - replayed, rows)


def end_of_turn(
    tenant: Tenant, run: Run, settled: Settled | None, *, now: datetime
) -> tuple[list[Action], list[Write], str]:
    """What changes with the end of a replay's run beside the run itself: actions on the connector, further writes, and
    who asked for it. `settled` is None where it was refused and nothing is applied."""
    connectors, runs, replays = tenant.bind(Connector), tenant.bind(Run), tenant.bind(Replay)
    replay = replays.find(run.pk, REPLAY + (run.replay or ""))
    assert replay is not None, "a request stays as long as its connector"
    assert run.replay_of is not None, "only a replay has a turn"
    again = settled is not None and run.replay_next is not None
    turn = connectors.replays[0]
    next_turn = turn.set(Turn(replay.id, run.replay_of, run.replay_next).written) if again else turn.remove()
    actions: list[Action] = [next_turn, connectors.replaying.remove(), connectors.last_replay.set(run.id)]
    counted: list[Action] = []
    writes: list[Write] = []
    if settled is not None:
        actions += [connectors.last_snapshot.set(run.snapshot), connectors.last_unsettled.set(run.unsettled)]
        writes.append(Update(runs, run.pk, RUN + run.replay_of, [runs.rows_replayed.add(settled.replayed)]))
        counted += [replays.replayed.add(settled.replayed), replays.kept.add(settled.kept)]
    if not again:
        counted.append(replays.runs_left.add(-1))
        if replay.runs_left == 1:
            counted.append(replays.finished_at.set(now))
    writes.append(Update(replays, replay.pk, replay.sk, counted))
    return actions, writes, replay.requested_by


def _changed(tenant: Tenant, run: Run, outcomes: dict[int, Outcome], now: datetime) -> Iterator[QuarantinedRow]:
    """The stored rows that are not yet what the outcomes say, as they are to be stored."""
    if not outcomes:
        return
    model = tenant.bind(QuarantinedRow)
    places = model.sk.between(model.key_of(min(outcomes)), model.key_of(max(outcomes)))
    for row in model.query(run.replay_of, places, consistent_read=True):
        outcome = outcomes.get(row.line)
        if outcome is None or row.replay_run == run.id:
            continue
        if outcome.reasons is None:
            row.status = REPLAYED
        elif row.reasons != outcome.reasons:
            row.first_reasons, row.reasons = row.first_reasons or row.reasons, outcome.reasons
        row.replay_run, row.mapping_version = run.id, run.mapping_version
        row.changed_at, row.version = now, row.version + 1
        yield row


def _load(tenant: Tenant, run: Run) -> dict[int, Outcome]:
    content = tenant.read_object(_key(tenant, run.id))
    if hashlib.sha256(content).hexdigest() != run.outcomes_sha256:
        raise ChunkDamaged(f"the outcomes of {run.id} are not what it planned")
    found = (Outcome(**json.loads(line)) for line in gzip.decompress(content).splitlines())
    return {outcome.line: outcome for outcome in found}


def _key(tenant: Tenant, run_id: str) -> str:
    return tenant.object_key("runs", run_id, "outcomes.jsonl.gz")
