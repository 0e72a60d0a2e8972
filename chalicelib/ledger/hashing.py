"""What a leaf of the ledger is made of, and its hash: functions of their inputs, which a verifier can repeat."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

_LEAF_PREFIX = b"\x00"


def canonical(document: Mapping[str, object]) -> bytes:
    """A document as the one sequence of bytes that stands for it: UTF-8, members sorted, no white space.

    Raises TypeError or ValueError for what JSON cannot hold (NaN included).
    """
    return json.dumps(document, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode()


def leaf_hash(entry: bytes) -> bytes:
    """The hash of a leaf as RFC 9162 (2.1.1) defines it: SHA-256 over a zero byte and the entry."""
    return hashlib.sha256(_LEAF_PREFIX + entry).digest()


def entry_of(*, subject: str, action: str, digest: str, actor: str, at: str) -> bytes:
    """The entry that a leaf's hash covers: who (`actor`) did what (`action`) to which thing (`subject`) and when
    (`at`, RFC 3339), with the keyed digest of what it was."""
    return canonical({"subject": subject, "action": action, "digest": digest, "actor": actor, "at": at})
