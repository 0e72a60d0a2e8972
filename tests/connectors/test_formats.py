"""Bytes become checked text, or the whole file is refused with the place at fault."""

from __future__ import annotations

import hashlib
import io
import tracemalloc
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.connectors import formats
from chalicelib.connectors.errors import FileRefused
from chalicelib.connectors.formats import TextFile, read_text
from chalicelib.connectors.forms.model import DelimitedFormat

TRAILER = {"prefix": "TRL", "count": 1, "total": 2, "total_field": "account.balance"}


def form(**members: Any) -> DelimitedFormat:
    return DelimitedFormat.model_validate({"kind": "delimited", "encoding": "utf-8", "delimiter": "||"} | members)


def read(content: bytes, folder: Path, columns: tuple[str, ...] = ("a", "b"), **members: Any) -> TextFile:
    return read_text(io.BytesIO(content), folder / "rows.txt", form(**members), columns=columns)


@pytest.mark.parametrize(
    ("content", "members", "code", "line", "byte"),
    [
        (b"", {}, "empty_file", None, None),
        (b"\xef\xbb\xbf", {}, "empty_file", 1, None),
        (b"\n1||2\n", {}, "empty_file", 1, None),
        (b"a||b\n1||\xd6\xd0\n", {}, "wrong_encoding", 2, 8),
        ("a||b\n1||中\n".encode("gb18030") + b"\xff\n", {"encoding": "gb18030"}, "wrong_encoding", 3, 11),
        ("a||账号\n1||2\n".encode(), {"encoding": "gb18030", "columns": ("a", "账号")}, "wrong_encoding", 1, 0),
        ("a||b\n1||2\n".encode("utf-16-le"), {}, "nul_byte", 1, 1),
        (b"a||b\n1||2\n3||\x004\n", {}, "nul_byte", 3, 13),
        (b"a||b\n" + b"x" * 101 + b"\n", {"max_line_bytes": 100}, "line_too_long", 2, 5),
        (b"a||b\n1||2\n" + b"x" * 101, {"max_line_bytes": 100}, "line_too_long", 3, 10),
        (b"a||c\n1||2\n", {}, "missing_column", 1, None),
        (b"a||b||a\n1||2||3\n", {}, "duplicate_column", 1, None),
        (b"a||b\n1||2\n", {"trailer": TRAILER}, "missing_trailer", 2, None),
        (b"a||b\n", {"trailer": TRAILER}, "missing_trailer", 1, None),
        (b"a||b\n1||2\nTRL||one||2\n", {"trailer": TRAILER}, "unreadable_trailer", 3, None),
        (b"a||b\n1||2\nTRL||1\n\n\n", {"trailer": TRAILER}, "unreadable_trailer", 3, None),
        (b"a||b\n1||2\nTRL||1||1,000\n", {"trailer": TRAILER}, "unreadable_trailer", 3, None),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_its_place(tmp_path, content, members, code, line, byte):
    with pytest.raises(FileRefused) as refused:
        read(content, tmp_path, **members)
    assert (refused.value.code, refused.value.line, refused.value.byte) == (code, line, byte)


def test_a_missing_column_is_named_beside_those_there_are(tmp_path):
    with pytest.raises(FileRefused, match=r"'b'.*a, c, d") as refused:
        read(b"a||c||d\n", tmp_path)
    assert refused.value.extra["missing"] == ["b"]
    assert refused.value.extra["found"] == ["a", "c", "d"]


class Endless(io.RawIOBase):
    """A line of 200 MB that is never in memory as a whole."""

    def __init__(self) -> None:
        self.given = 0

    def read(self, size: int = -1) -> bytes:
        if self.given >= 200_000_000:
            return b""
        block = b"a||b\n" if self.given == 0 else b"x" * size
        self.given += len(block)
        return block


def test_a_line_of_200_mb_is_refused_without_being_held(tmp_path):
    source = Endless()
    tracemalloc.start()
    with pytest.raises(FileRefused, match="longer than the 1048576 bytes"):
        read_text(source, tmp_path / "rows.txt", form(), columns=("a",))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert source.given < 3_000_000
    assert peak < 10_000_000


def test_a_line_may_be_exactly_as_long_as_allowed(tmp_path):
    text = read(b"a||b\n" + b"x" * 100 + b"\n" + b"y" * 100, tmp_path, max_line_bytes=100)
    assert text.path.read_bytes() == b"x" * 100 + b"\n" + b"y" * 100 + b"\n"


def test_mixed_line_ends_and_a_missing_last_one_give_one_line_each(tmp_path):
    text = read(b"a||b\r\n1||2\n3||4\r\n5||6", tmp_path)
    assert text.path.read_bytes() == b"1||2\n3||4\n5||6\n"
    assert (text.lines, text.stray_returns) == (3, 0)


def test_a_carriage_return_inside_a_line_ends_no_line_and_is_counted(tmp_path):
    text = read(b"a||b\n1||x\ry\n", tmp_path)
    assert text.path.read_text() == "1||x\u240dy\n"
    assert text.stray_returns == 1


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_a_byte_order_mark_is_no_part_of_the_first_heading(tmp_path, encoding):
    assert read("\ufeffa||b\n1||2\n".encode(encoding), tmp_path, encoding=encoding).headings == ("a", "b")


def test_a_delimiter_inside_a_character_of_two_bytes_parts_nothing(tmp_path):
    # The second byte of each of these is that of "|", and gb18030 has such characters in many names.
    content = "a||b\n倈倈||亅|\n".encode("gb18030")
    text = read(content, tmp_path, encoding="gb18030")
    assert text.path.read_text(encoding="utf-8") == "倈倈||亅|\n"


def test_heading_and_trailer_are_held_back_and_the_digest_is_of_the_bytes_delivered(tmp_path):
    content = "a||b\r\n1||2\r\n\r\nTRL||1||12.30\r\n\r\n".encode("gb18030")
    text = read(content, tmp_path, encoding="gb18030", trailer=TRAILER)
    assert text.path.read_bytes() == b"1||2\n\n"
    assert text.trailer == formats.TrailerLine(line=4, count=1, total=Decimal("12.30"))
    assert (text.sha256, text.bytes) == (hashlib.sha256(content).hexdigest(), len(content))


def test_blanks_at_the_edge_of_a_column_are_noticed(tmp_path):
    assert not read("a||b\n1 2||王　伟\n".encode(), tmp_path).padded
    for line in (" 1||2", "1||2 ", "1 ||2", "1||　2", "1||\t2"):
        assert read(f"a||b\n{line}\n".encode(), tmp_path).padded


@given(
    lines=st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30), max_size=20),
    encoding=st.sampled_from(["utf-8", "gb18030"]),
    ends=st.lists(st.sampled_from(["\n", "\r\n"]), min_size=30, max_size=30),
    block=st.integers(1, 40),
    trailer=st.booleans(),
)
def test_any_lines_come_through_in_blocks_of_any_size(tmp_path_factory, lines, encoding, ends, block, trailer):
    folder = tmp_path_factory.mktemp("text")
    all_lines = ["a||b", *lines, *(["TRL||1||2"] if trailer else [])]
    content = "".join(line + end for line, end in zip(all_lines, ends, strict=False)).encode(encoding)
    whole, formats.BLOCK = formats.BLOCK, block
    try:
        text = read(content, folder, encoding=encoding, trailer=TRAILER if trailer else None)
    finally:
        formats.BLOCK = whole
    written = text.path.read_bytes().decode().split("\n")[:-1]
    assert [line.strip() for line in written] == [line.strip() for line in lines]
    assert text.lines == len(lines)


def test_a_file_without_headings_is_refused_without_repeating_what_may_be_a_borrower(tmp_path):
    first = "6200000000000001||张三||110101199003070011||13800000000||0.00||0.00\n"
    form = DelimitedFormat(kind="delimited", encoding="utf-8", delimiter="||")
    with pytest.raises(FileRefused) as refused:
        read_text(io.BytesIO(first.encode()), tmp_path / "out", form, columns=["账号", "客户姓名"])
    assert refused.value.code == "missing_column"
    told = str(refused.value.problem())
    assert "账号" in told
    assert "6 columns" in told
    for personal in ("张三", "110101199003070011", "13800000000", "0.00"):
        assert personal not in told
