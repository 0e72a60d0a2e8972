"""Sign-up: from a form to a pending tenant with an open checkout, and from a ready tenant to its first API key.

Nothing is made for a tenant before it pays or its trial begins. What ties the person who signed up to the tenant until
then is the claim token: shown once, kept only as a hash, and good for one API key.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from chalicelib.billing import CheckoutPage, Locale, find_plan, open_checkout
from chalicelib.identity import api_keys
from chalicelib.platform.commit import Group, Update, commit_one
from chalicelib.platform.errors import Conflict, Gone, Invalid, NotFound
from chalicelib.platform.http import Strict
from chalicelib.platform.ids import is_id, new_id
from chalicelib.platform.settings import settings
from chalicelib.platform.store import shared
from chalicelib.platform.telemetry import logger
from chalicelib.tenancy import PENDING, TenantRecord, find_tenant, records, steps

FIRST_KEY_NAME = "owner"

_SPENT = "spent:"
"""What stands before the hash of a claim token that has had its key."""

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+{_LABEL}")
_DIRECTION_CHARACTERS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def _organisation(text: str) -> str:
    categories = [unicodedata.category(character) for character in text]
    # Direction overrides make a name read as another one; the joiners of emoji and scripts are left alone.
    if {"Cc", "Cs", "Zl", "Zp"} & set(categories) or _DIRECTION_CHARACTERS & set(text):
        raise ValueError("control characters, line breaks and direction overrides are not accepted")
    if all(category[0] in "CZ" for category in categories):
        raise ValueError("at least one visible character is needed")
    return unicodedata.normalize("NFC", text)


def _email(text: str) -> str:
    local, _, _ = text.partition("@")
    if len(local) > 64 or _EMAIL.fullmatch(text) is None:
        raise ValueError("an address such as name@example.com is accepted, in ASCII (a domain as punycode)")
    return text


class Application(Strict):
    """What an institution says when it signs up. The organisation's name is only ever shown, never part of an id."""

    organisation: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_organisation)]
    jurisdiction: Literal["CN", "US", "UK", "EU"]
    region: Annotated[str, Field(max_length=40)]
    locale: Locale
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    email: Annotated[str, Field(min_length=3, max_length=254), AfterValidator(_email)]
    plan: Annotated[str, Field(max_length=61)]


@dataclass(frozen=True)
class SignedUp:
    """A pending tenant, the page to pay on, and the claim token that exists nowhere else."""

    tenant_id: str
    checkout_url: str
    claim_token: str


@dataclass(frozen=True)
class Progress:
    """How far a sign-up has come: the tenant's state, and the steps of provisioning that are done."""

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


def sign_up(application: Application, *, now: datetime) -> SignedUp:
    """Registers a pending tenant and opens its checkout.

    The record comes first: killed anywhere, this leaves at most a pending record whose checkout nobody has the
    address of. Raises Invalid for a region that is not served here, a plan that does not exist or is not sold in that
    currency, and billing's PaymentsUnavailable when Stripe cannot open the page.
    """
    region = settings().region
    if application.region != region:
        # A tenant's data stays where it asked; this deployment can keep it in its own region only.
        raise Invalid(f"this region is not served here; {region} is accepted", pointer="/region")
    plan = find_plan(application.plan)
    plan.price(application.currency)
    tenant_id, token = new_id("ten", at=now), secrets.token_urlsafe(32)
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
        state=PENDING,
        claim_hash=_hash(token),
        created_at=now,
    )
    record.save(condition=model.pk.does_not_exist())
    page = open_checkout(
        tenant_id, plan, currency=application.currency, email=application.email, locale=application.locale
    )
    _note_checkout(record, page)
    logger.info("signed up", extra={"tenant_id": tenant_id, "plan": plan.key})
    return SignedUp(tenant_id, page.url, token)


def progress(tenant_id: str, token: str) -> Progress:
    """How far a sign-up has come. Raises NotFound, alike for a tenant that does not exist and a token that is wrong."""
    record, claimed = _claimant(tenant_id, token)
    return Progress(record.state, len(record.provisioned), len(steps()), record.ready, claimed)


def claim(tenant_id: str, token: str, *, now: datetime) -> FirstKey:
    """The tenant's first API key, for the claim token.

    One transaction both stores the key and spends the token. So of two claims at once one gets a key; a claim that is
    killed before leaves no key and a token that still works; and no key works whose text was not about to be answered.
    Should that answer be lost on its way, the owner signs in and makes another key.

    Raises NotFound like `progress`, Conflict (with `state`) while the tenant is not ready, Gone when the token was
    spent before.
    """
    record, claimed = _claimant(tenant_id, token)
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


def _claimant(tenant_id: str, token: str) -> tuple[TenantRecord, bool]:
    """The tenant's record for whoever holds its claim token, and whether the token is spent."""
    record = _registered(tenant_id)
    kept = (record.claim_hash if record else None) or ""
    # Compared in any case, so that time does not tell a tenant that exists from one that does not.
    fits = hmac.compare_digest(kept.removeprefix(_SPENT), _hash(token))
    if record is None or not fits:
        raise NotFound("no sign-up under that id for this claim token")
    return record, kept.startswith(_SPENT)


def _registered(tenant_id: str) -> TenantRecord | None:
    try:
        return find_tenant(tenant_id) if is_id("ten", tenant_id) else None
    except NotFound:
        return None


def _spent() -> Gone:
    return Gone("this claim token has had its API key; make another with that one, by POST /v1/api-keys")


def _note_checkout(record: TenantRecord, page: CheckoutPage) -> None:
    model = records()
    record.update(actions=[model.checkout_session_id.set(page.session_id), model.version.add(1)])


def _hash(token: str) -> str:
    # The token is 256 random bits: there is nothing to guess, so a plain digest hides it.
    return hashlib.sha256(token.encode()).hexdigest()
