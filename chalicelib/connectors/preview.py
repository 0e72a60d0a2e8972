"""What a file would become under a mapping, without anything being applied: the beginning of it, in one API call.

The sample goes through the very steps that a run takes (`forms.read_file`, `staging`), so what is shown is what would
happen. What refuses a file is told beside its rows, wherever there are rows to show.
This module works with DuckDB: import it only where something is previewed.
"""

# ruff: noqa: S608 - SQL is what this module makes; all text of users enters it through `expressions.literal`.
from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from chalicelib.connectors import samples, staging, totals
from chalicelib.connectors.compile import Program, column
from chalicelib.connectors.differences import Differences, differences, keep_records
from chalicelib.connectors.errors import FileRefused
from chalicelib.connectors.expressions import columns_of_line
from chalicelib.connectors.formats import TextFile
from chalicelib.connectors.forms import read_file
from chalicelib.connectors.mapping import Mapping
from chalicelib.connectors.quarantine import ReasonCount
from chalicelib.connectors.quoting import INNER_LINE_END
from chalicelib.connectors.samples import Sample
from chalicelib.connectors.staging import Staged
from chalicelib.connectors.totals import ControlTotal
from chalicelib.connectors.vocabulary import MONEY_TARGETS, Target

MEMORY = "128MB"
"""For DuckDB, of the 512 MB that a function answering the API has."""
MAX_TEXT, MAX_COLUMNS = 200, 200
"""How much of a value is shown, and how many columns of the file."""
MAX_CHARACTERS = 200_000
"""How much is shown of rows before they were mapped: an answer holds 6 MB, in which a character may take six bytes."""
_NO_TRAILER = ("missing_trailer", "unreadable_trailer")


@dataclass(frozen=True)
class PreviewedRow:
    """A row before and after: its columns by heading (none where it cannot be parted), and the fields of the canonical
    record (money in minor units). `reasons` says why it would be quarantined, `warnings` which values left out."""

    line: int
    before: dict[str, str]
    after: dict[str, Any]
    reasons: tuple[dict[str, str], ...]
    warnings: tuple[dict[str, str], ...]


@dataclass(frozen=True)
class TrailerVerdict:
    """What the file states of itself, and whether it agrees; `total_agrees` is None where it states no sum, or where
    the amount of `unreadable_rows` cannot be read."""

    rows: int
    total: str | None
    rows_agree: bool
    total_agrees: bool | None
    unreadable_rows: int


@dataclass(frozen=True)
class Preview:
    """What became of a sample. `refusal` is why the file would be refused as a whole; `read` says whether its rows
    could be looked at all the same. `rejected` are the first of the rows that would be quarantined."""

    refusal: FileRefused | None
    read: bool
    counts: dict[str, int]
    rows: tuple[PreviewedRow, ...] = ()
    rejected: tuple[PreviewedRow, ...] = ()
    reasons: tuple[ReasonCount, ...] = ()
    warnings: tuple[ReasonCount, ...] = ()
    totals: tuple[ControlTotal, ...] = ()
    trailer: TrailerVerdict | None = None
    ignored: tuple[str, ...] = ()
    differences: Differences | None = None


@dataclass(frozen=True)
class _Taken:
    """A sample as it was staged, by a mapping that refuses nothing, and what the mapping itself would refuse."""

    text: TextFile
    staged: Staged
    trailer: TrailerVerdict | None
    refusal: FileRefused | None


def preview(
    sample: Sample, mapping: Mapping, *, business_date: date, rows: int, in_force: Mapping | None = None
) -> Preview:
    """The sample under `mapping` as a file of that day: its first `rows` rows, and as many of those that would be
    quarantined. With `in_force`, what differs from the sample under that mapping.

    Raises Invalid for a sample that cannot be read without the rest of its file, and MappingInvalid for a pattern that
    RE2 does not accept.
    """
    with tempfile.TemporaryDirectory(prefix="preview-") as name, staging.connect(Path(name), memory=MEMORY) as con:
        compared = None
        if in_force is not None:
            compared = _taken(con, sample, in_force, business_date, _made(Path(name) / "in_force"))
            if isinstance(compared, _Taken):
                keep_records(con, compared.staged, "in_force")
        taken = _taken(con, sample, mapping, business_date, _made(Path(name) / "candidate"))
        if isinstance(taken, FileRefused):
            return Preview(refusal=taken, read=False, counts={})
        found = None
        if isinstance(compared, FileRefused):
            found = Differences(refusal=compared)
        elif compared is not None:
            keep_records(con, taken.staged, "candidate")
            found = differences(con)
        return replace(_shown(con, taken, rows), differences=found)


def _taken(
    con: DuckDBPyConnection, sample: Sample, mapping: Mapping, business_date: date, folder: Path
) -> _Taken | FileRefused:
    sample, form = samples.cut(sample, mapping.format)
    required = mapping.headings(required=True)
    refusal = None
    try:
        try:
            text = read_file(BytesIO(sample.content), folder / "rows.txt", form, columns=required)
        except FileRefused as refused:
            if refused.code not in _NO_TRAILER:
                raise
            refusal, form = refused, samples.stating_nothing(form)
            text = read_file(BytesIO(sample.content), folder / "rows.txt", form, columns=required)
        text = _bounded(text)
        lenient = mapping.model_copy(update={"format": form, "max_quarantine_share": 1.0})
        staged = staging.stage(con, replace(text, trailer=None), lenient, folder, business_date, None)
    except FileRefused as refused:
        return refused
    verdict = None
    if text.trailer is not None:
        unread = con.execute("SELECT count(*) FILTER (control IS NULL AND NOT is_shifted) FROM fresh").fetchall()[0][0]
        sums = totals.sum_up(con, lenient)
        refusal = refusal or _refused(totals.check_trailer, text.trailer, staged.rows, unread, sums)
        total = text.trailer.total
        verdict = TrailerVerdict(
            rows=text.trailer.count,
            total=None if total is None else str(total),
            rows_agree=text.trailer.count == staged.rows,
            total_agrees=None if total is None or unread else total == sums.control,
            unreadable_rows=0 if total is None else unread,
        )
    refusal = refusal or _refused(staging.check_share, mapping, staged.rows, staged.quarantined, staged.reasons)
    return _Taken(text, staged, verdict, refusal)


def _refused(check: Callable[..., None], *arguments: Any) -> FileRefused | None:
    """What a check refuses, as a value."""
    try:
        check(*arguments)
    except FileRefused as refused:
        return refused
    return None


def _bounded(text: TextFile) -> TextFile:
    """The text with the longest line that it has for the longest that it may have: buffers are made by that."""
    with text.path.open("rb") as lines:
        longest = max(map(len, lines), default=0)
    return replace(text, format=text.format.model_copy(update={"max_line_bytes": max(longest, 100)}))


def _shown(con: DuckDBPyConnection, taken: _Taken, rows: int) -> Preview:
    staged = taken.staged
    first = f"SELECT line FROM fresh ORDER BY line LIMIT {rows}"
    rejected = f"SELECT line FROM fresh WHERE reasons IS NOT NULL ORDER BY line LIMIT {rows}"
    return Preview(
        refusal=taken.refusal,
        read=True,
        counts={"rows": staged.rows, "accepted": staged.accepted, "quarantined": staged.quarantined},
        rows=_rows(con, taken, first),
        rejected=_rows(con, taken, rejected),
        reasons=staged.reasons,
        warnings=staged.warnings,
        totals=staged.totals,
        trailer=taken.trailer,
        ignored=staged.ignored,
    )


def _rows(con: DuckDBPyConnection, taken: _Taken, wanted: str) -> tuple[PreviewedRow, ...]:
    """The rows of the wanted lines, mapped once more, now to their full records."""
    staged, program = taken.staged, taken.staged.program
    targets: list[Target] = [item.target for item in staged.mapping.fields]
    if staged.mapping.currency is not None:
        targets.append("account.currency")
    lines = f"(SELECT line, raw FROM {staged.fresh_lines} WHERE line IN ({wanted}))"
    record = ", ".join(f"s.{column(target)}" for target in targets)
    found = con.execute(
        f"SELECT l.line, {columns_of_line(taken.text.format)}, f.reasons, f.warnings, {record} "
        f"FROM {lines} l JOIN fresh f ON l.line = f.line JOIN ({program.over(lines)}) s ON l.line = s.line "
        "ORDER BY l.line"
    ).fetchall()
    rows: list[PreviewedRow] = []
    size = 0
    for line, values, reasons, warnings, *record in found:
        before = _before(taken.text.headings, values or [])
        size += sum(map(len, before.values()))
        if rows and size > MAX_CHARACTERS:
            break
        after = {target: _after(value) for target, value in zip(targets, record, strict=True)}
        if after.get("account.currency") is None:
            # In no known currency, an amount has no minor units.
            after |= dict.fromkeys(after.keys() & MONEY_TARGETS)
        rows.append(PreviewedRow(line, before, after, _told(program, reasons), _told(program, warnings)))
    return tuple(rows)


def _before(headings: Sequence[str], values: Sequence[str]) -> dict[str, str]:
    """A row's values by heading; those beyond the headings by their position, from 1."""
    names = [*headings, *(f"column {n}" for n in range(len(headings) + 1, len(values) + 1))]
    pairs = zip(names[:MAX_COLUMNS], values, strict=False)
    return {name: _cut(value.replace(INNER_LINE_END, "\n")) for name, value in pairs if name}


def _after(value: object) -> object:
    if isinstance(value, date):
        return value.isoformat()
    return _cut(value) if isinstance(value, str) else value


def _cut(value: str) -> str:
    return value if len(value) <= MAX_TEXT else value[:MAX_TEXT] + "…"


def _told(program: Program, numbers: Sequence[int] | None) -> tuple[dict[str, str], ...]:
    return tuple(asdict(program.reasons[number]) for number in numbers or ())


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
