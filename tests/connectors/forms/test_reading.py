"""A file is read through what it is packed in, and is known by the bytes that were delivered."""

from __future__ import annotations

import gzip
import hashlib
import io

import pytest

from chalicelib.connectors.errors import FileRefused
from chalicelib.connectors.forms import read_file
from chalicelib.connectors.forms.inner import line_of, shown, shown_in_sql
from chalicelib.connectors.forms.model import INNER, DelimitedFormat
from chalicelib.connectors.quoting import INNER_LINE_END
from chalicelib.connectors.staging import connect
from tests.connectors.forms.packing import packed

CONTENT = b"a,b\n1,2\n"


def form(**members: object) -> DelimitedFormat:
    return DelimitedFormat.model_validate({"kind": "delimited", "encoding": "utf-8", "delimiter": ","} | members)


@pytest.mark.parametrize("kind", ["none", "gzip", "zip", "zip in zip"])
def test_digest_and_length_are_those_of_the_file_as_delivered(tmp_path, kind):
    delivered = packed(CONTENT, kind)
    text = read_file(io.BytesIO(delivered), tmp_path / "rows.txt", form(container=kind.split()[0]), columns=["b"])
    assert (text.path.read_bytes(), text.headings, text.lines) == (b"1,2\n", ("a", "b"), 1)
    assert (text.sha256, text.bytes) == (hashlib.sha256(delivered).hexdigest(), len(delivered))
    assert [path.name for path in tmp_path.iterdir()] == ["rows.txt"]


def test_a_place_at_fault_is_one_of_the_content(tmp_path):
    with pytest.raises(FileRefused) as refused:
        read_file(io.BytesIO(gzip.compress(b"a,b\n1,\xff\n")), tmp_path / "rows.txt", form(container="gzip"))
    assert (refused.value.code, refused.value.line, refused.value.byte) == ("wrong_encoding", 2, 6)


@pytest.mark.parametrize(
    ("value", "stands_as"),
    [
        ("王 伟", "王 伟"),
        ("", ""),
        ("a\r\nb\nc", f"a{INNER_LINE_END}b{INNER_LINE_END}c"),
        ("a\rb", "a\u240db"),
        ("a\0b\x1fc", "a\u2400b\u241fc"),
        ("\t\x01", "\t\x01"),
    ],
)
def test_a_value_parts_neither_columns_nor_lines_of_the_text_made_for_it(tmp_path, value, stands_as):
    assert shown(value) == stands_as
    with connect(tmp_path) as con:
        assert con.execute(f"SELECT {shown_in_sql('?')}", [value]).fetchall() == [(stands_as,)]
    line = line_of([value, "x"])
    assert line.rstrip("\n").split(INNER.delimiter) == [stands_as, "x"]
