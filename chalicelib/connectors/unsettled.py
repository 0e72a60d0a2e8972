"""Keys of quarantined rows, and since when nothing was accepted for them: what a replay may still state.

A row that waits in quarantine grows old: a later file may state its account, or no longer have it, and then applying it
would undo what is newer. So each run leaves behind, beside its snapshot, the keys of which its file said nothing that
could be used, with the first business date of that silence. Rows of that date and later may be replayed. A key is
anything that stands in a quarantined row, as in `delta`, less the accounts that the same file states in another row.
"""

# ruff: noqa: S608 - SQL is what this module makes; all text of users enters it through `expressions.literal`.
from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import duckdb

from chalicelib.connectors.expressions import literal

_FORMAT = "FORMAT parquet, COMPRESSION snappy"


def view_unsettled(con: duckdb.DuckDBPyConnection, path: Path | None) -> None:
    """Make the keys of a file (None: there are none) the connection's view `unsettled`: `key` and `since`."""
    rows = "SELECT NULL::VARCHAR AS key, NULL::DATE AS since WHERE false"
    if path is not None:
        rows = f"SELECT key, since FROM read_parquet({literal(str(path))})"
    con.execute(f"CREATE OR REPLACE TEMP VIEW unsettled AS {rows}")


def write(con: duckdb.DuckDBPyConnection, business_date: date, path: Path) -> bool:
    """Write the keys that a file leaves unsettled, after it was staged and compared; False where it leaves none.

    Needs the view `unsettled` of the run before, `known`, `fresh` and `quarantined_keys`.
    """
    con.execute(
        "CREATE OR REPLACE TEMP TABLE stated_keys AS SELECT account_key AS key FROM ("
        "SELECT account_key FROM known UNION ALL SELECT account_key FROM fresh WHERE reasons IS NULL) a "
        "SEMI JOIN quarantined_keys q ON a.account_key = q.key"
    )
    return _write(
        con,
        f"SELECT q.key, coalesce(u.since, DATE '{business_date.isoformat()}') AS since "
        "FROM quarantined_keys q ANTI JOIN stated_keys s ON q.key = s.key LEFT JOIN unsettled u ON q.key = u.key",
        path,
    )


def settle(con: duckdb.DuckDBPyConnection, applied: date, last: date, path: Path) -> bool:
    """Write the keys that a replay of rows of the day `applied` leaves unsettled; False where it leaves none.

    Needs the views `unsettled` and `accepted`. The last file is of the day `last`: where it is a later one, its rows
    and those between may still be replayed.
    """
    since = f"DATE '{(applied + timedelta(days=1)).isoformat()}'"
    return _write(
        con,
        f"SELECT u.key, CASE WHEN a.account_key IS NULL THEN u.since ELSE {since} END AS since "
        "FROM unsettled u LEFT JOIN accepted a ON u.key = a.account_key"
        + ("" if applied < last else " WHERE a.account_key IS NULL"),
        path,
    )


def _write(con: duckdb.DuckDBPyConnection, rows: str, path: Path) -> bool:
    [(count,)] = con.execute(f"COPY ({rows} ORDER BY key) TO {literal(str(path))} ({_FORMAT})").fetchall()
    return count > 0
