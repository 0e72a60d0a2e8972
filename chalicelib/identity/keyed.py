"""Keyed hashes: how something is found or proved by what must not be read from a copy of the table.

The key is a pepper from Secrets Manager, so a copy of the table alone is of no use for guessing.
"""

from __future__ import annotations

import hashlib
import hmac

from chalicelib.platform.aws import secret
from chalicelib.platform.settings import settings


def keyed_hash(text: str) -> str:
    """The HMAC-SHA-256 of a text under the deployment's pepper, as hexadecimal digits."""
    pepper = secret(settings().api_key_secret_name)["pepper"].encode()
    return hmac.new(pepper, text.encode(), hashlib.sha256).hexdigest()
