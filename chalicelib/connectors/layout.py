"""How the rows of a run's text are parted: what a quarantined row's text needs beside itself to be read again.

A row is kept as text. Which column of it is which says the file's line of headings, and where one ends, its format;
both are kept with the run whose rows were quarantined.
"""

from __future__ import annotations

import json
from collections.abc import Mapping as Table
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chalicelib.connectors.formats import STRAY_RETURN, TextFile
from chalicelib.connectors.forms.model import INNER_DELIMITER, DelimitedFormat
from chalicelib.connectors.mapping import Mapping
from chalicelib.connectors.quoting import INNER_LINE_END, split_record
from chalicelib.platform.errors import Invalid
from chalicelib.platform.tenant import Tenant

_NO_FILE = Path("-")


@dataclass(frozen=True)
class Layout:
    """The headings of a run's file, in order, and the format of the text that was made of it."""

    format: DelimitedFormat
    headings: tuple[str, ...]

    def by(self, mapping: Mapping) -> Layout:
        """The layout as the mapping of today reads such text: a mistaken quote or escape may have been put right.

        A file that is parted by other characters now was another kind of file, and its text stays what it was.
        """
        form = mapping.format
        if not isinstance(form, DelimitedFormat) or form.delimiter != self.format.delimiter:
            return self
        return Layout(form, self.headings)

    def text(self) -> TextFile:
        """A file of rows like these, as far as compiling a mapping looks at it: any row may hold blanks and carriage
        returns."""
        return TextFile(
            path=_NO_FILE,
            format=self.format,
            headings=self.headings,
            trailer=None,
            first_line=1,
            sha256="",
            bytes=0,
            lines=0,
            padded=True,
            stray_returns=1,
            unreadable=1,
        )

    def columns(self, raw: str) -> list[str]:
        """The columns of a row's text."""
        return split_record(raw, self.format)

    def with_values(self, raw: str, values: Table[str, str]) -> str:
        """The row's text with other values under some headings. Raises Invalid, pointing below `/values`, for a heading
        that the file does not have and for a value that the format cannot hold; where the row has not as many columns
        as there are headings, for every heading that is left out."""
        unknown = [heading for heading in values if heading not in self.headings]
        if unknown:
            raise Invalid(
                "the file has no such heading; it has " + ", ".join(name[:80] for name in self.headings[:100]),
                pointer=_pointer(unknown[0]),
            )
        columns = self.columns(raw)
        if len(columns) != len(self.headings):
            missing = [heading for heading in self.headings if heading not in values]
            if missing:
                raise Invalid(
                    f"the row has {len(columns)} columns and the file {len(self.headings)}: which is which is not "
                    "known, so a value is needed for every heading, or the corrected text",
                    pointer="/values",
                    missing=[name[:80] for name in missing[:100]],
                )
            columns = [""] * len(self.headings)
        columns = [values.get(heading, held) for heading, held in zip(self.headings, columns, strict=True)]
        text = self.format.delimiter.join(
            self._written(column, heading) for heading, column in zip(self.headings, columns, strict=True)
        )
        if self.columns(text) != columns:
            raise Invalid(
                "beside what parts the columns the values would be read as others, and the file's format has no quotes",
                pointer="/values",
            )
        return text

    def check_text(self, text: str) -> None:
        """Raises Invalid, pointing at `/text`, for a text that cannot be one row of the file."""
        if problem := self._problem(text, whole=True):
            raise Invalid(f"the text holds {problem}", pointer="/text")

    def _written(self, value: str, heading: str) -> str:
        if problem := self._problem(value, whole=False):
            raise Invalid(f"the value holds {problem}", pointer=_pointer(heading))
        quote, escape = self.format.quote, self.format.escape
        # Of a delimiter of several characters one alone, beside another, would part the columns elsewhere.
        if quote is None or not any(mark in value for mark in (quote, *self.format.delimiter, "\n")):
            return value
        if escape is None or escape == quote:
            return quote + value.replace(quote, quote * 2) + quote
        return quote + value.replace(escape, escape * 2).replace(quote, escape + quote) + quote

    def _problem(self, text: str, *, whole: bool) -> str | None:
        """What a row's text, or one value of it, holds that it cannot, or None."""
        if not text.isprintable() and any(mark in text for mark in ("\0", "\r")):
            return "a NUL or a carriage return"
        if any("\ud800" <= character <= "\udfff" for character in text):
            return "half a character"
        form = self.format
        if form.quote is None and form.delimiter != INNER_DELIMITER and "\n" in text:
            return "a line end, which the file's format has no quotes for"
        if not whole and form.quote is None and form.delimiter in text:
            return "what parts the columns, which the file's format has no quotes for"
        return None


def inner(raw: str) -> str:
    """A row's text as it stands in a staged text: on one line, its line ends marked."""
    return raw.replace("\n", INNER_LINE_END).replace("\r", STRAY_RETURN)


def store_layout(tenant: Tenant, run_id: str, text: TextFile) -> None:
    """Keeps the layout of a run's text."""
    document = {"format": text.format.model_dump(mode="json"), "headings": list(text.headings)}
    tenant.write_object(_key(tenant, run_id), json.dumps(document, ensure_ascii=False).encode())


def load_layout(tenant: Tenant, run_id: str) -> Layout:
    """The layout that was kept for a run, which has one if rows of it were quarantined and it was completed."""
    document = json.loads(tenant.read_object(_key(tenant, run_id)))
    return Layout(DelimitedFormat.model_validate(document["format"]), tuple(document["headings"]))


def by_heading(layout: Layout, raw: str) -> dict[str, str] | None:
    """The row's values by heading; None where it has not as many columns as there are headings."""
    columns: Sequence[str] = layout.columns(raw)
    return dict(zip(layout.headings, columns, strict=True)) if len(columns) == len(layout.headings) else None


def _key(tenant: Tenant, run_id: str) -> str:
    return tenant.object_key("runs", run_id, "layout.json")


def _pointer(heading: str) -> str:
    return "/values/" + heading.replace("~", "~0").replace("/", "~1")
