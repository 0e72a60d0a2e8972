"""Worksheets: the table below a row of headings, each cell as the text of what it shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from xml.etree.ElementTree import Element

from chalicelib.connectors.errors import FileRefused
from chalicelib.connectors.formats import BLANKS, UNREADABLE, TextFile, locate
from chalicelib.connectors.forms.base import MAX_COLUMNS
from chalicelib.connectors.forms.cells import FormatKind, iso_moment_text, moment_text, number_text, plain_string
from chalicelib.connectors.forms.delivered import Delivered, Readable
from chalicelib.connectors.forms.rows import RowWriter
from chalicelib.connectors.forms.structured import XlsxFormat
from chalicelib.connectors.forms.workbook import SheetPart, Workbook, text_in

MAX_ROWS, MAX_SHEET_COLUMNS = 1 << 20, 1 << 14
"""How large a worksheet can be."""
_RANGE = re.compile("([A-Z]{1,3})([0-9]{1,7}):([A-Z]{1,3})([0-9]{1,7})")
_DIGITS = "0123456789"


def read_xlsx(source: Readable, into: Path, form: XlsxFormat, *, columns: Collection[str] = ()) -> TextFile:
    """Write the rows of a sheet of the workbook in `source` to `into`; `columns` are the headings that must be there.

    A row's line is its number in the sheet. What a cell shows instead of a value (an error, a formula that was never
    computed, a number that lost digits) is `UNREADABLE`. Raises `FileRefused`. Holds one row in memory.
    """
    content = Delivered.of(source)
    with ExitStack() as stack:
        book = Workbook(content, into.parent, form.max_unpacked_bytes, stack)
        sheet = _sheet(book.sheets, form.sheet)
        cells = _Cells(book)
        out = stack.enter_context(into.open("wb"))
        table = _Table(form, columns, lambda width: RowWriter(out, width, form.max_unpacked_bytes))
        number = 0
        for tag, element in book.elements(sheet.part, "worksheet/sheetData/row", "worksheet/mergeCells/mergeCell"):
            if tag == "row":
                number = _row_number(element, number)
                table.take(number, cells.of(element))
            else:
                table.check_merged(element.get("ref", ""))
        lines = table.finish().lines
    return lines.text_file(into, table.headings, content, first_line=form.rows_from)


class _Table:
    """The rows of a sheet, of which one holds the headings and those from another on are rows of the file."""

    def __init__(self, form: XlsxFormat, wanted: Collection[str], writer: Callable[[int], RowWriter]) -> None:
        self._form = form
        self._wanted = wanted
        self._new_writer = writer
        self._writer: RowWriter | None = None
        self._is_over = False
        self._last = 0
        self.headings: tuple[str, ...] = ()

    def take(self, number: int, cells: dict[int, str]) -> None:
        """Looks at a row: the texts that it holds, by their columns from 0."""
        form = self._form
        if number == form.header_row:
            self._begin(cells)
        if number < form.rows_from or self._is_over:
            return
        first = next((filled for text in cells.values() if (filled := text.strip(BLANKS))), None)
        if first is None:
            return
        writer = self._need_writer()
        self._is_over = number > (form.last_row or MAX_ROWS) or (
            form.ends_before is not None and first.startswith(form.ends_before)
        )
        if not self._is_over:
            writer.blank_lines(number - form.rows_from - writer.count)
            writer.row(self._values(cells))
            self._last = number

    def finish(self) -> RowWriter:
        """All rows are written: by this writer."""
        writer = self._need_writer()
        writer.flush()
        return writer

    def check_merged(self, reference: str) -> None:
        """Raises `FileRefused` for merged cells in the table: which of them the one value is of is not known."""
        found = _RANGE.fullmatch(reference)
        if not found:
            return
        left, right = column_number(found[1]), column_number(found[3])
        top, bottom = int(found[2]), int(found[4])
        header, first = self._form.header_row, self._form.rows_from
        if left >= len(self.headings):
            return
        is_heading_alone = left == right and top == header and bottom < first
        if top <= header <= bottom and not is_heading_alone:
            raise FileRefused(
                "merged_cells",
                f"The cells {reference} are merged over the row of headings, {header}; each heading needs a cell of "
                "its own (header_row says which row has them)",
                line=header,
            )
        if top <= self._last and bottom >= first:
            raise FileRefused(
                "merged_cells",
                f"The cells {reference} are merged; in a table each row and column needs a cell of its own",
                line=max(top, first),
            )

    def _begin(self, cells: dict[int, str]) -> None:
        names = {column: " ".join(text.split()) for column, text in cells.items()}
        width = max((column for column, name in names.items() if name), default=-1) + 1
        self.headings = tuple(names.get(column, "") for column in range(width))
        line = self._form.header_row
        if not width:
            raise self._no_headings()
        if width > MAX_COLUMNS:
            raise FileRefused(
                "too_many_columns", f"The sheet has {width} columns; at most {MAX_COLUMNS} are read", line=line
            )
        locate(self.headings, self._wanted, line=line)
        twice = sorted({name for name in self.headings if name and self.headings.count(name) > 1})
        if twice:
            names_twice = [name[:80] for name in twice]
            raise FileRefused(
                "duplicate_column",
                f"The sheet has more than one column {', '.join(map(repr, names_twice))}",
                line=line,
                duplicates=names_twice,
            )
        self._writer = self._new_writer(width)

    def _need_writer(self) -> RowWriter:
        if self._writer is None:
            raise self._no_headings()
        return self._writer

    def _no_headings(self) -> FileRefused:
        line = self._form.header_row
        return FileRefused(
            "empty_file", f"Row {line} of the sheet, which should hold the headings, is empty", line=line
        )

    def _values(self, cells: dict[int, str]) -> list[str]:
        get = cells.get
        values = [get(column, "") for column in range(len(self.headings))]
        # What stands beside the table is shown, so that the row is looked at.
        beside = sorted(column for column, text in cells.items() if column >= len(values) and text.strip(BLANKS))
        return [*values, *(cells[column] for column in beside)]


def _sheet(sheets: Sequence[SheetPart], name: str | None) -> SheetPart:
    if name is not None:
        chosen = [sheet for sheet in sheets if sheet.name == name]
    else:
        chosen = [sheet for sheet in sheets if not sheet.is_hidden]
    if len(chosen) == 1:
        return chosen[0]
    wanted = f"none is called {name!r}" if name is not None else f"{len(chosen)} are shown: `sheet` says which is meant"
    raise FileRefused(
        "ambiguous_sheet",
        f"The workbook has the sheets {', '.join(repr(sheet.name[:31]) for sheet in sheets[:20])}, and {wanted}",
    )


def column_number(letters: str) -> int:
    """The number (from 0) of the column that letters name."""
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number - 1


def _row_number(row: Element, before: int) -> int:
    given = row.get("r")
    number = before + 1 if given is None else int(given) if given.isdecimal() else 0
    if not before < number <= MAX_ROWS:
        raise FileRefused("broken_document", f"The rows of the sheet are not in order behind row {before}", line=before)
    return number


class _Cells:
    """Reads the cells of rows."""

    def __init__(self, book: Workbook) -> None:
        self._strings = book.shared_strings()
        self._kinds: dict[str, FormatKind] = {
            str(style): kind for style, kind in enumerate(book.format_kinds) if kind != "number"
        }
        self._from_1904 = book.from_1904
        self._columns: dict[str, int] = {}

    def of(self, row: Element) -> dict[int, str]:
        """The texts of a row's cells by their columns, from 0."""
        found: dict[int, str] = {}
        column, columns = -1, self._columns
        for cell in row:
            reference = cell.get("r")
            if reference is None:
                column += 1
            else:
                letters = reference.rstrip(_DIGITS)
                column = columns[letters] if letters in columns else self._learn_column(letters)
            if len(cell):
                found[column] = self._text_of(cell)
        return found

    def _learn_column(self, letters: str) -> int:
        if not re.fullmatch("[A-Z]{1,3}", letters) or column_number(letters) >= MAX_SHEET_COLUMNS:
            raise FileRefused("broken_document", "A cell of the sheet has a place that no sheet has")
        column = self._columns[letters] = column_number(letters)
        return column

    def _text_of(self, cell: Element) -> str:
        kind = cell.get("t")
        if kind == "inlineStr":
            return "".join([text_in(child) for child in cell if child.tag.endswith("}is")])
        value = ""
        for child in cell:
            if child.tag[-2:] == "}v":
                value = child.text or ""
        if not value:
            # A formula has a value once a program has computed it, be it the empty text.
            is_open = kind != "str" and any(child.tag.endswith("}f") for child in cell)
            return UNREADABLE if is_open else ""
        if kind == "s":
            try:
                return self._strings[int(value)]
            except (ValueError, IndexError):
                raise FileRefused("broken_document", "A cell of the sheet has a text that there is not") from None
        if kind is None or kind == "n":
            shown_as = self._kinds.get(cell.get("s", ""))
            if shown_as is not None:
                return moment_text(value, shown_as, from_1904=self._from_1904)
            return number_text(value)
        return _TYPED.get(kind, number_text)(value)


def _error(value: str) -> str:
    return UNREADABLE + value


_TYPED: dict[str, Callable[[str], str]] = {
    "str": lambda value: plain_string([value]),
    "b": lambda value: "true" if value == "1" else "false",
    "d": iso_moment_text,
    "e": _error,
}
"""What values of the other types are as text."""
