"""Fixed-width files: records cut by bytes, in any encoding of text or in EBCDIC, with numbers as mainframes store them.

A block of records is a table of bytes of which each column is read at once (see `packed`), and put together again with
a delimiter behind each column. Only then is it decoded: a character that was cut at the end of its column meets the
delimiter, which is no part of any character, and is unreadable by itself; what follows is not.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path

from chalicelib.connectors.errors import FileRefused
from chalicelib.connectors.formats import BLANKS, UNREADABLE, TextFile, TrailerLine, locate
from chalicelib.connectors.forms.delivered import Delivered, Readable
from chalicelib.connectors.forms.encodings import SHIFT_IN, SHIFT_OUT, encoded, readable
from chalicelib.connectors.forms.fixed_records import Rows, begins_with
from chalicelib.connectors.forms.model import (
    EBCDIC,
    INNER,
    INNER_DELIMITER,
    FixedTrailer,
    FixedWidthFormat,
    Place,
    RecordEncoding,
)
from chalicelib.connectors.forms.packed import FILL, Records, codes, number
from chalicelib.connectors.quoting import INNER_LINE_END

_LOW, _LINE_FEED, _RETURN, _WRONG = "\x1c", "\x1d", "\x1e", "\x1a"
"""What low-values, line feeds and carriage returns inside a column, and other controls, are until all is decoded."""
_MEANINGS = {
    _RETURN + _LINE_FEED: INNER_LINE_END,
    _LINE_FEED: INNER_LINE_END,
    _RETURN: UNREADABLE,
    _LOW: UNREADABLE,
    _WRONG: UNREADABLE,
}
_PADDING = re.compile(f"{_LOW}+(?=[{INNER_DELIMITER}\n])")
_SINGLE_BYTE: tuple[RecordEncoding, ...] = ("latin-1", "cp1252", *EBCDIC)
_COUNT = re.compile("[0-9]{1,18}")
_TOTAL = re.compile(r"-?[0-9]{1,38}(\.[0-9]{1,18})?")


def read_fixed_width(
    source: Readable, into: Path, form: FixedWidthFormat, *, columns: Collection[str] = ()
) -> TextFile:
    """Cut the records in `source` and write their columns to `into`; `columns` are the headings that must be there.

    A column that is not what its place says holds `UNREADABLE` in the text, and a line of another length than
    `record_length` is one column. Raises `FileRefused`. Holds a block of records in memory.
    """
    content = Delivered.of(source)
    headings = tuple(column.name for column in form.described)
    locate(headings, columns)
    rows, sheet = Rows(content, form), _Sheet(form, form.described)
    with into.open("wb") as out:
        for block in rows:
            out.write(sheet.text_of(block))
    return TextFile(
        path=into,
        format=INNER,
        headings=headings,
        first_line=rows.first,
        trailer=_trailer(form, form.trailer, rows) if form.trailer else None,
        sha256=content.sha256,
        bytes=content.bytes,
        lines=rows.count,
        padded=True,
        stray_returns=0,
        unreadable=sheet.unreadable,
    )


@dataclass(frozen=True, slots=True)
class _Marks:
    """The bytes of an encoding that stand between columns and for what a value cannot hold (`inside`); `shown` turns
    each byte of a text column into itself or one of them. `around` are the bytes on either side of graphic text."""

    delimiter: bytes
    end: bytes
    wrong: bytes
    inside: tuple[int, ...]
    shown: bytes
    around: tuple[bytes, bytes]


@cache
def _marks(encoding: RecordEncoding) -> _Marks:
    kept = (*SHIFT_OUT, *SHIFT_IN) if encoding == "cp935" else ()

    def shown(byte: int) -> int:
        if byte in kept or (byte > 127 and encoding not in _SINGLE_BYTE):
            return byte
        # Controls are the same in every code page of EBCDIC, and so is FF, which none has a character for.
        character = readable(bytes([byte]), "cp037" if encoding in EBCDIC else encoding)
        stand_ins = {"\0": _LOW, "\n": _LINE_FEED, "\r": _RETURN, "\t": "\t"}
        if encoding in EBCDIC:
            stand_ins["\x85"] = _LINE_FEED  # NL, with which mainframes end lines
        is_control = unicodedata.category(character) == "Cc"
        return encoded(stand_ins.get(character, _WRONG), encoding)[0] if is_control else byte

    return _Marks(
        delimiter=encoded(INNER_DELIMITER, encoding),
        end=encoded("\n", encoding),
        wrong=encoded(_WRONG, encoding),
        inside=tuple(encoded(_LOW + _LINE_FEED + _RETURN + _WRONG, encoding)),
        shown=bytes(map(shown, range(256))),
        around=(SHIFT_OUT, SHIFT_IN) if encoding == "cp935" else (bytes([FILL]), bytes([FILL])),
    )


class _Sheet:
    """Makes text of records; `unreadable` counts the places in it where something could not be read."""

    def __init__(self, form: FixedWidthFormat, columns: Sequence[Place]) -> None:
        self._columns = columns
        self._needed = max(column.end for column in columns)
        self._length, self._has_lines = form.record_length, form.record_end == "line"
        self._encoding: RecordEncoding = form.encoding
        self._is_ebcdic = form.encoding in EBCDIC
        self._marks, self._codes = _marks(form.encoding), codes(ebcdic=self._is_ebcdic)
        self._filling = b" " if form.short_lines == "pad" else self._marks.wrong
        self.unreadable = 0

    def text_of(self, rows: bytes) -> bytes:
        """The rows in UTF-8, a line each with `INNER_DELIMITER` between columns; blank lines stay blank lines."""
        if not self._has_lines:
            assert self._length is not None, "the form says that records without line ends have a length"
            return self._table(Records(rows, self._length))
        length = rows.find(b"\n")
        fits = length == self._length if self._length else length >= self._needed
        ends = rows[length :: length + 1]
        if fits and len(ends) * (length + 1) == len(rows) and ends.count(b"\n") == len(ends) == rows.count(b"\n"):
            return self._table(Records(rows, length + 1))
        return self._uneven(rows.split(b"\n")[:-1])

    def _uneven(self, lines: list[bytes]) -> bytes:
        """The text of lines that are not all of one length: made of one length where that is allowed."""
        cut = [bool(line) and self._length in (None, len(line)) for line in lines]
        filled = [
            line[: self._needed].ljust(self._needed, self._filling)
            for line, is_cut in zip(lines, cut, strict=True)
            if is_cut
        ]
        texts = iter(self._table(Records(b"".join(filled), self._needed)).split(b"\n"))
        return b"".join(
            (next(texts) if is_cut else self._readable(line.translate(self._marks.shown))) + b"\n"
            for line, is_cut in zip(lines, cut, strict=True)
        )

    def _table(self, records: Records) -> bytes:
        """The text of records of one length."""
        shown = Records(records.raw.translate(self._marks.shown), records.stride)
        cells: list[bytes] = []
        for place in self._columns:
            if place.kind in ("text", "graphic"):
                columns = [shown.column(at) for at in range(place.start - 1, place.end)]
                if place.kind == "graphic":
                    before, after = self._marks.around
                    columns = [before * records.count, *columns, after * records.count]
                cells += columns
            else:
                cells += number(records, place, self._codes)
            cells.append(self._marks.delimiter * records.count)
        cells[-1] = self._marks.end * records.count
        table = bytearray(records.count * len(cells))
        for at, cell in enumerate(cells):
            table[at :: len(cells)] = cell
        return self._readable(table.translate(None, bytes([FILL])))

    def _readable(self, text: bytes | bytearray) -> bytes:
        """Text of the file's encoding, with marks, as UTF-8 that shows what they stand for."""
        is_marked = any(mark in text for mark in self._marks.inside)
        if not is_marked and not self._is_ebcdic and text.isascii():
            return bytes(text)
        decoded = readable(text, self._encoding)
        if is_marked:
            decoded = _PADDING.sub("", decoded)
            for mark, meaning in _MEANINGS.items():
                decoded = decoded.replace(mark, meaning)
        self.unreadable += decoded.count(UNREADABLE)
        return decoded.encode()


def _trailer(form: FixedWidthFormat, rule: FixedTrailer, rows: Rows) -> TrailerLine:
    line = rows.first + rows.count
    if not begins_with(rows.trailer, rule.prefix, form.encoding):
        raise FileRefused(
            "missing_trailer",
            f"The last record does not begin with {rule.prefix!r}: the file may have been cut short",
            line=line,
        )
    count = _value(form, rule.count, rows.trailer)
    total = _value(form, rule.total, rows.trailer) if rule.total else None
    if not _COUNT.fullmatch(count) or (total is not None and not _TOTAL.fullmatch(total)):
        place = rule.total if rule.total and _COUNT.fullmatch(count) else rule.count
        raise FileRefused(
            "unreadable_trailer", f"The trailer holds no number at byte {place.start}", line=line, position=place.start
        )
    return TrailerLine(line, int(count), None if total is None else Decimal(total))


def _value(form: FixedWidthFormat, place: Place, record: bytes) -> str:
    """What stands at a place of one record, as text without blanks around it."""
    longest = record[: place.end].ljust(place.end, _marks(form.encoding).wrong)
    lines = form.model_copy(update={"record_length": place.end, "record_end": "none"})
    return _Sheet(lines, [place]).text_of(longest).decode().removesuffix("\n").strip(BLANKS)
