"""The public door: an institution signs up, watches its tenant come to be, and takes its first API key."""

from __future__ import annotations

from chalice.app import Blueprint

from chalicelib.identity import signup
from chalicelib.identity.signup import Application
from chalicelib.platform.clock import utc_now
from chalicelib.platform.errors import Unauthenticated
from chalicelib.platform.http import Call, View, endpoint

blueprint = Blueprint(__name__)


class SignupView(View):
    """A pending tenant: the page to pay on, and the claim token, which is shown this once."""

    tenant_id: str
    checkout_url: str
    claim_token: str


class ProgressView(View):
    """How far the tenant has come; with `ready` the claim token can be turned into an API key."""

    tenant_id: str
    state: str
    steps_done: int
    steps_total: int
    ready: bool
    claimed: bool


class FirstKeyView(View):
    """The tenant's first API key; `api_key` is shown this once and stored nowhere."""

    tenant_id: str
    key_id: str
    api_key: str
    scopes: list[str]


@endpoint(
    blueprint,
    "POST",
    "/v1/signup",
    summary="Registers an institution and opens its checkout",
    body=Application,
    returns=SignupView,
    status=201,
)
def post_signup(call: Call[Application]) -> SignupView:
    made = signup.sign_up(call.body, now=utc_now())
    return SignupView(tenant_id=made.tenant_id, checkout_url=made.checkout_url, claim_token=made.claim_token)


@endpoint(
    blueprint,
    "GET",
    "/v1/signup/{tenant_id}",
    summary="How far a sign-up has come",
    claim=True,
    returns=ProgressView,
)
def get_signup(call: Call[None], tenant_id: str) -> ProgressView:
    found = signup.progress(tenant_id, _bearer(call))
    return ProgressView(
        tenant_id=tenant_id,
        state=found.state,
        steps_done=found.steps_done,
        steps_total=found.steps_total,
        ready=found.ready,
        claimed=found.claimed,
    )


@endpoint(
    blueprint,
    "POST",
    "/v1/signup/{tenant_id}/claim",
    summary="Turns the claim token into the tenant's first API key, once",
    claim=True,
    returns=FirstKeyView,
)
def post_claim(call: Call[None], tenant_id: str) -> FirstKeyView:
    key = signup.claim(tenant_id, _bearer(call), now=utc_now())
    return FirstKeyView(tenant_id=tenant_id, key_id=key.key_id, api_key=key.text, scopes=sorted(key.scopes))


def _bearer(call: Call[None]) -> str:
    scheme, _, token = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("the claim token is needed: Authorization: Bearer and the token that sign-up answered")
    return token.strip()
