"""Erasure: the steps after which nothing of a tenant is left but what the law wants kept, each safe to repeat.

It begins with one conditional write, the claim: the tenant is closing, its time is over, and no legal hold is set. From
then on there is no way back, and every step is recorded in the registry when it is done. A worker killed anywhere
leaves either a finished step or one that finds on the next try what is still there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.leaving import destroy
from chalicelib.leaving.certificate import issue, mail
from chalicelib.leaving.destroy import Outcome
from chalicelib.leaving.residue import ADDRESSES, SYSTEM_BACKUPS, residue, system_backups, table_kinds
from chalicelib.platform.aws import send
from chalicelib.platform.clock import rfc3339, utc_now
from chalicelib.platform.errors import Conflict
from chalicelib.platform.telemetry import logger
from chalicelib.tenancy import Cause, State, TenantRecord, find_tenant, is_due_for_erasure, records

BEGUN, FOUND, CHECKED, ISSUED, MAILED = "begun", "found", "checked", "certificate", "mailed"

_TRIES = 8


@dataclass(frozen=True)
class Step:
    """A step by its name, what it does, and which places of `residue` it empties.

    `run` returns what the certificate is to know of it, or None when somebody else has to act first.
    """

    name: str
    run: Callable[[TenantRecord], Outcome | None]
    empties: tuple[str, ...] = ()


class NotEmpty(Exception):
    """Something of the tenant is where all was removed. The steps run again with the next try."""


def erase(tenant_id: str) -> State:
    """Does what is still to do and returns the tenant's state, `erased` at the end.

    A tenant that is not due, or under a legal hold, is left alone. Raises NotFound; AWS's own error, or NotEmpty, when
    a step failed: calling again continues. While Stripe's customer is still to be forgotten it stops, and the worker of
    `billing` has it go on.
    """
    record = find_tenant(tenant_id)
    if record.state == State.ERASED:
        return State.ERASED
    if not record.erasure and not _claim(record):
        now = State(find_tenant(tenant_id).state)
        logger.info("erasure refused", extra={"tenant_id": tenant_id, "state": now})
        return now
    for step in steps():
        if step.name in record.erasure:
            continue
        outcome = step.run(record)
        if outcome is None:
            return State(record.state)
        record = _note(tenant_id, step.name, outcome)
        logger.info("erased", extra={"tenant_id": tenant_id, "step": step.name})
    return _finish(tenant_id)


def steps() -> list[Step]:
    """The steps in order. Printed, they are the plan; `erasure` on the record says how far it is carried out."""
    return [
        Step(FOUND, _take_stock),
        Step(ADDRESSES, destroy.keep_addresses),
        *_destructive_steps(),
        Step("customer", _forget_customer, ("stripe_customer",)),
        Step("registry", destroy.scrub, ("registry",)),
        Step(CHECKED, _check),
        Step(ISSUED, _issue),
        Step(MAILED, _mail),
    ]


def _destructive_steps() -> list[Step]:
    # The order matters: first nobody gets in any more; the feed's mapping goes before the table that it reads, the
    # tables before the key that they are encrypted under, and the objects when nothing is written any more: S3 may use
    # the key for some minutes yet, but without its record no worker of an export goes on. What one that was amid a part
    # still uploads, the check before the certificate finds.
    tables = [Step(f"table:{kind}", destroy.table_remover(kind), (f"table:{kind}",)) for kind in table_kinds()]
    return [
        Step("api_keys", destroy.remove_keys, ("api_keys",)),
        Step("people", destroy.remove_people, ("people", "sign_in_users")),
        Step("feed_mapping", destroy.stop_feed, ("feed_mapping",)),
        *tables,
        Step("other_tables", destroy.remove_other_tables, ("other_tables",)),
        Step("backups", destroy.remove_backups, ("backups",)),
        Step("key", destroy.doom_key, ("key",)),
        Step("exports", destroy.remove_entries, ("exports",)),
        Step("objects", destroy.remove_objects, ("objects", "uploads")),
    ]


def _claim(record: TenantRecord) -> bool:
    """Begins the erasure of a tenant that is due; False when it is not, or when a hold or a return was faster."""
    from chalicelib.billing import billing_now  # cold start: it brings in billing, which only the claim needs

    if not is_due_for_erasure(record, billing_now(record)):
        return False
    model = type(record)
    return record.update_if(
        (model.state == State.CLOSING)
        & (model.erase_after == record.erase_after)
        & model.legal_hold.does_not_exist()
        & (model.erasure.does_not_exist() | (model.erasure == {})),
        [model.erasure.set({BEGUN: {"at": rfc3339(utc_now())}}), model.version.add(1)],
    )


def _note(tenant_id: str, step: str, outcome: Outcome) -> TenantRecord:
    """Records a step as done, beside whatever else happened to the record meanwhile, and returns it as it is now."""
    return _change(tenant_id, lambda erasure: {step: {"at": rfc3339(utc_now()), **outcome}} | erasure)


def _change(tenant_id: str, change: Callable[[dict[str, Any]], Mapping[str, Any]]) -> TenantRecord:
    model = records()
    for _ in range(_TRIES):
        record = find_tenant(tenant_id)
        if record.state == State.ERASED:
            return record
        changed = change(record.erasure)
        if record.update_if(model.version == record.version, [model.erasure.set(dict(changed)), model.version.add(1)]):
            return record
    raise Conflict("the tenant is being changed by others; try again")


def _take_stock(record: TenantRecord) -> Outcome:
    """What there is before anything is removed, for the certificate."""
    return {"places": {place.where: place.found for place in residue(record.pk)}}


def _forget_customer(record: TenantRecord) -> Outcome | None:
    if record.customer_id is None or record.customer_deleted_at is not None:
        return {}
    send("billing", record.pk, [{"tenant_id": record.pk, "action": "forget_customer"}])
    return None


def _check(record: TenantRecord) -> Outcome:
    """Asks every place whether it is empty, and notes for the certificate what only time can empty. The addresses stay
    until the certificate is sent to them."""
    allowed = {"registry": 1}
    places = [place for place in residue(record.pk) if place.where != SYSTEM_BACKUPS]
    left = [place for place in places if place.found > allowed.get(place.where, 0)]
    if left:
        again = {step.name for step in steps() if step.empties}
        _change(record.pk, lambda erasure: {name: done for name, done in erasure.items() if name not in again})
        raise NotEmpty(", ".join(f"{place.where}: {place.found}" for place in left))
    expiring = [
        {"table": each["TableName"], "expires_at": rfc3339(each["BackupExpiryDateTime"])}
        for each in system_backups(record.pk)
    ]
    return {SYSTEM_BACKUPS: expiring}


def _issue(record: TenantRecord) -> Outcome:
    issue(record, {place: step.name for step in steps() for place in step.empties})
    return {}


def _mail(record: TenantRecord) -> Outcome:
    mail(record, record.erasure[ADDRESSES]["to"])
    return {}


def _finish(tenant_id: str) -> State:
    """The last write: the addresses go, and the tenant is erased."""
    record = find_tenant(tenant_id)
    if record.state == State.ERASED:
        return State.ERASED
    model, now = records(), utc_now()
    kept = {name: done for name, done in record.erasure.items() if name != ADDRESSES}
    if not record.update_if(
        (model.version == record.version) & (model.state == State.CLOSING),
        [
            model.state.set(State.ERASED),
            model.state_since.set(now),
            model.erased_at.set(now),
            model.erasure.set(kept),
            model.version.add(1),
        ],
    ):
        raise Conflict("the tenant is being changed by others; try again")
    logger.info("tenant moved", extra={"tenant_id": tenant_id, "cause": Cause.ERASED, "state": State.ERASED})
    return State.ERASED
