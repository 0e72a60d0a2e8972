"""Telling people and receivers of a tenant's moves: an event in its own feed, once, and mail to its owners.

What is to be told stands in the registry, written with the move itself, and is struck out when it is told. The event
commits with a ledger leaf that exists once for each move, so a worker killed anywhere doubles no event; a mail it may
send again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from chalicelib.feed import event_put
from chalicelib.ledger import leaf_put
from chalicelib.platform import mail
from chalicelib.platform.clock import parse_rfc3339, utc_now
from chalicelib.platform.commit import Group, Put, commit_one
from chalicelib.platform.errors import Conflict
from chalicelib.platform.settings import settings
from chalicelib.platform.telemetry import logger
from chalicelib.platform.tenant import Tenant
from chalicelib.tenancy.credentials import open_tenant
from chalicelib.tenancy.registry import TenantRecord, find_tenant, records, terms_of
from chalicelib.tenancy.states import Cause
from chalicelib.tenancy.terms import Delays

ACTOR = "duebridge"
"""Who a tenant's moves are written down to in its ledger: they follow from Stripe and from time."""

_TRIES = 8

Announced = Mapping[str, Any]
Event = tuple[str, Mapping[str, object]]


def announce(tenant_id: str) -> int:
    """Tells what is still to be told of a tenant's moves, in their order; returns how many.

    A tenant whose tables are still being made is told when they are: provisioning asks again at its end. Raises
    NotFound and what AWS raises; what was told before is struck out and not told again.
    """
    told = 0
    while (record := find_tenant(tenant_id)).announcements and record.ready and not record.erasure:
        announced = record.announcements[0]
        _tell(record, announced)
        _strike_out(tenant_id, announced["n"])
        told += 1
    return told


def tell_trial_ending(tenant_id: str, ends_at: datetime) -> None:
    """Tells that the trial ends soon: by mail, and by an event that is made once for each day of ending.

    Told again it does nothing. The event comes last and says that all is told: a worker killed before it may send the
    mail twice, and never leaves it unsent.
    """
    record = find_tenant(tenant_id)
    if not record.ready or record.erasure:
        return
    tenant, day = open_tenant(tenant_id), ends_at.date().isoformat()
    event = ("tenant.trial_ending", {"tenant_id": tenant_id, "ends_on": day})
    leaf, group = _written_once(tenant, f"trial-ending-{day}", event, at=utc_now())
    if type(leaf.item).find(leaf.item.pk, leaf.item.sk) is not None:
        return
    _mail(record, "trial_ending", ends_on=day)
    commit_one(tenant.store, group)


def _tell(record: TenantRecord, announced: Announced) -> None:
    at, delays = parse_rfc3339(announced["at"]), terms_of(record).delays
    failed = announced["cause"] == Cause.PAYMENT_FAILED
    days = _days(at if failed else record.owing_since or at, delays)
    tenant = open_tenant(record.pk)
    _, group = _written_once(tenant, f"state-{announced['n']}", _event(record, announced, days), at=at)
    # Refused, and rightly, when both were written before.
    commit_one(tenant.store, group)
    _mail(record, announced["cause"], **days, **_erased_on(record, at, delays))
    logger.info("told", extra={"tenant_id": record.pk, "cause": announced["cause"], "n": announced["n"]})


def _event(record: TenantRecord, announced: Announced, days: Mapping[str, str]) -> Event:
    said: dict[str, object] = {"tenant_id": record.pk, "move": announced["n"]}
    if announced["cause"] == Cause.PAYMENT_FAILED:
        said |= {
            "connectors_paused_on": days["limited_on"],
            "reading_only_on": days["suspended_on"],
            "closing_on": days["closing_on"],
        }
        return ("tenant.payment_failed", said)
    said |= {name: announced[name] for name in ("before", "state", "cause")}
    return ("tenant.state_changed", said)


def _written_once(tenant: Tenant, key: str, event: Event, *, at: datetime) -> tuple[Put, Group]:
    """The event's leaf, of which there is one for a key, and the transaction of both."""
    name, data = event
    leaf = leaf_put(tenant, subject=tenant.id, action=name, content=data, actor=ACTOR, now=at, key=key)
    return leaf, Group(key, [event_put(tenant, name, data, now=at), leaf])


def _mail(record: TenantRecord, name: str, **values: str) -> None:
    # Identity stands on tenancy; here tenancy asks it whom to write to.
    from chalicelib.identity import owners_of

    addresses = [owner.email for owner in owners_of(record.pk)] or [record.owner_email]
    letter = mail.letter(name, record.locale, organisation=record.name, url=f"{settings().public_url}/", **values)
    mail.send_to_all(addresses, letter, tenant_id=record.pk, letter=name)


def _days(owed_since: datetime, delays: Delays) -> dict[str, str]:
    def after(days: int) -> str:
        return (owed_since.date() + timedelta(days=days)).isoformat()

    return {
        "limited_on": after(delays.limited_after),
        "suspended_on": after(delays.suspended_after),
        "closing_on": after(delays.closing_after),
        "erased_after": str(delays.erased_after),
    }


def _erased_on(record: TenantRecord, at: datetime, delays: Delays) -> dict[str, str]:
    day: date = (record.erase_after or at + timedelta(days=delays.erased_after)).date()
    return {"erased_on": day.isoformat()}


def _strike_out(tenant_id: str, number: int) -> None:
    model = records()
    for _ in range(_TRIES):
        record = find_tenant(tenant_id)
        left = [each for each in record.announcements if each["n"] != number]
        if len(left) == len(record.announcements) or record.update_if(
            model.version == record.version, [model.announcements.set(left), model.version.add(1)]
        ):
            return
    raise Conflict("the tenant is being changed by others; try again")
