"""Files of any form, read as a run reads them, for tests."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from chalicelib.connectors.errors import FileRefused
from chalicelib.connectors.formats import TextFile
from chalicelib.connectors.forms import Form, read_file
from chalicelib.connectors.forms.model import INNER_DELIMITER
from chalicelib.connectors.quoting import INNER_LINE_END

Rows = list[list[str]]


def read(folder: Path, content: bytes, document: dict[str, Any], columns: tuple[str, ...] = ()) -> TextFile:
    form = TypeAdapter(Form).validate_python(document)
    return read_file(io.BytesIO(content), folder / "rows.txt", form, columns=columns)


def rows(text: TextFile) -> Rows:
    """The columns of each line; none of a blank one."""
    lines = text.path.read_bytes().decode().split("\n")[:-1]
    assert len(lines) == text.lines
    columns = [line.replace(INNER_LINE_END, "\n").split(INNER_DELIMITER) for line in lines]
    return [values if line else [] for line, values in zip(lines, columns, strict=True)]


def refused(folder: Path, content: bytes, document: dict[str, Any], columns: tuple[str, ...] = ()) -> FileRefused:
    with pytest.raises(FileRefused) as caught:
        read(folder, content, document, columns)
    assert [path.name for path in folder.iterdir()] in ([], ["rows.txt"])
    return caught.value
