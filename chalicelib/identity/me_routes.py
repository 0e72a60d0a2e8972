"""Whoever is signed in, about themselves: who they are, their second factor, the end of their sessions."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from chalice.app import Blueprint
from pydantic import Field

from chalicelib.identity import me, sessions
from chalicelib.identity.authorizer import authorize
from chalicelib.identity.permissions import MFA_ROLES
from chalicelib.platform.clock import utc_now
from chalicelib.platform.http import Call, Strict, View, endpoint

blueprint = Blueprint(__name__)


class MeView(View):
    """Who is signed in, and with which scopes in this session.

    `second_factor`: `required` when the role asks for one that this session lacks, so that it may do nothing else;
    `shown` when the role asks for one and the session has it; `optional` for the other roles.
    """

    id: str
    tenant_id: str
    email: str
    name: str | None
    role: str
    scopes: list[str]
    second_factor: Literal["required", "shown", "optional"]
    totp_since: datetime | None
    joined_at: datetime | None


class EnrolmentView(View):
    """The secret of an authenticator, shown this once: as text in base 32, and as a URI for a QR code."""

    secret: str
    otpauth_uri: str


class Confirmation(Strict):
    """The six digits that the authenticator shows."""

    code: Annotated[str, Field(pattern=r"^[0-9]{6}$")]


@endpoint(
    blueprint,
    "GET",
    "/v1/me",
    summary="Who is signed in, in which role, with which scopes",
    returns=MeView,
    scope="self",
    authorizer=authorize,
)
def get_me(call: Call[None]) -> MeView:
    user = me.find_me(call.tenant_id, call.subject)
    return MeView(
        id=user.pk,
        tenant_id=user.tenant_id,
        email=user.email,
        name=user.name,
        role=user.role,
        scopes=sorted(call.scopes),
        second_factor=_second_factor(call),
        totp_since=user.totp_since,
        joined_at=user.joined_at,
    )


@endpoint(
    blueprint,
    "POST",
    "/v1/me/totp",
    summary="A secret for an authenticator, shown once; in place of another one only just after signing in with that",
    returns=EnrolmentView,
    scope="self",
    authorizer=authorize,
    need="secure",
)
def post_totp(call: Call[None]) -> EnrolmentView:
    enrolment = me.begin_totp(me.find_me(call.tenant_id, call.subject), _access_token(call), now=utc_now())
    return EnrolmentView(secret=enrolment.secret, otpauth_uri=enrolment.uri)


@endpoint(
    blueprint,
    "POST",
    "/v1/me/totp/confirm",
    summary="Confirms the authenticator by a code; all sessions end, and the next sign-in asks for one",
    body=Confirmation,
    status=204,
    scope="self",
    authorizer=authorize,
    need="secure",
)
def post_totp_confirm(call: Call[Confirmation]) -> None:
    user = me.find_me(call.tenant_id, call.subject)
    me.confirm_totp(user, _access_token(call), call.body.code, now=utc_now())


@endpoint(
    blueprint,
    "DELETE",
    "/v1/me/sessions",
    summary="Ends all sessions of who is signed in, this one too, within a minute",
    status=204,
    scope="self",
    authorizer=authorize,
    need="secure",
)
def delete_sessions(call: Call[None]) -> None:
    sessions.end_sessions(me.find_me(call.tenant_id, call.subject), now=utc_now())


def _second_factor(call: Call[Any]) -> Literal["required", "shown", "optional"]:
    if call.by.mfa_required:
        return "required"
    return "shown" if call.by.role in MFA_ROLES else "optional"


def _access_token(call: Call[Any]) -> str:
    """The caller's own token: with it the user pool is asked, in the caller's name."""
    return call.headers["authorization"].partition(" ")[2].strip()
