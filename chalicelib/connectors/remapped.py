"""Quarantined rows looked at once more: their text, as kept or as corrected, mapped by the mapping in force."""

# ruff: noqa: S608 - SQL is what this module makes; all text of users enters it through `expressions.literal`.
from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import duckdb

from chalicelib.connectors.compile import Program, Reason, compile_mapping
from chalicelib.connectors.expressions import literal
from chalicelib.connectors.layout import Layout, inner
from chalicelib.connectors.mapping import Mapping

MAX_TEXT_BYTES = 64 * 1024
"""How long a row's text may be, in UTF-8, to be mapped again."""


@dataclass(frozen=True, slots=True)
class OfferedRow:
    """A row by its line in the file, with its text; `selected` says whether it is to be applied, where it can be, or
    only stands beside those that are."""

    line: int
    raw: str
    selected: bool = True


def map_rows(
    con: duckdb.DuckDBPyConnection,
    rows: Iterable[OfferedRow],
    layout: Layout,
    mapping: Mapping,
    business_date: date,
    folder: Path,
) -> Program:
    """Make the table `mapped` of the rows: what the mapping makes of each (see `Program.over`), and `selected`.

    A key met twice is a reason against each of its rows. Raises `FileRefused` where the file lacks a column that the
    mapping needs.
    """
    program = compile_mapping(mapping, layout.by(mapping).text(), business_date)
    path = folder / "offered.jsonl"
    with path.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps({"line": row.line, "selected": row.selected, "raw": inner(row.raw)}) + "\n")
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE offered AS SELECT * FROM read_json({literal(str(path))}, "
        "format = 'newline_delimited', columns = {line: 'BIGINT', selected: 'BOOLEAN', raw: 'VARCHAR'}, "
        f"maximum_object_size = {8 * MAX_TEXT_BYTES})"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE mapped_once AS SELECT m.*, o.selected "
        f"FROM ({program.over('(SELECT line, raw FROM offered)')}) m JOIN offered o ON m.line = o.line"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE mapped AS SELECT m.* REPLACE ("
        "CASE WHEN d.account_key IS NULL THEN m.reasons "
        f"ELSE list_append(coalesce(m.reasons, []), {program.duplicate}::UTINYINT) END AS reasons) "
        "FROM mapped_once m LEFT JOIN (SELECT account_key FROM mapped_once WHERE account_key IS NOT NULL "
        "GROUP BY account_key HAVING count(*) > 1) d ON m.account_key = d.account_key"
    )
    return program


def reasons_against(
    row: OfferedRow, layout: Layout, mapping: Mapping, business_date: date, folder: Path
) -> list[dict[str, str]]:
    """The reasons that stand against one row by itself; none where the mapping accepts it. Raises as `map_rows`."""
    from chalicelib.connectors.staging import connect

    with connect(folder) as con:
        program = map_rows(con, [row], layout, mapping, business_date, folder)
        [(numbers,)] = con.execute("SELECT reasons FROM mapped").fetchall()
    return told(program.reasons, numbers or [])


def told(catalogue: tuple[Reason, ...], numbers: Iterable[int]) -> list[dict[str, str]]:
    """Reasons as they are stored and shown."""
    return [asdict(catalogue[number]) for number in numbers]
