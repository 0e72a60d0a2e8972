"""Making a leaf, as a write that goes into the transaction of the change that it proves."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime

from chalicelib.ledger.hashing import canonical, entry_of, leaf_hash
from chalicelib.ledger.model import Leaf
from chalicelib.platform.clock import rfc3339
from chalicelib.platform.commit import Put
from chalicelib.platform.ids import id_from_digest, new_id
from chalicelib.platform.tenant import Tenant

DIGEST = "ledger"
"""The purpose of the digests in leaves."""


def leaf_put(
    tenant: Tenant,
    *,
    subject: str,
    action: str,
    content: Mapping[str, object],
    actor: str,
    now: datetime,
    key: str | None = None,
) -> Put:
    """The write of one leaf: `actor` did `action` to `subject` at `now`, and `content` (JSON values) is what it was.

    Only a keyed digest of the content is stored. With `key`, one leaf exists for that key however often it is made,
    and the write is refused when it already does: the caller takes the refusal as "written before".
    """
    leaf = tenant.bind(Leaf)
    leaf_id = new_id("leaf", at=now) if key is None else id_from_digest("leaf", hashlib.sha256(key.encode()).digest())
    digest, at = tenant.vault.digest(DIGEST, canonical(content)), rfc3339(now)
    entry = entry_of(subject=subject, action=action, digest=digest, actor=actor, at=at)
    item = leaf(
        shard(leaf_id),
        leaf_id,
        subject=subject,
        action=action,
        digest=digest,
        actor=actor,
        at=at,
        leaf_hash=leaf_hash(entry),
    )
    return Put(item, leaf.pk.does_not_exist())


def shard(leaf_id: str) -> str:
    """The partition of a leaf. It follows from the id alone: a leaf with a key has one place whenever it is made."""
    return f"leaf#{hashlib.sha256(leaf_id.encode()).hexdigest()[:2]}"
