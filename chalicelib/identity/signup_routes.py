"""The public door: an institution signs up, watches its tenant come to be, and takes its first API key."""

from __future__ import annotations

from typing import Annotated, Any

from chalice.app import Blueprint
from pydantic import Field

from chalicelib.identity import signup
from chalicelib.identity.signup import Application
from chalicelib.identity.verification import DIGITS
from chalicelib.platform.clock import utc_now
from chalicelib.platform.errors import Unauthenticated
from chalicelib.platform.http import Call, Strict, View, endpoint

blueprint = Blueprint(__name__)


class SignupView(View):
    """A pending tenant, and the claim token, which is shown this once. A code is mailed to the address; should none
    arrive, another one can be asked for."""

    tenant_id: str
    claim_token: str


class Code(Strict):
    """The code that was mailed to the address."""

    code: Annotated[str, Field(pattern=rf"^[0-9]{{{DIGITS}}}$")]


class CheckoutView(View):
    """The page on which to subscribe. It stays open for a day; asked for later, there is a new one."""

    checkout_url: str


class ProgressView(View):
    """How far the tenant has come; with `ready` the claim token can be turned into an API key."""

    tenant_id: str
    email_verified: bool
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
    summary="Registers an institution and mails a code to its administrator",
    body=Application,
    returns=SignupView,
    status=201,
)
def post_signup(call: Call[Application]) -> SignupView:
    made = signup.sign_up(call.body, source=call.source_address, now=utc_now())
    return SignupView(tenant_id=made.tenant_id, claim_token=made.claim_token)


@endpoint(
    blueprint,
    "POST",
    "/v1/signup/{tenant_id}/code",
    summary="Mails another code; the earlier one is good no longer",
    claim=True,
    status=202,
)
def post_code(call: Call[None], tenant_id: str) -> None:
    signup.send_code(tenant_id, _bearer(call), now=utc_now())


@endpoint(
    blueprint,
    "POST",
    "/v1/signup/{tenant_id}/verify",
    summary="Proves the address by the code mailed to it, and opens the checkout",
    body=Code,
    claim=True,
    returns=CheckoutView,
)
def post_verify(call: Call[Code], tenant_id: str) -> CheckoutView:
    return CheckoutView(checkout_url=signup.verify(tenant_id, _bearer(call), call.body.code, now=utc_now()))


@endpoint(
    blueprint,
    "POST",
    "/v1/signup/{tenant_id}/checkout",
    summary="Goes back to a checkout that was left, or opens a new one",
    claim=True,
    returns=CheckoutView,
)
def post_checkout(call: Call[None], tenant_id: str) -> CheckoutView:
    return CheckoutView(checkout_url=signup.check_out(tenant_id, _bearer(call), now=utc_now()))


@endpoint(
    blueprint,
    "GET",
    "/v1/signup/{tenant_id}",
    summary="How far a sign-up has come",
    claim=True,
    returns=ProgressView,
)
def get_signup(call: Call[None], tenant_id: str) -> ProgressView:
    found = signup.progress(tenant_id, _bearer(call), now=utc_now())
    return ProgressView(
        tenant_id=tenant_id,
        email_verified=found.email_verified,
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


def _bearer(call: Call[Any]) -> str:
    scheme, _, token = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("the claim token is needed: Authorization: Bearer and the token that sign-up answered")
    return token.strip()
