"""The Merkle tree: against the definitions of RFC 9162 written down word by word, and against vectors made by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.ledger.hashing import leaf_hash
from chalicelib.ledger.tree import (
    Tree,
    consistency_proof,
    inclusion_proof,
    node_hash,
    root,
    verify_consistency,
    verify_inclusion,
)

sizes = st.integers(1, 70)


def leaves(count: int) -> list[bytes]:
    return [leaf_hash(f"entry {number}".encode()) for number in range(count)]


def mth(hashes: Sequence[bytes]) -> bytes:
    """MTH of RFC 9162 2.1.1, over hashes of leaves: split at the largest power of two below the count."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = _k(len(hashes))
    return hashlib.sha256(b"\x01" + mth(hashes[:k]) + mth(hashes[k:])).digest()


def path(m: int, hashes: Sequence[bytes]) -> list[bytes]:
    """PATH of RFC 9162 2.1.3.1."""
    if len(hashes) == 1:
        return []
    k = _k(len(hashes))
    if m < k:
        return [*path(m, hashes[:k]), mth(hashes[k:])]
    return [*path(m - k, hashes[k:]), mth(hashes[:k])]


def _k(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def test_the_tree_of_no_leaves_is_the_hash_of_nothing():
    assert root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_roots_are_those_of_the_published_certificate_transparency_vectors():
    entries = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    hashes = [leaf_hash(bytes.fromhex(entry)) for entry in entries]
    assert [root(hashes[:size]).hex() for size in (1, 2, 3, 8)] == [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ]


def test_the_proofs_of_the_seven_leaves_in_the_rfc():
    # RFC 9162 2.1.5: the tree of seven leaves, its nodes named as in the figure there.
    a, b, c, d, e, f, j = leaves(7)
    g, h, i = node_hash(a, b), node_hash(c, d), node_hash(e, f)
    k, l_ = node_hash(g, h), node_hash(i, j)
    assert root(leaves(7)) == node_hash(k, l_)
    assert inclusion_proof(leaves(7), 0) == [b, h, l_]
    assert inclusion_proof(leaves(7), 3) == [c, g, l_]
    assert inclusion_proof(leaves(7), 4) == [f, j, k]
    assert inclusion_proof(leaves(7), 6) == [i, k]
    assert consistency_proof(leaves(7), 3) == [c, d, g, l_]
    assert consistency_proof(leaves(7), 4) == [l_]
    assert consistency_proof(leaves(7), 6) == [i, j, k]


@given(sizes, st.data())
def test_root_and_proofs_are_those_of_the_definition(size, data):
    index, hashes = data.draw(st.integers(0, size - 1)), leaves(size)
    tree = Tree(hashes)
    assert (tree.size, tree.root) == (size, mth(hashes))
    assert tree.inclusion_proof(index) == path(index, hashes)


@given(sizes, st.data())
def test_a_proof_holds_for_its_leaf_its_place_and_its_tree_only(size, data):
    index, hashes = data.draw(st.integers(0, size - 1)), leaves(size)
    proof, head = inclusion_proof(hashes, index), root(hashes)
    assert verify_inclusion(hashes[index], index, size, proof, head)
    assert not verify_inclusion(leaf_hash(b"another"), index, size, proof, head)
    assert not verify_inclusion(hashes[index], index, size, proof, mth([*hashes, leaf_hash(b"another")]))
    assert not verify_inclusion(hashes[index], index, size, [*proof, head], head)
    assert not any(verify_inclusion(hashes[index], other, size, proof, head) for other in range(size) if other != index)
    if proof:
        step = data.draw(st.integers(0, len(proof) - 1))
        assert not verify_inclusion(hashes[index], index, size, [*proof[:step], *proof[step + 1 :]], head)
        assert not verify_inclusion(hashes[index], index, size, [*proof[:step], head, *proof[step + 1 :]], head)


@given(sizes, st.data())
def test_a_tree_proves_that_it_begins_with_each_of_its_beginnings(size, data):
    earlier, hashes = data.draw(st.integers(1, size)), leaves(size)
    proof, before, after = consistency_proof(hashes, earlier), root(hashes[:earlier]), root(hashes)
    assert verify_consistency(earlier, size, before, after, proof)
    assert not verify_consistency(earlier, size, leaf_hash(b"another"), after, proof)
    assert not verify_consistency(earlier, size, before, leaf_hash(b"another"), proof)
    assert not verify_consistency(earlier, size, before, after, [*proof, after])
    if proof:
        assert not verify_consistency(earlier, size, before, after, proof[:-1])
        assert not verify_consistency(earlier, size, before, after, [*proof[:-1], leaf_hash(b"another")])


@given(sizes, st.data())
def test_a_rewritten_leaf_breaks_consistency(size, data):
    earlier = data.draw(st.integers(1, size))
    changed, hashes = data.draw(st.integers(0, earlier - 1)), leaves(size)
    rewritten = [*hashes[:changed], leaf_hash(b"another"), *hashes[changed + 1 :]]
    proof = consistency_proof(rewritten, earlier)
    assert not verify_consistency(earlier, size, root(hashes[:earlier]), root(rewritten), proof)


@pytest.mark.parametrize("index", [-1, 3])
def test_there_is_no_proof_of_a_leaf_that_is_not_there(index):
    with pytest.raises(IndexError):
        inclusion_proof(leaves(3), index)
    assert not verify_inclusion(leaves(3)[0], index, 3, [], root(leaves(3)))


@pytest.mark.parametrize("size", [0, 4])
def test_there_is_no_consistency_with_no_tree_nor_with_a_later_one(size):
    with pytest.raises(ValueError, match="1 to 3"):
        consistency_proof(leaves(3), size)
    assert not verify_consistency(size, 3, root(leaves(size)), root(leaves(3)), [])


def test_a_hash_of_another_length_is_refused():
    with pytest.raises(ValueError, match="leaf 1 has 31 bytes"):
        Tree([bytes(32), bytes(31)])
