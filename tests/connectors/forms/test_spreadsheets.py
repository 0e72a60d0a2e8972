"""Workbooks: the text of what each cell shows, exactly, and what a table is not refused by its place."""

from __future__ import annotations

import io
import zipfile
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.connectors.errors import FileRefused
from chalicelib.connectors.formats import UNREADABLE
from chalicelib.connectors.forms.cells import format_kind, number_text
from tests.connectors.forms.packing import packed
from tests.connectors.forms.reading import read, refused, rows
from tests.connectors.forms.workbooks import DAY, ELAPSED, MOMENT, MONTH, TIME, Book, inline, number, typed

XLSX = {"kind": "xlsx"}
HEADINGS = ("账号", "姓名")


def value(tmp_path, cell: str, **members: object) -> str:
    content = Book({1: HEADINGS, 2: ("A1", cell)}, **members).content()
    [[_, text]] = rows(read(tmp_path, content, XLSX))
    return text


def test_rows_stand_below_the_headings_and_keep_their_numbers(tmp_path):
    book = Book(
        {
            1: ("催收名单",),
            3: (" 账号 ", "逾期\n金额"),
            5: ("A1", number("12.5")),
            6: ("", " "),
            8: ("A2",),
            9: ("", ""),
        },
        merged=["A1:B1"],
    )
    text = read(tmp_path, book.content(), XLSX | {"header_row": 3, "first_row": 5}, ("账号",))
    assert (text.headings, text.first_line) == (("账号", "逾期 金额"), 5)
    assert rows(text) == [["A1", "12.5"], [], [], ["A2", ""]]


@pytest.mark.parametrize(
    ("form", "found"),
    [
        ({"ends_before": "合计"}, ["A1", "A2"]),
        ({"last_row": 2}, ["A1"]),
        ({"ends_before": "A2"}, ["A1"]),
        ({"last_row": 3}, ["A1", "A2"]),
    ],
)
def test_sums_and_notes_below_the_table_are_no_rows(tmp_path, form, found):
    book = Book({1: HEADINGS, 2: ("A1",), 3: ("A2",), 5: ("", "合计:", "3"), 6: ("A9",)}, merged=["A6:B6"])
    assert [row[0] for row in rows(read(tmp_path, book.content(), XLSX | form))] == found


@pytest.mark.parametrize(
    ("written", "shows"),
    [
        ("0.1", "0.1"),
        ("8.1999999999999993", "8.2"),
        ("0.30000000000000004", "0.3"),
        ("1234567890123.45", "1234567890123.45"),
        ("12345678901234.56", "12345678901234.56"),
        ("123456789012345", "123456789012345"),
        ("1.23456789012345E+14", "123456789012345"),
        ("1E+3", "1000"),
        ("1.5E-7", "0.00000015"),
        ("-0", "0"),
        ("100.0", "100"),
        ("007", "7"),
        ("1234567890123456", UNREADABLE + "1234567890123456"),
        ("1.1010119800101E+17", UNREADABLE + "1.1010119800101E+17"),
        ("0." + "1" * 40, "0." + "1" * 16),
        ("NaN", UNREADABLE + "NaN"),
        ("1e999", UNREADABLE + "1e999"),
        ("1,5", UNREADABLE + "1,5"),
    ],
)
def test_a_number_is_the_decimal_that_was_typed(tmp_path, written, shows):
    assert value(tmp_path, number(written)) == shows


@settings(max_examples=200, deadline=None)
@given(st.decimals(-(10**12), 10**12, places=2))
def test_any_amount_comes_back_however_a_program_writes_its_float(amount):
    for written in (str(amount), repr(float(amount)), f"{float(amount):.17g}"):
        assert Decimal(number_text(written)) == amount


@pytest.mark.parametrize(
    ("written", "style", "shows"),
    [
        ("1", DAY, "1900-01-01"),
        ("59", DAY, "1900-02-28"),
        ("60", DAY, UNREADABLE + "60"),
        ("61", DAY, "1900-03-01"),
        ("46081", DAY, "2026-02-28"),
        ("46081", MONTH, "2026-02-28"),
        ("46081.5", MOMENT, "2026-02-28 12:00:00"),
        ("46080.999999999", MOMENT, "2026-02-28"),
        ("0.5", TIME, "12:00:00"),
        ("46081.75", TIME, "2026-02-28 18:00:00"),
        ("1.5", ELAPSED, "1.5"),
        ("0", DAY, UNREADABLE + "0"),
        ("-1", DAY, UNREADABLE + "-1"),
        ("2958465", DAY, "9999-12-31"),
        ("2958466", DAY, UNREADABLE + "2958466"),
        ("nan", DAY, UNREADABLE + "nan"),
        ("soon", DAY, UNREADABLE + "soon"),
    ],
)
def test_a_number_that_is_shown_as_a_day_is_one(tmp_path, written, style, shows):
    assert value(tmp_path, number(written, style)) == shows


@given(st.dates(date(1904, 1, 2), date(9999, 12, 31)))
@settings(max_examples=25, deadline=None)
def test_any_day_is_the_same_counted_from_1900_and_from_1904(tmp_path_factory, day):
    folder = tmp_path_factory.mktemp("days")
    from_1900, from_1904 = (str((day - start).days) for start in (date(1899, 12, 30), date(1904, 1, 1)))
    assert value(folder, number(from_1900, DAY)) == f"{day:%Y-%m-%d}"
    assert value(folder, number(from_1904, DAY), from_1904=True) == f"{day:%Y-%m-%d}"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("General", "number"),
        ("0.00_);[Red](0.00)", "number"),
        ('0.00"day"', "number"),
        (r"#,##0\d", "number"),
        ("0.00E+00", "number"),
        ("[$¥-804]#,##0.00", "number"),
        ("[hh]:mm:ss", "number"),
        ("yyyy-m-d", "day"),
        ('yyyy"年"m"月"d"日"', "day"),
        ("[$-804]d mmm;@", "day"),
        ("mmm", "day"),
        ("h:mm AM/PM", "time"),
        ("mm:ss.0", "time"),
    ],
)
def test_a_number_format_says_what_a_number_means(code, kind):
    assert format_kind(164, code) == kind


@pytest.mark.parametrize(
    ("cell", "shows"),
    [
        ("王 伟", "王 伟"),
        (inline(" a&b "), " a&b "),
        (typed("str", "from a formula"), "from a formula"),
        (typed("b", "1"), "true"),
        (typed("b", "0"), "false"),
        (typed("d", "2026-02-28T00:00:00.000"), "2026-02-28"),
        (typed("d", "2026-02-28T12:30:00Z"), "2026-02-28 12:30:00"),
        (typed("e", "#N/A"), UNREADABLE + "#N/A"),
        ('<c r="{}"><f>A1*2</f></c>', UNREADABLE),
        ('<c r="{}"><f>A1*2</f><v></v></c>', UNREADABLE),
        ('<c r="{}" t="str"><f>A1</f><v></v></c>', ""),
        ('<c r="{}"><f>A1*2</f><v>7</v></c>', "7"),
        ('<c r="{}" s="1"/>', ""),
        ('<c r="{}" t="s"><v>0</v></c>', "账号"),
        ("a_x000D_\nb_x005F_x000D_", "a\nb_x000D_"),
        ("a_x0000__xD800_", "a\u2400\ufffd"),
    ],
)
def test_a_cell_of_any_type_is_text(tmp_path, cell, shows):
    assert value(tmp_path, cell) == shows


def test_a_text_in_several_looks_is_one_and_how_it_is_spoken_is_none_of_it(tmp_path):
    rich = "<si><r><rPr/><t>王</t></r><r><t xml:space='preserve'> 伟</t></r><rPh><t>wang</t></rPh></si>"
    book = Book({1: HEADINGS, 2: (typed("s", "2"), typed("s", "2"))}, more_strings=rich)
    assert rows(read(tmp_path, book.content(), XLSX)) == [["王 伟", "王 伟"]]


def test_cells_without_places_follow_one_another(tmp_path):
    book = Book({1: HEADINGS, 3: ("A1", "x")})
    sheet = book._sheet({"账号": 0, "姓名": 1})
    for part in ("1", "3"):
        sheet = sheet.replace(f' r="{part}"', "").replace(f' r="A{part}"', "").replace(f' r="B{part}"', "")
    book.parts["xl/worksheets/sheet1.xml"] = sheet
    assert rows(read(tmp_path, book.content(), XLSX)) == [["A1", "x"]]


def test_a_strict_workbook_is_read(tmp_path):
    book = Book(
        {1: HEADINGS, 2: ("A1", number("1", DAY))},
        namespace="http://purl.oclc.org/ooxml/spreadsheetml/main",
        office="http://purl.oclc.org/ooxml/officeDocument/relationships",
    )
    assert rows(read(tmp_path, book.content(), XLSX)) == [["A1", "1900-01-01"]]


def test_what_stands_beside_the_table_gives_its_row_another_number_of_columns(tmp_path):
    book = Book({1: ("a", "", "c"), 2: ("1", "", "3"), 3: ("1", "", "3", " ", "see note")})
    text = read(tmp_path, book.content(), XLSX)
    assert (text.headings, rows(text)) == (("a", "", "c"), [["1", "", "3"], ["1", "", "3", "see note"]])


@pytest.mark.parametrize(
    ("merged", "form", "says"),
    [
        (["A1:B1"], {}, "over the row of headings, 1"),
        (["A1:A2"], {"header_row": 2}, "over the row of headings, 2"),
        (["A1:A3"], {"first_row": 3}, "over the row of headings, 1"),
        (["A3:A4"], {}, "each row and column"),
        (["B4:C4"], {}, "each row and column"),
    ],
)
def test_merged_cells_in_the_table_are_refused_by_their_place(tmp_path, merged, form, says):
    book = Book({1: ("x", "y"), 2: ("x", "y"), 3: ("A1", "y"), 4: ("A2", "z")}, merged=merged)
    error = refused(tmp_path, book.content(), XLSX | form)
    assert (error.code, merged[0] in error.detail, says in error.detail) == ("merged_cells", True, True)


def test_merged_cells_beside_the_table_matter_to_nobody(tmp_path):
    book = Book({1: ("x", "y"), 2: (), 3: ("A1", "y")}, merged=["A1:A2", "C1:D9", "A4:B4"])
    assert rows(read(tmp_path, book.content(), XLSX | {"first_row": 3})) == [["A1", "y"]]


@pytest.mark.parametrize(
    ("sheets", "name", "code"),
    [
        ([("甲", "visible")], None, None),
        ([("甲", "visible"), ("乙", "hidden")], None, None),
        ([("甲", "hidden"), ("乙", "visible")], "甲", None),
        ([("甲", "visible"), ("乙", "visible")], None, "ambiguous_sheet"),
        ([("甲", "visible")], "乙", "ambiguous_sheet"),
        ([("甲", "hidden")], None, "ambiguous_sheet"),
    ],
)
def test_the_sheet_is_the_one_named_or_the_only_one_shown(tmp_path, sheets, name, code):
    content = Book({1: HEADINGS, 2: ("A1", "x")}, sheets=sheets).content()
    form = XLSX | ({"sheet": name} if name else {})
    if code is None:
        assert rows(read(tmp_path, content, form)) == [["A1", "x"]]
    else:
        error = refused(tmp_path, content, form)
        assert (error.code, all(repr(each) in error.detail for each, _ in sheets)) == (code, True)


@pytest.mark.parametrize(
    ("headings", "wanted", "code"),
    [
        (("a", "b"), ("a", "x"), "missing_column"),
        (("a", "b", "a"), ("a",), "duplicate_column"),
        ((), (), "empty_file"),
        (tuple(f"c{n}" for n in range(10_000)), ("c1",), "too_many_columns"),
    ],
)
def test_headings_that_cannot_be_told_are_refused(tmp_path, headings, wanted, code):
    error = refused(tmp_path, Book({1: headings, 2: ("1",)}).content(), XLSX, wanted)
    assert (error.code, error.line) == (code, 1)


def test_a_sheet_without_rows_is_read_and_one_without_headings_is_not(tmp_path):
    assert rows(read(tmp_path, Book({1: HEADINGS}).content(), XLSX)) == []
    assert refused(tmp_path, Book({1: HEADINGS}).content(), XLSX | {"header_row": 2}).code == "empty_file"


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (b"", "empty_file", "empty"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "wrong_container", "before 2007"),
        ("账号,姓名\n".encode(), "wrong_container", "no workbook"),
        (Book({1: HEADINGS}).content()[:-30], "wrong_container", "cut short"),
        (packed(b"x", "zip"), "broken_document", "lacks a part"),
    ],
)
def test_what_is_no_workbook_is_refused_by_name(tmp_path, content, code, says):
    error = refused(tmp_path, content, XLSX)
    assert (error.code, says in error.detail) == (code, True), error.detail


@pytest.mark.parametrize(
    ("part", "text", "code"),
    [
        ("xl/worksheets/sheet1.xml", "<worksheet><sheetData>", "broken_document"),
        ("xl/workbook.xml", '<!DOCTYPE x [<!ENTITY a "b">]><workbook/>', "document_type"),
        ("xl/sharedStrings.xml", "<sst/>", "broken_document"),
        ("xl/_rels/workbook.xml.rels", "<Relationships/>", "ambiguous_sheet"),
        ("_rels/.rels", "<Relationships/>", "broken_document"),
        ("xl/../../evil", "x", "unsafe_member"),
    ],
)
def test_a_workbook_with_a_broken_part_is_refused(tmp_path, part, text, code):
    assert refused(tmp_path, Book({1: HEADINGS, 2: ("A",)}, parts={part: text}).content(), XLSX).code == code


@pytest.mark.parametrize(
    "cells", ['<row r="3"/><row r="2"/>', '<row r="1048577"/>', '<row r="x"/>', '<row><c r="ZZZ1"><v>1</v></c></row>']
)
def test_places_that_no_sheet_has_are_refused(tmp_path, cells):
    sheet = Book({1: HEADINGS})._sheet({}).replace("</sheetData>", cells + "</sheetData>")
    content = Book({1: HEADINGS}, parts={"xl/worksheets/sheet1.xml": sheet}).content()
    assert refused(tmp_path, content, XLSX).code == "broken_document"


def test_a_bomb_is_refused_and_not_unpacked(tmp_path):
    bomb = b"<worksheet>" + b" " * (64 << 20)
    content = Book({1: HEADINGS}, parts={"xl/worksheets/sheet1.xml": bomb}).content()
    assert len(content) < 1 << 20
    assert refused(tmp_path, content, XLSX).code == "unpacks_too_far"
    stored = Book({1: HEADINGS}, parts={"xl/worksheets/sheet1.xml": bomb[: 12 << 20]}).content(zipfile.ZIP_STORED)
    assert refused(tmp_path, stored, XLSX | {"max_unpacked_bytes": 13 << 20}).code in (
        "broken_document",
        "line_too_long",
    )


def test_a_long_text_that_every_cell_shares_does_not_grow_without_end(tmp_path):
    long = "x" * 30_000
    content = Book({1: HEADINGS} | dict.fromkeys(range(2, 300), (long, long))).content()
    assert refused(tmp_path, content, XLSX | {"max_unpacked_bytes": 10 << 20}).code == "unpacks_too_far"


def test_a_workbook_may_come_in_a_zip(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("list.xlsx", Book({1: HEADINGS, 2: ("A1", "x")}).content())
    assert rows(read(tmp_path, buffer.getvalue(), XLSX | {"container": "zip"})) == [["A1", "x"]]


texts = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="_\ufdd0\ufffd\ufffe\uffff"),
    max_size=8,
)
cells = st.one_of(
    texts.map(lambda text: (text, text)),
    texts.map(lambda text: (inline(text).replace("{", "{{").replace("}", "}}").replace("{{}}", "{}", 1), text)),
    st.decimals(-(10**12), 10**12, places=2).map(
        lambda n: (number(f"{float(n):.17g}"), f"{n.normalize():f}" if n else "0")
    ),
    st.dates(date(1900, 3, 1)).map(lambda day: (number(str((day - date(1899, 12, 30)).days), DAY), f"{day:%Y-%m-%d}")),
    st.booleans().map(lambda is_so: (typed("b", str(int(is_so))), "true" if is_so else "false")),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(cells, cells, cells), max_size=6))
def test_any_table_written_as_a_workbook_comes_back(tmp_path_factory, table):
    book = Book({1: ("a", "b", "c", "end")} | {n: [*(cell for cell, _ in row), "."] for n, row in enumerate(table, 2)})
    folder = tmp_path_factory.mktemp("xlsx")
    expected = [[*(shows for _, shows in row), "."] for row in table]
    assert rows(read(folder, book.content(), XLSX)) == expected


@given(st.binary(max_size=40), st.integers(0, 4_000))
@settings(max_examples=60, deadline=None)
def test_whatever_bytes_stand_in_it_it_is_read_or_refused(tmp_path_factory, noise, at):
    content = Book({1: HEADINGS, 2: ("A1", number("1", DAY))}).content(zipfile.ZIP_STORED)
    try:
        read(tmp_path_factory.mktemp("any"), content[:at] + noise + content[at + len(noise) :], XLSX)
    except FileRefused as error:
        assert error.detail
