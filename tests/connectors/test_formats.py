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

NAMED = {"header": False, "names": ["a", "b"]}
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
        (b"HDR\na||c\n1||2\n", {"skip_lines": 1}, "missing_column", 2, None),
        (b"HDR\n\na||b\n", {"skip_lines": 1}, "empty_file", 2, None),
        (b"HDR\na||b", {"skip_lines": 2}, "empty_file", None, None),
        (b"# one\n# two\n", {"comment": "#"}, "empty_file", None, None),
        (b"# one\na||b||a\n", {"comment": "#"}, "duplicate_column", 2, None),
        (b"", NAMED, "empty_file", None, None),
        (b"HDR\n", NAMED | {"skip_lines": 2}, "empty_file", None, None),
        (b"1||2\n", {"header": False, "names": ["a", "c"]}, "missing_column", None, None),
        (b"1||2\n", NAMED | {"trailer": TRAILER}, "missing_trailer", 1, None),
        (b"HDR\n1||2\nTRL||one||2\n", NAMED | {"skip_lines": 1, "trailer": TRAILER}, "unreadable_trailer", 3, None),
        (b"a||b\n1||\xff\xff\n", {"encoding": "big5"}, "wrong_encoding", 2, 8),
        (b"a||b\n1||\x8012\n", {"encoding": "latin-1"}, "wrong_encoding", 2, 8),
        (b"a||b\n1||\x8112\n", {"encoding": "cp1252"}, "wrong_encoding", 2, 8),
        ("a||größe\n".encode(), {"encoding": "cp1252", "columns": ("größe",)}, "wrong_encoding", 1, 0),
        ("a||帳號\n".encode("big5"), {"encoding": "gbk", "columns": ("a", "帳號")}, "wrong_encoding", 1, 0),
        ("HDR\na||é\n".encode(), {"encoding": "cp1252", "skip_lines": 1, "columns": ("é",)}, "wrong_encoding", 2, None),
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


@pytest.mark.parametrize(
    ("content", "members", "rows", "first_line"),
    [
        (b"1||2\n3||4\n", NAMED, b"1||2\n3||4\n", 1),
        (b"\xef\xbb\xbf1||2\n", NAMED, b"1||2\n", 1),
        (b"HDR 2005\r\n1||2\r\n", NAMED | {"skip_lines": 1}, b"1||2\n", 2),
        (b"HDR\n#\n1||2\n", NAMED | {"skip_lines": 1, "comment": "#"}, b"\n1||2\n", 2),
        (b"HDR\n", NAMED | {"skip_lines": 1}, b"", 2),
        (b"HDR\n\nx\na||b\n1||2\n", {"skip_lines": 3}, b"1||2\n", 5),
        (b"# made by\n#\na||b\n1||2\n#3||4\n5||# 6\n", {"comment": "#"}, b"1||2\n\n5||# 6\n", 4),
        ("a||b\n※ 注||1\n1||※\n".encode(), {"comment": "※"}, "\n1||※\n".encode(), 2),
        (b'a||b\n#1||"x\n1||"2\n3"\n', {"comment": "#", "quote": '"'}, '\n1||"2\ufdd03"\n\n'.encode(), 2),
        (b'a||b\n1||"x\n#y"\n#"\n', {"comment": "#", "quote": '"'}, '1||"x\ufdd0#y"\n\n\n'.encode(), 2),
        (b"a||b\n1||2\n#\nTRL||1||2\n#\n", {"comment": "#", "trailer": TRAILER}, b"1||2\n\n", 2),
    ],
)
def test_what_stands_before_the_rows_or_is_none_is_held_back_and_lines_keep_their_numbers(
    tmp_path, content, members, rows, first_line
):
    text = read(content, tmp_path, **members)
    assert (text.path.read_bytes(), text.first_line, text.headings) == (rows, first_line, ("a", "b"))
    assert text.lines == rows.count(b"\n")


@pytest.mark.parametrize("delimiter", ["|!", "\x01", "\t", "^|^", "§§§§"])
def test_what_parts_columns_may_be_any_mark_of_up_to_four_characters(tmp_path, delimiter):
    text = read(f"a|b{delimiter}b\n1|{delimiter}!2\n".encode(), tmp_path, columns=("a|b", "b"), delimiter=delimiter)
    assert text.headings == ("a|b", "b")


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("big5", "恒碁裏".encode("cp950")),
        ("big5hkscs", "恒碁裏".encode("big5hkscs")),
        ("cp1252", b"\x80 \x93Stra\xdfe\x94"),
        ("latin-1", b"\xa4 Stra\xdfe"),
    ],
)
def test_a_text_is_read_in_the_encoding_that_the_mapping_names(tmp_path, encoding, written):
    meant = {"cp1252": "€ “Straße”", "latin-1": "¤ Straße"}.get(encoding, "恒碁裏")
    text = read(b"a||b\n1||" + written + b"\n", tmp_path, encoding=encoding)
    assert text.path.read_text(encoding="utf-8") == f"1||{meant}\n"


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
    skipped=st.integers(0, 3),
    ends=st.lists(st.sampled_from(["\n", "\r\n"]), min_size=30, max_size=30),
    block=st.integers(1, 40),
    trailer=st.booleans(),
)
def test_any_lines_come_through_in_blocks_of_any_size(tmp_path_factory, lines, encoding, skipped, ends, block, trailer):
    folder = tmp_path_factory.mktemp("text")
    all_lines = [*["HDR||5"] * skipped, "a||b", *lines, *(["TRL||1||2"] if trailer else [])]
    content = "".join(line + end for line, end in zip(all_lines, ends, strict=False)).encode(encoding)
    whole, formats.BLOCK = formats.BLOCK, block
    try:
        text = read(content, folder, encoding=encoding, skip_lines=skipped, trailer=TRAILER if trailer else None)
    finally:
        formats.BLOCK = whole
    written = text.path.read_bytes().decode().split("\n")[:-1]
    assert [line.strip() for line in written] == [line.strip() for line in lines]
    assert (text.lines, text.first_line) == (len(lines), skipped + 2)


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
