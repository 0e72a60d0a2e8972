"""The last state that a file left behind: a Parquet file with one row for each account known.

A row holds the account's fields and its borrower's key, which is what can be said of an account that is no longer in
the next file; a digest of its account fields, one of its borrower fields, and one of the line it was last read from.
It holds nothing else of the borrower: no name, no number, no address.

A line that the last file held too is known: where it means what it meant (the same mapping and headings, a day not
earlier), its values are the snapshot's, and it is neither parted nor mapped nor validated again.
"""

# ruff: noqa: S608 - SQL is what this module makes; all text of users enters it through `expressions.literal`.
from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from chalicelib.connectors.compile import column, sql_type
from chalicelib.connectors.expressions import literal
from chalicelib.connectors.mapping import TARGETS, Target

REMEMBERED: tuple[Target, ...] = (*(target for target in TARGETS if target.startswith("account.")), "borrower.key")
"""The fields of the canonical record that a snapshot holds."""
COLUMNS = {column(target): sql_type(target) for target in REMEMBERED} | {
    "account_digest": "UBIGINT",
    "borrower_digest": "UBIGINT",
    "line_digest": "UBIGINT",
    "line_check": "UBIGINT",
}
"""Column to DuckDB type. `line_digest` is null where the line must be looked at again whatever happens."""
PARQUET = "FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE 20480, DICTIONARY_SIZE_LIMIT 1000"
"""Small row groups and no dictionaries of texts that never repeat: measured a third quicker than the defaults."""


@dataclass(frozen=True, slots=True)
class Label:
    """What a snapshot says of itself: how lines were read, by which digest, and the business date it is of."""

    meaning: str
    digest: str
    business_date: date


def digest_in_use(con: duckdb.DuckDBPyConnection) -> str:
    """What tells one version of DuckDB's hash from another: the digest of a record that never changes."""
    found = con.execute("SELECT hash('duebridge', 200504, DATE '2005-04-30', NULL::VARCHAR)").fetchall()
    return str(found[0][0])


def label_of(con: duckdb.DuckDBPyConnection, snapshot: Path) -> Label:
    """The label of a snapshot file."""
    found = con.execute(
        f"SELECT decode(key), decode(value) FROM parquet_kv_metadata({literal(str(snapshot))})"
    ).fetchall()
    values = dict(found)
    return Label(values["meaning"], values["digest"], date.fromisoformat(values["business_date"]))


def view_previous(con: duckdb.DuckDBPyConnection, snapshot: Path | None) -> None:
    """Make the snapshot (None: no account is known) readable as the connection's view `previous`, where `place` is a
    row's number in the file."""
    if snapshot is None:
        empty = ", ".join(f"NULL::{kind} AS {name}" for name, kind in COLUMNS.items())
        rows = f"SELECT {empty}, 0::BIGINT AS place WHERE false"
    else:
        source = f"read_parquet({literal(str(snapshot))}, file_row_number = true)"
        number = "CASE WHEN account_number = '' THEN account_key ELSE account_number END AS account_number"
        columns = ", ".join(COLUMNS).replace("account_number", number)
        rows = f"SELECT {columns}, file_row_number AS place FROM {source}"
    con.execute(f"CREATE OR REPLACE TEMP VIEW previous AS {rows}")


def write(con: duckdb.DuckDBPyConnection, rows: str, label: Label, path: Path) -> None:
    """Write the rows of a query as a snapshot.

    Most accounts' number is their key: it is then stored as the empty text, which is no number's value.
    """
    number = "CASE WHEN account_number = account_key THEN '' ELSE account_number END AS account_number"
    columns = ", ".join(COLUMNS).replace("account_number", number)
    metadata = (
        f"KV_METADATA {{meaning: {literal(label.meaning)}, digest: {literal(label.digest)}, "
        f"business_date: {literal(label.business_date.isoformat())}}}"
    )
    con.execute(f"COPY (SELECT {columns} FROM ({rows})) TO {literal(str(path))} ({PARQUET}, {metadata})")
