"""Ending a run whose chunks are all applied: reconciled, and its snapshot the one that the next file is compared to."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from chalicelib.connectors import drop
from chalicelib.connectors.connectors import find_connector
from chalicelib.connectors.model import APPLYING, CHUNK, COMPLETED, ChunkReceipt, Connector, Run
from chalicelib.connectors.report import ROW_COUNTS, reconcile, summed
from chalicelib.connectors.runs import log_ids, release, wake_if_waiting
from chalicelib.feed import event_put
from chalicelib.ledger import leaf_put
from chalicelib.platform.commit import Group, Update, commit_one
from chalicelib.platform.telemetry import logger
from chalicelib.platform.tenant import Tenant


def finish(tenant: Tenant, run: Run, *, now: datetime) -> None:
    """Ends the run: its file is put away, then the connector's last state, the run, the event and the leaf change in
    one transaction, and the next waiting file is sent for. Repeating it is harmless; of several workers one succeeds.
    """
    connector = find_connector(tenant, run.pk)
    receipts = list(tenant.bind(ChunkReceipt).query(run.id, ChunkReceipt.sk.startswith(CHUNK), consistent_read=True))
    discrepancies = reconcile(run.counts, run.control_totals, run.trailer, sum(r.rows for r in receipts))
    drop.put_away(tenant, run.object_key, run.etag, connector.sk, "applied", run.id)
    outcome: dict[str, Any] = {
        "applied": summed([receipt.applied for receipt in receipts]),
        "requests": {**run.requests, "apply": summed([receipt.requests for receipt in receipts])},
        "requests_expected": run.requests_expected + sum(receipt.requests_expected for receipt in receipts),
        "reconciled": not discrepancies,
        "discrepancies": discrepancies,
    }
    if _commit(tenant, connector, run, outcome, now=now):
        level = logger.warning if discrepancies else logger.info
        level("a run is completed", extra=log_ids(tenant, run) | run.counts | {"reconciled": not discrepancies})
    wake_if_waiting(tenant, connector)


def _commit(tenant: Tenant, connector: Connector, run: Run, outcome: dict[str, Any], *, now: datetime) -> bool:
    runs, connectors = tenant.bind(Run), tenant.bind(Connector)
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
    state = release(
        tenant,
        connector.sk,
        run,
        connectors.last_run.set(run.id),
        connectors.last_business_date.set(run.business_date),
        connectors.last_sha256.set(run.sha256),
        connectors.last_snapshot.set(run.snapshot),
    )
    event = event_put(
        tenant,
        "connector.run_completed",
        {"connector_id": connector.sk, "run_id": run.id, "counts": counts},
        now=now,
    )
    leaf = leaf_put(
        tenant,
        subject=run.id,
        action="run.completed",
        content={
            "connector_id": connector.sk,
            "sha256": run.sha256,
            "counts": counts,
            "control_totals": run.control_totals,
            "trailer": run.trailer,
            "reconciled": outcome["reconciled"],
        },
        actor=connector.sk,
        now=now,
        key=f"{run.id}#end",
    )
    return commit_one(tenant.store, Group("finish", [ended, state, event, leaf]))
