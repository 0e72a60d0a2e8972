"""From checked text to staged rows: every row accepted or quarantined with its reasons, and the totals that prove it.

DuckDB does the work over whole columns. A first pass reads the lines and sets aside those that the last file held too;
a second parts, maps and validates the others. What is kept of a row is what a comparison needs; the full
record of a row is mapped again when it turns out to be new or changed. Memory does not depend on the size of the file.
"""

# ruff: noqa: S608 - SQL is what this module makes; all text of users enters it through `expressions.literal`.
from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import duckdb

from chalicelib.connectors import known, quarantine, snapshot, totals
from chalicelib.connectors.compile import Program, compile_mapping, meaning_of
from chalicelib.connectors.errors import FileRefused, MappingInvalid
from chalicelib.connectors.expressions import literal
from chalicelib.connectors.formats import TextFile
from chalicelib.connectors.mapping import Mapping, TextField
from chalicelib.connectors.quarantine import ReasonCount
from chalicelib.connectors.totals import ControlTotal


@dataclass(frozen=True, slots=True)
class Staged:
    """What came of a file: `rows` = `accepted` + `quarantined`; `known` of them stood in the last file as they are.

    The connection's view `known` has those rows and `fresh` the others, accepted where `reasons` is null; `fresh_lines`
    is a relation of the lines of the latter, which `program` maps to full records. `previous` is the snapshot they were
    told from, `may_know` whether its lines mean what they meant then. `quarantine` is a Parquet file (line, raw, key,
    reasons as JSON). `unread_total_rows` is how many rows with all columns had no readable amount for the trailer's
    total, which could then not be checked. `ignored` are the headings that the mapping does not read.
    """

    mapping: Mapping
    label: snapshot.Label
    program: Program
    fresh_lines: str
    previous: Path | None
    may_know: bool
    rows: int
    accepted: int
    quarantined: int
    known: int
    quarantine: Path
    reasons: tuple[ReasonCount, ...]
    warnings: tuple[ReasonCount, ...]
    totals: tuple[ControlTotal, ...]
    unread_total_rows: int
    ignored: tuple[str, ...]


def connect(work: Path, *, memory: str = "256MB", threads: int = 1) -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory that can read and write below `work` only, loads no extension, and joins as it is told to."""
    work = work.resolve()
    con = duckdb.connect(
        ":memory:",
        config={
            "threads": threads,
            "memory_limit": memory,
            "temp_directory": str(work / "spill"),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "python_enable_replacements": False,
        },
    )
    # How many lines a text holds is not known beforehand: a wrong guess would hold all of them in memory for a join.
    # Here the right side of a join is the one that is held.
    con.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
    # In this order: the doors that stay open are named first, then the others shut, then the key thrown away.
    con.execute(f"SET allowed_directories = [{literal(str(work))}]")
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")
    return con


def check_patterns(con: duckdb.DuckDBPyConnection, mapping: Mapping) -> None:
    """Raises `MappingInvalid` naming the first field whose pattern RE2 does not accept (it has no look-around)."""
    for position, item in enumerate(mapping.fields):
        if isinstance(item, TextField) and item.pattern is not None:
            try:
                con.execute(f"SELECT regexp_full_match('', {literal(item.pattern)})").fetchall()
            except duckdb.Error:
                raise MappingInvalid(
                    f"The pattern of {item.target} is not a regular expression that RE2 accepts",
                    pointer=f"/fields/{position}/pattern",
                ) from None


def stage(
    con: duckdb.DuckDBPyConnection,
    text: TextFile,
    mapping: Mapping,
    out: Path,
    business_date: date,
    previous: Path | None = None,
) -> Staged:
    """Map and validate the rows of `text`, of which those also in the snapshot `previous` are known already.

    Writes its files below `out`. Raises `FileRefused` where the trailer does not agree with the rows, or more of them
    are quarantined than the mapping allows; `quarantine.parquet` is written all the same, so that one can see why.
    """
    check_patterns(con, mapping)
    program = compile_mapping(mapping, text, business_date)
    label = snapshot.Label(meaning_of(mapping, text), snapshot.digest_in_use(con), business_date)
    snapshot.view_previous(con, previous)
    may_know = _may_know(con, label, previous)
    fresh_lines = known.set_known_aside(con, text, out, str(may_know))
    _map_fresh_lines(con, program, fresh_lines, out)
    if known.find_doubted(con, out):
        fresh_lines = known.set_known_aside(con, text, out, "account_key NOT IN (SELECT account_key FROM doubted)")
        _map_fresh_lines(con, program, fresh_lines, out)
    quarantine.mark_duplicates(con, program)
    fresh_rows, quarantined, unread, known_rows = con.execute(
        "SELECT count(*), count(reasons), count(*) FILTER (WHERE control IS NULL AND NOT is_shifted), "
        "(SELECT count(*) FROM previous) - (SELECT count(*) FROM unseen) FROM fresh"
    ).fetchall()[0]
    rows = fresh_rows + known_rows
    quarantine_file = out / "quarantine.parquet"
    quarantine.write(con, program, fresh_lines, quarantine_file)
    sums = totals.sum_up(con, mapping)
    if text.trailer:
        totals.check_trailer(text.trailer, rows, unread, sums)
    reasons = quarantine.counts(con, program, "reasons")
    check_share(mapping, rows, quarantined, reasons)
    return Staged(
        mapping=mapping,
        label=label,
        program=program,
        fresh_lines=fresh_lines,
        previous=previous,
        may_know=may_know,
        rows=rows,
        accepted=rows - quarantined,
        quarantined=quarantined,
        known=known_rows,
        quarantine=quarantine_file,
        reasons=reasons,
        warnings=quarantine.counts(con, program, "warnings"),
        totals=sums.accepted,
        unread_total_rows=unread if text.trailer and text.trailer.total is not None else 0,
        ignored=tuple(name for name in text.headings if name and name not in mapping.headings()),
    )


def check_share(mapping: Mapping, rows: int, quarantined: int, reasons: tuple[ReasonCount, ...]) -> None:
    """Raises `FileRefused` where more of the rows are quarantined than the mapping allows."""
    if quarantined > rows * mapping.max_quarantine_share:
        raise FileRefused(
            "too_many_quarantined",
            f"{quarantined} of {rows} rows are not accepted, more than the share of {mapping.max_quarantine_share:.1%} "
            "that the mapping allows (max_quarantine_share)",
            rows=rows,
            quarantined=quarantined,
            reasons=[asdict(count.reason) | {"rows": count.rows} for count in reasons[:10]],
        )


def _may_know(con: duckdb.DuckDBPyConnection, label: snapshot.Label, previous: Path | None) -> bool:
    """Whether a line means today what it meant in the snapshot; a date not in its future then is not in it now."""
    if previous is None:
        return False
    then = snapshot.label_of(con, previous)
    return (then.meaning, then.digest) == (label.meaning, label.digest) and then.business_date <= label.business_date


def _map_fresh_lines(con: duckdb.DuckDBPyConnection, program: Program, fresh_lines: str, out: Path) -> None:
    path = literal(str(out / "fresh.parquet"))
    # A line that a warning stands against is looked at, and counted, every day.
    columns = ", ".join(snapshot.COLUMNS).replace(
        "line_digest,", "CASE WHEN warnings IS NULL THEN line_digest END AS line_digest,"
    )
    con.execute(
        f"COPY (SELECT line, reasons, warnings, is_shifted, control, {columns} FROM ({program.over(fresh_lines)})) "
        f"TO {path} ({snapshot.PARQUET})"
    )
    con.execute(f"CREATE OR REPLACE TEMP VIEW rows_read AS SELECT * FROM read_parquet({path})")
