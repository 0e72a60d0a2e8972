"""A person's session: from an access token to who it is, and to what they may do in it; and its end.

A session begins when its person signs in. A token that was refreshed later belongs to the same session, so an end of
all sessions also ends what could still be refreshed, whether or not the issuer knows of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from chalicelib.identity import cognito, people, tokens
from chalicelib.identity.people import ACTIVE, User
from chalicelib.identity.permissions import MFA_ROLES, SELF, scopes_of
from chalicelib.identity.tokens import Claims
from chalicelib.platform.errors import Conflict, NotFound, Unauthenticated, Unavailable
from chalicelib.platform.telemetry import logger


@dataclass(frozen=True)
class Session:
    """Who is signed in and what they may do. `mfa_required` says that they may do no more than enrol a second factor
    before their role's scopes are theirs."""

    user: User
    scopes: frozenset[str]
    mfa_required: bool


def open_session(access_token: str, *, now: datetime) -> Session:
    """The session that an access token belongs to. At a person's first sign-in, this binds who the issuer says they are
    to who was invited under their verified e-mail address.

    Raises Unauthenticated for a token that is not valid, somebody who was not invited, somebody who was removed, and a
    session that was ended; Unavailable when the issuer is needed and does not answer.
    """
    claims = tokens.verify_token(access_token, now=now)
    user = people.find_by_identity(claims.issuer, claims.subject) or _bound(claims, access_token, now)
    if user.state != ACTIVE:
        raise Unauthenticated("this person has no access any more")
    # Tokens count whole seconds: what was signed in within the second of the end counts as before it.
    if user.sessions_valid_after is not None and claims.authenticated_at < user.sessions_valid_after:
        raise Unauthenticated("this session was ended; sign in again")
    if user.role in MFA_ROLES and not _has_second_factor(user, claims, access_token):
        return Session(user, frozenset({SELF}), mfa_required=True)
    return Session(user, scopes_of(user.role), mfa_required=False)


def end_sessions(user: User, *, now: datetime) -> User:
    """Ends all sessions of a person; those at work end within the minute that the authorizer's answers are kept.

    First here, then at the user pool: killed between the two, no session is left that works. Repeatable. Raises
    NotFound when the person is gone.
    """
    model = type(user)
    if not user.update_if(model.pk.exists(), [model.sessions_valid_after.set(now), model.version.add(1)]):
        raise NotFound("no user under that id")
    cognito.sign_out_everywhere(user.subject or user.email)
    logger.info("sessions ended", extra={"tenant_id": user.tenant_id, "user_id": user.pk})
    return user


def _bound(claims: Claims, access_token: str, now: datetime) -> User:
    if claims.email is None and claims.kind == "cognito":
        email = cognito.verified_email(access_token)
        claims = replace(claims, email=email, email_verified=email is not None)
    if claims.email is None or not claims.email_verified:
        raise Unauthenticated("the sign-in shows no verified e-mail address, by which an invitation could be found")
    try:
        user = people.bind(claims, now=now)
    except Conflict as error:
        raise Unavailable("your invitation is being changed by others; try again in a minute") from error
    if user is None:
        raise Unauthenticated("nobody was invited under the e-mail address of this sign-in")
    return user


def _has_second_factor(user: User, claims: Claims, access_token: str) -> bool:
    """Whether this session was begun with a second factor. A pool's tokens do not say so; but once an authenticator is
    enrolled, the pool lets its person in only with it. Whoever is signed in can turn that off at the pool itself, so
    the pool is asked, once for each token."""
    if claims.kind != "cognito":
        return claims.mfa
    enrolled_before = user.totp_since is not None and claims.authenticated_at >= user.totp_since
    return enrolled_before and cognito.asks_for_totp(access_token)
