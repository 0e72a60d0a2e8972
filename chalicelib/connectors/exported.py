"""How connectors, their runs and the rows that they did not accept stand in an export: rows with their text opened."""

from __future__ import annotations

from collections.abc import Mapping

from chalicelib.connectors.model import (
    CHUNK,
    CONNECTORS,
    MAPPING,
    PUSH,
    QUARANTINE,
    REPLAY,
    RUN,
    ChunkReceipt,
    Connector,
    MappingVersion,
    PushReceipt,
    QuarantinedRow,
    Replay,
    Run,
)
from chalicelib.connectors.rejected import opened_texts
from chalicelib.platform.exports import ExportedKind, after, an_id, begins, fixed
from chalicelib.platform.sealing import Vault


def _opened(vault: Vault, stored: QuarantinedRow) -> Mapping[str, str]:
    return opened_texts(vault, stored)


EXPORTED = (
    ExportedKind("connectors", Connector, pk=fixed(CONNECTORS), sk=an_id("con")),
    ExportedKind("mappings", MappingVersion, pk=an_id("con", "connector_id"), sk=begins(MAPPING)),
    ExportedKind("runs", Run, pk=an_id("con", "connector_id"), sk=after(RUN, "id")),
    ExportedKind("chunk_receipts", ChunkReceipt, pk=an_id("run", "run_id"), sk=after(CHUNK, "chunk", "integer")),
    ExportedKind(
        "quarantined_rows",
        QuarantinedRow,
        pk=an_id("run", "run_id"),
        sk=begins(QUARANTINE),
        hidden=frozenset({"sealed", "corrected", "note"}),
        personal=("raw", "corrected", "note"),
        opens=_opened,
    ),
    ExportedKind("replays", Replay, pk=an_id("con", "connector_id"), sk=after(REPLAY, "id")),
    ExportedKind("push_receipts", PushReceipt, pk=an_id("con", "connector_id"), sk=after(PUSH, "id")),
)
