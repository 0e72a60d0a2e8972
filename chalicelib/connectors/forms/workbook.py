"""A workbook (xlsx): a zip of XML parts, of which those are opened that say what a sheet's cells mean."""

from __future__ import annotations

import mmap
import posixpath
from array import array
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element
from zipfile import ZipInfo

from chalicelib.connectors.errors import FileRefused
from chalicelib.connectors.forms.base import MIB
from chalicelib.connectors.forms.cells import FormatKind, format_kind, plain_string
from chalicelib.connectors.forms.containers import Member, archive_at, files_in
from chalicelib.connectors.forms.delivered import Readable, spool
from chalicelib.connectors.forms.elements import Elements

MAX_STRINGS = 8_000_000
"""How many texts cells may share; where each stands is held in memory, eight bytes for each."""
_NAMESPACES = (
    "http://schemas.openxmlformats.org/spreadsheetml/2006/main",
    "http://purl.oclc.org/ooxml/spreadsheetml/main",
)
_RELATIONSHIP_IDS = (
    "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id",
    "{http://purl.oclc.org/ooxml/officeDocument/relationships}id",
)
_RELATIONSHIPS = "{http://schemas.openxmlformats.org/package/2006/relationships}"
_MOST_OF_AN_ELEMENT = 16 * MIB
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_ENCRYPTED = 0x1


@dataclass(frozen=True, slots=True)
class SheetPart:
    """A worksheet: its name, the part that holds it, and whether it is hidden."""

    name: str
    part: str
    is_hidden: bool


class Workbook:
    """A workbook in a file, until the stack ends.

    `sheets` are its worksheets in their order, `from_1904` says from which day it counts, `format_kinds` what each cell
    style makes of a number. Raises `FileRefused`.
    """

    def __init__(self, source: Readable, work: Path, at_most: int, stack: ExitStack) -> None:
        path = work / "delivered.xlsx"
        stack.callback(path.unlink, missing_ok=True)
        spool(source, path, at_most)
        _check_kind(path)
        self._archive = archive_at(path, stack)
        self._parts = {_part_name(listed.filename): listed for listed in files_in(self._archive)}
        self._at_most = at_most
        self._work = work
        self._stack = stack
        book = next((target for kind, _, target in self._related("") if kind == "officeDocument"), None)
        if book is None or _part_name(book) not in self._parts:
            raise FileRefused("broken_document", "The zip holds no workbook")
        if book.endswith(".bin"):
            raise FileRefused("broken_document", "The file is a binary workbook (.xlsb); accepted is .xlsx")
        related = list(self._related(book))
        self._by_kind = {kind: target for kind, _, target in related}
        self.from_1904 = False
        self.sheets: list[SheetPart] = []
        worksheets = {name: target for kind, name, target in related if kind == "worksheet"}
        for tag, element in self.elements(book, "workbook/workbookPr", "workbook/sheets/sheet"):
            if tag == "workbookPr":
                self.from_1904 = element.get("date1904", "0") in ("1", "true")
            elif (part := worksheets.get(_relationship_id(element))) is not None:
                is_hidden = element.get("state", "visible") != "visible"
                self.sheets.append(SheetPart(element.get("name", ""), part, is_hidden))
        self.format_kinds = self._format_kinds()

    def elements(self, part: str, *paths: str) -> Iterator[tuple[str, Element]]:
        """The elements of a part that stand at one of the paths (names without their namespace), each with its own
        name."""
        wanted = {
            tuple(f"{{{namespace}}}{name}" for name in path.split("/")) for path in paths for namespace in _NAMESPACES
        }
        for path, element in Elements(self._open(part), wanted, _MOST_OF_AN_ELEMENT):
            yield path[-1].rpartition("}")[2], element

    def shared_strings(self) -> SharedStrings:
        """The texts that cells share, by their number."""
        part = self._by_kind.get("sharedStrings")
        texts = () if part is None else (text_in(element) for _, element in self.elements(part, "sst/si"))
        return SharedStrings(iter(texts), self._work / "shared-strings", self._stack)

    def _format_kinds(self) -> list[FormatKind]:
        part = self._by_kind.get("styles")
        if part is None:
            return []
        codes: dict[int, str] = {}
        kinds: list[FormatKind] = []
        for tag, element in self.elements(part, "styleSheet/numFmts/numFmt", "styleSheet/cellXfs/xf"):
            number = element.get("numFmtId", "0")
            number = int(number) if number.isdecimal() else 0
            if tag == "numFmt":
                codes[number] = element.get("formatCode", "")
            else:
                kinds.append(format_kind(number, codes.get(number)))
        return kinds

    def _related(self, part: str) -> Iterator[tuple[str, str, str]]:
        """Of each part that another refers to: in what kind of relation, by which id, and its name."""
        folder, name = posixpath.split(part)
        path = (f"{_RELATIONSHIPS}Relationships", f"{_RELATIONSHIPS}Relationship")
        listed = Elements(self._open(posixpath.join(folder, "_rels", f"{name}.rels")), {path}, _MOST_OF_AN_ELEMENT)
        for _, element in listed:
            target = posixpath.normpath(posixpath.join("/", folder, element.get("Target", "")))
            yield element.get("Type", "").rpartition("/")[2], element.get("Id", ""), target

    def _open(self, part: str) -> Readable:
        listed: ZipInfo | None = self._parts.get(_part_name(part))
        if listed is None:
            raise FileRefused("broken_document", "The workbook lacks a part that it refers to, or that every one has")
        if listed.flag_bits & _ENCRYPTED:
            raise FileRefused("unreadable_member", "The workbook is encrypted with a password")
        return Member(self._archive, listed, self._at_most)


class SharedStrings:
    """Texts on disk, by their number."""

    def __init__(self, texts: Iterator[str], path: Path, stack: ExitStack) -> None:
        self._ends = array("Q", [0])
        stack.callback(path.unlink, missing_ok=True)
        written = 0
        with path.open("wb") as out:
            for text in texts:
                encoded = text.encode(errors="surrogatepass")
                written += out.write(encoded)
                self._ends.append(written)
                if len(self._ends) > MAX_STRINGS:
                    raise FileRefused("unpacks_too_far", f"The workbook has more than {MAX_STRINGS} shared texts")
        self._texts = b""
        if written:
            file = stack.enter_context(path.open("rb"))
            self._texts = stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def __getitem__(self, number: int) -> str:
        """The text of that number; raises IndexError where there is none."""
        if number < 0:
            raise IndexError(number)
        end = self._ends[number + 1]
        return self._texts[self._ends[number] : end].decode(errors="surrogatepass")


def text_in(element: Element) -> str:
    """The text of an element that holds it whole or in runs of different looks; not how it is pronounced."""
    parts: list[str | None] = []
    for child in element:
        tag = child.tag.rpartition("}")[2]
        if tag == "t":
            parts.append(child.text)
        elif tag == "r":
            parts += [inner.text for inner in child if inner.tag.endswith("}t")]
    return plain_string(parts)


def _check_kind(path: Path) -> None:
    with path.open("rb") as file:
        begin = file.read(4)
    if not begin:
        raise FileRefused("empty_file", "The file is empty")
    if begin == _OLE:
        raise FileRefused(
            "wrong_container",
            "The file is a workbook of before 2007 (.xls) or protected by a password; accepted is .xlsx without one",
        )
    if begin != _ZIP:
        raise FileRefused("wrong_container", "The file is no workbook (.xlsx), as the mapping says it is")


def _part_name(name: str) -> str:
    return name.lstrip("/").lower()


def _relationship_id(element: Element) -> str:
    return next((element.attrib[name] for name in _RELATIONSHIP_IDS if name in element.attrib), "")
