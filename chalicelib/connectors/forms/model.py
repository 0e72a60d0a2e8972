"""What a delivered file looks like: one document for each form, told apart by `kind`.

Whatever the form, its reader makes text of the file in which each row is one line of columns (`TextFile`). For all but
delimited files that text is in `INNER`. `Form` is the union of the forms that `read_file` reads.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from chalicelib.connectors.forms.base import MAX_COLUMNS, MIB, Control, FormDocument, each_once
from chalicelib.connectors.forms.copybook import read_copybook
from chalicelib.connectors.forms.copybook_entries import ItemKind, SignPlace
from chalicelib.connectors.forms.structured import JsonFormat, NdjsonFormat, ParquetFormat, XlsxFormat, XmlFormat
from chalicelib.connectors.vocabulary import Heading, MoneyTarget, Strict

TextEncoding = Literal["utf-8", "gb18030", "gbk", "big5", "big5hkscs", "latin-1", "cp1252"]
"""Encodings in which a line feed is the byte 0A and nothing else is. A byte order mark is skipped. `big5` is Big5 as
Windows writes it (code page 950), `big5hkscs` the one of Hong Kong; `latin-1` has no characters at 80 to 9F, where
`cp1252` has the euro sign and curly quotes."""
RecordEncoding = Literal[TextEncoding, "cp037", "cp500", "cp935"]
"""Encodings of records that are cut by bytes: those of text, and EBCDIC of the United States, of Western Europe, and of
China, where two-byte characters stand between shift-out and shift-in."""
EBCDIC: tuple[RecordEncoding, ...] = ("cp037", "cp500", "cp935")

Position = Annotated[int, Field(ge=1, le=100)]


class Trailer(Control[Position]):
    """The last line: its first column is `prefix`, at position 0; `count` and `total` are positions too."""

    prefix: str = Field(min_length=1, max_length=50)


class DelimitedFormat(FormDocument):
    """Lines of columns.

    `skip_lines` lines come first and are not looked at; lines that begin with `comment`, and blank ones, are no rows.
    The next line holds the headings, or, where `header` is false, `names` are what its columns are called, in order.
    `delimiter` is one to four characters. `quote` allows columns in quotes (with the delimiter and line ends inside);
    a quote inside is doubled, or preceded by `escape` where that is given. `max_line_bytes` bounds a line (with quotes,
    a record) as delivered.
    """

    kind: Literal["delimited"]
    encoding: TextEncoding
    delimiter: str = Field(min_length=1, max_length=4, pattern=r"^[^\x00\n\r \u3000]+$")
    header: bool = True
    names: list[Heading] | None = Field(default=None, min_length=1, max_length=MAX_COLUMNS)
    skip_lines: int = Field(default=0, ge=0, le=100)
    comment: str | None = Field(default=None, min_length=1, max_length=4, pattern=r"^[^\x00-\x20\u3000]+$")
    quote: str | None = Field(default=None, pattern=r"^[\x21-\x7e]$")
    escape: str | None = Field(default=None, pattern=r"^[\x21-\x7e]$")
    max_line_bytes: int = Field(default=MIB, ge=100, le=16 * MIB)
    trailer: Trailer | None = None

    @model_validator(mode="after")
    def _marks_differ(self) -> Self:
        if self.escape is not None and self.quote is None:
            raise ValueError("escape has a meaning only beside quote")
        if any(mark is not None and mark in self.delimiter for mark in (self.quote, self.escape)):
            raise ValueError("quote and escape must not stand in the delimiter")
        if self.comment is not None and (
            self.comment[0] in (self.quote, self.escape) or self.comment in self.delimiter
        ):
            raise ValueError("comment must not begin with the quote or escape, nor stand in the delimiter")
        if self.trailer and self.comment and self.trailer.prefix.startswith(self.comment):
            raise ValueError("the trailer's prefix must not begin with the comment")
        return self

    @model_validator(mode="after")
    def _headings_come_from_one_place(self) -> Self:
        if self.header == (self.names is not None):
            raise ValueError("names are given where header is false, and only there")
        each_once(self.names or (), "names")
        return self

    @property
    def total_field(self) -> MoneyTarget | None:
        return self.trailer.total_field if self.trailer else None

    @property
    def known_headings(self) -> tuple[str, ...] | None:
        return None if self.names is None else tuple(self.names)


class Place(Strict):
    """Some bytes of a record: `length` of them, of which the first is number `start` (the record's first is 1).

    `text` is characters of the form's encoding; `graphic` is text of two bytes a character, in EBCDIC without shift-out
    and -in around them (PIC G and N). `zoned` has a digit in each byte and its sign where `sign` says: in the
    zone of the last or the first, or as + or - in a byte more. `packed` has two digits in each byte and the sign in the
    last half (COMP-3), `binary` is a big-endian integer of two, four or eight bytes (COMP). `scale` is how many of a
    number's digits follow its decimal point; where it is not `signed`, a minus is no part of it.
    """

    start: int = Field(ge=1, le=MIB)
    length: int = Field(ge=1, le=100_000)
    kind: ItemKind = "text"
    scale: int = Field(default=0, ge=0, le=18)
    signed: bool = True
    sign: SignPlace = "trailing"

    @model_validator(mode="after")
    def _is_a_number_that_can_be_read(self) -> Self:
        if self.kind == "binary" and self.length not in (2, 4, 8):
            raise ValueError("a binary number has 2, 4 or 8 bytes")
        is_text = self.kind in ("text", "graphic")
        if not is_text and self.length > (39 if self.kind == "zoned" else 20):
            raise ValueError("a number has at most 38 digits")
        if self.kind == "graphic" and self.length % 2:
            raise ValueError("graphic text has two bytes for each character")
        if is_text and self.scale:
            raise ValueError("scale has a meaning only for numbers")
        if self.sign != "trailing" and self.kind != "zoned":
            raise ValueError("sign has a meaning only for zoned numbers")
        if self.sign.endswith("separate") and (self.length < 2 or not self.signed):
            raise ValueError("a number with a separate sign is signed and has a byte for it and one for a digit")
        return self

    @property
    def end(self) -> int:
        """The number of its last byte."""
        return self.start + self.length - 1


class FixedColumn(Place):
    """A column and where in the record it stands. Two may share bytes."""

    name: Heading


class FixedTrailer(Control[Place]):
    """The last record: it begins with `prefix`; `count` and `total` are places in it."""

    prefix: str = Field(min_length=1, max_length=50)


class FixedWidthFormat(FormDocument):
    """Records cut into columns by bytes, not characters.

    Records are lines; `record_length` says that each has exactly so many bytes, and `record_end = "none"` that nothing
    stands between them. Where lines may be of any length, one too short for a column leaves it unread, or, with
    `short_lines = "pad"`, is read as if blanks followed. What records hold is said by `columns`, or by a COBOL
    `copybook`, whose names in capitals are the headings. `skip_records` come first and are no rows; the first of them
    must begin with `header_prefix`.
    """

    kind: Literal["fixed-width"]
    encoding: RecordEncoding
    record_length: int | None = Field(default=None, ge=1, le=MIB)
    record_end: Literal["line", "none"] = "line"
    short_lines: Literal["reject", "pad"] = "reject"
    columns: list[FixedColumn] | None = Field(default=None, min_length=1, max_length=MAX_COLUMNS)
    copybook: str | None = Field(default=None, min_length=1, max_length=100_000)
    skip_records: int = Field(default=0, ge=0, le=100)
    header_prefix: str | None = Field(default=None, min_length=1, max_length=50)
    max_line_bytes: int = Field(default=MIB, ge=1, le=16 * MIB)
    trailer: FixedTrailer | None = None

    @model_validator(mode="after")
    def _is_described_once(self) -> Self:
        if (self.columns is None) == (self.copybook is None):
            raise ValueError("either columns or copybook says what a record holds")
        each_once([column.name for column in self.described], "columns")
        places: list[Place] = [*self.described]
        if self.trailer:
            places += [self.trailer.count, *([self.trailer.total] if self.trailer.total else [])]
        longest = self.record_length or self.max_line_bytes
        if any(place.end > longest for place in places):
            raise ValueError(f"a column ends behind byte {longest}, where the longest record ends")
        if self.record_end == "line" and any(place.kind in ("packed", "binary") for place in places):
            raise ValueError('packed and binary numbers need record_end = "none": their bytes may look like a line end')
        return self

    @model_validator(mode="after")
    def _records_can_be_told_apart(self) -> Self:
        if self.record_end == "none" and self.record_length is None:
            raise ValueError('record_end = "none" needs record_length')
        if self.record_end == "line" and self.encoding in EBCDIC:
            raise ValueError('records in EBCDIC need record_end = "none": no byte ends a line in them')
        if self.encoding in ("cp037", "cp500") and any(column.kind == "graphic" for column in self.described):
            raise ValueError(f"{self.encoding} has no characters of two bytes (graphic; PIC G and N in a copybook)")
        if self.short_lines == "pad" and self.record_length is not None:
            raise ValueError("short_lines has a meaning only where no record_length is given")
        if self.header_prefix is not None and not self.skip_records:
            raise ValueError("header_prefix needs skip_records: the record that begins with it is no row")
        return self

    @property
    def described(self) -> tuple[FixedColumn, ...]:
        """The columns, whichever way they are described."""
        if self.copybook is None:
            return tuple(self.columns or ())
        return tuple(FixedColumn(**asdict(item)) for item in read_copybook(self.copybook).items)

    @property
    def total_field(self) -> MoneyTarget | None:
        return self.trailer.total_field if self.trailer else None

    @property
    def known_headings(self) -> tuple[str, ...] | None:
        return tuple(column.name for column in self.described)

    def lacks(self, heading: str) -> str:
        if self.copybook is not None and heading in read_copybook(self.copybook).redefined:
            return (
                f"REDEFINES another item of the copybook: {heading} describes once more bytes that have a column, "
                "and which description holds is not known; write columns to read those bytes this way"
            )
        return super().lacks(heading)


Form = Annotated[
    DelimitedFormat | FixedWidthFormat | JsonFormat | NdjsonFormat | XmlFormat | XlsxFormat | ParquetFormat,
    Field(discriminator="kind"),
]
"""The forms that `read_file` reads, and that a mapping may therefore have."""

INNER_DELIMITER = "\x1f"
"""Parts columns in the text that readers make: the unit separator, which `inner.shown` keeps out of values."""
INNER = DelimitedFormat(
    kind="delimited", encoding="utf-8", delimiter=INNER_DELIMITER, max_line_bytes=16 * MIB, header=True
)
"""The form of the text that readers make of all but delimited files."""
