"""The authorizer of the API: who calls, for which tenant, with which scopes, from which networks. Answers are cached
for a minute."""

from __future__ import annotations

from datetime import datetime

from chalice.app import AuthRequest, AuthResponse, Blueprint

from chalicelib.identity import api_keys, sessions
from chalicelib.platform.clock import utc_now
from chalicelib.platform.errors import Unauthenticated, Unavailable
from chalicelib.platform.telemetry import logger

CACHE_SECONDS = 60
"""How long API Gateway may keep an answer: a key that was revoked or a session that was ended works at most this much
longer."""

blueprint = Blueprint(__name__)


@blueprint.authorizer(name="authorize", ttl_seconds=CACHE_SECONDS)
def authorize(request: AuthRequest) -> AuthResponse:
    """Turns `Authorization: Bearer`, with an API key or a person's access token, into tenant, subject and scopes.

    A credential that is not valid is let through as a `refusal` without tenant or scopes, so that the route answers
    a clear 401 problem; API Gateway's own refusal could say nothing. No route with a scope answers without scopes.
    """
    scheme, _, presented = request.token.partition(" ")
    credential = presented.strip()
    try:
        if scheme.lower() != "bearer":
            raise Unauthenticated("the Authorization header must read: Bearer <API key or access token>")
        # A JSON Web Token has two dots and an API key none.
        known = _of_person if credential.count(".") == 2 else _of_key
        context = known(credential, utc_now())
    except Unauthenticated as error:
        logger.info("credential refused", extra={"reason": error.detail})
        return _refused(error.detail)
    except Unavailable as error:
        logger.warning("credential not verified", extra={"reason": error.detail})
        return _refused(error.detail, unavailable="true")
    return AuthResponse(routes=["*"], principal_id=context["subject"], context=context)


def _of_key(credential: str, now: datetime) -> dict[str, str]:
    key = api_keys.verify(credential, now=now)
    api_keys.note_use(key, now=now)
    context = {"tenant_id": key.tenant_id, "subject": key.pk, "scopes": " ".join(sorted(key.scopes))}
    if key.allowed_networks:
        # The route holds the caller's address against them; the authorizer is not told the address.
        context["networks"] = " ".join(key.allowed_networks)
    return context


def _of_person(credential: str, now: datetime) -> dict[str, str]:
    session = sessions.open_session(credential, now=now)
    context = {
        "tenant_id": session.user.tenant_id,
        "subject": session.user.pk,
        "scopes": " ".join(sorted(session.scopes)),
        "role": session.user.role,
    }
    if session.mfa_required:
        context["mfa"] = "required"
    return context


def _refused(detail: str, **more: str) -> AuthResponse:
    return AuthResponse(routes=["*"], principal_id="nobody", context={"refusal": detail, **more})
