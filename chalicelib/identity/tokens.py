"""Access tokens of OpenID Connect issuers, verified here with the public keys that each issuer publishes.

Two forms are accepted, by the kind of issuer: what RFC 9068 describes, and what a Cognito user pool makes. In either, a
token says who somebody is and how they signed in. Which tenant they belong to and what they may do, it never says.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from chalicelib.identity.issuers import Issuer, IssuerKind, issuers
from chalicelib.identity.signing_keys import KEY_TYPES, Key, signing_keys
from chalicelib.platform.errors import Unauthenticated

SKEW = timedelta(seconds=60)
"""How far the clock of an issuer may be from ours."""

MAX_AGE = timedelta(hours=24)
"""How long ago a token may have been made, whatever its own expiry says: the longest that Cognito gives."""

KNOWN_OR_BODILY = frozenset({"pwd", "pin", "fpt", "face", "iris", "retina", "vbm"})
POSSESSED = frozenset({"otp", "hwk"})
"""Methods of RFC 8176, as `amr` lists them, that show one factor: what somebody knows or is, and what they have."""

_MAX_BYTES = 16 * 1024
_LATEST = 253_402_300_799  # the last second of the year 9999


@dataclass(frozen=True)
class Claims:
    """What a verified token says. `email` is None where the token does not tell it (Cognito's never do), and is not
    verified where its issuer is not believed about it.

    `authenticated_at` is when the person signed in; a token that was refreshed since is `issued_at` later. `mfa` says
    that the issuer asserts a second factor; a Cognito pool asserts nothing, see `identity.sessions`.
    """

    issuer: str
    kind: IssuerKind
    subject: str
    email: str | None
    email_verified: bool
    issued_at: datetime
    authenticated_at: datetime
    mfa: bool


def verify_token(text: str, *, now: datetime) -> Claims:
    """The claims of a token that a trusted issuer made for us, that was not changed, and that holds at `now`.

    Raises Unauthenticated saying what is wrong with it, and Unavailable when the issuer's keys cannot be had.
    """
    header, payload = _parsed(text)
    name = payload.get("iss")
    issuer = issuers().get(name) if isinstance(name, str) else None
    if issuer is None:
        raise _refused("its issuer is not one that signs people in here")
    algorithm, kid = _signature_of(header, issuer)
    key = signing_keys().find(issuer, kid, now=now)
    if key is None:
        raise _refused("it is signed with a key that its issuer does not publish")
    _check_signature(text, key, algorithm)
    return read_claims(payload, issuer, now=now)


def read_claims(payload: Mapping[str, Any], issuer: Issuer, *, now: datetime) -> Claims:
    """What a payload claims, if it claims it for us and now; the signature is the caller's to check.

    Raises Unauthenticated for a claim that is missing, of another type, or not as it must be.
    """
    if payload.get("iss") != issuer.issuer:
        raise _refused("its issuer is another one")
    _check_audience(payload, issuer)
    issued_at, authenticated_at = _check_times(payload, now)
    subject = payload.get("sub")
    if not isinstance(subject, str) or not 1 <= len(subject) <= 255 or not subject.isascii():
        raise _refused("it names no subject (sub)")
    email = _email(payload.get("email"))
    return Claims(
        issuer=issuer.issuer,
        kind=issuer.kind,
        subject=subject,
        email=email,
        email_verified=payload.get("email_verified") is True and email is not None and issuer.vouches_for(email),
        issued_at=issued_at,
        authenticated_at=authenticated_at,
        mfa=issuer.kind == "oidc" and _shows_second_factor(payload.get("amr")),
    )


def _refused(why: str) -> Unauthenticated:
    return Unauthenticated(f"the access token is not valid: {why}")


def _parsed(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and payload of a token in compact form, neither of them trusted yet."""
    from jwt import PyJWS  # cold start: with API keys alone, neither PyJWT nor cryptography is ever loaded
    from jwt.exceptions import PyJWTError

    if not text.isascii() or len(text) > _MAX_BYTES:
        raise _refused("it is not a signed JSON Web Token")
    try:
        parts = PyJWS().decode_complete(text, options={"verify_signature": False})
        payload = json.loads(parts["payload"])
    except (PyJWTError, ValueError, RecursionError):
        raise _refused("it is not a signed JSON Web Token") from None
    if not isinstance(payload, dict):
        raise _refused("it is not a signed JSON Web Token")
    return parts["header"], cast("dict[str, Any]", payload)


def _signature_of(header: Mapping[str, Any], issuer: Issuer) -> tuple[str, str]:
    """The algorithm and the id of the key that a token is signed with."""
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ")
    if not isinstance(algorithm, str) or algorithm not in KEY_TYPES:
        raise _refused(f"it is signed in a way that is not accepted; {', '.join(KEY_TYPES)} are")
    if not isinstance(kid, str) or not kid:
        raise _refused("it does not name the key that it is signed with (kid)")
    if "crit" in header or "b64" in header:
        raise _refused("it has extensions that must be understood (crit), and none is here")
    if issuer.kind == "oidc" and (not isinstance(kind, str) or kind.lower().removeprefix("application/") != "at+jwt"):
        raise _refused("it is not an access token (typ at+jwt)")
    return algorithm, kid


def _check_signature(text: str, key: Key, algorithm: str) -> None:
    from jwt import PyJWK, PyJWS  # cold start, as above
    from jwt.exceptions import PyJWTError

    # The key decides what it can be used with, not the header.
    if key["kty"] != KEY_TYPES[algorithm] or key.get("alg", algorithm) != algorithm:
        raise _refused("its key is not one for the way that it is signed")
    try:
        PyJWS().decode_complete(
            text,
            PyJWK(dict(key), algorithm=algorithm),
            algorithms=[algorithm],
            options={"enforce_minimum_key_length": True},
        )
    except PyJWTError:
        raise _refused("its signature is wrong") from None


def _check_audience(payload: Mapping[str, Any], issuer: Issuer) -> None:
    if issuer.kind == "cognito":
        # A pool's ID tokens are signed for the same client, and are for the client alone.
        if payload.get("token_use") != "access":
            raise _refused("it is not an access token (token_use)")
        if payload.get("client_id") != issuer.audience:
            raise _refused("it was made for another client (client_id)")
        return
    named = payload.get("aud")
    audiences = cast("list[Any]", named) if isinstance(named, list) else [named]
    if issuer.audience not in audiences:
        raise _refused("it was made for another audience (aud)")


def _check_times(payload: Mapping[str, Any], now: datetime) -> tuple[datetime, datetime]:
    """When the token was made and when the person signed in, both known to be past."""
    expires, issued = _moment(payload, "exp"), _moment(payload, "iat")
    if expires is None or issued is None:
        raise _refused("it does not say until when it holds and when it was made (exp, iat)")
    if now >= expires + SKEW:
        raise Unauthenticated("the access token has expired")
    if now >= issued + MAX_AGE + SKEW:
        raise _refused(f"it was made more than {MAX_AGE // timedelta(hours=1)} hours ago")
    begins, authenticated = _moment(payload, "nbf"), _moment(payload, "auth_time")
    if authenticated is None:
        # RFC 9068 leaves it open; but without it a refreshed token would outlive the end of its session.
        raise _refused("it does not say when its person signed in (auth_time)")
    if max(issued, authenticated, begins or issued) > now + SKEW:
        raise _refused("it does not hold yet")
    return issued, min(issued, authenticated)


def _moment(payload: Mapping[str, Any], name: str) -> datetime | None:
    """A NumericDate (RFC 7519): seconds since 1970; None when the claim is not there."""
    value = payload.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
        raise _refused(f"{name} is not a number of seconds since 1970")
    # Cut to whole seconds, the unit of every issuer: a fraction can only have been later.
    return datetime.fromtimestamp(math.floor(value), UTC)


def _email(value: object) -> str | None:
    """An e-mail address as an invitation can have it; any other is of no use, and is none."""
    return value if isinstance(value, str) and 3 <= len(value) <= 254 and value.isascii() else None


def _shows_second_factor(amr: object) -> bool:
    """Whether the issuer asserts two factors: as such (`mfa`), or by a method of either kind. A code sent to somebody
    who gave no password (`otp` alone) is one."""
    if not isinstance(amr, list):
        return False
    methods = {each for each in cast("list[Any]", amr) if isinstance(each, str)}
    return "mfa" in methods or bool(methods & POSSESSED and methods & KNOWN_OR_BODILY)
