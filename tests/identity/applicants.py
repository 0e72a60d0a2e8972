"""Institutions that sign up, for tests: each from a network and with an address of its own, so that they share no limit
unless a test wants it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import datetime
from ipaddress import ip_address
from itertools import count
from typing import Any

from chalicelib.identity import signup
from chalicelib.identity.signup import Application, sign_up, verify
from chalicelib.platform.ids import new_id
from chalicelib.tenancy import TenantRecord, find_tenant
from infra.demo import mailbox
from infra.local import ministack

FORM = {
    "organisation": "Harbour Bank",
    "jurisdiction": "CN",
    "region": ministack.REGION,
    "locale": "zh_CN",
    "currency": "CNY",
    "email": "owner@harbour.example",
    "plan": "growth",
}

_networks = count(int(ip_address("10.0.0.1")))


@dataclass(frozen=True)
class Applicant:
    """Somebody who signed up and holds the claim token; `page` is the checkout's, once the mailbox is proved."""

    tenant_id: str
    token: str
    email: str
    page: str = ""

    @property
    def record(self) -> TenantRecord:
        """The sign-up as the registry has it now."""
        return find_tenant(self.tenant_id)


def application(**changes: Any) -> Application:
    """The form as an institution fills it in, with an address that nobody else has."""
    return Application.model_validate(FORM | {"email": address()} | changes)


def address() -> str:
    """An e-mail address that nobody has used."""
    return f"owner@{new_id('bank').lower().replace('_', '-')}.example"


def network() -> str:
    """An internet address from which nobody has signed up."""
    return str(ip_address(next(_networks)))


def apply(now: datetime, **changes: Any) -> Applicant:
    """Signs up; the code is in the mailbox."""
    form = application(**changes)
    made = sign_up(form, source=network(), now=now)
    return Applicant(made.tenant_id, made.claim_token, form.email)


def prove(applicant: Applicant, now: datetime) -> Applicant:
    """Proves the mailbox by the code in it, and opens the checkout."""
    page = verify(applicant.tenant_id, applicant.token, code_for(applicant.email), now=now)
    return replace(applicant, page=page)


def check_out(applicant: Applicant, now: datetime) -> str:
    """The page that the applicant goes on to."""
    return signup.check_out(applicant.tenant_id, applicant.token, now=now)


def codes_for(email: str) -> list[str]:
    """Every code that was mailed to an address, oldest first; AWS is the test session's MiniStack."""
    return mailbox.codes_for(os.environ["AWS_ENDPOINT_URL"], email)


def code_for(email: str) -> str:
    """The newest code in a mailbox."""
    return codes_for(email)[-1]


def other_code(code: str) -> str:
    """A code that is not that one."""
    return f"{(int(code) + 1) % 1_000_000:06d}"
