"""The records of a fixed-width file, as bytes: where each begins and ends, and which of them are rows.

Blocks of whole records go through, so that memory depends neither on the file's size nor on how many records it has.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from chalicelib.connectors.errors import FileRefused
from chalicelib.connectors.forms.delivered import Readable
from chalicelib.connectors.forms.encodings import encoded
from chalicelib.connectors.forms.model import FixedWidthFormat, RecordEncoding

BLOCK = 1 << 18
"""Bytes read at a time: enough records for a pass over each of their columns, few enough for the processor's cache."""
_ORDER_MARKS = {"utf-8": codecs.BOM_UTF8, "gb18030": "\ufeff".encode("gb18030")}
_MOST_HELD = 1 << 20
"""Bytes of blank lines that may follow the trailer."""


class Rows:
    """The rows of a file, as blocks of whole records: iterate once, then ask what stood around them.

    Lines come with a line feed each, whatever ended them; records without line ends as they are. `first` is the number
    of the first row among the file's records (from 1), `count` how many came, blank lines included; `trailer` is the
    last record, without its line end, where the form has one. Raises `FileRefused`.
    """

    def __init__(self, source: Readable, form: FixedWidthFormat) -> None:
        self._source = source
        self._form = form
        self._length = form.record_length if form.record_end == "none" else None
        self._held = b""
        self._skipped = 0
        self.first = form.skip_records + 1
        self.count = 0

    def __iter__(self) -> Iterator[bytes]:
        for whole in self._whole_lines() if self._length is None else self._whole_records(self._length):
            rows = self._without_header(whole)
            if self._form.trailer:
                rows = self._without_last(rows)
            self.count += self._records_in(rows)
            if rows:
                yield rows
        if self._skipped < self._form.skip_records or not self._passed:
            raise FileRefused(
                "empty_file", f"The file is empty: it has {self._passed} records, and none of them is a row"
            )

    @property
    def trailer(self) -> bytes:
        """The last record; empty where there was none."""
        return self._held.rstrip(b"\n") if self._length is None else self._held

    def _blocks(self) -> Iterator[bytes]:
        mark = _ORDER_MARKS.get(self._form.encoding, b"")
        begin = b""
        while len(begin) < len(mark) and (more := self._source.read(len(mark) - len(begin))):
            begin += more
        yield begin.removeprefix(mark)
        while block := self._source.read(BLOCK):
            yield block

    def _whole_records(self, length: int) -> Iterator[bytes]:
        rest, before = b"", 0
        for block in self._blocks():
            held = rest + block
            end = len(held) // length * length
            before += end // length
            yield held[:end]
            rest = held[end:]
        if rest:
            raise FileRefused(
                "cut_record",
                f"{len(rest)} bytes are left over after {before} records of {length} bytes: the file was cut short, or "
                "record_length is not the length of its records",
                line=before + 1,
                left_over=len(rest),
            )

    def _whole_lines(self) -> Iterator[bytes]:
        rest = b""
        for block in self._blocks():
            held = rest + block
            end = held.rfind(b"\n") + 1
            whole, rest = held[:end], held[end:]
            yield whole.replace(b"\r\n", b"\n") if b"\r" in whole else whole
            if len(rest) > self._form.max_line_bytes:
                raise FileRefused(
                    "line_too_long",
                    f"A line is longer than the {self._form.max_line_bytes} bytes that the mapping allows "
                    "(max_line_bytes)",
                    line=self._passed + 1,
                )
        if rest:
            yield rest.removesuffix(b"\r") + b"\n"

    @property
    def _passed(self) -> int:
        """How many of the file's records came so far."""
        return self._skipped + self.count + self._records_in(self._held)

    def _records_in(self, rows: bytes) -> int:
        return rows.count(b"\n") if self._length is None else len(rows) // self._length

    def _without_header(self, records: bytes) -> bytes:
        """The records behind those to skip."""
        while records and self._skipped < self._form.skip_records:
            end = records.find(b"\n") + 1 if self._length is None else self._length
            prefix = self._form.header_prefix
            if self._skipped == 0 and prefix and not begins_with(records, prefix, self._form.encoding):
                raise FileRefused("missing_header", f"The first record does not begin with {prefix!r}", line=1)
            records = records[end:]
            self._skipped += 1
        return records

    def _without_last(self, records: bytes) -> bytes:
        """The records that are certainly not the last: what was held back, and these up to their own last one."""
        if self._length is not None:
            start = max(0, len(records) - self._length)
        else:
            start = records.rstrip(b"\n").rfind(b"\n") + 1
        if self._length is None and self._held and not records.strip(b"\n"):
            self._held += records
            if len(self._held) > _MOST_HELD + self._form.max_line_bytes:
                raise FileRefused("missing_trailer", "The file ends in more blank lines than follow any trailer")
            return b""
        if not records:
            return b""
        freed, self._held = self._held + records[:start], records[start:]
        return freed


def begins_with(record: bytes, prefix: str, encoding: RecordEncoding) -> bool:
    """Whether a record begins with some text; with what its encoding cannot write, none does."""
    try:
        return record.startswith(encoded(prefix, encoding))
    except UnicodeEncodeError:
        return False
