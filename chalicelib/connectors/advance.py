"""What a worker does when it is woken for a connector: begin the next file, or continue what a dead worker left."""

from __future__ import annotations

from datetime import datetime

from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import PynamoDBException, TransactWriteError

from chalicelib.connectors import drop, runs
from chalicelib.connectors.chunk_store import load_manifest
from chalicelib.connectors.connectors import find_connector, mapping_of
from chalicelib.connectors.finish import finish
from chalicelib.connectors.model import APPLYING, CONNECTORS, PLANNING, REFUSED, Connector, Run
from chalicelib.connectors.replay import claim_turn
from chalicelib.connectors.runs import MAX_DEATHS
from chalicelib.platform import aws
from chalicelib.platform.commit import Check, Group, Update, commit_one
from chalicelib.platform.errors import Unavailable
from chalicelib.platform.telemetry import logger
from chalicelib.platform.tenant import Tenant
from chalicelib.tenancy import may

AWS_FAULTS = (BotoCoreError, ClientError, PynamoDBException, aws.Unsent, Unavailable, ConnectionError, TimeoutError)
"""What goes wrong between a worker and AWS."""
OUR_FAULTS = {"ValidationException", "ValidationError"}
"""What AWS answers, at every try, to a request that we made of the file and that no such request can be."""


def advance(tenant: Tenant, connector_id: str, *, now: datetime) -> None:
    """Takes the connector as far as it goes: a waiting file becomes a run whose chunks are in the queue, or one that
    has ended. Nothing to do is no error, and waking a worker twice is harmless.

    Raises NotFound for an unknown connector. After a fault of AWS's the claim is given back, and the next worker
    continues after a rest. After any other error it is left to run out, as if the worker had died: what the file did to
    this worker it may do to every one.
    """
    connector = find_connector(tenant, connector_id)
    run = _begin(tenant, connector, now) if connector.active_run is None else runs.take_over(tenant, connector, now=now)
    if run is None:
        return
    try:
        _continue(tenant, connector, run, now)
    except Exception as error:
        logger.error("a run is interrupted", extra=runs.log_ids(tenant, run) | {"error": type(error).__name__})
        if _is_a_fault_of_aws(error):
            runs.give_back(tenant, connector, run, now=now)
        raise


def _is_a_fault_of_aws(error: Exception) -> bool:
    """Whether an error has nothing to do with the file that the worker read."""
    codes = set[str | None]()
    if isinstance(error, ClientError):
        codes.add(error.response.get("Error", {}).get("Code"))
    if isinstance(error, PynamoDBException):
        codes.add(error.cause_response_code)
    if isinstance(error, TransactWriteError):
        codes |= {reason.code for reason in error.cancellation_reasons if reason is not None}
    return isinstance(error, AWS_FAULTS) and not codes & OUR_FAULTS


def _begin(tenant: Tenant, connector: Connector, now: datetime) -> Run | None:
    if not may(tenant.id, "connect"):
        # The files wait. A run that is under way ends, so that nothing is left half applied.
        logger.info("the tenant's connectors are paused", extra={"tenant_id": tenant.id, "connector_id": connector.sk})
        return None
    if connector.paused or connector.deleted_at is not None:
        return None
    if connector.replays:
        # Before files: each of them makes what waits older.
        return claim_turn(tenant, connector, now=now)
    files = drop.waiting(tenant, connector.sk, mapping_of(connector))
    return runs.claim(tenant, connector, files[0], now=now) if files else None


def _continue(tenant: Tenant, connector: Connector, run: Run, now: datetime) -> None:
    if run.status == PLANNING and run.verdict is None and not _planned(tenant, connector, run, now):
        return
    if run.verdict is not None:
        runs.settle(tenant, connector, run, now=now)
    elif run.status == APPLYING and run.chunks_done < run.chunks:
        _dispatch(tenant, run)
    elif run.status == APPLYING:
        finish(tenant, run, now=now)


def _planned(tenant: Tenant, connector: Connector, run: Run, now: datetime) -> bool:
    if run.deaths < MAX_DEATHS:
        # DuckDB makes a cold start slow; a worker that finds nothing to plan, and every other function, does without.
        if run.replay_of is not None:
            from chalicelib.connectors.replay_plan import plan_replay

            return plan_replay(tenant, connector, run, now=now)
        from chalicelib.connectors.plan import plan

        return plan(tenant, connector, run, now=now)
    # Whatever kills every worker that reads the file would do so for ever; the connector must not stand still for it.
    reason = f"{MAX_DEATHS} workers broke down over the file; it may be too large, or show a fault of ours"
    verdict = {"status": REFUSED, "code": "planning_failed", "reason": reason}
    return runs.change_planned(tenant, run, {"verdict": verdict})


def _dispatch(tenant: Tenant, run: Run) -> None:
    """Sends a message for every chunk, then notes that they are sent; sent twice, they are applied once."""
    assert run.manifest_sha256 is not None, "a run is applying only once its manifest is stored"
    chunks = load_manifest(tenant, run.id, run.manifest_sha256)
    messages = [
        {
            "tenant_id": tenant.id,
            "connector_id": run.pk,
            "run_id": run.id,
            "chunk": chunk.number,
            "sha256": chunk.sha256,
        }
        for chunk in chunks
    ]
    aws.send("sync-chunks", tenant.id, messages)
    model, connectors = tenant.bind(Run), tenant.bind(Connector)
    # Without a claim nobody takes the run over: from here on its chunks carry it to the end.
    waits = Update(connectors, CONNECTORS, run.pk, [connectors.claimed_until.remove()], connectors.active_run == run.id)
    ours = Check(model, run.pk, run.sk, model.attempt == run.attempt)
    commit_one(tenant.store, Group("dispatched", [waits, ours]))
    logger.info("a run is dispatched", extra=runs.log_ids(tenant, run) | {"chunks": len(messages)})
