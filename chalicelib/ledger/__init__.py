"""The audit ledger: one leaf for each thing done, written in the transaction of the change that it proves."""

from chalicelib.ledger.leaf import leaf_put

__all__ = ["leaf_put"]
