"""A run's life: claimed by one worker at a time, continued when that worker dies, ended once.

    planning ──► applying ──► completed
        └──────► refused | duplicate        (the verdict is stored first, then the file is moved, then the run ends)

A connector has at most one active run. Whoever plans it holds a claim that runs out with the function's time; the
next worker takes it over under the same run id and a higher attempt, which fences off everything the dead one might
still write. A worker that AWS fails gives its claim back: the run rests, longer each time, however often that is. Only
claims that ran out speak against the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, cast

from pynamodb.expressions.update import Action
from ulid import ULID

from chalicelib.connectors import drop
from chalicelib.connectors.connectors import connector_in_use, find_connector
from chalicelib.connectors.drop import WaitingFile
from chalicelib.connectors.model import CONNECTORS, PLANNING, REFUSED, RUN, Connector, Run
from chalicelib.connectors.turns import end_of_turn
from chalicelib.feed import event_put
from chalicelib.ledger import leaf_put
from chalicelib.platform import aws
from chalicelib.platform.commit import Group, Put, Update, Write, commit_one
from chalicelib.platform.errors import Conflict, NotFound
from chalicelib.platform.ids import new_id
from chalicelib.platform.pages import Cursor, page_of
from chalicelib.platform.telemetry import logger
from chalicelib.platform.tenant import Tenant

CLAIM_TIME = timedelta(seconds=600)
"""How long a worker may plan: the time-out of the function that plans."""
MAX_DEATHS = 5
"""How many workers may die of a file before it is refused."""
FIRST_REST, LONGEST_REST = timedelta(seconds=30), timedelta(hours=1)
"""How long a run rests when its claim was given back: the first time, and at most. Each rest is twice the last one."""


def request_run(tenant: Tenant, connector_id: str) -> Connector:
    """Asks for the connector's waiting files to be read; asking again is harmless. Raises NotFound, Gone for a deleted
    connector, and Conflict while it is paused."""
    connector = connector_in_use(tenant, connector_id)
    if connector.paused:
        raise Conflict("the connector is paused; files wait until it goes on", paused=True)
    wake(tenant, connector_id)
    return connector


def wake(tenant: Tenant, connector_id: str) -> None:
    """Sends the message that makes a worker look at the connector."""
    aws.send("sync", tenant.id, [{"tenant_id": tenant.id, "connector_id": connector_id}])


def find_run(tenant: Tenant, connector_id: str, run_id: str) -> Run:
    """The run as it is now. Raises NotFound."""
    run = tenant.bind(Run).find(connector_id, RUN + run_id)
    if run is None:
        raise NotFound("the connector has no such run")
    return run


def list_runs(
    tenant: Tenant, connector_id: str, *, limit: int, cursor: Cursor | None
) -> tuple[list[Run], Cursor | None]:
    """A page of the connector's runs, the newest first, and the next page's cursor. Raises NotFound."""
    find_connector(tenant, connector_id)
    return page_of(tenant.bind(Run), connector_id, prefix=RUN, limit=limit, cursor=cursor, newest_first=True)


def claim(tenant: Tenant, connector: Connector, file: WaitingFile, *, now: datetime) -> Run | None:
    """Begins a run for a file; None when another worker began one first."""
    run = tenant.bind(Run)(
        connector.sk,
        RUN + next_id(connector, now),
        status=PLANNING,
        attempt=1,
        object_key=file.key,
        file_name=file.name,
        etag=file.etag,
        business_date=file.business_date,
        mapping_version=connector.mapping_version,
        started_at=now,
    )
    return begin(tenant, connector, run, now=now)


def begin(tenant: Tenant, connector: Connector, run: Run, *changes: Action, now: datetime) -> Run | None:
    """Claims the connector for a new run, with what else changes in it; None when another worker began one first."""
    model = tenant.bind(Connector)
    claimed = Update(
        model,
        CONNECTORS,
        connector.sk,
        [model.active_run.set(run.id), model.claimed_until.set(now + CLAIM_TIME), model.version.add(1), *changes],
        model.active_run.does_not_exist() & (model.version == connector.version),
    )
    if not commit_one(tenant.store, Group("claim", [claimed, Put(run, type(run).pk.does_not_exist())])):
        return None
    return run


def take_over(tenant: Tenant, connector: Connector, *, now: datetime) -> Run | None:
    """Continues the active run of a worker that has died or gave it back; None while it may still be alive, while the
    run rests, while it waits for nothing but its chunks, or when another worker was quicker."""
    if connector.active_run is None or connector.claimed_until is None or now < connector.claimed_until:
        return None
    connectors, runs = tenant.bind(Connector), tenant.bind(Run)
    claimed = Update(
        connectors,
        CONNECTORS,
        connector.sk,
        [connectors.claimed_until.set(now + CLAIM_TIME)],
        (connectors.active_run == connector.active_run) & (connectors.claimed_until == connector.claimed_until),
    )
    counted = Update(runs, connector.sk, RUN + connector.active_run, [runs.attempt.add(1)])
    if not commit_one(tenant.store, Group("take over", [claimed, counted])):
        return None
    run = find_run(tenant, connector.sk, connector.active_run)
    logger.info("a run is continued", extra=log_ids(tenant, run) | {"attempt": run.attempt, "status": run.status})
    return run


def give_back(tenant: Tenant, connector: Connector, run: Run, *, now: datetime) -> None:
    """Ends the claim of a worker that AWS failed: the next one continues after a rest, and the file is not blamed."""
    rest = min(FIRST_REST * 2 ** min(run.given_back, 10), LONGEST_REST)
    connectors, runs = tenant.bind(Connector), tenant.bind(Run)
    held = (connectors.active_run == run.id) & connectors.claimed_until.exists()
    given = Update(connectors, CONNECTORS, connector.sk, [connectors.claimed_until.set(now + rest)], held)
    noted = Update(runs, run.pk, run.sk, [runs.given_back.add(1)], runs.attempt == run.attempt)
    if commit_one(tenant.store, Group("give back", [given, noted])):
        logger.info("a run rests", extra=log_ids(tenant, run) | {"seconds": round(rest.total_seconds())})


def change_planned(tenant: Tenant, run: Run, changes: Mapping[str, Any]) -> bool:
    """Changes attributes of a run that is still planned; False when another worker has taken it over meanwhile."""
    model = tenant.bind(Run)
    actions = [getattr(model, name).set(value) for name, value in changes.items() if value is not None]
    ours = (model.status == PLANNING) & (model.attempt == run.attempt) & model.verdict.does_not_exist()
    if not commit_one(tenant.store, Group("plan", [Update(model, run.pk, run.sk, actions, ours)])):
        logger.warning("a run was taken over while it was planned", extra=log_ids(tenant, run))
        return False
    for name, value in changes.items():
        setattr(run, name, value)
    return True


def settle(tenant: Tenant, connector: Connector, run: Run, *, now: datetime) -> None:
    """Ends a run that has a verdict and applies nothing: its file is moved, then run, connector, event and leaf change
    in one transaction. Repeating it is harmless."""
    verdict = cast("dict[str, Any]", run.verdict)
    refused = verdict["status"] == REFUSED
    changes: list[Action] = []
    further: list[Write] = []
    if run.replay_of is None:
        drop.put_away(tenant, run.object_key, run.etag, connector.sk, "refused" if refused else "applied", run.id)
    else:
        changes, further, _ = end_of_turn(tenant, run, None, now=now)
    model = tenant.bind(Run)
    writes: list[Write] = [
        Update(
            model,
            run.pk,
            run.sk,
            [model.status.set(verdict["status"]), model.finished_at.set(now)],
            model.status == PLANNING,
        ),
        release(tenant, connector.sk, run, *changes),
        *further,
        leaf_put(
            tenant,
            subject=run.id,
            action=f"run.{verdict['status']}",
            content={"connector_id": connector.sk, "verdict": verdict, "sha256": run.sha256},
            actor=connector.sk,
            now=now,
            key=f"{run.id}#end",
        ),
    ]
    if refused:
        data = {"connector_id": connector.sk, "run_id": run.id, "reason": verdict["code"]}
        writes.append(event_put(tenant, "connector.run_failed", data, now=now))
    if commit_one(tenant.store, Group("settle", writes)):
        logger.info("a run ended", extra=log_ids(tenant, run) | {"status": verdict["status"], "code": verdict["code"]})
    wake_if_waiting(tenant, connector)


def release(tenant: Tenant, connector_id: str, run: Run, *changes: Action) -> Update:
    """The write that frees the connector for its next run, with what else changes in it; `run` must be active."""
    model = tenant.bind(Connector)
    freed = [model.active_run.remove(), model.claimed_until.remove(), model.version.add(1), *changes]
    return Update(model, CONNECTORS, connector_id, freed, model.active_run == run.id)


def wake_if_waiting(tenant: Tenant, connector: Connector) -> None:
    """Sends for the next run when a replay or another file waits. Lost, it is made up for by the schedule."""
    if find_connector(tenant, connector.sk).replays or drop.is_anything_waiting(tenant, connector.sk):
        wake(tenant, connector.sk)


def next_id(connector: Connector, now: datetime) -> str:
    """A run id that sorts after that of the run applied last, even where the two workers' clocks differ: of two
    statements about an account, the one of the greater run id counts."""
    latest = max(connector.last_run or "", connector.last_replay or "")
    if not latest:
        return new_id("run", at=now)
    last = ULID.from_str(latest.removeprefix("run_")).datetime
    return new_id("run", at=max(now, last + timedelta(milliseconds=1)))


def log_ids(tenant: Tenant, run: Run) -> dict[str, Any]:
    """What a log line about a run carries."""
    return {"tenant_id": tenant.id, "connector_id": run.pk, "run_id": run.id}
