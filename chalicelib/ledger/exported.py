"""How the leaves of the ledger stand in an export. Whoever has them can compute the tree over them and check it."""

from __future__ import annotations

from chalicelib.ledger.model import Leaf
from chalicelib.platform.exports import ExportedKind, an_id, begins

EXPORTED = (ExportedKind("leaves", Leaf, pk=begins("leaf#"), sk=an_id("leaf")),)
