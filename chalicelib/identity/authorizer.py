"""The authorizer of the API: who calls, for which tenant, with which scopes, from which networks. Answers are cached
for a minute."""

from __future__ import annotations

from chalice.app import AuthRequest, AuthResponse, Blueprint

from chalicelib.identity import api_keys
from chalicelib.platform.clock import utc_now
from chalicelib.platform.errors import Unauthenticated
from chalicelib.platform.telemetry import logger

CACHE_SECONDS = 60
"""How long API Gateway may keep an answer: a revoked or expired key works at most this much longer."""

blueprint = Blueprint(__name__)


@blueprint.authorizer(name="authorize", ttl_seconds=CACHE_SECONDS)
def authorize(request: AuthRequest) -> AuthResponse:
    """Turns `Authorization: Bearer db_…` into tenant, subject and scopes.

    A credential that is not valid is let through as a `refusal` without tenant or scopes, so that the route answers
    a clear 401 problem; API Gateway's own refusal could say nothing. No route with a scope answers without scopes.
    """
    scheme, _, credential = request.token.partition(" ")
    try:
        if scheme.lower() != "bearer":
            raise Unauthenticated("the Authorization header must read: Bearer <API key>")
        now = utc_now()
        key = api_keys.verify(credential.strip(), now=now)
    except Unauthenticated as error:
        logger.info("credential refused", extra={"reason": error.detail})
        return AuthResponse(routes=["*"], principal_id="nobody", context={"refusal": error.detail})
    api_keys.note_use(key, now=now)
    context = {"tenant_id": key.tenant_id, "subject": key.pk, "scopes": " ".join(sorted(key.scopes))}
    if key.allowed_networks:
        # The route holds the caller's address against them; the authorizer is not told the address.
        context["networks"] = " ".join(key.allowed_networks)
    return AuthResponse(routes=["*"], principal_id=key.pk, context=context)
