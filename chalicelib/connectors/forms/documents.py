"""JSON: a document that holds an array of rows, or a document on each line.

Each row is taken apart by Python's scanner, which is written in C, since nothing quicker is exact: DuckDB reads a
number with decimals as a float, so that digits beyond the sixteenth would be others, and takes the first of members
given twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from chalicelib.connectors.errors import FileRefused
from chalicelib.connectors.formats import TextFile
from chalicelib.connectors.forms.control import control_places, stated_control
from chalicelib.connectors.forms.delivered import Delivered, Readable
from chalicelib.connectors.forms.document_rows import DocumentRows
from chalicelib.connectors.forms.json_values import columns_reader, decode, pointed, tokens_of
from chalicelib.connectors.forms.rows import RowWriter, UnseenColumns
from chalicelib.connectors.forms.structured import JsonFormat, NdjsonFormat
from chalicelib.connectors.forms.utf8 import Utf8

_BLANKS = " \t\r"


def read_json(source: Readable, into: Path, form: JsonFormat, *, columns: Collection[str] = ()) -> TextFile:
    """Write the rows of the document in `source` to `into`; `columns` are the headings that must be there.

    A row's line is its number. What has no members where an object should stand is a line of one column; what is no
    single value where one should stand is `UNREADABLE`. Raises `FileRefused`.
    """
    content = Delivered.of(source)
    wanted = {name: tokens_of(place) for name, place in control_places(form.control).items()}
    rows = DocumentRows(Utf8(content), tokens_of(form.rows), wanted, form.max_row_bytes)
    with into.open("wb") as out:
        writer = RowWriter(out, len(form.columns), form.max_unpacked_bytes)
        reader = _Reader(form, columns, writer)
        for value in rows:
            if not reader.take(value):
                writer.no_row(rows.raw)
        writer.flush()
    reader.unseen.check()
    trailer = stated_control(form.control, rows.stated, writer.count + 1)
    return writer.lines.text_file(into, tuple(form.columns), content, trailer=trailer)


def read_ndjson(source: Readable, into: Path, form: NdjsonFormat, *, columns: Collection[str] = ()) -> TextFile:
    """Write the documents on the lines of `source` to `into`, as `read_json` does; a line that is no JSON is a line of
    one column. Raises `FileRefused`."""
    content = Delivered.of(source)
    with into.open("wb") as out:
        writer = RowWriter(out, len(form.columns), form.max_unpacked_bytes)
        reader = _Reader(form, columns, writer)
        for lines in _Lines(Utf8(content), form.max_row_bytes):
            for line in lines:
                stripped = line.strip(_BLANKS)
                if not stripped:
                    writer.blank_lines(1)
                elif not _take_line(reader, stripped):
                    writer.no_row(line)
            writer.flush()
    if not content.bytes:
        raise FileRefused("empty_file", "The file is empty")
    reader.unseen.check()
    return writer.lines.text_file(into, tuple(form.columns), content)


class _Reader:
    """Writes rows, and keeps watch for columns that none of them has."""

    def __init__(self, form: JsonFormat | NdjsonFormat, wanted: Collection[str], writer: RowWriter) -> None:
        self.unseen = UnseenColumns(form.columns, wanted)
        self._pointers = {heading: tokens_of(pointer) for heading, pointer in form.columns.items()}
        self._columns_of = columns_reader(list(self._pointers.values()))
        self._writer = writer

    def take(self, row: Any) -> bool:
        """Writes a row; False where it is none."""
        values = self._columns_of(row)
        if values is None:
            return False
        self._writer.row(values)
        if self.unseen.headings:
            names: Iterable[str] = row if isinstance(row, dict) else ()
            self.unseen.look(lambda heading: any(True for _ in pointed(row, self._pointers[heading])), names)
        return True


def _take_line(reader: _Reader, line: str) -> bool:
    try:
        value, end = decode(line, 0)
    except (ValueError, StopIteration, RecursionError):
        return False
    return end == len(line) and reader.take(value)


class _Lines:
    """The lines of a text, as lists; bounds the length of a line."""

    def __init__(self, source: Utf8, longest: int) -> None:
        self._source = source
        self._longest = longest

    def __iter__(self) -> Iterator[list[str]]:
        rest, number = "", 1
        while block := self._source.read():
            *lines, rest = (rest + block).split("\n")
            self._check([*lines, rest], number)
            number += len(lines)
            yield lines
        if rest:
            yield [rest]

    def _check(self, lines: list[str], number: int) -> None:
        if max(map(len, lines)) <= self._longest // 4:
            return
        for at, line in enumerate(lines):
            if len(line.encode()) > self._longest:
                raise FileRefused(
                    "line_too_long",
                    f"A line is longer than the {self._longest} bytes that the mapping allows (max_row_bytes)",
                    line=number + at,
                )
