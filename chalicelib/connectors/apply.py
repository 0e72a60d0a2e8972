"""Applying one chunk of a run, counting it exactly once, and ending the run with its last chunk.

A chunk's rows are applied by `cases`, which may be repeated; its receipt and the run's counters are written in one
transaction, on the condition that there is no receipt yet. So a chunk that is delivered twice, or was killed in the
middle, is counted once.
"""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, datetime

from chalicelib.cases import Applied, Row, Source, apply_rows
from chalicelib.connectors.chunk_store import load_chunk
from chalicelib.connectors.finish import finish
from chalicelib.connectors.model import APPLYING, CHUNK, ChunkReceipt, Run
from chalicelib.connectors.report import OWN_REQUESTS, requests_needed
from chalicelib.connectors.runs import find_run, log_ids
from chalicelib.platform import requests
from chalicelib.platform.commit import Group, Put, Update, commit_one
from chalicelib.platform.telemetry import logger
from chalicelib.platform.tenant import Tenant


def apply_chunk(tenant: Tenant, connector_id: str, run_id: str, chunk: int, sha256: str, *, now: datetime) -> None:
    """Applies chunk number `chunk` (from 1), whose object has the digest `sha256`, and ends the run if it was the last.

    Repeating it is harmless, and finishes what was left unfinished. A chunk of a run that is not being applied is
    ignored. Raises ChunkDamaged when the object is not what was planned, and Unavailable when the chunk is to be
    applied again.
    """
    run = find_run(tenant, connector_id, run_id)
    if run.status != APPLYING:
        logger.info(
            "chunk ignored: its run is over", extra=log_ids(tenant, run) | {"chunk": chunk, "status": run.status}
        )
        return
    if run.chunks_done < run.chunks:
        _apply_once(tenant, run, chunk, sha256, now=now)
        run = find_run(tenant, connector_id, run_id)
    if run.status == APPLYING and run.chunks_done == run.chunks:
        finish(tenant, run, now=now)


def _apply_once(tenant: Tenant, run: Run, chunk: int, sha256: str, *, now: datetime) -> None:
    rows = read_rows(load_chunk(tenant, run.id, chunk, sha256))
    with requests.counted() as counter:
        applied = apply_rows(tenant, rows, Source(run.pk, run.id, chunk, _business_date(run)), now=now)
    receipt = _receipt(tenant, run, chunk, rows, applied, counter + OWN_REQUESTS, now)
    runs = tenant.bind(Run)
    counted = Update(
        runs, run.pk, run.sk, [runs.chunks_done.add(1), runs.rows_applied.add(len(rows))], runs.status == APPLYING
    )
    first = Put(receipt, type(receipt).pk.does_not_exist())
    if not commit_one(tenant.store, Group("receipt", [first, counted])):
        logger.info("chunk was applied before", extra=log_ids(tenant, run) | {"chunk": chunk})


def read_rows(content: bytes) -> list[Row]:
    """The rows of a chunk (gzipped JSON lines)."""
    return [Row.model_validate_json(line) for line in gzip.decompress(content).splitlines()]


def _receipt(
    tenant: Tenant, run: Run, chunk: int, rows: Sequence[Row], applied: Applied, cost: Counter[str], now: datetime
) -> ChunkReceipt:
    needed = requests_needed(
        items=applied.accounts_written + applied.borrowers_written,
        overdue_rows=sum(row.touches_overdue for row in rows),
        opened=applied.cases_opened,
        changed=applied.cases_updated + applied.cases_closed,
    )
    return tenant.bind(ChunkReceipt)(
        run.id,
        f"{CHUNK}{chunk:06d}",
        rows=len(rows),
        applied=asdict(applied),
        requests=dict(cost),
        requests_expected=needed,
        applied_at=now,
    )


def _business_date(run: Run) -> date:
    assert run.business_date is not None, "a run without a business date is refused when it is planned"
    return run.business_date
