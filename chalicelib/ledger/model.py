"""How leaves are stored until the sequencer merges them into the tree."""

from __future__ import annotations

from pynamodb.attributes import BinaryAttribute, UnicodeAttribute

from chalicelib.platform.store import TenantModel


class Leaf(TenantModel):
    """One unsequenced leaf. `pk` is one of 256 shards, so that no partition takes every write; `sk` is its id.

    It holds no content: `digest` is keyed, so nobody without the tenant's key can try contents out against it.
    """

    class Meta:
        table_kind = "ledger"

    subject = UnicodeAttribute()
    action = UnicodeAttribute()
    digest = UnicodeAttribute()
    actor = UnicodeAttribute()
    at = UnicodeAttribute()
    leaf_hash = BinaryAttribute(legacy_encoding=False)
