"""Tries one tenant's credentials on another tenant's tables, streams, objects and key, and on what all tenants share;
IAM must refuse every attempt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from botocore.exceptions import ClientError

from chalicelib.platform.tenant import Tenant
from chalicelib.tenancy import open_tenant
from chalicelib.tenancy.credentials import Purpose
from infra.demo.acts import own_acts
from infra.demo.forbidden import forbidden_acts

ALLOWED, DENIED = "allowed", "denied"
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
_REFUSALS = {"AccessDenied", "AccessDeniedException", "403"}


@dataclass(frozen=True)
class Attempt:
    """One thing tried, the action that IAM was asked about, and how it ended: `denied` by IAM, or what came instead."""

    what: str
    action: str
    outcome: str

    @property
    def denied(self) -> bool:
        return self.outcome == DENIED


def try_to_reach(intruder: Tenant, victim: Tenant) -> list[Attempt]:
    """Every attempt with its outcome, with each kind of credentials that the intruder's work is given.

    What a tenant may do to its own is also tried there and must be allowed, so that a refusal is IAM's judgement of the
    tenant and not of the call. What no tenant may do must be refused to the intruder on its own as well. Where either
    is otherwise, that counts as an attempt that was not denied.
    """
    return [
        attempt
        for purpose in PURPOSES
        for attempt in reach(open_tenant(intruder.id, purpose=purpose), victim, purpose=purpose)
    ]


def reach(session: Tenant, victim: Tenant, *, purpose: Purpose) -> list[Attempt]:
    """Every attempt with one session of the intruder's, which was opened for a purpose."""
    attempts: list[Attempt] = []
    with_what = "" if purpose == "work" else f" ({purpose})"
    for act in (*own_acts(session), *forbidden_acts(session)):
        on_its_own = outcome_of(lambda act=act: act.do(session))
        wanted = ALLOWED if purpose in act.may else DENIED
        if on_its_own != wanted:
            found = f"{on_its_own} on its own, where it is to be {wanted}"
            attempts.append(Attempt(f"{act.what}{with_what} (its own)", act.action, found))
        attempts.append(Attempt(f"{act.what}{with_what}", act.action, outcome_of(lambda act=act: act.do(victim))))
    return attempts


def outcome_of(act: Callable[[], Any]) -> str:
    """How a call to AWS ended: `allowed`, `denied` by IAM, or the code of another error."""
    try:
        answer = act()
    except ClientError as error:
        return _outcome(error.response["Error"]["Code"])
    # A batch of deletions is answered with what became of each.
    errors = answer.get("Errors") if isinstance(answer, dict) else None
    return _outcome(errors[0]["Code"]) if errors else ALLOWED


def _outcome(code: str) -> str:
    return DENIED if code in _REFUSALS else code
