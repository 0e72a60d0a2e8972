"""Ending a run whose chunks are all applied: reconciled, and its snapshot the one that the next file is compared to."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pynamodb.expressions.update import Action

from chalicelib.connectors import drop
from chalicelib.connectors.connectors import find_connector
from chalicelib.connectors.model import APPLYING, CHUNK, COMPLETED, ChunkReceipt, Connector, Run
from chalicelib.connectors.report import ROW_COUNTS, reconcile, settling_requests_needed, summed
from chalicelib.connectors.runs import log_ids, release, wake_if_waiting
from chalicelib.connectors.turns import Settled, end_of_turn, settle_rows
from chalicelib.feed import event_put
from chalicelib.ledger import leaf_put
from chalicelib.platform import requests
from chalicelib.platform.commit import Group, Update, commit_one
from chalicelib.platform.telemetry import logger
from chalicelib.platform.tenant import Tenant


def finish(tenant: Tenant, run: Run, *, now: datetime) -> None:
    """Ends the run: its file is put away, or its replayed rows are settled, then the connector's last state, the run,
    the event and the leaf change in one transaction, and the next waiting file is sent for. Repeating it is harmless;
    of several workers one succeeds.
    """
    connector = find_connector(tenant, run.pk)
    receipts = list(tenant.bind(ChunkReceipt).query(run.id, ChunkReceipt.sk.startswith(CHUNK), consistent_read=True))
    discrepancies = reconcile(run.counts, run.control_totals, run.trailer, sum(r.rows for r in receipts))
    settled, cost, needed = None, dict[str, dict[str, int]](), 0
    if run.replay_of is None:
        drop.put_away(tenant, run.object_key, run.etag, connector.sk, "applied", run.id)
    else:
        with requests.counted() as counter:
            settled = settle_rows(tenant, run, now=now)
        cost, needed = {"settle": dict(counter)}, settling_requests_needed(len(settled.rows))
    outcome: dict[str, Any] = {
        "applied": summed([receipt.applied for receipt in receipts]),
        "requests": {**run.requests, "apply": summed([receipt.requests for receipt in receipts]), **cost},
        "requests_expected": run.requests_expected + needed + sum(receipt.requests_expected for receipt in receipts),
        "reconciled": not discrepancies,
        "discrepancies": discrepancies,
    }
    if _commit(tenant, connector, run, outcome, settled, now=now):
        level = logger.warning if discrepancies else logger.info
        level("a run is completed", extra=log_ids(tenant, run) | run.counts | {"reconciled": not discrepancies})
    wake_if_waiting(tenant, connector)


def _commit(
    tenant: Tenant, connector: Connector, run: Run, outcome: dict[str, Any], settled: Settled | None, *, now: datetime
) -> bool:
    runs = tenant.bind(Run)
    counts = {name: run.counts[name] for name in ROW_COUNTS}
    ended = Update(
        runs,
        run.pk,
        run.sk,
        [
            runs.status.set(COMPLETED),
            runs.finished_at.set(now),
            *(getattr(runs, name).set(value) for name, value in outcome.items()),
        ],
        (runs.status == APPLYING) & (runs.chunks_done == run.chunks),
    )
    if settled is None:
        changes, further, actor = _end_of_file(tenant, run), [], connector.sk
    else:
        changes, further, actor = end_of_turn(tenant, run, settled, now=now)
    state = release(tenant, connector.sk, run, *changes)
    event = event_put(
        tenant,
        "connector.run_completed",
        {"connector_id": connector.sk, "run_id": run.id, "counts": counts},
        now=now,
    )
    leaf = leaf_put(
        tenant,
        subject=run.id,
        action="run.completed" if settled is None else "quarantine.replayed",
        content={
            "connector_id": connector.sk,
            "sha256": run.sha256,
            "counts": counts,
            "control_totals": run.control_totals,
            "trailer": run.trailer,
            "reconciled": outcome["reconciled"],
            **({} if settled is None else {"replay_of": run.replay_of, "rows": settled.rows}),
        },
        actor=actor,
        now=now,
        key=f"{run.id}#end",
    )
    return commit_one(tenant.store, Group("finish", [ended, state, event, leaf, *further]))


def _end_of_file(tenant: Tenant, run: Run) -> list[Action]:
    """What the next file of the connector is compared with, now that this one is applied."""
    connectors = tenant.bind(Connector)
    return [
        connectors.last_run.set(run.id),
        connectors.last_business_date.set(run.business_date),
        connectors.last_sha256.set(run.sha256),
        connectors.last_snapshot.set(run.snapshot),
        connectors.last_unsettled.set(run.unsettled),
    ]
