"""Parquet files: DuckDB reads their columns and writes them as text, whatever their types."""

# ruff: noqa: S608 - SQL is what this module makes; all text of users enters it through `literal` and `_identifier`.
from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

import duckdb

from chalicelib.connectors import staging
from chalicelib.connectors.errors import FileRefused, MappingInvalid
from chalicelib.connectors.expressions import literal
from chalicelib.connectors.formats import UNREADABLE, TextFile, locate
from chalicelib.connectors.forms.base import MAX_COLUMNS, MIB
from chalicelib.connectors.forms.delivered import Delivered, Readable, spool, too_long
from chalicelib.connectors.forms.inner import shown_in_sql
from chalicelib.connectors.forms.model import INNER_DELIMITER
from chalicelib.connectors.forms.rows import Lines
from chalicelib.connectors.forms.structured import ParquetFormat

_MAGIC = b"PAR1"
_BLOCK = 1 << 20
_MOST_IN_A_ROW = 16 * MIB
_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_AS_THEY_PRINT = (*_INTEGERS, *(f"U{name}" for name in _INTEGERS), "BOOLEAN", "UUID", "TIME", "DATE")
_TIMESTAMPS = ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS")
_INSTANT = "TIMESTAMP WITH TIME ZONE"
_TEXTS, _FLOATS = ("VARCHAR", "JSON"), ("FLOAT", "DOUBLE")
_ODD = (0, 10, 13, ord(INNER_DELIMITER))
_MOST_PRINTED = 400
"""Characters that a value which is no text takes at most: those of the largest number, and of the smallest."""


def read_parquet(source: Readable, into: Path, form: ParquetFormat, *, columns: Collection[str] = ()) -> TextFile:
    """Write the rows of the file in `source` to `into`; `columns` are the headings that must be there.

    A row's line is its number. Timestamps at midnight are days; numbers come without exponent, and what is not a number
    is `UNREADABLE`. Raises `FileRefused`, and `MappingInvalid` for a time zone that there is not.
    """
    content = Delivered.of(source)
    spooled = into.with_name("delivered.parquet")
    try:
        spool(content, spooled, form.max_unpacked_bytes)
        _check_ends(spooled)
        with staging.connect(into.parent) as con:
            _check_zone(con, form)
            file = f"read_parquet({literal(str(spooled))}, hive_partitioning = false)"
            try:
                types = _types(con, file, form, columns)
                odd = _texts_to_show(con, file, types, form.max_unpacked_bytes)
                texts = {name: _text(_identifier(name), kind, form, name in odd) for name, kind in types.items()}
                _copy(con, file, texts, into)
            except duckdb.OutOfMemoryException:
                raise FileRefused(
                    "unpacks_too_far",
                    "A group of rows in the file needs more memory than there is to read it; write smaller row groups",
                ) from None
            except duckdb.Error:
                raise FileRefused(
                    "broken_document", "The Parquet file is damaged: what it holds cannot be read as it says itself"
                ) from None
    finally:
        spooled.unlink(missing_ok=True)
    lines = Lines()
    with into.open("rb") as text:
        while block := text.read(_BLOCK):
            block += text.readline()
            lines.learn(block.decode(), block)
    return lines.text_file(into, tuple(types), content)


def _check_ends(path: Path) -> None:
    with path.open("rb") as file:
        begin = file.read(4)
        file.seek(-min(4, path.stat().st_size), 2)
        end = file.read()
    if not begin:
        raise FileRefused("empty_file", "The file is empty")
    if begin != _MAGIC:
        raise FileRefused("broken_document", "The file is no Parquet: it does not begin with PAR1")
    if end != _MAGIC:
        raise FileRefused(
            "broken_document", "The Parquet file does not end with PAR1: it was cut short, or is encrypted"
        )


def _check_zone(con: duckdb.DuckDBPyConnection, form: ParquetFormat) -> None:
    if form.time_zone is not None:
        try:
            con.execute("SELECT timezone(?, TIMESTAMPTZ '2000-01-01')", [form.time_zone])
        except duckdb.Error:
            raise MappingInvalid(
                f"{form.time_zone} is no time zone; one is called as in Asia/Shanghai", pointer="/format/time_zone"
            ) from None


def _types(con: duckdb.DuckDBPyConnection, file: str, form: ParquetFormat, wanted: Collection[str]) -> dict[str, str]:
    """The columns to be read and their types, as DuckDB calls them."""
    found: dict[str, str] = {name: kind for name, kind, *_ in con.execute(f"DESCRIBE SELECT * FROM {file}").fetchall()}
    locate(tuple(found), [*(form.columns or ()), *wanted])
    types = found if form.columns is None else {name: found[name] for name in form.columns}
    if len(types) > MAX_COLUMNS:
        raise FileRefused(
            "too_many_columns",
            f"The file has {len(types)} columns; at most {MAX_COLUMNS} are read (name them in `columns`)",
        )
    for name, kind in types.items():
        if not _is_read(kind):
            raise FileRefused(
                "column_type",
                f"The column {name[:80]!r} holds {kind[:80]}, which is not one value in each row; name in `columns` "
                "those that are to be read",
                column=name[:80],
            )
    return types


def _is_read(kind: str) -> bool:
    plain = (*_AS_THEY_PRINT, *_TIMESTAMPS, _INSTANT, *_TEXTS, *_FLOATS)
    return kind in plain or re.fullmatch(r"DECIMAL\([0-9]+,[0-9]+\)", kind) is not None


def _texts_to_show(con: duckdb.DuckDBPyConnection, file: str, types: dict[str, str], at_most: int) -> set[str]:
    """The columns of texts that hold what a line cannot. Refuses what would become a text too long: a few bytes of
    Parquet may stand for any number of rows."""
    texts = [name for name, kind in types.items() if kind in _TEXTS]
    lengths = " + ".join([str(len(types)), *(f"coalesce(strlen({_identifier(name)}), 0)" for name in texts)])
    odd = [
        f"coalesce(bool_or({' OR '.join(f'contains({_identifier(name)}, chr({code}))' for code in _ODD)}), false)"
        for name in texts
    ]
    [(total, longest, *is_odd)] = con.execute(
        f"SELECT {', '.join([f'coalesce(sum({lengths}), 0), coalesce(max({lengths}), 0)', *odd])} FROM {file}"
    ).fetchall()
    if total > at_most:
        raise too_long(at_most)
    if longest > _MOST_IN_A_ROW - _MOST_PRINTED * len(types):
        raise FileRefused("line_too_long", f"A row is longer than {_MOST_IN_A_ROW >> 20} MiB")
    return {name for name, found in zip(texts, is_odd, strict=True) if found}


def _copy(con: duckdb.DuckDBPyConnection, file: str, texts: dict[str, str], into: Path) -> None:
    columns = ", ".join(f"coalesce({text}, '')" for text in texts.values())
    # One column to a line, parted by what no line holds: DuckDB writes it as it is.
    con.execute(
        f"COPY (SELECT concat_ws({literal(INNER_DELIMITER)}, {columns}) AS line FROM {file}) "
        f"TO {literal(str(into))} (FORMAT csv, HEADER false, DELIMITER '\\0', QUOTE '', ESCAPE '')"
    )


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(column: str, kind: str, form: ParquetFormat, is_odd: bool) -> str:
    """The expression of a column's values as text; null where they are."""
    if kind in _TEXTS:
        return shown_in_sql(column) if is_odd else f"{column}::VARCHAR"
    if kind.startswith("DECIMAL"):
        return _without_zeros(f"{column}::VARCHAR")
    if kind in _FLOATS:
        return _number(column)
    if kind in _TIMESTAMPS:
        return _moment(column)
    if kind == _INSTANT:
        if form.time_zone is None:
            return f"timezone('UTC', {column})::VARCHAR || '+00'"
        return _moment(f"timezone({literal(form.time_zone)}, {column})")
    return f"{column}::VARCHAR"


def _moment(timestamp: str) -> str:
    """A timestamp as text: a day where it is midnight."""
    return f"regexp_replace(({timestamp})::VARCHAR, ' 00:00:00(\\.0+)?$', '')"


def _without_zeros(number: str) -> str:
    """A number as text, without zeros behind its last decimal."""
    return f"CASE WHEN contains({number}, '.') THEN rtrim(rtrim({number}, '0'), '.') ELSE {number} END"


def _number(column: str) -> str:
    """A float as the shortest text that stands for it and no other, with all its digits instead of an exponent."""
    text = f"{column}::VARCHAR"
    exponent = f"regexp_extract({text}, 'e(.*)', 1)::INTEGER"
    digits = f"replace(replace(split_part({text}, 'e', 1), '.', ''), '-', '')"
    zeros = f"repeat('0', {exponent} + 1 - length({digits}))"
    written = (
        f"CASE WHEN {exponent} < 0 THEN '0.' || repeat('0', -1 - {exponent}) || {digits} ELSE {digits} || {zeros} END"
    )
    return (
        f"CASE WHEN {column} IS NULL THEN NULL WHEN NOT isfinite({column}) THEN {literal(UNREADABLE)} || {text} "
        f"WHEN {column} = 0 THEN '0' "
        f"WHEN contains({text}, 'e') THEN CASE WHEN {column} < 0 THEN '-' ELSE '' END || {written} "
        f"ELSE {_without_zeros(text)} END"
    )
