"""From the bytes of a delivered file to checked UTF-8 text: one streaming pass, memory independent of the size.

What cannot be read as a whole is refused here, with the place; what is wrong in a single row is left for staging.
The text written holds the rows only (headings, trailer and what comes before the headings are held back), one line
each, ended by a line feed; what is no row (a comment, a blank line) stays as a blank line, so that every row's number
in the file is known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import get_args

from chalicelib.connectors.errors import FileRefused
from chalicelib.connectors.forms.delivered import BLOCK, Delivered, Readable
from chalicelib.connectors.forms.encodings import decoded, encoded
from chalicelib.connectors.forms.model import DelimitedFormat, TextEncoding, Trailer
from chalicelib.connectors.quoting import RecordJoiner, split_record

STRAY_RETURN = "\u240d"
"""What a carriage return that ends no line is shown as; the row it stands in is quarantined."""
UNREADABLE = "\ufffd"
"""What stands in a value for bytes that could not be read; where it is in a field, the field is not accepted."""
BLANKS = " \t\u3000\u00a0"
"""What is trimmed from both ends of a value: space, tab, ideographic space, no-break space."""
_ENCODINGS: tuple[TextEncoding, ...] = get_args(TextEncoding)
_MOST_BLANK_LINES = 1 << 20  # held back while looking for the trailer
_COUNT = re.compile("[0-9]{1,18}")
_TOTAL = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,10})?")


@dataclass(frozen=True, slots=True)
class TrailerLine:
    """What the last line says of the rows before it; `total` in the unit of the field it sums."""

    line: int
    count: int
    total: Decimal | None


@dataclass(frozen=True, slots=True)
class TextFile:
    """A delivered file as checked text, and what was learned while reading it.

    `first_line` is the number in the file of the text's first line. `sha256` and `bytes` are of the file as delivered;
    `lines` counts the lines between headings and trailer, blank ones included. `padded` says that blanks stand beside a
    delimiter or a line end somewhere, `stray_returns` how many carriage returns ended no line, `unreadable` how many
    times `UNREADABLE` stands for what could not be read: staging looks closer only where these say so.
    """

    path: Path
    format: DelimitedFormat
    headings: tuple[str, ...]
    first_line: int
    trailer: TrailerLine | None
    sha256: str
    bytes: int
    lines: int
    padded: bool
    stray_returns: int
    unreadable: int = 0


def read_text(source: Readable, into: Path, form: DelimitedFormat, *, columns: Collection[str] = ()) -> TextFile:
    """Check the file in `source` and write its rows to `into`; `columns` are the headings that must be there.

    Raises `FileRefused` (the codes are in its docstring). Holds a block and at most one line in memory.
    """
    blocks = _Blocks(source, form)
    head = _Head(form, columns)
    steps: list[Callable[[bytes], bytes]] = [head.rows_of]
    if joiner := RecordJoiner(form) if form.quote else None:
        steps.append(joiner.feed)
    after_joining = len(steps)
    if form.comment:
        steps.append(partial(_without_comments, re.compile(b"(?m)^" + re.escape(form.comment.encode()) + b".*")))
    if tail := _Tail() if form.trailer else None:
        steps.append(tail.hold_back)
    with into.open("wb") as out:
        for block in blocks:
            out.write(_through(steps, block))
        if joiner:
            out.write(_through(steps[after_joining:], joiner.finish()))
    if head.headings is None or not blocks.lines:
        raise FileRefused("empty_file", "The file is empty: it has not even a line of headings")
    lines = blocks.lines - head.lines
    trailer = None
    if tail and form.trailer:
        trailer = _trailer(tail.last_line(), blocks.lines - tail.blank_lines, form, form.trailer)
        lines -= 1 + tail.blank_lines
    return TextFile(
        path=into,
        format=form,
        headings=head.headings,
        first_line=head.lines + 1,
        trailer=trailer,
        sha256=blocks.source.sha256,
        bytes=blocks.source.bytes,
        lines=lines,
        padded=blocks.padded,
        stray_returns=blocks.stray_returns,
    )


def locate(headings: Collection[str], wanted: Collection[str], *, line: int | None = None) -> dict[str, int]:
    """The position (from 0) of each wanted heading, which stand on `line`; raises `FileRefused` naming those missing
    and those there are."""
    found = {heading: position for position, heading in enumerate(headings)}
    missing = [heading for heading in wanted if heading not in found]
    if missing and len(missing) == len(wanted):
        # Perhaps this is no line of headings but the first borrower's row: nothing of it is repeated.
        raise FileRefused(
            "missing_column",
            f"The line of headings has {len(headings)} columns and names none of those needed: "
            + ", ".join(map(repr, missing)),
            line=line,
            missing=missing,
        )
    if missing:
        raise FileRefused(
            "missing_column",
            f"The file has no column {', '.join(map(repr, missing))}; its headings are "
            + ", ".join(heading[:80] for heading in list(headings)[:100]),
            line=line,
            missing=missing,
            found=[heading[:80] for heading in list(headings)[:100]],
        )
    return {heading: found[heading] for heading in wanted}


class _Blocks:
    """The file as blocks of whole UTF-8 lines ended by line feeds; decodes strictly and bounds the length of a line."""

    def __init__(self, source: Readable, form: DelimitedFormat) -> None:
        self.source = Delivered.of(source)
        self._encoding: TextEncoding = form.encoding
        self._longest = form.max_line_bytes
        self.lines = 0  # given back so far
        self.padded = False
        self.stray_returns = 0
        self._edges = _edges(form)
        self._offset = 0  # in bytes, of the first line not yet given back

    def __iter__(self) -> Iterator[bytes]:
        rest = b""
        while block := self.source.read(BLOCK):
            held = rest + block
            if (nul := held.find(b"\0", len(rest))) >= 0:
                raise FileRefused(
                    "nul_byte",
                    "The file holds a NUL byte, which text never does (is it UTF-16, or not text at all?)",
                    line=self.lines + 1 + held.count(b"\n", 0, nul),
                    byte=self._offset + nul,
                )
            end = held.rfind(b"\n") + 1
            whole, rest = held[:end], held[end:]
            self._check_lengths(held)
            if whole:
                yield self._convert(whole)
        if rest:
            yield self._convert(rest + b"\n")

    def _check_lengths(self, held: bytes) -> None:
        """Steps from line end to line end in strides of the longest line allowed, so that short lines cost nothing."""
        start = 0
        while len(held) - start > self._longest:
            end = held.rfind(b"\n", start, start + self._longest + 1)
            if end < 0:
                raise FileRefused(
                    "line_too_long",
                    f"A line is longer than the {self._longest} bytes that the mapping allows (max_line_bytes)",
                    line=self.lines + 1 + held.count(b"\n", 0, start),
                    byte=self._offset + start,
                )
            start = end + 1

    def _convert(self, whole: bytes) -> bytes:
        try:
            text = decoded(whole, self._encoding)
            converted = whole if self._encoding == "utf-8" else text.encode()
        except UnicodeError as problem:
            at = problem.start if isinstance(problem, UnicodeDecodeError) else 0
            line, byte = self.lines + 1 + whole.count(b"\n", 0, at), self._offset + at
            raise FileRefused(
                "wrong_encoding",
                f"The file is not {self._encoding}: the byte at offset {byte} (line {line}) cannot be read",
                line=line,
                byte=byte,
            ) from None
        self.padded = self.padded or any(
            blank in text and any(edge in text for edge in edges) for blank, edges in self._edges.items()
        )
        if self._offset == 0:
            converted = converted.removeprefix(b"\xef\xbb\xbf")
        self.lines += whole.count(b"\n")
        self._offset += len(whole)
        if b"\r" in converted:
            converted = converted.replace(b"\r\n", b"\n")
            if stray := converted.count(b"\r"):
                self.stray_returns += stray
                converted = converted.replace(b"\r", STRAY_RETURN.encode())
        return converted


class _Head:
    """The lines before the rows: those to skip, comments, and the headings."""

    def __init__(self, form: DelimitedFormat, wanted: Collection[str]) -> None:
        self._form = form
        self._wanted = wanted
        self.lines = 0
        self.headings: tuple[str, ...] | None = None
        self._end_if_named()

    def rows_of(self, block: bytes) -> bytes:
        """What of a block of whole lines is not taken here."""
        start = 0
        while self.headings is None and start < len(block):
            end = block.index(b"\n", start)
            self._take(block[start:end].decode())
            start = end + 1
        return block[start:] if start else block

    def _take(self, line: str) -> None:
        self.lines += 1
        if self.lines <= self._form.skip_lines:
            self._end_if_named()
        elif not self._form.comment or not line.startswith(self._form.comment):
            self.headings = _headings(line, self.lines, self._form, self._wanted)

    def _end_if_named(self) -> None:
        if self._form.names is not None and self.lines == self._form.skip_lines:
            locate(self._form.names, self._wanted)
            self.headings = tuple(self._form.names)


class _Tail:
    """Holds back the last line that is not blank, and the blank ones after it, until more lines come."""

    def __init__(self) -> None:
        self._held = b""
        self.blank_lines = 0

    def hold_back(self, rows: bytes) -> bytes:
        """The lines that are certainly not the last: what was held, and `rows` up to its own last line."""
        filled = rows.rstrip(b"\n \t")
        if not filled:
            self.blank_lines += rows.count(b"\n")
            if self.blank_lines <= _MOST_BLANK_LINES:
                return b""
            filled = b""
        start = filled.rfind(b"\n") + 1
        freed = self._held + b"\n" * self.blank_lines + rows[:start]
        ended = rows.find(b"\n", len(filled)) + 1 if filled else 0
        self._held, self.blank_lines = rows[start:ended], rows.count(b"\n", ended) if filled else 0
        return freed

    def last_line(self) -> str:
        """The line held back, without its end; empty where the file had none."""
        return self._held.rstrip(b"\n").decode()


def _edges(form: DelimitedFormat) -> dict[str, list[str]]:
    """For each blank, how it looks at the edge of a column."""
    sides = {form.delimiter, "\n", "\r", form.quote or "\n"}
    return {blank: [edge for side in sides for edge in (blank + side, side + blank)] for blank in BLANKS}


def _through(steps: Iterable[Callable[[bytes], bytes]], block: bytes) -> bytes:
    for step in steps:
        block = step(block)
    return block


def _without_comments(comment: re.Pattern[bytes], rows: bytes) -> bytes:
    return comment.sub(b"", rows)


def _headings(text: str, line: int, form: DelimitedFormat, wanted: Collection[str]) -> tuple[str, ...]:
    headings = tuple(heading.strip(BLANKS) for heading in split_record(text, form))
    if not any(headings):
        raise FileRefused("empty_file", f"Line {line}, which holds the headings, is empty", line=line)
    try:
        locate(headings, wanted, line=line)
    except FileRefused:
        _refuse_if_another_encoding_fits(text, line, form, wanted)
        raise
    twice = sorted({heading for heading in headings if heading and headings.count(heading) > 1})
    if twice:
        raise FileRefused(
            "duplicate_column",
            f"The file has more than one column {', '.join(repr(heading[:80]) for heading in twice)}",
            line=line,
            duplicates=[heading[:80] for heading in twice],
        )
    return headings


def _refuse_if_another_encoding_fits(text: str, line: int, form: DelimitedFormat, wanted: Collection[str]) -> None:
    """Some UTF-8 is also valid GB18030 by chance; the headings then tell which of the two was meant."""
    for encoding in _ENCODINGS:
        try:
            reading = decoded(encoded(text, form.encoding), encoding)
        except UnicodeError:
            continue
        if set(wanted) <= {heading.strip(BLANKS) for heading in split_record(reading, form)}:
            raise FileRefused(
                "wrong_encoding",
                f"The file is {encoding}, but the mapping says {form.encoding}",
                line=line,
                byte=0 if line == 1 else None,
                reads_as=encoding,
            ) from None


def _trailer(text: str, line: int, form: DelimitedFormat, rule: Trailer) -> TrailerLine:
    parts = [part.strip(BLANKS) for part in split_record(text, form)]
    if parts[0] != rule.prefix:
        raise FileRefused(
            "missing_trailer",
            f"The last line does not start with {rule.prefix!r}: the file may have been cut short",
            line=line,
        )
    values = dict(enumerate(parts))
    count = values.get(rule.count, "")
    total = values.get(rule.total, "") if rule.total is not None else "0"
    if not _COUNT.fullmatch(count) or not _TOTAL.fullmatch(total):
        at = rule.count if not _COUNT.fullmatch(count) else rule.total
        raise FileRefused(
            "unreadable_trailer", f"The trailer's value at position {at} is not a number", line=line, position=at
        )
    return TrailerLine(line, int(count), Decimal(total) if rule.total is not None else None)
