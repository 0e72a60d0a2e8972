"""Legal holds: as long as one is set, nothing of the tenant is erased.

A hold and the beginning of the erasure are conditional writes to the same record, and each asks that the other has not
happened: of two at the same moment one is refused, and neither is ever half in force.

Who could profit from the erasure does not lift what stops it: a hold that an auditor has set is lifted, or replaced, by
an auditor or by the cell's operator; an API key, behind which nobody stands by name, lifts only what a key has set.

Who sets or releases a hold is proved in the tenant's ledger, and told to its owners and auditors. A hold counts before
its leaf is written, and goes only after the leaf of its release, and after the letters about it were asked for: a
worker killed between two of these leaves the tenant held.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from chalicelib.identity import people_in
from chalicelib.ledger import leaf_put
from chalicelib.platform.aws import send
from chalicelib.platform.clock import parse_rfc3339, rfc3339
from chalicelib.platform.commit import Group, commit_one
from chalicelib.platform.errors import Conflict, Forbidden
from chalicelib.platform.settings import settings
from chalicelib.platform.telemetry import logger
from chalicelib.tenancy import State, TenantRecord, find_tenant, open_tenant, records

if TYPE_CHECKING:
    # It brings pydantic along, which the worker of the queue does without.
    from chalicelib.platform.http import Caller

AUDITOR, OWNER = "auditor", "owner"
OPERATOR = "operator"
"""Who the ledger says released a hold that the cell's operator released."""

Told = Literal["hold_set", "hold_released"]
"""The letters about holds."""


@dataclass(frozen=True)
class Hold:
    """Why nothing may be erased, who said so and when. `role` is the person's, None for an API key."""

    reason: str
    set_by: str
    set_at: datetime
    role: str | None


def hold_of(record: TenantRecord) -> Hold | None:
    """The hold that is in force, or None."""
    return None if record.legal_hold is None else _hold(record.legal_hold)


def set_hold(by: Caller, *, reason: str, now: datetime) -> Hold:
    """Puts a hold on the caller's tenant in force, in place of one that is.

    Raises NotFound; Forbidden where another is in force that the caller may not lift; Conflict once the erasure has
    begun, and when another hold is set or lifted at the same moment.
    """
    record, model = find_tenant(by.tenant_id), records()
    held = record.legal_hold
    _check_may_lift(record, by)
    stored = {"reason": reason, "set_by": by.subject, "set_at": rfc3339(now), "role": by.role}
    same = model.legal_hold.does_not_exist() if held is None else model.legal_hold == held
    if not record.update_if(
        same & (model.state != State.ERASED) & (model.erasure.does_not_exist() | (model.erasure == {})),
        [model.legal_hold.set(stored), model.version.add(1)],
    ):
        if find_tenant(by.tenant_id).legal_hold != held:
            raise _busy()
        raise Conflict("the erasure has begun; a legal hold can no longer stop it")
    _prove(by.tenant_id, "legal_hold.set", {"reason": reason}, actor=by.subject, now=now)
    _have_told(by.tenant_id, "hold_set", by=by.subject, now=now)
    logger.info("legal hold set", extra={"tenant_id": by.tenant_id, "subject": by.subject})
    return _hold(stored)


def release_hold(by: Caller, *, now: datetime) -> None:
    """Ends the hold on the caller's tenant; nothing changes when there is none. What is due for erasure is erased
    within the hour.

    Raises NotFound; Forbidden, with the rule `set_by_auditor` or `set_by_person`, for a hold that is not the caller's
    to lift; Conflict when another hold was set meanwhile.
    """
    record = find_tenant(by.tenant_id)
    _check_may_lift(record, by)
    if record.legal_hold is not None:
        _release(by.tenant_id, record.legal_hold, {}, actor=by.subject, now=now)


def release_by_operator(tenant_id: str, *, set_at: str, reference: str, now: datetime) -> None:
    """Ends the hold that was set at a moment (as `GET /v1/tenant/legal-hold` shows it), whoever set it, for the
    operator of the cell: `reference` is the operator's file about it, and goes into the proof.

    Another hold, set since, stays: the message that asks for this may come twice. Raises NotFound, and Conflict as
    `release_hold`.
    """
    held = find_tenant(tenant_id).legal_hold
    if held is None or parse_rfc3339(held["set_at"]) != parse_rfc3339(set_at):
        logger.warning("legal hold not released: it is another one, or gone", extra={"tenant_id": tenant_id})
        return
    _release(tenant_id, held, {"reference": reference}, actor=OPERATOR, now=now)


def tell(tenant_id: str, letter: Told, *, by: str, at: str) -> None:
    """Mails the tenant's owners and auditors that a hold was set or released, by whom and when. Why stands in the
    service and not in a mail: it may name somebody. Raises what `mail.send` raises; another try sends them again."""
    from chalicelib.platform import mail  # cold start: only the worker of the queue writes letters

    record, people = find_tenant(tenant_id), people_in(tenant_id)
    addresses = [each.email for each in people if each.role in (OWNER, AUDITOR) and each.state != "removed"]
    names = {each.pk: each.name or each.email for each in people} | {OPERATOR: "Duebridge"}
    url = f"{settings().public_url}/"
    written = mail.letter(letter, record.locale, organisation=record.name, by=names.get(by, by), at=at, url=url)
    mail.send_to_all(addresses, written, tenant_id=tenant_id, letter=letter)


def _check_may_lift(record: TenantRecord, by: Caller) -> None:
    hold = hold_of(record)
    if hold is None:
        return
    if hold.role == AUDITOR and by.role != AUDITOR:
        raise Forbidden("an auditor has set this legal hold, and only an auditor lifts it", rule="set_by_auditor")
    if hold.role is not None and by.role is None:
        raise Forbidden("a person has set this legal hold, and no API key lifts it", rule="set_by_person")


def _release(tenant_id: str, held: Mapping[str, Any], why: Mapping[str, str], *, actor: str, now: datetime) -> None:
    _prove(tenant_id, "legal_hold.released", {"reason": held["reason"], **why}, actor=actor, now=now)
    _have_told(tenant_id, "hold_released", by=actor, now=now)
    model = records()
    released = model(tenant_id, "tenant").update_if(
        model.legal_hold.does_not_exist() | (model.legal_hold == held),
        [model.legal_hold.remove(), model.version.add(1)],
    )
    if not released:
        raise _busy()
    logger.info("legal hold released", extra={"tenant_id": tenant_id, "subject": actor})


def _have_told(tenant_id: str, letter: Told, *, by: str, now: datetime) -> None:
    send(
        "leaving",
        tenant_id,
        [{"tenant_id": tenant_id, "action": "tell", "letter": letter, "by": by, "at": rfc3339(now)}],
    )


def _prove(tenant_id: str, action: str, content: Mapping[str, str], *, actor: str, now: datetime) -> None:
    tenant = open_tenant(tenant_id)
    leaf = leaf_put(tenant, subject=tenant_id, action=action, content=content, actor=actor, now=now)
    written = commit_one(tenant.store, Group(tenant_id, [leaf]))
    assert written, "a fresh id was taken"


def _busy() -> Conflict:
    return Conflict("another hold was set or lifted meanwhile; look at it and try again")


def _hold(stored: Mapping[str, Any]) -> Hold:
    # One from before roles were noted counts as an auditor's: nobody loses protection.
    return Hold(stored["reason"], stored["set_by"], parse_rfc3339(stored["set_at"]), stored.get("role", AUDITOR))
