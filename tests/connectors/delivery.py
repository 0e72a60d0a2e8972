"""Files as a business system delivers them, and what the connector makes of them, for tests."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from chalicelib.connectors import chunks, delta, staging
from chalicelib.connectors.delta import Delta
from chalicelib.connectors.formats import TextFile
from chalicelib.connectors.forms import read_file
from chalicelib.connectors.mapping import Mapping, from_dict
from chalicelib.connectors.staging import Staged

DAY = date(2005, 9, 30)
HEADINGS = ("key", "customer", "name", "phone", "currency", "balance", "overdue", "due")
FIELDS: tuple[dict[str, Any], ...] = (
    {"target": "account.key", "source": "key", "type": "text", "empty": "reject"},
    {"target": "borrower.key", "source": "customer", "type": "text", "empty": "reject"},
    {"target": "borrower.name", "source": "name", "type": "text"},
    {"target": "borrower.phone", "source": "phone", "type": "text"},
    {"target": "account.currency", "source": "currency", "type": "currency", "empty": "reject"},
    {"target": "account.balance", "source": "balance", "type": "money"},
    {"target": "account.overdue_amount", "source": "overdue", "type": "money", "min": "0"},
    {"target": "account.oldest_due_date", "source": "due", "type": "date"},
)
GOOD = {
    "key": "A1",
    "customer": "C1",
    "name": "王伟",
    "phone": "13812345678",
    "currency": "CNY",
    "balance": "1234.50",
    "overdue": "0",
    "due": "",
}


def document(*, fields: Sequence[dict[str, Any]] = FIELDS, form: dict[str, Any] | None = None, **members: Any) -> dict:
    """A mapping document for `HEADINGS`; `members` replace its own."""
    return {
        "preset": "test",
        "version": 1,
        "title": {"en": "Test", "zh": "测试"},
        "source": {"kind": "object-store", "file_pattern": r"(?P<business_date>\d{8})\.txt"},
        "format": {"kind": "delimited", "encoding": "utf-8", "delimiter": "||"} | (form or {}),
        "fields": list(fields),
        "max_quarantine_share": 1,
        "max_removed_share": 1,
    } | members


def mapping(**members: Any) -> Mapping:
    return from_dict(document(**members))


def with_field(target: str, **members: Any) -> list[dict[str, Any]]:
    """`FIELDS` with some members of one field replaced."""
    return [item | members if item["target"] == target else item for item in FIELDS]


def row(**values: str) -> str:
    return "||".join({**GOOD, **values}.values())


def delivered(rows: Iterable[str], *, trailer: str | None = None, encoding: str = "utf-8", end: str = "\n") -> bytes:
    lines = ["||".join(HEADINGS), *rows, *([trailer] if trailer else [])]
    return "".join(line + end for line in lines).encode(encoding)


@dataclass
class Desk:
    """A folder and a DuckDB in which files of one connector arrive one after another."""

    folder: Path
    mapping: Mapping = field(default_factory=mapping)
    snapshot: Path | None = None
    runs: int = 0

    def __post_init__(self) -> None:
        self.con = staging.connect(self.folder)

    def run_folder(self) -> Path:
        self.runs += 1
        folder = self.folder / str(self.runs)
        folder.mkdir()
        return folder

    def read(self, content: bytes, folder: Path) -> TextFile:
        form, columns = self.mapping.format, self.mapping.headings(required=True)
        return read_file(io.BytesIO(content), folder / "rows.txt", form, columns=columns)

    def stage(self, content: bytes, day: date = DAY) -> Staged:
        folder = self.run_folder()
        return staging.stage(self.con, self.read(content, folder), self.mapping, folder, day, self.snapshot)

    def take(self, content: bytes, day: date = DAY) -> tuple[Staged, Delta]:
        """Stage and compare, and keep the snapshot for the next file."""
        staged = self.stage(content, day)
        found = delta.compute(self.con, staged, self.folder / str(self.runs))
        self.snapshot = found.snapshot
        return staged, found

    def quarantined(self, staged: Staged) -> list[tuple[int, str, str | None, list[dict[str, str]]]]:
        """Line, raw line, key and reasons of each quarantined row."""
        rows = rows_of(staged.quarantine, "line, raw, key, reasons")
        return [(line, raw, key, json.loads(reasons)) for line, raw, key, reasons in rows]

    def changes(self, found: Delta, rows_per_chunk: int = 500) -> list[dict[str, Any]]:
        """Every row of the chunks, in order."""
        written = chunks.write(self.con, found, found.snapshot.parent, rows_per_chunk)
        return [json.loads(line) for chunk in written for line in gzip.decompress(chunk.path.read_bytes()).splitlines()]


def rows_of(path: Path, columns: str = "*") -> list[tuple[Any, ...]]:
    return duckdb.connect().execute(f"SELECT {columns} FROM read_parquet(?)", [str(path)]).fetchall()


def codes(reasons: Iterable[dict[str, str]]) -> list[str]:
    return [reason["code"] for reason in reasons]
