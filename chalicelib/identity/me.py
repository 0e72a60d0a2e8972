"""What people do for themselves: they enrol an authenticator (TOTP, RFC 6238)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote, urlencode

from chalicelib.identity import cognito, people, tokens
from chalicelib.identity.issuers import issuers
from chalicelib.identity.people import ACTIVE, User
from chalicelib.platform.errors import Conflict, Forbidden, NotFound
from chalicelib.platform.telemetry import logger

SHOWN_AS = "Duebridge"
"""How an authenticator names the account."""


SIGNED_IN_AFRESH = timedelta(minutes=10)
"""How long after signing in a person may replace the authenticator that they signed in with."""


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


def begin_totp(user: User, access_token: str, *, now: datetime) -> Enrolment:
    """A fresh secret for the person's authenticator. The one in use stays in use until the new one is confirmed.

    Raises Conflict where second factors are the provider's own, and Forbidden when the person has an authenticator and
    signed in with it longer than `SIGNED_IN_AFRESH` ago.
    """
    _check_enrols_here(user)
    _check_showed_the_present_one(user, access_token, now)
    secret = cognito.associate_totp(access_token)
    label = f"{SHOWN_AS}:{user.email}"
    query = urlencode({"secret": secret, "issuer": SHOWN_AS})
    return Enrolment(secret, f"otpauth://totp/{quote(label, safe=':@')}?{query}")


def confirm_totp(user: User, access_token: str, code: str, *, now: datetime) -> None:
    """The person's authenticator works, as its code shows: from now on only sessions that began with it count, and all
    earlier ones end.

    Killed between the pool's confirmation and ours, the person begins again with the session that still works. Raises
    Invalid for a wrong code, and what `begin_totp` raises.
    """
    _check_enrols_here(user)
    _check_showed_the_present_one(user, access_token, now)
    cognito.confirm_totp(access_token, code)
    model = type(user)
    actions = [model.totp_since.set(now), model.sessions_valid_after.set(now), model.version.add(1)]
    if not user.update_if(model.state == ACTIVE, actions):
        raise NotFound("no user under that id")
    cognito.sign_out_everywhere(user.subject or user.email)
    logger.info("second factor enrolled", extra={"tenant_id": user.tenant_id, "user_id": user.pk})


def _check_showed_the_present_one(user: User, access_token: str, now: datetime) -> None:
    """Who replaces an authenticator shows a code of it: to the pool, which alone can check one, by signing in. A token
    that was taken from a session under way could otherwise be made into access for good."""
    if user.totp_since is None:
        return
    if now - tokens.verify_token(access_token, now=now).authenticated_at > SIGNED_IN_AFRESH:
        raise Forbidden(
            "to replace your authenticator, sign in again with a code of the present one, and do it within "
            f"{SIGNED_IN_AFRESH.seconds // 60} minutes",
            rule="sign_in_again",
        )


def _check_enrols_here(user: User) -> None:
    issuer = issuers().get(user.issuer or "")
    if issuer is None or issuer.kind != "cognito":
        raise Conflict(
            "you sign in at a provider of your institution; enrol the second factor there and sign in again",
            rule="second_factor_at_the_provider",
        )
