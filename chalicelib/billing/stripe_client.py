"""The client that all of billing speaks to Stripe through, and the secret that both sides know each other by."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from chalicelib.billing.errors import PaymentsUnavailable
from chalicelib.platform.aws import secret
from chalicelib.platform.settings import settings
from chalicelib.platform.telemetry import logger

if TYPE_CHECKING:
    from stripe import InvalidRequestError, StripeClient

CONNECT_SECONDS, READ_SECONDS = 3.0, 8.0
"""How long a request to Stripe may take. API Gateway answers for us after 29 seconds; what was made at Stripe by then
is found again by its idempotency key."""

MAX_RETRIES = 1
"""The SDK repeats a request that met a network error or a conflict, under the same idempotency key."""

REREAD_SECONDS = 60.0
"""How often a container asks at most whether the secret was replaced: forged webhooks must not make it ask for each."""

_next_reread = 0.0


@cache
def stripe_client() -> StripeClient:
    """The client of this deployment, made once per container and key; its key comes from Secrets Manager."""
    return make_client(_secret()["api_key"], settings().stripe_api_base, newer_key=_newer_key)


def make_client(
    api_key: str, api_base: str, *, newer_key: Callable[[str], str | None] = lambda _: None
) -> StripeClient:
    """A client for a key; `api_base` is empty for Stripe itself. `newer_key` is asked when Stripe refuses the key."""
    import stripe  # cold start: most functions and requests never speak to Stripe

    from chalicelib.billing.transport import RotatingClient

    return stripe.StripeClient(
        api_key,
        base_addresses={"api": api_base} if api_base else {},
        max_network_retries=MAX_RETRIES,
        http_client=RotatingClient((CONNECT_SECONDS, READ_SECONDS), newer_key),
    )


def webhook_secret() -> str:
    """The secret that Stripe signs this deployment's webhooks with."""
    return _secret()["webhook_secret"]


def reread_secret() -> bool:
    """Reads the secret again, because what is known of it was refused; True when it is another one now.

    A container does so once in `REREAD_SECONDS` at most, and answers False in between.
    """
    global _next_reread
    if time.monotonic() < _next_reread:
        return False
    _next_reread = time.monotonic() + REREAD_SECONDS
    before = _secret()
    secret.cache_clear()
    if _secret() == before:
        return False
    stripe_client.cache_clear()
    logger.warning("the secret of Stripe was replaced; the new one is used from now on")
    return True


@contextmanager
def payments(doing: str, **ids: str) -> Generator[None]:
    """Around calls of Stripe that a caller waits for: raises PaymentsUnavailable where Stripe refuses or is silent.

    `doing` and `ids` go to the log. The error's class and code only: Stripe's message may repeat what was sent.
    """
    import stripe  # cold start: as above

    try:
        yield
    except stripe.StripeError as error:
        logger.error(doing, extra={**ids, "error": type(error).__name__, "code": error.code})
        raise PaymentsUnavailable(f"{doing}: Stripe refused it or did not answer; it is safe to repeat it") from error


def is_missing(error: InvalidRequestError) -> bool:
    """Whether Stripe says that it has no such object."""
    return error.code == "resource_missing"


def _newer_key(refused: str) -> str | None:
    if _secret()["api_key"] == refused and not reread_secret():
        return None
    return _secret()["api_key"]


def _secret() -> dict[str, str]:
    return secret(settings().stripe_secret_name)
