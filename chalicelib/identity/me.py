"""What people do for themselves: they enrol an authenticator (TOTP, RFC 6238)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote, urlencode

from chalicelib.identity import cognito, people
from chalicelib.identity.issuers import issuers
from chalicelib.identity.people import ACTIVE, User
from chalicelib.platform.errors import Conflict, NotFound
from chalicelib.platform.telemetry import logger

SHOWN_AS = "Duebridge"
"""How an authenticator names the account."""


@dataclass(frozen=True)
class Enrolment:
    """What an authenticator needs: the secret in base 32, and the same as an `otpauth` URI for a QR code."""

    secret: str
    uri: str


def find_me(tenant_id: str, user_id: str) -> User:
    """The person who is signed in. Raises NotFound when they were removed a moment ago."""
    user = people.find_user(user_id)
    if user is None or user.tenant_id != tenant_id:
        raise NotFound("no user under that id")
    return user


def begin_totp(user: User, access_token: str) -> Enrolment:
    """A fresh secret for the person's authenticator. The one in use stays in use until the new one is confirmed.

    Raises Conflict where second factors are the provider's own.
    """
    _check_enrols_here(user)
    secret = cognito.associate_totp(access_token)
    label = f"{SHOWN_AS}:{user.email}"
    query = urlencode({"secret": secret, "issuer": SHOWN_AS})
    return Enrolment(secret, f"otpauth://totp/{quote(label, safe=':@')}?{query}")


def confirm_totp(user: User, access_token: str, code: str, *, now: datetime) -> None:
    """The person's authenticator works, as its code shows: from now on only sessions that began with it count, and all
    earlier ones end.

    Killed between the pool's confirmation and ours, the person begins again with the session that still works. Raises
    Invalid for a wrong code, Conflict where second factors are the provider's own.
    """
    _check_enrols_here(user)
    cognito.confirm_totp(access_token, code)
    model = type(user)
    actions = [model.totp_since.set(now), model.sessions_valid_after.set(now), model.version.add(1)]
    if not user.update_if(model.state == ACTIVE, actions):
        raise NotFound("no user under that id")
    cognito.sign_out_everywhere(user.subject or user.email)
    logger.info("second factor enrolled", extra={"tenant_id": user.tenant_id, "user_id": user.pk})


def _check_enrols_here(user: User) -> None:
    issuer = issuers().get(user.issuer or "")
    if issuer is None or issuer.kind != "cognito":
        raise Conflict(
            "you sign in at a provider of your institution; enrol the second factor there and sign in again",
            rule="second_factor_at_the_provider",
        )
