"""The client that all of billing speaks to Stripe through."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from chalicelib.platform.aws import secret
from chalicelib.platform.settings import settings

if TYPE_CHECKING:
    from stripe import StripeClient

CONNECT_SECONDS, READ_SECONDS = 3.0, 8.0
"""How long a request to Stripe may take: sign-up sends two, and API Gateway answers for us after 29 seconds."""

MAX_RETRIES = 1
"""The SDK repeats a request that met a network error or a conflict, under the same idempotency key."""


@cache
def stripe_client() -> StripeClient:
    """The client of this deployment, made once per container; its key comes from Secrets Manager."""
    return make_client(secret(settings().stripe_secret_name)["api_key"], settings().stripe_api_base)


def make_client(api_key: str, api_base: str) -> StripeClient:
    """A client for a key; `api_base` is empty for Stripe itself."""
    import stripe  # cold start: most functions and requests never speak to Stripe

    return stripe.StripeClient(
        api_key,
        base_addresses={"api": api_base} if api_base else {},
        max_network_retries=MAX_RETRIES,
        http_client=stripe.RequestsClient(timeout=(CONNECT_SECONDS, READ_SECONDS)),
    )


def webhook_secret() -> str:
    """The secret that Stripe signs this deployment's webhooks with."""
    return secret(settings().stripe_secret_name)["webhook_secret"]
