"""The documents of forms whose values have names or cells of their own: JSON, XML, workbooks, Parquet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from chalicelib.connectors.forms.base import MAX_COLUMNS, MIB, Control, FormDocument, each_once
from chalicelib.connectors.vocabulary import Heading, MoneyTarget

Pointer = Annotated[str, StringConstraints(max_length=500, pattern=r"^(/([^~/\x00]|~[01])*)*$")]
"""A JSON pointer (RFC 6901): the empty one is the whole, `/loans/0/id` a member of a member, `~1` a slash in a name."""
ElementPath = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^/@\s]+(/[^/@\s]+)*$")]
"""Names of elements from the root down, parted by `/`: `Document/Stmt/Ntry`; `p:Ntry` where `namespaces` has `p`."""
ValuePath = Annotated[
    str, StringConstraints(min_length=1, max_length=500, pattern=r"^([.]|@[^/@\s]+|[^/@\s]+(/[^/@\s]+)*(/@[^/@\s]+)?)$")
]
"""Where a value stands below its row: `Amt`, `Amt/@Ccy`, `@id`, or `.` for the row's own text."""
Zone = Annotated[str, StringConstraints(max_length=60, pattern=r"^[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$")]
"""A time zone as IANA calls it, such as `Asia/Shanghai`."""


class _PointedRows(FormDocument):
    """`columns` says for each heading where in a row its value stands. A row is at most `max_row_bytes` long."""

    columns: dict[Heading, Pointer] = Field(min_length=1, max_length=MAX_COLUMNS)
    max_row_bytes: int = Field(default=MIB, ge=100, le=16 * MIB)

    @model_validator(mode="after")
    def _each_place_once(self) -> Self:
        each_once(self.columns.values(), "columns")
        return self

    @property
    def known_headings(self) -> tuple[str, ...] | None:
        return tuple(self.columns)


class JsonControl(Control[Pointer]):
    """Pointers to where the document states, beside its rows, how many there are (`count`) and, if it does, the sum of
    `total_field` over all of them (`total`), in the unit of that field."""


class JsonFormat(_PointedRows):
    """One JSON document in UTF-8; `rows` points at the array of its rows (the empty pointer: the document is one)."""

    kind: Literal["json"]
    rows: Pointer = ""
    control: JsonControl | None = None

    @property
    def total_field(self) -> MoneyTarget | None:
        return self.control.total_field if self.control else None


class NdjsonFormat(_PointedRows):
    """A JSON document on each line, in UTF-8. Blank lines are no rows."""

    kind: Literal["ndjson"]


class XmlControl(Control[ElementPath]):
    """Paths of elements that state, beside the rows, how many there are (`count`) and, if they do, the sum of
    `total_field` over all of them (`total`), in the unit of that field."""


class XmlFormat(FormDocument):
    """An XML document in UTF-8, or in the encoding that it declares; each element at `row`, from the root down, is a
    row and `columns` says where below it values stand.

    `namespaces` has the namespace of each prefix that paths use. Names without a prefix are in no namespace, or in the
    one that it has under the empty prefix; attributes without one are in none.
    """

    kind: Literal["xml"]
    row: ElementPath
    columns: dict[Heading, ValuePath] = Field(min_length=1, max_length=MAX_COLUMNS)
    namespaces: dict[str, str] = Field(default_factory=dict[str, str], max_length=20)
    max_row_bytes: int = Field(default=MIB, ge=100, le=16 * MIB)
    control: XmlControl | None = None

    @model_validator(mode="after")
    def _paths_are_sound(self) -> Self:
        each_once(self.columns.values(), "columns")
        paths = [self.row, *self.columns.values()]
        if self.control:
            paths += [path for path in (self.control.count, self.control.total) if path is not None]
        prefixes = {step.lstrip("@").partition(":")[0] for path in paths for step in path.split("/") if ":" in step}
        if unknown := sorted(prefixes - self.namespaces.keys()):
            raise ValueError(f"namespaces has nothing for the prefix {', '.join(unknown)}")
        return self

    @property
    def total_field(self) -> MoneyTarget | None:
        return self.control.total_field if self.control else None

    @property
    def known_headings(self) -> tuple[str, ...] | None:
        return tuple(self.columns)


def element_path(path: str, namespaces: Mapping[str, str]) -> tuple[str, ...]:
    """The names of a path's elements as parsers have them: `{namespace}name`."""
    return tuple(_qualified(step, namespaces) for step in path.split("/"))


def value_path(path: str, namespaces: Mapping[str, str]) -> tuple[tuple[str, ...], str | None]:
    """The elements on the way to a value, and the attribute that it is, or None."""
    if path == ".":
        return (), None
    *steps, last = path.split("/")
    if not last.startswith("@"):
        return element_path(path, namespaces), None
    name = last[1:]
    attribute = _qualified(name, namespaces) if ":" in name else name
    return tuple(_qualified(step, namespaces) for step in steps), attribute


def _qualified(name: str, namespaces: Mapping[str, str]) -> str:
    prefix, colon, local = name.rpartition(":")
    namespace = namespaces[prefix] if colon else namespaces.get("", "")
    return f"{{{namespace}}}{local}" if namespace else local


class XlsxFormat(FormDocument):
    """A worksheet: `sheet` by its name, or the only one that is shown; headings in row `header_row` (from 1), rows from
    `first_row` (the one below it) to `last_row` (the last that holds anything).

    `ends_before` is how the first value begins in a row of sums or notes below the table: that row and what follows it
    are no rows.
    """

    kind: Literal["xlsx"]
    sheet: str | None = Field(default=None, min_length=1, max_length=31)
    header_row: int = Field(default=1, ge=1, le=1000)
    first_row: int | None = Field(default=None, ge=2, le=1 << 20)
    last_row: int | None = Field(default=None, ge=2, le=1 << 20)
    ends_before: str | None = Field(default=None, min_length=1, max_length=50)

    @model_validator(mode="after")
    def _rows_are_in_order(self) -> Self:
        if not self.header_row < self.rows_from <= (self.last_row or 1 << 20):
            raise ValueError("header_row, first_row and last_row must follow one another")
        return self

    @property
    def rows_from(self) -> int:
        """The number of the first row."""
        return self.first_row or self.header_row + 1


class ParquetFormat(FormDocument):
    """A Parquet file; `columns`, where given, are those that are read of it.

    An instant (a timestamp adjusted to UTC) is a local time in `time_zone`, or, where that is not given, one in UTC
    with `+00` behind it, which no date is read from.
    """

    kind: Literal["parquet"]
    columns: list[Heading] | None = Field(default=None, min_length=1, max_length=MAX_COLUMNS)
    time_zone: Zone | None = None

    @model_validator(mode="after")
    def _each_column_once(self) -> Self:
        each_once(self.columns or (), "columns")
        return self

    @property
    def known_headings(self) -> tuple[str, ...] | None:
        return None if self.columns is None else tuple(self.columns)
