"""Sealing of personal data with a tenant's own key, and keyed digests that let sealed values be searched for.

A tenant has one KMS key. Under it lie two data keys, kept wrapped in the registry: one seals, one makes blind indexes,
derived ids and digests. Destroying the KMS key makes every sealed value of the tenant unreadable for good.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import unicodedata
from base64 import urlsafe_b64encode
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from chalicelib.platform.ids import id_from_digest

_FORMAT = b"\x01"
_NONCE_BYTES = 12


class SealBroken(Exception):
    """A sealed value was changed, moved to another record, or sealed under another key."""


class Vault:
    """Seals and searches one tenant's personal data.

    `data_key` and `index_key` are 32 bytes each, unwrapped by KMS with that tenant's credentials.
    """

    def __init__(self, tenant_id: str, data_key: bytes, index_key: bytes) -> None:
        self._tenant_id = tenant_id
        self._cipher = AESGCM(data_key)
        self._index_key = index_key

    def seal(self, fields: Mapping[str, str | None], *, bound_to: str) -> bytes:
        """Seals a record's personal fields together (AES-256-GCM, random nonce).

        `bound_to` names the record; the result opens only for the same tenant and record, so a sealed value that is
        copied elsewhere is worthless.
        """
        nonce = os.urandom(_NONCE_BYTES)
        plain = json.dumps({k: v for k, v in fields.items() if v is not None}, ensure_ascii=False).encode()
        return _FORMAT + nonce + self._cipher.encrypt(nonce, plain, self._associated(bound_to))

    def open(self, sealed: bytes, *, bound_to: str) -> dict[str, str]:
        """The fields that `seal` took. Raises SealBroken when they were altered or belong elsewhere."""
        if sealed[:1] != _FORMAT:
            raise SealBroken(f"unknown seal format {sealed[:1].hex()}")
        nonce, body = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return json.loads(self._cipher.decrypt(nonce, body, self._associated(bound_to)))
        except InvalidTag:
            raise SealBroken(f"the seal of {bound_to} does not fit") from None

    def blind_index(self, field: str, value: str) -> str:
        """A keyed digest of a normalised value: equal values of one field of one tenant give equal indexes, and
        nobody without the key can tell which value an index stands for or try values out (132 bits, base64url)."""
        return urlsafe_b64encode(self._digest("index", field, normalised(value)))[:22].decode()

    def derived_id(self, prefix: str, *parts: str) -> str:
        """The id of the thing that a business system calls `parts`, always the same and not to be guessed."""
        return id_from_digest(prefix, self._digest("id", prefix, *parts))

    def digest(self, purpose: str, content: bytes) -> str:
        """A keyed digest of some content (HMAC-SHA-256, hexadecimal): it proves the content to whoever has the key, and
        nobody without it can try contents out. The same content has another digest for every `purpose`."""
        return self._digest("digest", purpose, content).hex()

    def _digest(self, *parts: str | bytes) -> bytes:
        # Lengths before values, so that ("ab", "c") and ("a", "bc") differ.
        raw = [part.encode() if isinstance(part, str) else part for part in parts]
        message = b"".join(len(part).to_bytes(4, "big") + part for part in raw)
        return hmac.new(self._index_key, message, hashlib.sha256).digest()

    def _associated(self, bound_to: str) -> bytes:
        return f"{self._tenant_id}\x1f{bound_to}".encode()


def normalised(value: str) -> str:
    """How a value is compared in an exact search: compatibility forms unified, case folded, white space dropped."""
    bare = "".join(unicodedata.normalize("NFKC", value).casefold().split())
    # Once more: without white space between them, a letter and a mark may compose.
    return unicodedata.normalize("NFKC", bare)
