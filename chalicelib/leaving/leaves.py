"""The leaves of an export in the order of their ids, each with the proof that it is in the tree over all of them.

All leaves must have been read: their hashes (32 bytes each) and the tree over them stand in memory, all else in files.
This module works with DuckDB: import it only where an export is written.
"""

# ruff: noqa: S608 - SQL is what this module makes, of names and paths of our own.
from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from chalicelib.leaving.files import connect, quoted
from chalicelib.leaving.kinds import UNPROVED_LEAVES, columns_of
from chalicelib.ledger import Tree
from chalicelib.platform.exports import Row

_BLOCK = 2_048
_MEMORY = "512MB"
"""For sorting: with less, DuckDB cannot sort a million leaves; more leaves than that go over the disk."""


class SortedLeaves:
    """The leaves that lie in the given Parquet files below `folder`, sorted by their ids, and the tree over them.

    The same files make the same order and the same tree, whoever does it and however often.
    """

    def __init__(self, folder: Path, files: Sequence[Path]) -> None:
        self._folder, self._sorted = folder, folder / "sorted-leaves.parquet"
        names = list(columns_of(UNPROVED_LEAVES))
        chosen = ", ".join(f'"{name}"' for name in names)
        if not files:
            self.tree = Tree([])
            return
        listed = ", ".join(quoted(path) for path in files)
        with connect(folder, memory=_MEMORY) as con:
            con.execute(
                f"COPY (SELECT {chosen} FROM read_parquet([{listed}]) ORDER BY id) "
                f"TO {quoted(self._sorted)} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 8192)"
            )
            found = con.execute(f"SELECT leaf_hash FROM read_parquet({quoted(self._sorted)})")
            blocks = iter(lambda: found.fetchmany(_BLOCK), [])
            self.tree = Tree(bytes.fromhex(leaf_hash) for block in blocks for (leaf_hash,) in block)

    def rows(self, start: int) -> Iterator[Row]:
        """The leaves from number `start` (from 0) on, as rows with `leaf_index` and `proof`."""
        if start >= self.tree.size:
            return
        columns = columns_of(UNPROVED_LEAVES)
        chosen = ", ".join(f'"{name}"' for name in columns)
        with connect(self._folder) as con:
            found = con.execute(
                f"SELECT file_row_number, {chosen} "
                f"FROM read_parquet({quoted(self._sorted)}, file_row_number = true) WHERE file_row_number >= {start:d}"
            )
            while block := found.fetchmany(_BLOCK):
                for index, *values in block:
                    row: Row = dict(zip(columns, values, strict=True))
                    for name, column in columns.items():
                        if column == "json" and row[name] is not None:
                            row[name] = json.loads(row[name])
                    yield row | {
                        "leaf_index": index,
                        "proof": [step.hex() for step in self.tree.inclusion_proof(index)],
                    }
