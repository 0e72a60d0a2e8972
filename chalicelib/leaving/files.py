"""The files of one part of an export, written below a folder: rows by kind as JSON Lines, and the same as Parquet.

This module works with DuckDB: import it only where an export is written.
"""

# ruff: noqa: S608 - SQL is what this module makes, of names and paths of our own.
from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import duckdb

from chalicelib.leaving.kinds import columns_of
from chalicelib.platform.exports import Column, Row

JSONL, PARQUET = "jsonl", "parquet"

_TYPES: Mapping[Column, str] = {
    "text": "VARCHAR",
    "integer": "BIGINT",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMPTZ",
    "json": "JSON",
}
_ROW_GROUP = 8_192
"""Rows that DuckDB holds before it writes them; leaves with their proofs are long."""
_MAX_ROW_BYTES = 32 << 20
"""More than an item of DynamoDB's can become as JSON, with every character escaped."""


@dataclass(frozen=True)
class WrittenFile:
    """A file below the folder: what rows it has, how many, and its size and SHA-256 (hexadecimal)."""

    path: Path
    kind: str
    format: str
    rows: int
    bytes: int
    sha256: str


class PartWriter:
    """Writes rows, each to its kind's file of JSON Lines; `finish` makes the Parquet files of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, BinaryIO] = {}
        self.rows: dict[str, int] = {}
        self.bytes = 0
        """What was written so far, of all kinds together."""

    def add(self, kind: str, row: Row) -> None:
        """Writes a row. Its members become the kind's columns, in their order."""
        file = self._open.get(kind)
        if file is None:
            file = self._open[kind] = self._path(kind, JSONL).open("wb")
            self.rows[kind] = 0
        ordered = {column: row[column] for column in columns_of(kind)}
        line = _line(ordered)
        self.bytes += file.write(line)
        self.rows[kind] += 1

    def finish(self) -> list[WrittenFile]:
        """The files of every kind that has rows, in both formats."""
        for file in self._open.values():
            file.close()
        written: list[WrittenFile] = []
        with connect(self._folder) as con:
            for kind, rows in self.rows.items():
                lines, parquet = self._path(kind, JSONL), self._path(kind, PARQUET)
                con.execute(_conversion(lines, parquet, kind))
                written += [_measured(lines, kind, JSONL, rows), _measured(parquet, kind, PARQUET, rows)]
        return written

    def _path(self, kind: str, format: str) -> Path:
        return self._folder / f"{kind}.{format}"


def connect(folder: Path, *, memory: str = "256MB") -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory that reads and writes below `folder` only, loads no extension and keeps to so much memory."""
    folder = folder.resolve()
    con = duckdb.connect(
        ":memory:",
        config={
            "threads": 1,
            "memory_limit": memory,
            "temp_directory": str(folder / "spill"),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "python_enable_replacements": False,
        },
    )
    con.execute(f"SET allowed_directories = [{quoted(folder)}]")
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")
    return con


def quoted(path: Path) -> str:
    """A path as SQL has a text."""
    return "'" + str(path).replace("'", "''") + "'"


def _line(row: Row) -> bytes:
    """A row as a line of JSON in UTF-8. What neither can hold, although a stored text may say it, is kept as near to it
    as can be: the numbers NaN and Infinity as their names, half a character as a question mark."""
    try:
        text = json.dumps(row, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        finite = json.loads(json.dumps(row), parse_constant=str)
        text = json.dumps(finite, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="replace") + b"\n"


def _conversion(lines: Path, parquet: Path, kind: str) -> str:
    """The statement that writes rows of JSON Lines as Parquet, in the same order; nested values become their text."""
    columns = columns_of(kind)
    types = ", ".join(f"\"{name}\": '{_TYPES[column]}'" for name, column in columns.items())
    chosen = ", ".join(f'"{name}"::VARCHAR AS "{name}"' if c == "json" else f'"{name}"' for name, c in columns.items())
    return (
        f"COPY (SELECT {chosen} FROM read_json({quoted(lines)}, format='newline_delimited', "
        f"maximum_object_size={_MAX_ROW_BYTES}, columns={{{types}}})) "
        f"TO {quoted(parquet)} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROW_GROUP})"
    )


def _measured(path: Path, kind: str, format: str, rows: int) -> WrittenFile:
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return WrittenFile(path, kind, format, rows, path.stat().st_size, digest)
