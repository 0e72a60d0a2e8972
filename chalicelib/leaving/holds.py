"""Legal holds: as long as one is set, nothing of the tenant is erased.

A hold and the beginning of the erasure are conditional writes to the same record, and each asks that the other has not
happened: of two at the same moment one is refused, and neither is ever half in force.

Who sets or releases a hold is proved in the tenant's ledger. A hold counts before its leaf is written, and goes only
after the leaf of its release: a worker killed between the two leaves the tenant held.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from chalicelib.ledger import leaf_put
from chalicelib.platform.clock import parse_rfc3339, rfc3339
from chalicelib.platform.commit import Group, commit_one
from chalicelib.platform.errors import Conflict
from chalicelib.platform.telemetry import logger
from chalicelib.tenancy import State, TenantRecord, find_tenant, open_tenant, records


@dataclass(frozen=True)
class Hold:
    """Why nothing may be erased, who said so and when."""

    reason: str
    set_by: str
    set_at: datetime


def hold_of(record: TenantRecord) -> Hold | None:
    """The hold that is in force, or None."""
    return None if record.legal_hold is None else _hold(record.legal_hold)


def set_hold(tenant_id: str, *, reason: str, set_by: str, now: datetime) -> Hold:
    """Puts a hold in force, in place of one that is. `set_by` is the id of a person or a key.

    Raises NotFound, and Conflict once the erasure has begun.
    """
    model = records()
    stored = {"reason": reason, "set_by": set_by, "set_at": rfc3339(now)}
    held = model(tenant_id, "tenant").update_if(
        model.pk.exists() & (model.state != State.ERASED) & (model.erasure.does_not_exist() | (model.erasure == {})),
        [model.legal_hold.set(stored), model.version.add(1)],
    )
    if not held:
        find_tenant(tenant_id)
        raise Conflict("the erasure has begun; a legal hold can no longer stop it")
    _prove(tenant_id, "legal_hold.set", {"reason": reason}, actor=set_by, now=now)
    logger.info("legal hold set", extra={"tenant_id": tenant_id, "subject": set_by})
    return _hold(stored)


def release_hold(tenant_id: str, *, released_by: str, now: datetime) -> None:
    """Ends the hold; nothing changes when there is none. What is due for erasure is erased within the hour.

    Raises NotFound, and Conflict when another hold was set meanwhile.
    """
    held = find_tenant(tenant_id).legal_hold
    if held is None:
        return
    _prove(tenant_id, "legal_hold.released", {"reason": held["reason"]}, actor=released_by, now=now)
    model = records()
    released = model(tenant_id, "tenant").update_if(
        model.legal_hold.does_not_exist() | (model.legal_hold == held),
        [model.legal_hold.remove(), model.version.add(1)],
    )
    if not released:
        raise Conflict("another hold was set meanwhile; look at it and try again")
    logger.info("legal hold released", extra={"tenant_id": tenant_id, "subject": released_by})


def _prove(tenant_id: str, action: str, content: Mapping[str, str], *, actor: str, now: datetime) -> None:
    tenant = open_tenant(tenant_id)
    leaf = leaf_put(tenant, subject=tenant_id, action=action, content=content, actor=actor, now=now)
    written = commit_one(tenant.store, Group(tenant_id, [leaf]))
    assert written, "a fresh id was taken"


def _hold(stored: Mapping[str, str]) -> Hold:
    return Hold(stored["reason"], stored["set_by"], parse_rfc3339(stored["set_at"]))
