"""The certificate of erasure: what was erased, where and when, what remains and why, signed by the cell.

It is one document, turned into bytes in one way, and signed with a key that never leaves KMS. Whoever has the document,
the signature and the public key checks it without asking us.
"""

from __future__ import annotations

import hashlib
import secrets
import tomllib
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from textwrap import wrap
from typing import Any

from pynamodb.attributes import UnicodeAttribute, UTCDateTimeAttribute

from chalicelib.leaving.residue import CERTIFICATE, SYSTEM_BACKUPS
from chalicelib.ledger import canonical
from chalicelib.platform.aws import client
from chalicelib.platform.clock import parse_rfc3339, rfc3339, utc_now
from chalicelib.platform.documents import path
from chalicelib.platform.errors import Conflict, NotFound
from chalicelib.platform.ids import is_id
from chalicelib.platform.settings import settings
from chalicelib.platform.store import SharedModel, shared
from chalicelib.tenancy import State, TenantRecord, records

ALGORITHM = "ECDSA_SHA_256"
"""KMS's name of the signature: ECDSA on P-256 over the SHA-256 of the document's bytes, in ASN.1 (DER)."""


class Certificate(SharedModel):
    """A tenant's certificate: `pk` is the tenant's id, `sk` is always `certificate`.

    `document` is the text that was signed, to the byte; `digest` its SHA-256 in hexadecimal digits; `signature` is in
    base64, `public_key` in PEM.
    """

    class Meta:
        table_kind = "tenants"

    document = UnicodeAttribute()
    digest = UnicodeAttribute()
    signature = UnicodeAttribute()
    public_key = UnicodeAttribute()
    issued_at = UTCDateTimeAttribute()


@dataclass(frozen=True)
class Remainder:
    """Something that is left after an erasure, on what ground, and until when (None: as long as the service exists)."""

    what: str
    where: str
    ground: str
    until: date | None


def new_token() -> tuple[str, str]:
    """A token that fetches a certificate, and the hash of it that is kept."""
    token = secrets.token_urlsafe(32)
    return token, _hash(token)


def certificate_for(tenant_id: str, token: str) -> Certificate:
    """The certificate, for whoever holds its token.

    Raises NotFound, alike for a tenant that does not exist and a token that is wrong, and Conflict with `erase_after`
    while the tenant is not erased yet.
    """
    model, known = records(), is_id("ten", tenant_id)
    record = model.find_if(tenant_id, "tenant", model.certificate_hash == _hash(token)) if known else None
    if record is None:
        raise NotFound("no certificate under that id for this token")
    found = shared().bind(Certificate).find(tenant_id, CERTIFICATE) if record.state == State.ERASED else None
    if found is None:
        assert record.erase_after is not None, "a token is given only to a tenant that leaves"
        due = rfc3339(record.erase_after)
        held = record.legal_hold is not None
        detail = "a legal hold stops the erasure" if held else f"the tenant is to be erased after {due}"
        raise Conflict(detail, state=record.state, erase_after=due, legal_hold=held)
    return found


def issue(record: TenantRecord, step_of: Mapping[str, str]) -> Certificate:
    """Makes out, signs and keeps the certificate of an erasure whose steps are all recorded; one that was issued before
    stays. `step_of` says which step of the erasure emptied a place."""
    model = shared().bind(Certificate)
    before = model.find(record.pk, CERTIFICATE)
    if before is not None:
        return before
    now = utc_now()
    written = canonical(document(record, step_of, billing_records=_billing_records(record.pk), now=now))
    digest = hashlib.sha256(written).digest()
    kms, key = client("kms"), settings().certificate_key_arn
    signature = kms.sign(KeyId=key, Message=digest, MessageType="DIGEST", SigningAlgorithm=ALGORITHM)["Signature"]
    made = model(
        record.pk,
        CERTIFICATE,
        document=written.decode(),
        digest=digest.hex(),
        signature=b64encode(signature).decode(),
        public_key=pem(kms.get_public_key(KeyId=key)["PublicKey"]),
        issued_at=now,
    )
    if made.put_new():
        return made
    # Another worker was faster; there is one certificate.
    found = model.find(record.pk, CERTIFICATE)
    assert found is not None
    return found


def document(
    record: TenantRecord, step_of: Mapping[str, str], *, billing_records: int, now: datetime
) -> dict[str, Any]:
    """What the certificate says. It names the tenant by its id alone: nothing in it is personal data."""
    done = record.erasure
    found: Mapping[str, int] = done["found"]["places"]
    return {
        "type": "certificate-of-erasure",
        "version": 1,
        "tenant_id": record.pk,
        "region": record.region,
        "jurisdiction": record.jurisdiction,
        "closing_since": None if record.closing_at is None else rfc3339(record.closing_at),
        "begun_at": done["begun"]["at"],
        "issued_at": rfc3339(now),
        "erased": [
            {"place": place, "found": count, "left": 0, "finished_at": done[step_of[place]]["at"]}
            for place, count in found.items()
            if place in step_of
        ],
        "checked_at": done["checked"]["at"],
        "keys": {
            "deleted_on": done["key"]["deleted_on"],
            "meaning": (
                "The tables, their backups and the objects were encrypted under these keys. KMS has disabled them and "
                "destroys them on that day; whatever copy there may be of the data is unreadable."
            ),
        },
        "backups": (
            "Backups that operators had made of the tables are deleted. Point-in-time recovery was switched off before "
            "this erasure deleted a table, so that DynamoDB made no backup of it then. Backups that DynamoDB had made "
            "by itself before, of a table that was replaced, can be deleted by nobody: if there are any, they stand "
            "under what remains, with the day on which they expire. Whatever there is of the tables is encrypted under "
            "the keys above."
        ),
        "addresses": (
            "The owners' addresses were kept to send this certificate. They were removed by the write that marked the "
            "tenant as erased; this certificate can be fetched only after it."
        ),
        "billing_records_kept": billing_records,
        "remains": [
            {
                "what": each.what,
                "where": each.where,
                "ground": each.ground,
                "until": None if each.until is None else each.until.isoformat(),
            }
            for each in (*_expiring(done["checked"]), *remainders(record.jurisdiction, on=now.date()))
        ],
    }


def remainders(jurisdiction: str, *, on: date) -> list[Remainder]:
    """What is left of a tenant that is erased on a day, by `tenants/erasure.toml`."""
    entries = tomllib.loads(path("erasure.toml").read_text(encoding="utf-8"))["remains"]
    return [
        Remainder(entry["what"], entry["where"], entry["ground"], _until(entry, on))
        for entry in entries
        if entry.get("jurisdiction", jurisdiction) == jurisdiction
    ]


def _expiring(checked: Mapping[str, Any]) -> Iterator[Remainder]:
    """What was there at the last look that nobody can delete, and that expires by itself."""
    for backup in checked.get(SYSTEM_BACKUPS, []):
        yield Remainder(
            f"a backup of the table {backup['table']}, unreadable once the keys above are destroyed",
            "DynamoDB's own backups (type SYSTEM) in the cell",
            "DynamoDB lets nobody delete it before it expires",
            parse_rfc3339(backup["expires_at"]).date(),
        )


def pem(der: bytes) -> str:
    """A public key as KMS hands it out (DER), as PEM."""
    lines = wrap(b64encode(der).decode(), 64)
    return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])


def mail(record: TenantRecord, addresses: Sequence[str]) -> None:
    """Sends the certificate, whole, to the owners' last addresses. A worker killed between two sends them again; an
    address that is refused for good holds up no erasure."""
    from chalicelib.platform.mail import letter, send_to_all  # cold start: only the worker that erases sends it

    found = shared().bind(Certificate).find(record.pk, CERTIFICATE)
    assert found is not None, "the certificate is issued before it is sent"
    written = letter(
        "certificate",
        record.locale,
        tenant_id=record.pk,
        erased_on=found.issued_at.date().isoformat(),
        digest=found.digest,
        certificate=found.document,
        signature=found.signature,
        public_key=found.public_key,
    )
    send_to_all(addresses, written, tenant_id=record.pk)


def _until(entry: Mapping[str, Any], on: date) -> date | None:
    if "years" in entry:
        return date(on.year + entry["years"], 12, 31)
    return on + timedelta(days=entry["days"]) if "days" in entry else None


def _billing_records(tenant_id: str) -> int:
    """How many counts of usage and reconciliations are kept of a tenant."""
    return shared().bind(_Kept).count(tenant_id)


class _Kept(SharedModel):
    """An item of a tenant in the table of billing, of which only the number matters here."""

    class Meta:
        table_kind = "billing-events"


def _hash(token: str) -> str:
    # The token is 256 random bits: there is nothing to guess, so a plain digest hides it.
    return hashlib.sha256(token.encode()).hexdigest()
