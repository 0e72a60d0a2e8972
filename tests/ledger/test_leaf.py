"""Leaves in a tenant's ledger."""

from __future__ import annotations

from datetime import timedelta

from chalicelib.ledger import leaf_put
from chalicelib.ledger.hashing import canonical, entry_of, leaf_hash
from chalicelib.ledger.leaf import DIGEST
from chalicelib.ledger.model import Leaf
from chalicelib.platform.clock import rfc3339
from chalicelib.platform.commit import Group, commit_one
from tests.cases.bank import items


def write(tenant, now, content=None, key=None) -> tuple[bool, Leaf]:
    put = leaf_put(
        tenant, subject="case_1", action="case.opened", content=content or {"n": 1}, actor="con_1", now=now, key=key
    )
    return commit_one(tenant.store, Group("leaf", [put])), put.item


def test_a_leaf_is_the_hash_of_what_it_says(tenant, now):
    _, made = write(tenant, now, {"overdue": 700})
    leaf = tenant.bind(Leaf).get(made.pk, made.sk)
    digest = tenant.vault.digest(DIGEST, canonical({"overdue": 700}))
    entry = entry_of(subject="case_1", action="case.opened", digest=digest, actor="con_1", at=rfc3339(now))
    assert (leaf.digest, leaf.leaf_hash) == (digest, leaf_hash(entry))


def test_the_digest_is_keyed_by_tenant(tenant, other_tenant, now):
    made = {write(each, now, {"overdue": 700})[1].digest for each in (tenant, tenant, other_tenant)}
    assert len(made) == 2


def test_without_a_key_every_leaf_stands_for_itself(tenant, now):
    assert [write(tenant, now)[0] for _ in range(3)] == [True] * 3
    assert len(items(tenant, "ledger")) == 3


def test_with_a_key_there_is_one_leaf_however_often_it_is_made(tenant, now):
    assert write(tenant, now, key="run_1#000001")[0]
    assert not write(tenant, now + timedelta(hours=1), key="run_1#000001")[0]
    assert write(tenant, now, key="run_1#000002")[0]
    assert [leaf["at"]["S"] for leaf in items(tenant, "ledger")] == [rfc3339(now)] * 2
