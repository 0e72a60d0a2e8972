"""A delta cut into chunk files, each one message's worth of work for whoever applies it.

A chunk is gzip'd JSON Lines. One line is one account:

    {"op": "new" | "changed" | "removed", "line": 17, "account": {…}, "borrower": {…},
     "borrower_changed": true, "before": {"overdue_amount": 1200, "oldest_due_date": "2005-04-05"} | null}

Members of `account` and `borrower` are the targets of the mapping without their prefix; days are ISO 8601, money is in
minor units. `line` is the row's line in the file as delivered. A removed account has none (0); its `account` is as it
was last known, and of its `borrower` only the key is known. The same delta gives the same bytes and numbers.
"""

# ruff: noqa: S608 - SQL is what this module makes; all text of users enters it through `expressions.literal`.
from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path

import duckdb

from chalicelib.connectors.compile import column
from chalicelib.connectors.delta import Delta
from chalicelib.connectors.expressions import literal
from chalicelib.connectors.mapping import TARGETS


@dataclass(frozen=True, slots=True)
class ChunkFile:
    """One chunk: its `number` counts from 1, `digest` is the SHA-256 (hex) of the bytes before compression."""

    path: Path
    number: int
    rows: int
    digest: str


def write(con: duckdb.DuckDBPyConnection, delta: Delta, out: Path, rows_per_chunk: int = 500) -> Iterator[ChunkFile]:
    """Write the delta's changes below `out`, one chunk at a time and only when asked for the next.

    Nothing is written for unchanged accounts. Uses a cursor of its own, so `con` stays free between chunks.
    """
    lines = _lines(con.cursor(), delta)
    number = 0
    while rows := list(islice(lines, rows_per_chunk)):
        number += 1
        content = "".join(f"{row}\n" for row in rows).encode()
        path = out / f"chunk-{number:06d}.jsonl.gz"
        # No name and no time in the header: the same rows give the same file.
        path.write_bytes(gzip.compress(content, compresslevel=6, mtime=0))
        yield ChunkFile(path, number, len(rows), sha256(content).hexdigest())


def _lines(cursor: duckdb.DuckDBPyConnection, delta: Delta) -> Iterator[str]:
    for path in delta.changes:
        cursor.execute(f"SELECT {_json()} FROM read_parquet({literal(str(path))})")
        while rows := cursor.fetchmany(500):
            for (line,) in rows:
                yield line


def _json() -> str:
    """The expression that makes one line of a row of changes."""

    def members(prefix: str) -> str:
        return ", ".join(
            f"{target.removeprefix(prefix)} := {column(target)}" for target in TARGETS if target.startswith(prefix)
        )

    before = (
        "CASE WHEN op <> 'new' THEN struct_pack("
        "overdue_amount := before_overdue_amount, oldest_due_date := before_oldest_due_date) END"
    )
    return (
        f"to_json(struct_pack(op := op, line := line, account := struct_pack({members('account.')}), "
        f"borrower := struct_pack({members('borrower.')}), borrower_changed := borrower_changed, before := {before}))"
        "::VARCHAR"
    )
