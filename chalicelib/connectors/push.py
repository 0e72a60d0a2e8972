"""Single rows that a business system pushes between two files: taken at once, applied from the queue, never lost.

The rows are stored as an object under the tenant's key before the call is answered; the receipt says what became of
each. Applying them is repeatable, because a repayment carries the business system's own id.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from chalicelib.cases import Repayment, apply_repayment
from chalicelib.connectors.connectors import connector_in_use
from chalicelib.connectors.model import ACCEPTED, APPLIED, NOT_APPLIED, PARTLY_APPLIED, PUSH, PushReceipt
from chalicelib.platform import aws
from chalicelib.platform.commit import Group, Update, commit_one
from chalicelib.platform.errors import Conflict, Invalid, NotFound
from chalicelib.platform.ids import new_id
from chalicelib.platform.telemetry import logger
from chalicelib.platform.tenant import Tenant

MAX_ROWS = 100


@dataclass(frozen=True)
class PushedRow:
    """A repayment as it was pushed: `account` and `repayment_id` are the business system's own names, `amount` is in
    the currency's minor unit and more than zero."""

    account: str
    repayment_id: str
    amount: int
    currency: str
    booked_on: date


def push(
    tenant: Tenant, connector_id: str, rows: Sequence[PushedRow], *, now: datetime, key: str | None = None
) -> PushReceipt:
    """Takes rows and answers with a receipt. With the same `key` (the caller's idempotency key) the same rows get the
    same receipt, however often they are pushed.

    A paused connector takes pushed rows too. Raises NotFound for an unknown connector, Gone for a deleted one, and
    Conflict where the key was used for other rows.
    """
    connector_in_use(tenant, connector_id)
    content = _written(rows)
    receipt_id = new_id("rcp", at=now) if key is None else tenant.vault.derived_id("rcp", connector_id, key)
    digest = hashlib.sha256(content).hexdigest()
    # The digest is in the name: rows pushed under a used key can never overwrite those that were accepted.
    object_key = tenant.object_key("push", f"{receipt_id}-{digest[:16]}.json")
    tenant.write_object(object_key, content)
    receipt = _first_receipt(tenant, connector_id, receipt_id, digest, object_key, len(rows), now)
    if receipt.status == ACCEPTED:
        message = {"tenant_id": tenant.id, "connector_id": connector_id, "push": receipt_id}
        aws.send("sync-chunks", tenant.id, [message])
    return receipt


def find_push(tenant: Tenant, connector_id: str, receipt_id: str) -> PushReceipt:
    """The receipt as it is now. Raises NotFound."""
    receipt = tenant.bind(PushReceipt).find(connector_id, PUSH + receipt_id)
    if receipt is None:
        raise NotFound("the connector has no such push receipt")
    return receipt


def apply_push(tenant: Tenant, connector_id: str, receipt_id: str, *, now: datetime) -> None:
    """Works through the rows of a receipt and records what became of each.

    A row that cannot be applied is recorded with its reason and the others go on. Repeating it is harmless. Raises
    Unavailable when the push is to be worked through again.
    """
    receipt = find_push(tenant, connector_id, receipt_id)
    if receipt.status != ACCEPTED:
        logger.info("push was applied before", extra={"tenant_id": tenant.id, "receipt": receipt_id})
        return
    outcomes = [_outcome(tenant, connector_id, row, now) for row in _read(tenant.read_object(receipt.object_key))]
    refused = sum(outcome["status"] == "quarantined" for outcome in outcomes)
    model = tenant.bind(PushReceipt)
    recorded = Update(
        model,
        receipt.pk,
        receipt.sk,
        [
            model.status.set(_status(refused, len(outcomes))),
            model.outcomes.set(outcomes),
            model.finished_at.set(now),
        ],
        # Of two workers with the same message, the first one's record stands: to the second all rows are repeated.
        model.status == ACCEPTED,
    )
    if not commit_one(tenant.store, Group("push", [recorded])):
        return
    logger.info(
        "push applied",
        extra={"tenant_id": tenant.id, "receipt": receipt_id, "rows": len(outcomes), "quarantined": refused},
    )


def _outcome(tenant: Tenant, connector_id: str, row: PushedRow, now: datetime) -> dict[str, Any]:
    repayment = Repayment(row.account, row.repayment_id, row.amount, row.currency, row.booked_on)
    try:
        done = apply_repayment(tenant, repayment, connector_id=connector_id, now=now)
    except (Invalid, NotFound, Conflict) as error:
        return {"status": "quarantined", "reason": error.type, "detail": error.detail}
    return {
        "status": "repeated" if done.repeated else "applied",
        "account_id": done.account_id,
        "repayment_id": done.repayment_id,
        "case_id": done.case_id,
        "case_closed": done.case_closed,
    }


def _status(refused: int, rows: int) -> str:
    """Where a receipt ends of whose `rows` that many were refused. A repeated row is booked, and no refused one."""
    if refused == 0:
        return APPLIED
    return NOT_APPLIED if refused == rows else PARTLY_APPLIED


def _first_receipt(
    tenant: Tenant, connector_id: str, receipt_id: str, digest: str, object_key: str, rows: int, now: datetime
) -> PushReceipt:
    """Stores the receipt, or finds the one that an earlier call under the same id stored. Raises Conflict."""
    receipt = tenant.bind(PushReceipt)(
        connector_id,
        PUSH + receipt_id,
        status=ACCEPTED,
        sha256=digest,
        object_key=object_key,
        rows=rows,
        received_at=now,
    )
    if receipt.put_new():
        return receipt
    stored = find_push(tenant, connector_id, receipt_id)
    if stored.sha256 != digest:
        raise Conflict("this Idempotency-Key was used to push other rows")
    return stored


def _written(rows: Sequence[PushedRow]) -> bytes:
    documents = [asdict(row) | {"booked_on": row.booked_on.isoformat()} for row in rows]
    return json.dumps(documents, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def _read(content: bytes) -> list[PushedRow]:
    return [PushedRow(**row | {"booked_on": date.fromisoformat(row["booked_on"])}) for row in json.loads(content)]
