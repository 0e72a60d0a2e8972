"""The audit ledger: one leaf for each thing done, written in the transaction of the change that it proves."""

from chalicelib.ledger.exported import EXPORTED
from chalicelib.ledger.hashing import canonical, entry_of, leaf_hash
from chalicelib.ledger.leaf import leaf_put
from chalicelib.ledger.tree import Tree, verify_inclusion

__all__ = ["EXPORTED", "Tree", "canonical", "entry_of", "leaf_hash", "leaf_put", "verify_inclusion"]
