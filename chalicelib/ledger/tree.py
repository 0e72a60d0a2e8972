"""The Merkle tree of RFC 9162 (2.1) over the hashes of leaves in order: its root, and proofs that anyone can check.

Functions of their inputs, as all verifiers of the standard compute them. A proof is a list of hashes of 32 bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

HASH_BYTES = 32
_NODE_PREFIX = b"\x01"
_EMPTY = hashlib.sha256(b"").digest()


class Tree:
    """A whole tree, for making many proofs: two hashes a leaf are kept, 64 MB for a million leaves.

    A level is the hashes of all nodes at one height, from the left. Where a level's count is odd, its last node has no
    sibling and stands unchanged in the level above: so each subtree has the shape that the RFC gives it.
    """

    def __init__(self, leaf_hashes: Iterable[bytes]) -> None:
        lowest = bytearray()
        for leaf_hash in leaf_hashes:
            if len(leaf_hash) != HASH_BYTES:
                raise ValueError(f"the hash of leaf {len(lowest) // HASH_BYTES} has {len(leaf_hash)} bytes, not 32")
            lowest += leaf_hash
        self._levels = [lowest]
        while len(self._levels[-1]) > HASH_BYTES:
            self._levels.append(_level_above(self._levels[-1]))

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return len(self._levels[0]) // HASH_BYTES

    @property
    def root(self) -> bytes:
        """The tree's head; of a tree without leaves it is the hash of nothing."""
        return bytes(self._levels[-1]) or _EMPTY

    def inclusion_proof(self, index: int) -> list[bytes]:
        """The proof that the leaf at `index` (from 0) is in the tree. Raises IndexError where there is none."""
        if not 0 <= index < self.size:
            raise IndexError(f"the tree has {self.size} leaves, and none at {index}")
        proof: list[bytes] = []
        for level in self._levels[:-1]:
            sibling = (index ^ 1) * HASH_BYTES
            if sibling < len(level):
                proof.append(bytes(level[sibling : sibling + HASH_BYTES]))
            index >>= 1
        return proof


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node over its two children."""
    return hashlib.sha256(_NODE_PREFIX + left + right).digest()


def root(leaf_hashes: Sequence[bytes]) -> bytes:
    """The tree's head (MTH in the RFC)."""
    return Tree(leaf_hashes).root


def inclusion_proof(leaf_hashes: Sequence[bytes], index: int) -> list[bytes]:
    """The proof (PATH in the RFC) that the leaf at `index` is in the tree. Raises IndexError where there is none."""
    return Tree(leaf_hashes).inclusion_proof(index)


def verify_inclusion(leaf_hash: bytes, index: int, tree_size: int, proof: Sequence[bytes], expected: bytes) -> bool:
    """Whether `proof` shows that the leaf stands at `index` in the tree of that size and root (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < tree_size:
        return False
    node, last, computed = index, tree_size - 1, leaf_hash
    for step in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            computed = node_hash(step, computed)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            computed = node_hash(computed, step)
        node, last = node >> 1, last >> 1
    return last == 0 and computed == expected


def consistency_proof(leaf_hashes: Sequence[bytes], earlier_size: int) -> list[bytes]:
    """The proof (PROOF in the RFC) that the tree of the first `earlier_size` leaves is the beginning of this one.

    Raises ValueError for a size that is not from 1 to that of the tree. A tree proves itself by nothing at all.
    """
    if not 1 <= earlier_size <= len(leaf_hashes):
        raise ValueError(f"an earlier tree has 1 to {len(leaf_hashes)} leaves, not {earlier_size}")
    return _sub_proof(leaf_hashes, earlier_size, known=True)


def verify_consistency(
    earlier_size: int, later_size: int, earlier_root: bytes, later_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether `proof` shows that the later tree begins with the whole earlier one (RFC 9162, 2.1.4.2)."""
    if not 1 <= earlier_size <= later_size:
        return False
    if earlier_size == later_size:
        return not proof and earlier_root == later_root
    steps = list(proof)
    if earlier_size & (earlier_size - 1) == 0:
        # A full tree is a node of the later one, and the proof begins with it although it is not written down.
        steps.insert(0, earlier_root)
    if not steps:
        return False
    node, last = earlier_size - 1, later_size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    earlier = later = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            earlier, later = node_hash(step, earlier), node_hash(step, later)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            later = node_hash(later, step)
        node, last = node >> 1, last >> 1
    return last == 0 and earlier == earlier_root and later == later_root


def _level_above(level: bytearray) -> bytearray:
    above = bytearray()
    for start in range(0, len(level), 2 * HASH_BYTES):
        pair = level[start : start + 2 * HASH_BYTES]
        above += pair if len(pair) == HASH_BYTES else hashlib.sha256(_NODE_PREFIX + pair).digest()
    return above


def _sub_proof(leaf_hashes: Sequence[bytes], size: int, *, known: bool) -> list[bytes]:
    """SUBPROOF in the RFC; `known` says that the verifier has the root of this subtree when it is all of the earlier
    tree."""
    count = len(leaf_hashes)
    if size == count:
        return [] if known else [root(leaf_hashes)]
    split = 1 << ((count - 1).bit_length() - 1)
    left, right = leaf_hashes[:split], leaf_hashes[split:]
    if size <= split:
        return [*_sub_proof(left, size, known=known), root(right)]
    return [*_sub_proof(right, size - split, known=False), root(left)]
