"""Rows that are not accepted: kept as they were delivered, each with its reasons, none of which quotes a value."""

# ruff: noqa: S608 - SQL is what this module makes; all text of users enters it through `expressions.literal`.
from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import duckdb

from chalicelib.connectors.compile import Program, Reason
from chalicelib.connectors.expressions import columns_of_line, literal
from chalicelib.connectors.formats import BLANKS
from chalicelib.connectors.quoting import INNER_LINE_END


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """How many rows (or, of warnings, values) one reason stands against."""

    reason: Reason
    rows: int


def mark_duplicates(con: duckdb.DuckDBPyConnection, program: Program) -> None:
    """Make the view `fresh` of the view `rows_read`, with a reason against each row whose key is met twice.

    None of the rows of such a key can be trusted, not even where the other one is broken.
    """
    con.execute(
        "CREATE OR REPLACE TEMP TABLE duplicate_keys AS "
        "SELECT account_key FROM rows_read WHERE account_key IS NOT NULL GROUP BY account_key HAVING count(*) > 1"
    )
    rows = "SELECT * FROM rows_read"
    if con.execute("SELECT 1 FROM duplicate_keys LIMIT 1").fetchall():
        rows = (
            "SELECT r.* REPLACE (CASE WHEN d.account_key IS NULL THEN reasons "
            f"ELSE list_append(coalesce(reasons, []), {program.duplicate}::UTINYINT) END AS reasons) "
            "FROM rows_read r LEFT JOIN duplicate_keys d ON r.account_key = d.account_key"
        )
    con.execute(f"CREATE OR REPLACE TEMP VIEW fresh AS {rows}")


def write(con: duckdb.DuckDBPyConnection, program: Program, fresh_lines: str, path: Path) -> None:
    """Write the rows that have reasons to a Parquet file: line, raw, key, reasons as JSON, in file order.

    Leaves the table `quarantined_keys`: what may be the key of a quarantined row, which is its key where that could be
    read, and every column of its line, since in a broken line the key may have moved.
    """
    con.execute(
        "CREATE OR REPLACE TEMP TABLE bad AS "
        "SELECT line, account_key AS key, reasons FROM fresh WHERE reasons IS NOT NULL"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE quarantined AS "
        f"SELECT l.line, l.raw, key, {columns_of_line(program.text.format)} AS columns, reasons "
        f"FROM {fresh_lines} l JOIN bad ON l.line = bad.line"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE quarantined_keys AS SELECT DISTINCT key FROM ("
        f"SELECT trim(unnest(columns), {literal(BLANKS)}) AS key FROM quarantined "
        "UNION ALL SELECT key FROM quarantined) WHERE key <> ''"
    )
    catalogue = ", ".join(literal(json.dumps(asdict(reason), ensure_ascii=False)) for reason in program.reasons)
    con.execute(
        f"COPY (SELECT line, replace(raw, {literal(INNER_LINE_END)}, chr(10)) AS raw, key, "
        f"'[' || array_to_string(list_transform(reasons, lambda n: [{catalogue}][n + 1]), ', ') || ']' AS reasons "
        f"FROM quarantined ORDER BY line) TO {literal(str(path))} (FORMAT parquet)"
    )


def counts(
    con: duckdb.DuckDBPyConnection, program: Program, kind: Literal["reasons", "warnings"]
) -> tuple[ReasonCount, ...]:
    """How many rows each reason, or each warning, stands against; the most frequent first."""
    found = con.execute(
        f"SELECT n, count(*) FROM (SELECT unnest({kind}) AS n FROM fresh WHERE {kind} IS NOT NULL) "
        "GROUP BY n ORDER BY count(*) DESC, n"
    ).fetchall()
    return tuple(ReasonCount(program.reasons[number], rows) for number, rows in found)
