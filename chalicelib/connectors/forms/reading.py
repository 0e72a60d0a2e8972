"""From a delivered file of any form to checked text."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from chalicelib.connectors.forms.containers import opened
from chalicelib.connectors.forms.delivered import Delivered, Readable
from chalicelib.connectors.forms.model import Form

if TYPE_CHECKING:
    from chalicelib.connectors.formats import TextFile


def read_file(source: Readable, into: Path, form: Form, *, columns: Collection[str] = ()) -> TextFile:
    """Unpack the file in `source`, check it, and write its rows to `into` (its folder is used for what is unpacked);
    `columns` are the headings that must be there.

    Digest and length are those of the file as delivered. Raises `FileRefused` (the codes are in its docstring).
    """
    delivered = Delivered.of(source)
    with opened(delivered, form, into.parent) as content:
        text = _read(content, into, form, columns)
    delivered.drain()
    return replace(text, sha256=delivered.sha256, bytes=delivered.bytes)


def _read(content: Readable, into: Path, form: Form, columns: Collection[str]) -> TextFile:
    # Each reader is imported where a file of its kind is read: a function that only parses mappings needs none.
    match form.kind:
        case "delimited":
            from chalicelib.connectors.formats import read_text

            return read_text(content, into, form, columns=columns)
        case "fixed-width":
            from chalicelib.connectors.forms.fixed_width import read_fixed_width

            return read_fixed_width(content, into, form, columns=columns)
        case "json":
            from chalicelib.connectors.forms.documents import read_json

            return read_json(content, into, form, columns=columns)
        case "ndjson":
            from chalicelib.connectors.forms.documents import read_ndjson

            return read_ndjson(content, into, form, columns=columns)
        case "xml":
            from chalicelib.connectors.forms.xml import read_xml

            return read_xml(content, into, form, columns=columns)
        case "xlsx":
            from chalicelib.connectors.forms.spreadsheets import read_xlsx

            return read_xlsx(content, into, form, columns=columns)
        case "parquet":
            from chalicelib.connectors.forms.columnar import read_parquet

            return read_parquet(content, into, form, columns=columns)
