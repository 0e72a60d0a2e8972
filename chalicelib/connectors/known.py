"""Lines that the last file held too: told apart by their digests, so that work is proportional to what changed.

A known line means what it meant (the caller sees to that), so its account's row in the view `previous` stands for it.
Afterwards the connection has the view `known` (rows of `previous` whose line is in the file), the table `unseen` (the
others), and in `lines.parquet` the text of every line that is not known.
"""

# ruff: noqa: S608 - SQL is what this module makes; all text of users enters it through `expressions.literal`.
from __future__ import annotations

from pathlib import Path

import duckdb

from chalicelib.connectors.expressions import filled_lines, line_digests, literal, named
from chalicelib.connectors.formats import TextFile
from chalicelib.connectors.snapshot import COLUMNS, PARQUET


def set_known_aside(con: duckdb.DuckDBPyConnection, text: TextFile, out: Path, may_know: str) -> str:
    """Write `lines.parquet` below `out`; gives the relation (`line`, `raw`) of the lines that are not known.

    `may_know` is the condition on rows of `previous` under which their lines may be known.
    """
    path = literal(str(out / "lines.parquet"))
    con.execute(
        # One join tells three things apart: known lines (line and place), fresh ones (no place), unseen rows (no line).
        "COPY (SELECT d.line, CASE WHEN k.place IS NULL THEN d.raw END AS raw, k.place "
        f"FROM (SELECT line, raw, {named(line_digests('raw'))} FROM {filled_lines(text)}) d "
        "FULL JOIN "
        f"(SELECT place, CASE WHEN {may_know} THEN line_digest END AS line_digest, line_check FROM previous) k "
        "ON k.line_digest = d.line_digest AND k.line_check = d.line_check) "
        f"TO {path} ({PARQUET})"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE unseen AS SELECT p.* FROM previous p "
        f"SEMI JOIN (SELECT place FROM read_parquet({path}) WHERE line IS NULL) u ON p.place = u.place"
    )
    con.execute(
        f"CREATE OR REPLACE TEMP VIEW known AS SELECT {', '.join(COLUMNS)}, p.place FROM previous p "
        "ANTI JOIN unseen u ON p.place = u.place"
    )
    return f"(SELECT line, raw FROM read_parquet({path}) WHERE raw IS NOT NULL)"


def find_doubted(con: duckdb.DuckDBPyConnection, out: Path) -> bool:
    """Whether a known line may stand beside another one of the same key; the table `doubted` then has those keys.

    Such lines have to be looked at like any other, so that all rows of the key meet in one place.
    """
    known_lines = f"read_parquet({literal(str(out / 'lines.parquet'))}) WHERE line IS NOT NULL AND place IS NOT NULL"
    lines, accounts = con.execute(
        f"SELECT (SELECT count(*) FROM {known_lines}), (SELECT count(*) FROM previous) - (SELECT count(*) FROM unseen)"
    ).fetchall()[0]
    con.execute(
        "CREATE OR REPLACE TEMP TABLE doubted AS SELECT account_key FROM known "
        "WHERE account_key IN (SELECT account_key FROM rows_read WHERE account_key IS NOT NULL)"
    )
    if lines != accounts:
        con.execute(
            "INSERT INTO doubted SELECT account_key FROM known "
            f"WHERE place IN (SELECT place FROM {known_lines} GROUP BY place HAVING count(*) > 1)"
        )
    return bool(con.execute("SELECT 1 FROM doubted LIMIT 1").fetchall())
