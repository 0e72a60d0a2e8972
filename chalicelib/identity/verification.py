"""Proving that a mailbox is the applicant's: a code of six digits, sent by mail, good for minutes and a few tries.

The code is kept as a keyed hash, so a copy of the table does not give it away, few as there are to try. Every wrong try
is written down before it is answered, on the condition that nobody else tried at the same moment.
"""

from __future__ import annotations

import hmac
import secrets
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.identity.abuse import sign_up_limits
from chalicelib.identity.keyed import keyed_hash
from chalicelib.platform import mail
from chalicelib.platform.clock import parse_rfc3339, rfc3339
from chalicelib.platform.errors import Conflict, Gone, Invalid, Unavailable
from chalicelib.platform.telemetry import log_failure
from chalicelib.tenancy import TenantRecord, records

DIGITS = 6


def new_code() -> str:
    """A fresh code."""
    return f"{secrets.randbelow(10**DIGITS):0{DIGITS}d}"


def kept(tenant_id: str, code: str, *, now: datetime) -> dict[str, Any]:
    """What is stored of a code: its keyed hash, when it expires, and how many tries are left."""
    allowed = sign_up_limits()
    return {
        "hash": _hash(tenant_id, code),
        "expires_at": rfc3339(now + timedelta(minutes=allowed.code_minutes)),
        "tries_left": allowed.code_tries,
    }


def send(record: TenantRecord, code: str) -> None:
    """Mails the code to whoever signed up. Raises Unavailable when the mail is not taken.

    Nothing that the applicant wrote is in it: until the code comes back, the mailbox may be a stranger's.
    """
    letter = mail.letter("verification", record.locale, code=code, minutes=str(sign_up_limits().code_minutes))
    try:
        mail.send(record.owner_email, letter.subject, letter.text)
    except (BotoCoreError, ClientError) as error:
        log_failure("code not mailed", error, tenant_id=record.pk)
        raise Unavailable("the code could not be mailed; ask for another one in a minute") from None


def replace(record: TenantRecord, code: str, *, now: datetime) -> None:
    """Puts a new code in the place of the old one. Raises Conflict when the sign-up changed meanwhile."""
    _write(record, verification=kept(record.pk, code, now=now))


def check(record: TenantRecord, code: str, *, now: datetime) -> None:
    """Takes the right code and notes that the mailbox is proved.

    Raises Invalid for a wrong one, saying how many tries are left, Gone when there are none left or the code has
    expired, and Conflict when somebody else tried at the same moment.
    """
    stored: dict[str, Any] = record.verification or {}
    if not stored or stored["tries_left"] < 1 or parse_rfc3339(stored["expires_at"]) <= now:
        raise Gone(f"the code is not good any more; have another one sent: POST /v1/signup/{record.pk}/code")
    if not hmac.compare_digest(stored["hash"], _hash(record.pk, code)):
        left = stored["tries_left"] - 1
        _write(record, verification={**stored, "tries_left": left})
        raise Invalid("that is not the code that was sent", pointer="/code", tries_left=left)
    _write(record, verification=None, email_verified_at=now)


def _write(record: TenantRecord, **changes: Any) -> None:
    model = records()
    actions = [
        getattr(model, name).remove() if value is None else getattr(model, name).set(value)
        for name, value in changes.items()
    ]
    if not record.update_if(model.version == record.version, [*actions, model.version.add(1)]):
        raise Conflict("the sign-up changed at the same moment; look at it and try again")


def _hash(tenant_id: str, code: str) -> str:
    return keyed_hash(f"code|{tenant_id}|{code}")
