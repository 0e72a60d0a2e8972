"""A leaf's hash, which anybody with the entry can repeat."""

import hashlib

from chalicelib.ledger.hashing import canonical, entry_of, leaf_hash


def test_the_hash_of_an_empty_leaf_is_the_one_of_the_specification():
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"


def test_the_order_of_members_does_not_matter():
    assert canonical({"b": 1, "a": {"y": "é", "x": None}}) == canonical({"a": {"x": None, "y": "é"}, "b": 1})


def test_an_entry_is_canonical_json_that_a_verifier_can_write_himself():
    entry = entry_of(subject="case_1", action="case.opened", digest="ab", actor="con_1", at="2005-09-30T16:00:00.000Z")
    assert entry == (
        b'{"action":"case.opened","actor":"con_1","at":"2005-09-30T16:00:00.000Z","digest":"ab","subject":"case_1"}'
    )
    assert leaf_hash(entry) == hashlib.sha256(b"\x00" + entry).digest()
