"""Sign-up: from a form, by way of a proved mailbox and a checkout, to a tenant and its first API key.

Nothing is made for a tenant before it pays or its trial begins. What ties the person who signed up to the tenant until
then is the claim token: shown once, kept only as a hash, and good for one API key.
"""

from __future__ import annotations

import hashlib
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Literal, cast

from pydantic import AfterValidator, Field

from chalicelib.billing import Interval, Locale, find_plan, open_checkout
from chalicelib.identity import abuse, api_keys, people, removal, texts, verification
from chalicelib.platform.commit import Group, Update, commit_one
from chalicelib.platform.errors import Conflict, Gone, Invalid, NotFound, Unavailable
from chalicelib.platform.http import Strict
from chalicelib.platform.ids import is_id, new_id
from chalicelib.platform.settings import settings
from chalicelib.platform.store import shared
from chalicelib.platform.telemetry import logger
from chalicelib.tenancy import PENDING, TenantRecord, pending_members, records, steps

FIRST_KEY_NAME = "owner"

_SPENT = "spent:"
"""What stands before the hash of a claim token that has had its key."""


class Application(Strict):
    """What an institution says when it signs up. The organisation's name is only ever shown, never part of an id."""

    organisation: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(texts.visible_name)]
    jurisdiction: Literal["CN", "US", "UK", "EU"]
    region: Annotated[str, Field(max_length=40)]
    locale: Locale
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    email: Annotated[str, Field(min_length=3, max_length=254), AfterValidator(texts.email)]
    plan: Annotated[str, Field(max_length=61)]
    interval: Interval = "month"


@dataclass(frozen=True)
class SignedUp:
    """A pending tenant, and the claim token that exists nowhere else. A code is on its way to the mailbox."""

    tenant_id: str
    claim_token: str


@dataclass(frozen=True)
class Progress:
    """How far a sign-up has come: whether the mailbox is proved, the tenant's state, and the steps of provisioning that
    are done."""

    email_verified: bool
    state: str
    steps_done: int
    steps_total: int
    ready: bool
    claimed: bool


@dataclass(frozen=True)
class FirstKey:
    """The tenant's first API key; its text is shown this once and exists nowhere else."""

    text: str
    key_id: str
    scopes: frozenset[str]


def sign_up(application: Application, *, source: str, now: datetime) -> SignedUp:
    """Registers a pending tenant and mails a code to the applicant; `source` is the internet address of the call.

    The record comes first: killed anywhere, this leaves at most a pending record that is forgotten after some days. A
    mail that was not taken is logged, and another code can be asked for with the claim token.

    Raises Invalid for a region that is not served here, a plan that does not exist or is not sold in that currency and
    by that interval, and TooManyRequests.
    """
    region = settings().region
    if application.region != region:
        # A tenant's data stays where it asked; this deployment can keep it in its own region only.
        raise Invalid(f"this region is not served here; {region} is accepted", pointer="/region")
    plan = find_plan(application.plan)
    plan.price(application.currency, application.interval)
    abuse.admit_sign_up(source, application.email, now=now)
    abuse.admit_code(application.email, now=now)
    tenant_id, token, code = new_id("ten", at=now), secrets.token_urlsafe(32), verification.new_code()
    model = records()
    record = model(
        tenant_id,
        "tenant",
        name=application.organisation,
        jurisdiction=application.jurisdiction,
        region=application.region,
        locale=application.locale,
        currency=application.currency,
        owner_email=application.email,
        plan=plan.key,
        interval=application.interval,
        state=PENDING,
        claim_hash=_hash(token),
        verification=verification.kept(tenant_id, code, now=now),
        created_at=now,
        **pending_members(_over_at(now)),
    )
    record.save(condition=model.pk.does_not_exist())
    with suppress(Unavailable):
        verification.send(record, code)
    logger.info("signed up", extra={"tenant_id": tenant_id, "plan": plan.key})
    return SignedUp(tenant_id, token)


def send_code(tenant_id: str, token: str, *, now: datetime) -> None:
    """Mails another code; the earlier one is good no longer.

    Raises NotFound like `progress`, Conflict when the mailbox is proved already or the sign-up changes at the same
    moment, TooManyRequests, and Unavailable when the mail is not taken.
    """
    record, _ = _claimant(tenant_id, token, now)
    if record.email_verified_at is not None:
        raise Conflict("the address is verified already; go on to the checkout", state=record.state)
    abuse.admit_code(record.owner_email, now=now)
    code = verification.new_code()
    verification.replace(record, code, now=now)
    verification.send(record, code)


def verify(tenant_id: str, token: str, code: str, *, now: datetime) -> str:
    """Proves the mailbox by the code that was sent to it, and opens the checkout: the address of its page.

    Done again, it answers the page once more. Raises NotFound like `progress`, what `verification.check` raises for a
    code that is not right, and what `check_out` raises.
    """
    record, _ = _claimant(tenant_id, token, now)
    if record.email_verified_at is None:
        verification.check(record, code, now=now)
    return check_out(tenant_id, token, now=now)


def check_out(tenant_id: str, token: str, *, now: datetime) -> str:
    """The address of the page to subscribe on: the one that is open, or a new one where that was left and has expired.

    Raises NotFound like `progress`; Conflict for a sign-up whose mailbox is not proved, that has subscribed already, or
    whose address belongs to a person of another tenant or is at the checkout of another sign-up (which is said only to
    whoever has the mailbox; an invitation that was not followed for long gives way); and what `open_checkout` raises.
    """
    record, _ = _claimant(tenant_id, token, now)
    if record.state != PENDING:
        raise Conflict("this sign-up has subscribed already", state=record.state)
    if record.email_verified_at is None:
        raise Conflict("the address is not verified yet; send the code that was mailed to it", rule="email_unverified")
    # In this order: from here on nobody invites the address, so whoever has it has it by now.
    abuse.admit_checkout(tenant_id, record.owner_email, now=now)
    removal.make_way(record.owner_email, to=tenant_id, now=now)
    if people.find_by_email(record.owner_email) is not None:
        raise Conflict(
            "somebody with this e-mail address uses Duebridge already; sign up with another", rule="email_taken"
        )
    model = records()
    later = [getattr(model, name).set(value) for name, value in pending_members(_over_at(now)).items()]
    # Never of a tenant that has just subscribed, which would be forgotten with its data, nor of one that is being
    # forgotten: that takes the claim's hash away first.
    if not record.update_if(
        (model.state == PENDING) & (model.claim_hash == record.claim_hash), [*later, model.version.add(1)]
    ):
        raise Conflict("the sign-up changed at the same moment; look at it and try again")
    interval = cast("Interval", record.interval)
    return open_checkout(record, find_plan(record.plan), interval=interval).url


def progress(tenant_id: str, token: str, *, now: datetime) -> Progress:
    """How far a sign-up has come. Raises NotFound, alike for a tenant that does not exist, a token that is wrong, and a
    sign-up whose time is over."""
    record, claimed = _claimant(tenant_id, token, now)
    verified = record.email_verified_at is not None
    return Progress(verified, record.state, len(record.provisioned), len(steps()), record.ready, claimed)


def claim(tenant_id: str, token: str, *, now: datetime) -> FirstKey:
    """The tenant's first API key, for the claim token.

    One transaction both stores the key and spends the token. So of two claims at once one gets a key; a claim that is
    killed before leaves no key and a token that still works; and no key works whose text was not about to be answered.
    Should that answer be lost on its way, the owner signs in and makes another key.

    Raises NotFound like `progress`, Conflict (with `state`) while the tenant is not ready, Gone when the token was
    spent before.
    """
    record, claimed = _claimant(tenant_id, token, now)
    if claimed:
        raise _spent()
    if not record.ready:
        raise Conflict(f"the tenant is {record.state} and not ready yet", state=record.state)
    text, key = api_keys.mint(tenant_id, name=FIRST_KEY_NAME, scopes=api_keys.SCOPES, now=now)
    tenants = records()
    spend = Update(
        tenants,
        record.pk,
        record.sk,
        [tenants.claim_hash.set(_SPENT + _hash(token)), tenants.version.add(1)],
        tenants.claim_hash == _hash(token),
    )
    if not commit_one(shared(), Group(tenant_id, [spend, *api_keys.puts(key)])):
        raise _spent()
    logger.info("claimed", extra={"tenant_id": tenant_id, "key_id": key.pk})
    return FirstKey(text, key.pk, frozenset(key.scopes))


def _claimant(tenant_id: str, token: str, now: datetime) -> tuple[TenantRecord, bool]:
    """The tenant's record for whoever holds its claim token, and whether the token is spent."""
    model, good, spent = records(), _hash(token), _SPENT + _hash(token)
    known = is_id("ten", tenant_id)
    # Only what is pending has an end; it is as good as forgotten then, though the hour comes later.
    lasts = model.pending_until.does_not_exist() | (model.pending_until > now)
    record = model.find_if(tenant_id, "tenant", model.claim_hash.is_in(good, spent) & lasts) if known else None
    if record is None:
        raise NotFound("no sign-up under that id for this claim token")
    return record, record.claim_hash == spent


def _spent() -> Gone:
    return Gone("this claim token has had its API key; make another with that one, by POST /v1/api-keys")


def _over_at(now: datetime) -> datetime:
    return now + timedelta(days=abuse.sign_up_limits().pending_days)


def _hash(token: str) -> str:
    # The token is 256 random bits: there is nothing to guess, so a plain digest hides it.
    return hashlib.sha256(token.encode()).hexdigest()
