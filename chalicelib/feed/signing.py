"""Signatures of the Standard Webhooks specification, symmetric scheme v1.

The signed content is `{message id}.{timestamp}.{body}` under HMAC-SHA256, so that a receiver checks who sent a message,
when this attempt was made and that nothing was changed on the way, with any of the published verification libraries.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets as randomness
from collections.abc import Sequence

SECRET_PREFIX = "whsec_"  # noqa: S105 - names the kind of secret, is none
SECRET_BYTES = 32
ACCEPTED_SECRET_BYTES = range(24, 65)
"""Key lengths that the specification allows."""


def new_secret() -> str:
    """A signing secret for one endpoint, in the form in which it is shown to its owner once."""
    return SECRET_PREFIX + base64.b64encode(randomness.token_bytes(SECRET_BYTES)).decode("ascii")


def sign(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three webhook headers for one attempt at delivering `body`.

    `secrets` holds the endpoint's current secret and, while a rotation lasts, the one before it: the message carries a
    signature by each, and a receiver that knows either accepts it. `message_id` stays the same over all attempts (it is
    the receiver's idempotency key); `timestamp` is the attempt's own, in seconds since 1970.

    Raises ValueError when there is no secret, a secret is not of the published form, or the id could be mistaken for
    another one with another timestamp (it holds a full stop) or is empty. No message holds a secret.
    """
    if not secrets:
        raise ValueError("at least one secret is needed to sign")
    if not message_id or "." in message_id:
        raise ValueError("a message id is not empty and holds no full stop")
    content = b"%s.%d.%s" % (message_id.encode("ascii"), timestamp, body)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(_signature(_key(secret), content) for secret in secrets),
    }


def _signature(key: bytes, content: bytes) -> str:
    return "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode("ascii")


def _key(secret: str) -> bytes:
    """The bytes that a secret stands for."""
    problem = "a secret is 'whsec_' and the base64 of 24 to 64 bytes"
    if not secret.startswith(SECRET_PREFIX):
        raise ValueError(problem)
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError(problem) from None
    if len(key) not in ACCEPTED_SECRET_BYTES:
        raise ValueError(problem)
    return key
