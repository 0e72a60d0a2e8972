"""Leaving: the owner closes the tenant, and is told when its data will be erased."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime

from chalicelib.leaving.certificate import new_token
from chalicelib.platform.aws import send
from chalicelib.platform.errors import Conflict, Invalid
from chalicelib.platform.telemetry import logger
from chalicelib.tenancy import State, TenantRecord, close, find_tenant, forget_access, records


@dataclass(frozen=True)
class Left:
    """A tenant that is closing: when it will be erased, and the token for its certificate, which exists nowhere
    else."""

    erase_after: datetime
    certificate_token: str


def leave(tenant_id: str, *, confirm: str, now: datetime) -> Left:
    """Closes the tenant at once: its subscription is cancelled, and until `erase_after` it can be read and exported.

    `confirm` is the institution's name, so that nobody leaves by mistake; `now` is in billing time. A tenant that is
    closing already stays as it is and gets another token, and the one before is of no use any more. Raises NotFound,
    Invalid when the name does not fit, Conflict when there is nothing to leave or the erasure has begun.
    """
    record = find_tenant(tenant_id)
    if _plain(confirm) != _plain(record.name):
        raise Invalid("confirm must be the institution's name, as GET /v1/tenant shows it", pointer="/confirm")
    close(tenant_id, now=now)
    forget_access(tenant_id)
    send("billing", tenant_id, [{"tenant_id": tenant_id, "action": "cancel"}])
    left = _give_token(tenant_id)
    logger.info("tenant leaves", extra={"tenant_id": tenant_id})
    return left


def _give_token(tenant_id: str) -> Left:
    token, kept = new_token()
    model = records()
    record: TenantRecord = model(tenant_id, "tenant")
    closing = (model.state == State.CLOSING) & (model.erasure.does_not_exist() | (model.erasure == {}))
    if not record.update_if(closing, [model.certificate_hash.set(kept), model.version.add(1)]):
        raise Conflict("the tenant is not closing any more, or its erasure has begun")
    assert record.erase_after is not None, "a tenant that is closing has a day for its erasure"
    return Left(record.erase_after, token)


def _plain(name: str) -> str:
    """A name as it is compared: composed, without the white space around it."""
    return unicodedata.normalize("NFC", name).strip()
