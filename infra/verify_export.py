"""Checks an export that was fetched into a folder, off line: `python -m infra.verify_export FOLDER`.

Every file against its size, digest and count in the manifest, both formats against each other row by row, and each
leaf of the ledger against the root of the tree. What differs is named by file, row and column, and never by value.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, cast

import duckdb

from chalicelib.ledger import Tree, entry_of, leaf_hash, verify_inclusion

SHOWN = 20
"""How many differences of a kind are told; there may be more."""

JSONL, PARQUET = "jsonl", "parquet"
LEAVES = "leaves"

_BLOCK = 1_024
_READ = {
    "date": 'CAST("{0}" AS VARCHAR)',
    "timestamp": "strftime(\"{0}\" AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%fZ')",
}
"""How a column of Parquet is read so that it can be compared with JSON; others are read as they are."""

_TOLD = {"name": str, "kind": str, "format": str, "rows": int, "bytes": int, "sha256": str}
"""What the manifest tells of each file."""

Columns = Mapping[str, str]
Entry = Mapping[str, Any]
"""A file as the manifest lists it."""
Row = Mapping[str, Any]


@dataclass(frozen=True)
class KindChecked:
    """What was found of one kind: how many rows the manifest tells of, in how many files, and what differs."""

    kind: str
    rows: int
    files: int
    differences: list[str]


@dataclass(frozen=True)
class Verified:
    """What was found of an export: kind by kind, and what is wrong with it as a whole."""

    kinds: list[KindChecked] = field(default_factory=list[KindChecked])
    faults: list[str] = field(default_factory=list[str])

    @property
    def differences(self) -> list[str]:
        """Everything that is not as it should be."""
        return [*self.faults, *(difference for kind in self.kinds for difference in kind.differences)]

    @property
    def files(self) -> int:
        """How many files were checked, the manifest aside."""
        return sum(kind.files for kind in self.kinds)


def verify(folder: Path) -> Verified:
    """Checks the export in a folder: `manifest.json`, and beside it every file that it lists."""
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
        counts = {str(kind): int(rows) for kind, rows in manifest["counts"].items()}
        columns: dict[str, Columns] = {kind: dict(types) for kind, types in manifest["columns"].items()}
        ledger = Ledger(int(manifest["ledger"]["tree_size"]), bytes.fromhex(manifest["ledger"]["root_hash"]))
        files = _by_kind(manifest["files"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Verified(faults=["manifest.json is missing, or is not the manifest of an export"])
    faults = [f"manifest.json: {kind} has files and no count" for kind in sorted(files.keys() - counts.keys())]
    if counts.get(LEAVES) != ledger.size:
        faults.append(f"manifest.json: the tree has {ledger.size} leaves, and {counts.get(LEAVES)} are counted")
    if ledger.size == 0 and ledger.root != Tree([]).root:
        faults.append("manifest.json: the root is not that of a tree without leaves")
    checked: list[KindChecked] = []
    for kind, rows in counts.items():
        found = _of_kind(folder, files.get(kind, []), rows, columns.get(kind, {}), ledger if kind == LEAVES else None)
        checked.append(KindChecked(kind, rows, len(files.get(kind, [])), list(islice(found, SHOWN))))
    return Verified(checked, faults)


class Ledger:
    """The tree that the leaves are checked against, one after the other in the order of their numbers."""

    def __init__(self, size: int, root: bytes) -> None:
        self.size, self.root = size, root
        self._next = 0

    def fault(self, row: Row) -> str | None:
        """What is wrong with the next leaf, if anything is."""
        number, self._next = self._next, self._next + 1
        try:
            entry = entry_of(**{name: row[name] for name in ("subject", "action", "digest", "actor", "at")})
            stated, proof = bytes.fromhex(row["leaf_hash"]), [bytes.fromhex(step) for step in row["proof"]]
        except (KeyError, TypeError, ValueError):
            return f"leaf {number} is not complete"
        if row["leaf_index"] != number:
            return f"where leaf {number} should be, there is another one"
        if leaf_hash(entry) != stated:
            return f"leaf {number} does not have the hash of its entry"
        if not verify_inclusion(stated, number, self.size, proof, self.root):
            return f"the proof of leaf {number} does not lead to the root"
        return None


def _by_kind(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """The listed files by kind. Raises ValueError for a name that would lead out of the folder, KeyError and TypeError
    for a file of which not all is told."""
    found = defaultdict[str, list[Entry]](list)
    for entry in entries:
        if not all(isinstance(entry[member], type) for member, type in _TOLD.items()):
            raise TypeError("a file is told of in another way")
        if Path(entry["name"]).name != entry["name"]:
            raise ValueError("a file has the name of a path")
        found[entry["kind"]].append(entry)
    return dict(found)


def _of_kind(folder: Path, files: Sequence[Entry], rows: int, columns: Columns, ledger: Ledger | None) -> Iterator[str]:
    """What differs in the files of one kind."""
    parts = defaultdict[str, dict[str, Entry]](dict)
    for entry in files:
        parts[entry["name"].rpartition(".")[0]][entry["format"]] = entry
    for format in (JSONL, PARQUET):
        listed = sum(entry["rows"] for entry in files if entry["format"] == format)
        if listed != rows:
            yield f"{rows} rows are counted, and the {format} files have {listed}"
    for entry in files:
        yield from _of_file(folder, entry)
    for name, part in sorted(parts.items()):
        if part.keys() == {JSONL, PARQUET} and all((folder / entry["name"]).is_file() for entry in part.values()):
            yield from _of_part(folder, part, columns, ledger)
        else:
            yield f"{name}: there are not both formats"


def _of_file(folder: Path, entry: Entry) -> Iterator[str]:
    """How a file differs from what the manifest says of it."""
    path = folder / entry["name"]
    if not path.is_file():
        yield f"{entry['name']} is missing"
        return
    if path.stat().st_size != entry["bytes"]:
        yield f"{entry['name']} has {path.stat().st_size} bytes, not {entry['bytes']}"
    with path.open("rb") as content:
        if hashlib.file_digest(content, "sha256").hexdigest() != entry["sha256"]:
            yield f"{entry['name']} has another digest than the manifest says"


def _of_part(folder: Path, part: Mapping[str, Entry], columns: Columns, ledger: Ledger | None) -> Iterator[str]:
    """How the rows of a part differ between its two files, and from what a ledger's leaves must be."""
    name, twin = part[JSONL]["name"], part[PARQUET]["name"]
    read = dict.fromkeys((JSONL, PARQUET), 0)
    try:
        for number, (row, same) in enumerate(
            zip_longest(_lines(folder / name), parquet_rows(folder / twin, columns)), start=1
        ):
            read[JSONL] += row is not None
            read[PARQUET] += same is not None
            if row is None or same is None:
                continue
            if row.keys() != columns.keys():
                yield f"{name}: row {number} has other members than the manifest's columns"
            elif differing := [column for column in columns if row[column] != same[column]]:
                yield f"{name}: row {number} differs in {', '.join(differing)} from {twin}"
            if ledger and (fault := ledger.fault(row)):
                yield f"{name}: {fault}"
    except (ValueError, TypeError):
        yield f"{name}: row {read[JSONL] + 1} is not a JSON object"
        return
    except duckdb.Error:
        yield f"{twin} cannot be read with the manifest's columns"
        return
    for format, rows in read.items():
        if rows != part[format]["rows"]:
            yield f"{part[format]['name']} has {rows} rows, not {part[format]['rows']}"


def _lines(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8", newline="\n") as content:
        for line in content:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise TypeError("a line is no JSON object")
            yield cast("Row", row)


def parquet_rows(path: Path, columns: Columns) -> Iterator[Row]:
    """The rows of a Parquet file as their JSON would be."""
    chosen = ", ".join(_READ.get(type, '"{0}"').format(name.replace('"', '""')) for name, type in columns.items())
    nested = [name for name, type in columns.items() if type == "json"]
    with duckdb.connect(":memory:", config={"threads": 1, "memory_limit": "512MB"}) as con:
        found = con.execute(f"SELECT {chosen} FROM read_parquet(?)", [str(path)])  # noqa: S608 - columns are quoted
        while block := found.fetchmany(_BLOCK):
            for values in block:
                row: dict[str, Any] = dict(zip(columns, values, strict=True))
                row |= {name: json.loads(row[name]) for name in nested if row[name] is not None}
                yield row


def main(arguments: Sequence[str]) -> int:
    """Checks the export in the folder given, prints a line for each kind, and answers 0 if it is sound."""
    if len(arguments) != 1:
        print("usage: python -m infra.verify_export FOLDER")
        return 2
    found = verify(Path(arguments[0]))
    for kind in found.kinds:
        print(
            f"{kind.kind:<20} {kind.rows:>12,} rows {kind.files:>6} files  {'DIFFERS' if kind.differences else 'sound'}"
        )
    for difference in found.differences[:SHOWN]:
        print(f"- {difference}")
    print("the export is NOT what its manifest says" if found.differences else "the export is whole and sound")
    return 1 if found.differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
