"""Workbooks (xlsx) put together part by part, as spreadsheet programs write them, for tests."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
DAY, MOMENT, TIME, ELAPSED, MONTH = "1", "2", "3", "4", "5"
"""The cell styles of the workbooks made here."""


def letters(column: int) -> str:
    """What a column (from 0) is called."""
    name = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        name = chr(65 + rest) + name
    return name


def number(text: str, style: str = "0") -> str:
    return f'<c r="{{}}" s="{style}"><v>{text}</v></c>'


def typed(kind: str, text: str) -> str:
    return f'<c r="{{}}" t="{kind}"><v>{escape(text)}</v></c>'


def inline(text: str) -> str:
    return f'<c r="{{}}" t="inlineStr"><is><t xml:space="preserve">{escape(text)}</t></is></c>'


@dataclass
class Book:
    """A workbook of one sheet; `rows` has by number the cells of each row: texts, which are shared, or their XML with
    `{}` where the cell's place stands."""

    rows: dict[int, Sequence[str]] = field(default_factory=dict)
    merged: Sequence[str] = ()
    sheets: Sequence[tuple[str, str]] = (("Sheet1", "visible"),)
    from_1904: bool = False
    namespace: str = MAIN
    office: str = OFFICE
    more_strings: str = ""
    parts: dict[str, str | bytes] = field(default_factory=dict)

    def content(self, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
        strings: dict[str, int] = {}
        sheet = self._sheet(strings)
        shared = "".join(f'<si><t xml:space="preserve">{escape(text)}</t></si>' for text in strings)
        parts = {
            "[Content_Types].xml": "<Types/>",
            "_rels/.rels": self._relations({"officeDocument": "xl/workbook.xml"}),
            "xl/workbook.xml": self._workbook(),
            "xl/_rels/workbook.xml.rels": self._relations(
                {"worksheet": "worksheets/sheet1.xml", "sharedStrings": "/xl/sharedStrings.xml", "styles": "styles.xml"}
            ),
            "xl/worksheets/sheet1.xml": sheet,
            "xl/styles.xml": self._styles(),
            "xl/sharedStrings.xml": f'<sst xmlns="{self.namespace}">{shared}{self.more_strings}</sst>',
        }
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", compression) as archive:
            for name, text in (parts | self.parts).items():
                archive.writestr(name, text)
        return buffer.getvalue()

    def _sheet(self, strings: dict[str, int]) -> str:
        rows = ""
        for at, cells in self.rows.items():
            written = ""
            for column, cell in enumerate(cells):
                if not cell.startswith("<c "):
                    cell = typed("s", str(strings.setdefault(cell, len(strings)))) if cell else ""
                written += cell.format(f"{letters(column)}{at}")
            rows += f'<row r="{at}" spans="1:{len(cells)}">{written}</row>'
        merged = "".join(f'<mergeCell ref="{place}"/>' for place in self.merged)
        return (
            f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\r\n<worksheet xmlns="{self.namespace}">'
            f'<dimension ref="A1"/><sheetData>{rows}</sheetData><mergeCells>{merged}</mergeCells></worksheet>'
        )

    def _workbook(self) -> str:
        sheets = "".join(
            f'<sheet name="{escape(name)}" sheetId="{n}" state="{state}" r:id="worksheet"/>'
            for n, (name, state) in enumerate(self.sheets, 1)
        )
        return (
            f'<workbook xmlns="{self.namespace}" xmlns:r="{self.office}">'
            f'<workbookPr date1904="{int(self.from_1904)}"/><sheets>{sheets}</sheets></workbook>'
        )

    def _styles(self) -> str:
        return (
            f'<styleSheet xmlns="{self.namespace}"><numFmts><numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd hh:mm"/>'
            '<numFmt numFmtId="165" formatCode="[h]:mm"/>'
            '<numFmt numFmtId="166" formatCode="[$-804]mmm&quot;day&quot;;@"/></numFmts>'
            '<cellXfs><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="164"/><xf numFmtId="20"/>'
            '<xf numFmtId="165"/><xf numFmtId="166"/></cellXfs></styleSheet>'
        )

    def _relations(self, targets: dict[str, str]) -> str:
        listed = "".join(
            f'<Relationship Id="{kind}" Type="{self.office}/{kind}" Target="{target}"/>'
            for kind, target in targets.items()
        )
        return f'<Relationships xmlns="{PACKAGE}">{listed}</Relationships>'
