"""Records cut by bytes: what is in them comes out as it went in, and what cannot be read costs its own row only."""

from __future__ import annotations

import io
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from chalicelib.connectors.errors import FileRefused
from chalicelib.connectors.formats import UNREADABLE, TextFile
from chalicelib.connectors.forms import fixed_records
from chalicelib.connectors.forms.encodings import readable
from chalicelib.connectors.forms.fixed_width import read_fixed_width
from chalicelib.connectors.forms.model import INNER_DELIMITER, FixedColumn, FixedWidthFormat
from chalicelib.connectors.quoting import INNER_LINE_END
from tests.connectors.forms.mainframe import EBCDIC, in_bytes, in_order, record

NAMES = in_order({"name": "key", "length": 4}, {"name": "who", "length": 6}, {"name": "due", "length": 8})


def form(places: list[FixedColumn] = NAMES, **members: Any) -> FixedWidthFormat:
    described = {} if "copybook" in members else {"columns": [place.model_dump() for place in places]}
    return FixedWidthFormat.model_validate({"kind": "fixed-width", "encoding": "utf-8"} | described | members)


@pytest.fixture
def read(tmp_path: Path):
    def reading(content: bytes, form: FixedWidthFormat) -> tuple[TextFile, list[list[str]]]:
        return read_in(tmp_path, content, form)

    return reading


def read_in(folder: Path, content: bytes, form: FixedWidthFormat) -> tuple[TextFile, list[list[str]]]:
    """The file as text, and the columns of its lines."""
    text = read_fixed_width(io.BytesIO(content), folder / "rows.txt", form)
    lines = (folder / "rows.txt").read_bytes().decode().split("\n")
    assert lines.pop() == "", "every line is ended"
    return text, [line.split(INNER_DELIMITER) for line in lines]


def values(read, content: bytes, form: FixedWidthFormat) -> list[list[str]]:
    return read(content, form)[1]


def refusal(read, content: bytes, form: FixedWidthFormat) -> FileRefused:
    with pytest.raises(FileRefused) as refused:
        read(content, form)
    return refused.value


# --- text


@pytest.mark.parametrize("encoding", ["gb18030", "gbk", "big5", "big5hkscs", "utf-8"])
def test_columns_are_measured_in_bytes_and_a_cut_character_costs_its_own_value_only(read, encoding):
    def line(key: str, name: bytes) -> bytes:
        return key.encode() + name[:6].ljust(6) + b"20050301\n"

    cut = b"A" + "王小明".encode(encoding)  # of whatever width a character is, byte 6 is inside one
    whole = "王小".encode(encoding)
    text, rows = read(line("K001", whole) + line("K002", cut) + line("K003", whole), form(encoding=encoding))
    assert rows[0] == ["K001", "王小" + " " * (6 - len(whole)), "20050301"]
    assert rows[1][0] == "K002" and rows[1][2] == "20050301"
    assert UNREADABLE in rows[1][1] and rows[1][1].startswith("A王")
    assert rows[2] == ["K003", rows[0][1], "20050301"]
    assert (text.headings, text.lines, text.first_line) == (("key", "who", "due"), 3, 1)
    assert text.unreadable == rows[1][1].count(UNREADABLE)


def test_a_character_of_four_bytes_that_is_cut_is_unreadable(read):
    assert all(
        UNREADABLE
        in values(
            read, b"K001" + b"A" * (6 - kept) + "𠮷".encode("gb18030")[:kept] + b"20050301\n", form(encoding="gb18030")
        )[0][1]
        for kept in (1, 2, 3)
    )


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_lines_end_as_they_like_and_the_last_may_not(read, end):
    lines = [b"K001ZHANG 20050301", b"K002WANG  20050302"]
    for content in (end.join(lines), end.join(lines) + end):
        assert values(read, content, form()) == [["K001", "ZHANG ", "20050301"], ["K002", "WANG  ", "20050302"]]


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_a_byte_order_mark_is_no_part_of_the_first_record(read, encoding):
    assert values(read, "\ufeffK001ZHANG 20050301\n".encode(encoding), form(encoding=encoding))[0][0] == "K001"


def test_blank_lines_are_no_rows_but_are_counted(read):
    text, rows = read(b"\nK001ZHANG 20050301\n\n\nK002WANG  20050302\n\n", form())
    assert rows == [[""], ["K001", "ZHANG ", "20050301"], [""], [""], ["K002", "WANG  ", "20050302"], [""]]
    assert text.lines == 6


def test_columns_may_share_bytes_leave_some_out_and_stand_in_any_order(read):
    columns = [FixedColumn(name=n, start=s, length=k) for n, s, k in (("day", 13, 2), ("due", 7, 8), ("year", 7, 4))]
    assert values(read, b"K001--20050301--\n", form(columns)) == [["01", "20050301", "2005"]]


def test_what_stands_behind_the_last_column_is_not_looked_at(read):
    content = b"K001ZHANG 20050301\xff\xff\nK002WANG  20050302 and more\n"
    assert [row[0] for row in values(read, content, form())] == ["K001", "K002"]


def test_a_line_too_short_for_a_column_leaves_it_unread_or_is_read_as_if_blanks_followed(read):
    content = b"K001ZHANG 20050301\nK002WANG\nK003LI    2005\n"
    rejected = values(read, content, form())
    assert rejected[0] == ["K001", "ZHANG ", "20050301"]
    assert rejected[1] == ["K002", "WANG" + UNREADABLE * 2, UNREADABLE * 8]
    assert rejected[2] == ["K003", "LI    ", "2005" + UNREADABLE * 4]
    assert values(read, content, form(short_lines="pad"))[1:] == [
        ["K002", "WANG  ", " " * 8],
        ["K003", "LI    ", "2005    "],
    ]


def test_a_line_of_another_length_than_all_should_have_is_not_cut_at_all(read):
    content = b"K001ZHANG 20050301\nK002WANG 20050301\nK003\xc3\xa9ZHANG 20050301\nK004LI    20050301\n"
    rows = values(read, content, form(record_length=18))
    assert rows == [
        ["K001", "ZHANG ", "20050301"],
        ["K002WANG 20050301"],
        ["K003éZHANG 20050301"],
        ["K004", "LI    ", "20050301"],
    ]


def test_blanks_and_controls_inside_a_value_are_shown_for_what_they_are(read):
    shown = {
        b"A\0\0\0\0\0": "A",
        b"\0" * 6: "",
        b"A\0B   ": f"A{UNREADABLE}B   ",
        b"A\tB   ": "A\tB   ",
        b"A\rB   ": f"A{UNREADABLE}B   ",
        b"A\x1fB   ": f"A{UNREADABLE}B   ",
        b"A\x1a\x1c\x1d\x1eB": f"A{UNREADABLE * 4}B",
        b"A\x7fB   ": f"A{UNREADABLE}B   ",
        b"\xff" * 6: UNREADABLE * 6,
        b"A\xed\xa0\x80B ": f"A{UNREADABLE * 3}B ",
    }
    for inside, expected in shown.items():
        assert values(read, b"K001" + inside + b"20050301\n", form())[0] == ["K001", expected, "20050301"], inside


def test_latin_1_has_no_characters_at_80_to_9f(read):
    content = b"K001Jos\xe9 \x8020050301\n"
    assert values(read, content, form(encoding="latin-1"))[0][1] == f"José {UNREADABLE}"
    assert values(read, content, form(encoding="cp1252"))[0][1] == "José €"


# --- records without line ends


def test_records_follow_one_another_and_a_line_end_inside_one_is_part_of_its_value(read):
    bare = form(record_length=18, record_end="none")
    content = b"K001A\nB   20050301K002A\r\nB  20050302"
    assert [row[1] for row in values(read, content, bare)] == [f"A{INNER_LINE_END}B   ", f"A{INNER_LINE_END}B  "]


@pytest.mark.parametrize(("encoding", "ends"), [("cp037", b"\x15\x25"), ("cp500", b"\x15\x25")])
def test_ebcdic_is_read_with_its_own_line_ends_and_controls(read, encoding, ends):
    name = "Z[]!".encode(encoding)
    content = b"".join(
        "K001".encode(encoding) + inside + "20050301".encode(encoding)
        for inside in (name + ends, b"\0" * 6, b"\xff" * 6, b"\x40" * 6, b"\x05\x1f\x3f\x0d\x20\x41")
    )
    rows = values(read, content, form(encoding=encoding, record_length=18, record_end="none"))
    assert [row[1] for row in rows] == [
        f"Z[]!{INNER_LINE_END * 2}",
        "",
        UNREADABLE * 6,
        " " * 6,
        f"\t{UNREADABLE * 4}\u00a0",
    ]
    assert {(row[0], row[2]) for row in rows} == {("K001", "20050301")}


def test_chinese_ebcdic_is_read_and_what_was_cut_is_unreadable(read):
    columns = in_order({"name": "who", "length": 10}, {"name": "wide", "length": 4, "kind": "graphic"})
    wide = in_bytes("王伟", "cp935")[1:-1]

    def stored(name: bytes, graphic: bytes = wide) -> bytes:
        return name[:10].ljust(10, b"\x40") + graphic

    content = b"".join(
        (
            stored(in_bytes("张A伟", "cp935")),
            stored(in_bytes("阿依古丽江", "cp935")),  # cut inside: its shift-in is lost
            stored(in_bytes("A阿依古丽江", "cp935")),  # cut inside a character
            stored(in_bytes("$~\\", "cp935"), b"\x40" * 4),
            stored(b"\x0f\x48", wide[:2] + b"\xff\xff"),
        )
    )
    rows = values(read, content, form(columns, encoding="cp935", record_length=14, record_end="none"))
    assert rows[0] == ["张A伟 ", "王伟"]
    assert UNREADABLE in rows[1][0] and rows[1][1] == "王伟"
    assert UNREADABLE in rows[2][0] and rows[2][1] == "王伟"
    assert rows[3] == ["$~\\" + " " * 7, "\u3000\u3000"]
    assert rows[4][0] == UNREADABLE * 2 + " " * 8 and UNREADABLE in rows[4][1]


def test_graphic_text_of_other_encodings_is_text(read):
    columns = in_order({"name": "who", "length": 4, "kind": "graphic"}, {"name": "end", "length": 1})
    assert values(read, "王伟X\n".encode("gb18030"), form(columns, encoding="gb18030")) == [["王伟", "X"]]


@pytest.mark.parametrize("left", [1, 17])
def test_a_file_that_ends_inside_a_record_is_refused_with_its_place(read, left):
    bare = form(record_length=18, record_end="none")
    refused = refusal(read, b"K001ZHANG 20050301" * 3 + b"K" * left, bare)
    assert (refused.code, refused.line) == ("cut_record", 4)
    assert f"{left} bytes are left over after 3 records of 18 bytes" in refused.detail


def test_a_record_length_that_is_not_the_files_is_refused(read):
    content = b"K001ZHANG 20050301\n" * 3
    assert refusal(read, content, form(record_length=18, record_end="none")).code == "cut_record"


def test_an_empty_file_is_refused_and_one_of_header_and_trailer_is_a_file_without_rows(read):
    ends = {"skip_records": 1, "header_prefix": "HDR", "trailer": {"prefix": "TRL", "count": {"start": 4, "length": 3}}}
    assert refusal(read, b"", form()).code == "empty_file"
    assert refusal(read, b"", form(**ends)).code == "empty_file"
    text, rows = read(b"HDR20050301\nTRL000\n", form(**ends))
    assert (rows, text.lines, text.trailer.count, text.trailer.line) == ([], 0, 0, 2)


# --- header and trailer

ENDS = {
    "skip_records": 1,
    "header_prefix": "HDR",
    "trailer": {
        "prefix": "TRL",
        "count": {"start": 4, "length": 6},
        "total": {"start": 10, "length": 9, "kind": "zoned", "scale": 2},
        "total_field": "account.balance",
    },
}


def framed(trailer: bytes, header: bytes = b"HDR20050301       ") -> bytes:
    return b"\n".join([header, b"K001ZHANG 20050301", b"K002WANG  20050302", trailer])


@pytest.mark.parametrize("after", [b"", b"\n", b"\r\n", b"\n\n\n"])
def test_header_and_trailer_are_no_rows_and_the_trailer_says_count_and_total(read, after):
    text, rows = read(framed(b"TRL00000200001234E") + after, form(**ENDS))
    assert [row[0] for row in rows] == ["K001", "K002"]
    assert (text.trailer.line, text.trailer.count, text.trailer.total) == (4, 2, Decimal("123.45"))
    assert (text.first_line, text.lines) == (2, 2)


def test_the_trailer_of_records_without_line_ends_is_read_too(read):
    packed = {"prefix": "TRL", "count": {"start": 4, "length": 3, "kind": "packed"}}
    content = "K001ZHANG 20050301".encode("cp037") * 2 + "TRL".encode("cp037") + b"\x00\x00\x2c" + b"\0" * 12
    text, rows = read(content, form(encoding="cp037", record_length=18, record_end="none", trailer=packed))
    assert (len(rows), text.trailer.count, text.trailer.line) == (2, 2, 3)


@pytest.mark.parametrize(
    ("content", "code", "line"),
    [
        (framed(b"TRL000002", header=b"K000LI    20050301"), "missing_header", 1),
        (framed(b"K003LI    20050301"), "missing_trailer", 4),
        (framed(b"TR"), "missing_trailer", 4),
        (framed(b"TRL000002"), "unreadable_trailer", 4),
        (framed(b"TRL00000X00001234E"), "unreadable_trailer", 4),
        (framed(b"TRL000002000012345"[:17] + b"\n"), "unreadable_trailer", 4),
    ],
)
def test_a_file_without_its_header_or_trailer_is_refused(read, content, code, line):
    refused = refusal(read, content, form(**ENDS))
    assert (refused.code, refused.line) == (code, line)
    assert "LI" not in refused.detail, "a row is never quoted"


def test_a_prefix_that_the_encoding_cannot_write_begins_no_record(read):
    assert (
        refusal(read, framed(b"TRL"), form(encoding="gbk", skip_records=1, header_prefix="𠮷")).code == "missing_header"
    )


def test_a_line_that_never_ends_is_refused_and_not_held(read, monkeypatch):
    monkeypatch.setattr(fixed_records, "BLOCK", 64)
    content = b"K001ZHANG 20050301\n" * 10 + b"x" * 5000
    refused = refusal(read, content, form(max_line_bytes=100))
    assert (refused.code, refused.line) == ("line_too_long", 11)


# --- numbers

PACKED = in_order({"name": "n", "length": 3, "kind": "packed", "scale": 2})
UNSIGNED = in_order({"name": "n", "length": 3, "kind": "packed", "scale": 2, "signed": False})
ZONED = in_order({"name": "n", "length": 4, "kind": "zoned", "scale": 2})
BAD = UNREADABLE


def number(read, stored: bytes, columns: list[FixedColumn], encoding: str = "cp037") -> str:
    bare = form(columns, encoding=encoding, record_length=len(stored), record_end="none")
    [[shown]] = values(read, stored, bare)
    return shown


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("12345C", "123.45"),
        ("12345D", "-123.45"),
        ("12345F", "123.45"),
        ("12345A", "123.45"),
        ("12345B", "-123.45"),
        ("12345E", "123.45"),
        ("00000C", "0.00"),
        ("00000D", "-0.00"),
        ("00001D", "-0.01"),
        ("00100C", "1.00"),
        ("123450", f"{BAD}123.45"),
        ("123459", f"{BAD}123.45"),
        ("1A345C", f"1{BAD}3.45"),
        ("0A345C", f"{BAD}3.45"),
        ("FFFFFF", f"{BAD * 3}.{BAD * 2}"),
        ("000000", ""),
        ("404040", ""),
    ],
)
def test_packed_decimals(read, stored, shown):
    assert number(read, bytes.fromhex(stored), PACKED) == shown


def test_a_minus_is_no_part_of_a_number_without_sign(read):
    assert number(read, bytes.fromhex("12345F"), UNSIGNED) == "123.45"
    assert number(read, bytes.fromhex("12345C"), UNSIGNED) == "123.45"
    assert number(read, bytes.fromhex("12345D"), UNSIGNED) == f"{BAD}123.45"


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("F1F2F3C4", "12.34"),
        ("F1F2F3D4", "-12.34"),
        ("F1F2F3F4", "12.34"),
        ("F0F0F0C0", "0.00"),
        ("F0F0F0D0", "-0.00"),
        ("F1F2F334", f"{BAD}12.3{BAD}"),
        ("F1C2F3C4", f"1{BAD}.34"),
        ("40F2F3C4", f"{BAD}2.34"),
        ("40404040", ""),
        ("00000000", ""),
        ("FFFFFFFF", f"{BAD * 3}.{BAD * 2}"),
    ],
)
def test_zoned_decimals_in_ebcdic(read, stored, shown):
    assert number(read, bytes.fromhex(stored), ZONED) == shown


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        (b"1234", "12.34"),
        (b"123D", "12.34"),
        (b"123M", "-12.34"),
        (b"123{", "12.30"),
        (b"123}", "-12.30"),
        (b"123t", "-12.34"),
        (b"123-", f"{BAD}12.3{BAD}"),
        (b"12.4", f"12.{BAD}4"),
        (b"    ", ""),
        (b" 234", f"{BAD}2.34"),
    ],
)
def test_zoned_decimals_in_ascii(read, stored, shown):
    assert number(read, stored, ZONED, "gb18030") == shown


@pytest.mark.parametrize(
    ("sign", "stored", "shown"),
    [
        ("leading", b"}123", "-1.23"),
        ("leading-separate", b"-123", "-1.23"),
        ("leading-separate", b"+123", "1.23"),
        ("leading-separate", b" 123", f"{BAD}1.23"),
        ("trailing-separate", b"123-", "-1.23"),
        ("trailing-separate", b"1-3-", f"-1.{BAD}3"),
    ],
)
def test_a_sign_stands_where_its_place_says(read, sign, stored, shown):
    columns = in_order({"name": "n", "length": 4, "kind": "zoned", "scale": 2, "sign": sign})
    assert number(read, stored, columns, "utf-8") == shown


@pytest.mark.parametrize("length", [2, 4, 8])
def test_binary_numbers_up_to_the_last(read, length):
    bits = 8 * length
    for value in (0, 1, -1, 2 ** (bits - 1) - 1, -(2 ** (bits - 1))):
        columns = in_order({"name": "n", "length": length, "kind": "binary"})
        assert number(read, value.to_bytes(length, "big", signed=True), columns) == str(value)
    unsigned = in_order({"name": "n", "length": length, "kind": "binary", "signed": False, "scale": 1})
    assert number(read, b"\xff" * length, unsigned, "latin-1") == str(Decimal(2**bits - 1) / 10)


def test_a_number_with_more_decimals_than_digits_is_filled_with_zeros(read):
    columns = in_order({"name": "n", "length": 1, "kind": "packed", "scale": 4})
    assert number(read, b"\x5d", columns) == "-0.0005"


def test_a_number_that_cannot_be_read_does_not_touch_those_around_it(read):
    columns = in_order(*({"name": name, "length": 3, "kind": "packed", "scale": 2} for name in "ab"))
    stored = [bytes.fromhex(text) for text in ("00001C00002C", "FFFFFF00004C", "00000000006D")]
    rows = values(read, b"".join(stored), form(columns, encoding="cp037", record_length=6, record_end="none"))
    assert rows == [["0.01", "0.02"], [f"{BAD * 3}.{BAD * 2}", "0.04"], ["", "-0.06"]]


# --- the document


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({"record_end": "none"}, "needs record_length"),
        ({"encoding": "cp037"}, "EBCDIC"),
        ({"record_length": 17}, "behind byte 17"),
        ({"record_length": 18, "short_lines": "pad"}, "short_lines"),
        ({"header_prefix": "H"}, "skip_records"),
        ({"copybook": "05 A PIC N.", "record_length": 2, "record_end": "none", "encoding": "cp037"}, "two bytes"),
        ({"columns": [{"name": "a", "start": 1, "length": 3, "kind": "graphic"}]}, "two bytes"),
        ({"copybook": "05 A PIC X."}, None),
        ({"copybook": "05 A PIC X", "columns": None}, "does not end with a period"),
        ({"copybook": "05 A PIC S9(3) COMP-3."}, 'record_end = "none"'),
        ({"copybook": "05 A PIC X(9).", "record_length": 8}, "behind byte 8"),
        ({"columns": [{"name": "a", "start": 1, "length": 2}] * 2}, "more than one a"),
        ({"columns": [{"name": "a", "start": 1, "length": 3, "kind": "binary"}]}, "2, 4 or 8"),
        ({"columns": [{"name": "a", "start": 1, "length": 21, "kind": "packed"}]}, "38 digits"),
        ({"columns": [{"name": "a", "start": 1, "length": 2, "scale": 1}]}, "scale"),
        ({"columns": [{"name": "a", "start": 1, "length": 2, "sign": "leading"}]}, "sign"),
        (
            {"columns": [{"name": "a", "start": 1, "length": 1, "kind": "zoned", "sign": "leading-separate"}]},
            "separate",
        ),
    ],
)
def test_a_form_that_cannot_be_read_by_is_no_form(members, sentence):
    if sentence is None:
        assert form(**members).known_headings == ("A",)
        return
    with pytest.raises(ValidationError, match=sentence):
        form(**members)


# --- properties

ENCODINGS = ("utf-8", "gb18030", "gbk", "big5", "latin-1", "cp1252", *EBCDIC)


def _comes_back(encoding: str) -> Callable[[str], bool]:
    """Whether the encoding has the character, and one meaning for it: Windows wrote some of Big5 as others."""

    def comes_back(character: str) -> bool:
        try:
            written = in_bytes(character, encoding)
        except UnicodeEncodeError:
            return False
        return character != UNREADABLE and readable(written, encoding) == character

    return comes_back


def _columns(draw: st.DrawFn) -> list[FixedColumn]:
    def column(name: str) -> dict[str, Any]:
        kind = draw(st.sampled_from(["text", "text", "zoned", "packed", "binary"]))
        if kind == "text":
            return {"name": name, "length": draw(st.integers(1, 30))}
        length = draw(st.sampled_from([2, 4, 8])) if kind == "binary" else draw(st.integers(2, 10))
        signed = draw(st.booleans())
        sign = "trailing"
        if kind == "zoned" and signed:
            sign = draw(st.sampled_from(["trailing", "leading", "trailing-separate", "leading-separate"]))
        scale = draw(st.integers(0, 4))
        return {"name": name, "length": length, "kind": kind, "signed": signed, "sign": sign, "scale": scale}

    return in_order(*(column(f"c{n}") for n in range(draw(st.integers(2, 6)))))


def _value(draw: st.DrawFn, column: FixedColumn, encoding: str) -> Any:
    if column.kind == "text":
        codec = {"cp935": "gb2312", "big5": "cp950"}.get(encoding, encoding)
        characters = st.characters(codec=codec, exclude_categories=["Cc", "Cs", "Cn"])
        text = "".join(filter(_comes_back(encoding), draw(st.text(characters, max_size=column.length))))
        while len(in_bytes(text, encoding)) > column.length:
            text = text[:-1]
        return text.rstrip(" ")
    if column.kind == "binary":
        most = 2 ** (8 * column.length - column.signed) - 1
    else:
        digits = 2 * column.length - 1 if column.kind == "packed" else column.length - column.sign.endswith("separate")
        most = 10**digits - 1
    return Decimal(draw(st.integers(-most if column.signed else 0, most))).scaleb(-column.scale)


@pytest.mark.filterwarnings("ignore::hypothesis.errors.NonRoundTrippableCharactersWarning")
@settings(max_examples=120, deadline=None)
@given(st.data(), st.sampled_from(ENCODINGS), st.sampled_from([1, 7, 64, 1 << 18]))
def test_any_rows_come_back_as_they_were_written(tmp_path_factory, data, encoding, block):
    columns = data.draw(st.composite(_columns)())
    table = data.draw(
        st.lists(st.fixed_dictionaries({c.name: st.composite(_value)(c, encoding) for c in columns}), max_size=20)
    )
    length = columns[-1].end + data.draw(st.integers(0, 3))
    content = b"".join(record(row, columns, encoding, length=length) for row in table)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fixed_records, "BLOCK", block)
        bare = form(columns, encoding=encoding, record_length=length, record_end="none")
        if not table:
            with pytest.raises(FileRefused):
                read_in(tmp_path_factory.mktemp("f"), content, bare)
            return
        text, rows = read_in(tmp_path_factory.mktemp("f"), content, bare)
    assert (text.lines, text.unreadable, text.bytes) == (len(table), 0, len(content))
    for row, shown in zip(table, rows, strict=True):
        for column, value in zip(columns, shown, strict=True):
            if column.kind == "text":
                assert value.rstrip(" ") == row[column.name]
            else:
                assert value == f"{row[column.name]:.{column.scale}f}"


@settings(max_examples=150, deadline=None)
@given(st.data(), st.binary(max_size=400), st.sampled_from(ENCODINGS), st.sampled_from([3, 64, 1 << 18]))
def test_any_bytes_give_a_row_of_all_columns_for_each_record(tmp_path_factory, data, content, encoding, block):
    columns = data.draw(st.composite(_columns)())
    length = columns[-1].end
    content = content[: len(content) // length * length]
    bare = form(columns, encoding=encoding, record_length=length, record_end="none")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fixed_records, "BLOCK", block)
        if not content:
            return
        text, rows = read_in(tmp_path_factory.mktemp("f"), content, bare)
    assert len(rows) == text.lines == len(content) // length
    assert {len(row) for row in rows} == {len(columns)}


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from([b"", b"K001ZHANG 20050301", b"K1", b"K002WANG  20050301x", b"\xff" * 18])), st.booleans()
)
def test_lines_of_any_length_are_cut_as_each_of_them_alone(tmp_path_factory, lines, exact):
    lined = form(record_length=18 if exact else None)
    if not lines:
        return
    folder = tmp_path_factory.mktemp("f")
    together = read_in(folder, b"\n".join(lines) + b"\n", lined)[1]
    assert together == [read_in(folder, line + b"\n", lined)[1][0] for line in lines]
