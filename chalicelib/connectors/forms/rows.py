"""Rows of values as the lines of the text that readers make, for forms whose values come one by one.

Lines are put together a few thousand at a time, and counting tells whether a value among them would have parted a line:
only then is each looked at by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from chalicelib.connectors.errors import FileRefused
from chalicelib.connectors.formats import BLANKS, STRAY_RETURN, UNREADABLE, TextFile, TrailerLine, locate
from chalicelib.connectors.forms.delivered import Delivered, too_long
from chalicelib.connectors.forms.inner import line_of
from chalicelib.connectors.forms.model import INNER, INNER_DELIMITER

_ROWS_AT_A_TIME = 2_000
_CHARACTERS_AT_A_TIME = 1 << 20
_NAMED = 100
"""How many of the names in a row are listed where one is missing."""
_HALF_CHARACTERS = re.compile("[\ud800-\udfff]")
_EDGES = {
    blank: [edge for side in (INNER_DELIMITER, "\n") for edge in (blank + side, side + blank)] for blank in BLANKS
}


class Lines:
    """What is known of a text of lines: learned block by block, each a number of whole lines."""

    def __init__(self) -> None:
        self.count = 0
        self._padded = False
        self._stray_returns = 0
        self._unreadable = 0
        self._longest = 100

    def learn(self, text: str, encoded: bytes) -> None:
        """Takes note of a block, given as text and as UTF-8."""
        lines = encoded.split(b"\n")
        self.count += len(lines) - 1
        self._longest = max(self._longest, *map(len, lines))
        self._stray_returns += text.count(STRAY_RETURN)
        self._unreadable += text.count(UNREADABLE)
        self._padded = self._padded or any(
            blank in text and (text.startswith(blank) or any(edge in text for edge in edges))
            for blank, edges in _EDGES.items()
        )

    def text_file(
        self,
        path: Path,
        headings: Sequence[str],
        content: Delivered,
        *,
        first_line: int = 1,
        trailer: TrailerLine | None = None,
    ) -> TextFile:
        """The text at `path`, which holds what was learned of."""
        return TextFile(
            path=path,
            # Buffers are made by the longest line that a text may have.
            format=INNER.model_copy(update={"max_line_bytes": self._longest}),
            headings=tuple(headings),
            first_line=first_line,
            trailer=trailer,
            sha256=content.sha256,
            bytes=content.bytes,
            lines=self.count,
            padded=self._padded,
            stray_returns=self._stray_returns,
            unreadable=self._unreadable,
        )


class RowWriter:
    """Writes rows to a file, a line each, and knows of the lines what staging needs to know.

    What is no row of `width` columns is written as one that has another number of them, for which it is quarantined.
    Raises `FileRefused` once the text is longer than `at_most` bytes.
    """

    def __init__(self, out: BinaryIO, width: int, at_most: int) -> None:
        self._out = out
        self._width = width
        self._at_most = at_most
        self._written = 0
        self._rows: list[Sequence[str]] = []
        self._characters = 0
        self.lines = Lines()

    @property
    def count(self) -> int:
        """How many lines there are so far."""
        return self.lines.count + len(self._rows)

    def row(self, values: Sequence[str]) -> None:
        """Adds a row of values, in the order of the headings."""
        self._rows.append(values)
        self._characters += sum(map(len, values))
        if len(self._rows) >= _ROWS_AT_A_TIME or self._characters >= _CHARACTERS_AT_A_TIME:
            self.flush()

    def no_row(self, raw: str) -> None:
        """Adds the text of something that stands where a row should, and is none."""
        self.row([raw] if self._width > 1 else [raw, ""])

    def blank_lines(self, count: int) -> None:
        """Adds lines that hold nothing, so that rows after them keep their numbers."""
        for _ in range(count):
            self.row(())

    def flush(self) -> None:
        """Writes what was added so far."""
        rows = self._rows
        if not rows:
            return
        text = "\n".join(map(INNER_DELIMITER.join, rows)) + "\n"
        delimiters = sum(map(len, rows)) - sum(map(bool, rows))
        is_sound = text.count("\n") == len(rows) and text.count(INNER_DELIMITER) == delimiters
        if not is_sound or "\r" in text or "\0" in text:
            text = "".join(map(line_of, rows))
        try:
            encoded = text.encode()
        except UnicodeEncodeError:
            text = _HALF_CHARACTERS.sub(UNREADABLE, text)
            encoded = text.encode()
        self.lines.learn(text, encoded)
        self._written += len(encoded)
        if self._written > self._at_most:
            raise too_long(self._at_most)
        self._out.write(encoded)
        self._rows, self._characters = [], 0


class UnseenColumns:
    """The columns that must be in a file and that no row has had yet: where none has one, it is called otherwise.

    `places` says where each column stands. A value that is blank or null is there all the same.
    """

    def __init__(self, places: Mapping[str, str], wanted: Collection[str]) -> None:
        locate(tuple(places), wanted)
        self._places = places
        self.headings = list(wanted)
        self._names: list[str] = []
        self._rows = 0

    def look(self, is_there: Callable[[str], bool], names: Iterable[str]) -> None:
        """Looks for them in one more row, which has members of these names. Needed only while there are `headings`."""
        self._rows += 1
        self.headings = [heading for heading in self.headings if not is_there(heading)]
        self._names = self._names or [name[:80] for name in islice(names, _NAMED)]

    def check(self) -> None:
        """Raises `FileRefused` where there were rows, and some of the columns in none of them."""
        if self._rows and self.headings:
            places = ", ".join(f"{self._places[heading]} ({heading})" for heading in self.headings)
            raise FileRefused(
                "missing_column",
                f"No row has anything at {places}; the first has {', '.join(self._names) or 'nothing that has a name'}",
                missing=self.headings,
                found=self._names,
            )
