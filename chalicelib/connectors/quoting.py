"""Columns in quotes: which lines belong to one record, and the patterns that part a record into columns.

The patterns are written for RE2 and Python alike, so that what is joined here is parted by the same rule in DuckDB.
RE2 takes time in proportion to a line's length whatever is in it. Python is told not to go back into a column once it
is read (`atomic`), or a stray quote behind many columns would have it try every way of parting them.

A record over several lines becomes one line, its inner line ends marked, followed by as many blank lines as it took:
every later row keeps its line number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from chalicelib.connectors.forms.model import DelimitedFormat

INNER_LINE_END = "\ufdd0"
"""Stands for a line end inside quotes: a code point that Unicode keeps out of interchanged text."""
_MOST_LINES = 200  # of one record; an opening quote that nothing closes costs its own line only


@dataclass(frozen=True, slots=True)
class QuotePatterns:
    """`column` finds one column and the delimiter after it (append one to the record); `record` matches a whole
    well-formed record with a delimiter appended; `unfinished` matches one that ends inside quotes; `escaped` finds an
    escaped character inside quotes, its group being the character itself."""

    column: str
    record: str
    unfinished: str
    escaped: str


def patterns(form: DelimitedFormat, *, atomic: bool = False) -> QuotePatterns:
    """The patterns of a format that has `quote`; `atomic` for Python's `re`, which RE2 does not know."""
    assert form.quote is not None
    quote, delimiter = re.escape(form.quote), re.escape(form.delimiter)
    if form.escape is None or form.escape == form.quote:
        inside, escaped = f"(?:[^{quote}]|{quote}{quote})*", f"{quote}({quote})"
    else:
        escape = re.escape(form.escape)
        inside, escaped = f"(?:[^{quote}{escape}]|{escape}.)*", f"{escape}(.)"
    column = f"({quote}{inside}{quote}|[^{quote}]*?){delimiter}"
    if atomic:
        column = f"(?>{column})"
    return QuotePatterns(
        column=f"(?s){column}",
        record=f"(?s)(?:{column})*",
        unfinished=f"(?s)(?:{column})*{quote}{inside}",
        escaped=f"(?s){escaped}",
    )


def split_record(record: str, form: DelimitedFormat) -> list[str]:
    """The columns of one record, quotes taken off; a record that is not well formed is split at every delimiter."""
    if form.quote is None or form.quote not in record:
        return record.split(form.delimiter)
    rules = patterns(form, atomic=True)
    if not re.fullmatch(rules.record, record + form.delimiter):
        return record.split(form.delimiter)
    columns = re.findall(rules.column, record + form.delimiter)
    return [re.sub(rules.escaped, r"\1", text[1:-1]) if text[:1] == form.quote else text for text in columns]


class RecordJoiner:
    """Makes one line of each record; fed blocks of whole lines, gives back blocks of as many lines."""

    def __init__(self, form: DelimitedFormat) -> None:
        assert form.quote is not None
        self._quote = form.quote
        self._escape = form.escape if form.escape != form.quote else None
        self._delimiter = form.delimiter
        rules = patterns(form, atomic=True)
        self._whole, self._unfinished = re.compile(rules.record), re.compile(rules.unfinished)
        self._longest = form.max_line_bytes
        self._comment = form.comment
        self._waiting: list[str] = []

    def feed(self, block: bytes) -> bytes:
        """The block's lines (UTF-8, each ends with a line feed) with records joined; one still open is held back."""
        if not self._waiting and self._quote.encode() not in block:
            return block
        done: list[str] = []
        for line in block.decode().split("\n")[:-1]:
            self._take(line, done)
        return _lines(done)

    def finish(self) -> bytes:
        """What was held back when the file ends: its first line cannot be right, the ones after it may be."""
        done: list[str] = []
        while self._waiting:
            self._give_up(done)
        return _lines(done)

    def _take(self, line: str, done: list[str]) -> None:
        if not self._waiting:
            is_comment = self._comment is not None and line.startswith(self._comment)
            if not is_comment and self._turns(line) and self._unfinished.fullmatch(line):
                self._waiting = [line]
            else:
                done.append(line)
            return
        self._waiting.append(line)
        if self._turns(line):
            record = INNER_LINE_END.join(self._waiting)
            if self._whole.fullmatch(record + self._delimiter):
                done.append(record)
                done.extend("" for _ in self._waiting[1:])
                self._waiting = []
                return
            if not self._unfinished.fullmatch(record):
                self._give_up(done)
                return
        if len(self._waiting) > _MOST_LINES or sum(map(len, self._waiting)) > self._longest:
            self._give_up(done)

    def _give_up(self, done: list[str]) -> None:
        first, *others = self._waiting
        self._waiting = []
        done.append(first)
        for line in others:
            self._take(line, done)

    def _turns(self, line: str) -> bool:
        """Whether the line holds an odd number of quotes that count: only such a line opens or closes a record."""
        if self._escape is not None and self._escape in line:
            line = line.replace(self._escape * 2, "").replace(self._escape + self._quote, "")
        return line.count(self._quote) % 2 == 1


def _lines(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
