"""XML documents: an element for each row, its values in elements and attributes below it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from xml.etree.ElementTree import Element

from chalicelib.connectors.errors import FileRefused
from chalicelib.connectors.formats import UNREADABLE, TextFile
from chalicelib.connectors.forms.control import control_places, stated_control
from chalicelib.connectors.forms.delivered import Delivered, Readable
from chalicelib.connectors.forms.elements import Elements
from chalicelib.connectors.forms.rows import RowWriter, UnseenColumns
from chalicelib.connectors.forms.structured import XmlFormat, element_path, value_path

_BLANKS = " \t\n\r"


def read_xml(source: Readable, into: Path, form: XmlFormat, *, columns: Collection[str] = ()) -> TextFile:
    """Write the rows of the document in `source` to `into`; `columns` are the headings that must be there.

    A row's line is its number. A value is the text of an element, without blanks around it, or of an attribute; where
    there are several, or elements inside, it is `UNREADABLE`. Raises `FileRefused`.
    """
    content = Delivered.of(source)
    row = element_path(form.row, form.namespaces)
    places = {element_path(place, form.namespaces): name for name, place in control_places(form.control).items()}
    document = Elements(content, {row, row[:-1], *places} - {()}, form.max_row_bytes)
    stated: dict[str, str] = {}
    is_there = len(row) == 1
    with into.open("wb") as out:
        writer = RowWriter(out, len(form.columns), form.max_unpacked_bytes)
        reader = _Reader(form, columns, writer)
        for path, element in document:
            if path == row:
                reader.take(element)
            elif path in places:
                if places[path] in stated:
                    raise FileRefused("broken_document", f"The document has {'/'.join(path)} twice")
                stated[places[path]] = _own_text(element)
            is_there = is_there or path == row[:-1]
        writer.flush()
    if not is_there or (len(row) == 1 and not writer.count):
        raise FileRefused(
            "missing_rows",
            f"The document has nothing at {form.row}, where its rows should be; its root is {document.root}",
        )
    reader.unseen.check()
    trailer = stated_control(form.control, stated, writer.count + 1)
    return writer.lines.text_file(into, tuple(form.columns), content, trailer=trailer)


class _Reader:
    """Writes rows, and keeps watch for columns that none of them has."""

    def __init__(self, form: XmlFormat, wanted: Collection[str], writer: RowWriter) -> None:
        self.unseen = UnseenColumns(form.columns, wanted)
        self._steps = {heading: value_path(path, form.namespaces) for heading, path in form.columns.items()}
        self._tags = [tags[0] for tags, attribute in self._steps.values() if len(tags) == 1 and attribute is None]
        self._is_flat = len(self._tags) == len(self._steps)
        self._writer = writer

    def take(self, row: Element) -> None:
        """Writes a row."""
        self._writer.row(self._values(row))
        if self.unseen.headings:
            names = dict.fromkeys([*(child.tag for child in row), *(f"@{name}" for name in row.attrib)])
            self.unseen.look(lambda heading: bool(_texts(row, *self._steps[heading])), names)

    def _values(self, row: Element) -> list[str]:
        if self._is_flat:
            children = {child.tag: child for child in row}
            if len(children) == len(row):
                get = children.get
                return ["" if (child := get(tag)) is None else _own_text(child) for tag in self._tags]
        return [_only(_texts(row, *steps)) for steps in self._steps.values()]


def _texts(row: Element, tags: tuple[str, ...], attribute: str | None) -> list[str]:
    """Every text that stands where a value of the row is expected."""
    elements = [row]
    for tag in tags:
        elements = [child for element in elements for child in element if child.tag == tag]
    if attribute is None:
        return [_own_text(element) for element in elements]
    return [element.attrib[attribute] for element in elements if attribute in element.attrib]


def _only(texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else UNREADABLE + " ".join(texts) if texts else ""


def _own_text(element: Element) -> str:
    if len(element):
        return UNREADABLE + " ".join("".join(element.itertext()).split())
    return (element.text or "").strip(_BLANKS)
