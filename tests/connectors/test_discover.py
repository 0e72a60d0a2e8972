"""What a sample is found to be: encoding, delimiter, quotes, headings, trailer and columns."""

from __future__ import annotations

import gzip
import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.connectors.discover import Discovery, discover
from chalicelib.connectors.mapping import from_dict
from chalicelib.connectors.preview import preview
from chalicelib.connectors.profile import profile, shape_of
from chalicelib.connectors.samples import Sample, inline_sample
from chalicelib.connectors.synonyms import synonyms
from chalicelib.platform.errors import Invalid
from tests.connectors.delivery import DAY
from tests.connectors.institution import Loan, extract, file_name, late

CHINESE = extract([Loan(n, balance=str(5000 + n)) for n in range(1, 30)] + [late(30)])
TAIWAN = "\n".join(
    ["帳號|客戶編號|客戶姓名|行動電話|聯絡地址|幣別|未償餘額|逾期金額|逾期起日"]
    + [
        f"0012{n:08d}|A{n}|陳大文|0912345678|臺北市中正區重慶南路一段122號|新臺幣|{n * 100}|{n}|2025/03/01"
        for n in range(1, 30)
    ]
)
EUROPE = "\r\n".join(
    ["Loan No;Client ID;Name;Balance;Arrears;Due Date;Ccy"]
    + [f"L{n:04d};{n % 9};Jürgen Größe;{n}.50;{n % 2};0{1 + n % 9}.03.2025;EUR" for n in range(1, 30)]
)


def found(content: bytes, *, whole: bool = True, name: str | None = None) -> Discovery:
    return discover(Sample(content, whole, name))


@pytest.mark.parametrize(
    ("text", "written", "encoding", "delimiter"),
    [
        (CHINESE.decode("gb18030"), "gb18030", "gb18030", "||"),
        (CHINESE.decode("gb18030"), "gbk", "gb18030", "||"),
        (CHINESE.decode("gb18030"), "utf-8", "utf-8", "||"),
        (CHINESE.decode("gb18030"), "utf-8-sig", "utf-8", "||"),
        (TAIWAN, "cp950", "big5", "|"),
        (TAIWAN, "utf-8", "utf-8", "|"),
        (EUROPE, "latin-1", "latin-1", ";"),
        (EUROPE.replace("Größe", "“Größe”"), "cp1252", "cp1252", ";"),
        (EUROPE, "utf-8", "utf-8", ";"),
    ],
)
def test_encoding_and_delimiter_are_found_and_the_proposal_reads_the_file(text, written, encoding, delimiter):
    content = text.encode(written)
    discovery = found(content, name="x_20250930.txt")
    assert (discovery.format["encoding"], discovery.format["delimiter"]) == (encoding, delimiter)
    assert [each for each in discovery.suggestion.missing if each.required] == []
    shown = preview(Sample(content, True), from_dict(discovery.mapping), business_date=DAY, rows=5)
    assert (shown.read, shown.counts["rows"]) == (True, discovery.rows)


@pytest.mark.parametrize("delimiter", ["|!", "||", "|", "\t", "\x01", ";", "^", "~|~", "@@", ","])
def test_any_usual_delimiter_is_found(delimiter):
    table = [["账号", "客户号", "逾期金额", "备注"], *([f"A{n}", f"C{n}", f"{n}.5", ""] for n in range(1, 20))]
    content = "\n".join(delimiter.join(line) for line in table).encode()
    assert found(content).format["delimiter"] == delimiter


def test_a_trailer_is_proposed_where_it_counts_the_rows_and_sums_a_column():
    discovery = found(CHINESE, name=file_name("20050430"))
    assert discovery.rows == 30
    assert discovery.format["trailer"] == {"prefix": "TRL", "count": 1, "total": 2, "total_field": "account.balance"}
    assert discovery.mapping["source"]["file_pattern"] == r"CORE_LOAN_(?P<business_date>\d{8})\.txt"
    shown = preview(Sample(CHINESE, True), from_dict(discovery.mapping), business_date=DAY, rows=1)
    assert (shown.refusal, shown.trailer.total_agrees) == (None, True)


def test_of_the_beginning_of_a_file_no_trailer_is_claimed():
    discovery = found(CHINESE[: len(CHINESE) // 2], whole=False)
    assert "trailer" not in discovery.format
    assert any("trailer" in note for note in discovery.notes)


def test_quotes_escapes_and_lines_before_the_headings_are_found():
    text = "\n".join(
        ["Report of the day", '"Account Number","Customer ID","Name","Past Due Amount"']
        + [f'"{n:05d}","C{n}","Smith, ""J""\nJr","1,{n:03d}.00"' for n in range(1, 20)]
    )
    form = found(text.encode()).format
    assert form == {
        "kind": "delimited",
        "encoding": "utf-8",
        "delimiter": ",",
        "quote": '"',
        "skip_lines": 1,
    }
    escaped = text.replace('""J""', r"\"J\"")
    assert found(escaped.encode()).format["escape"] == "\\"


def test_a_file_without_headings_gives_its_columns_numbers():
    text = "\n".join(f"A{n:04d},C{n},王伟,CNY,{n}.50,2025-03-01" for n in range(1, 20))
    discovery = found(text.encode())
    assert (discovery.format["header"], discovery.format["names"][:2]) == (False, ["column 1", "column 2"])
    assert "王伟" not in json.dumps(asdict(discovery), ensure_ascii=False)
    assert {each.target for each in discovery.suggestion.missing if each.required} >= {"account.key", "borrower.key"}


def test_gzip_is_looked_into_as_far_as_it_is_there():
    packed = gzip.compress(CHINESE)
    assert found(packed).format["container"] == "gzip"
    assert found(packed[: len(packed) // 2], whole=False).format["delimiter"] == "||"


def test_lines_that_nothing_parts_are_said_to_be_so():
    discovery = found(b"AAAA2222\nBBBB3333\nCCCC4444\n")
    assert (discovery.format, discovery.mapping, discovery.columns) == (None, None, ())
    assert "fixed width" in discovery.notes[0]
    assert "no delimiter" in found(b"one\nand another\n").notes[0]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b'[{"id": "A1", "amount": 1}]', "JSON"),
        (b'{"id": 1, "amount": 2}\n{"id": 2, "amount": 3}\n', "JSON"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<a/>\n", "XML"),
    ],
)
def test_a_document_is_not_taken_for_lines_of_columns(content, kind):
    discovery = found(content)
    assert discovery.format is None
    assert kind in discovery.notes[0]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n \n",
        "a,b\n".encode("utf-16"),
        b"PK\x03\x04",
        b"PAR1",
        b"\x1f\x8bnot gzip",
        b"a,b\n\xff\xff\xff\xff,1\n",
    ],
)
def test_what_is_no_text_is_refused_at_the_sample(content):
    with pytest.raises(Invalid) as invalid:
        found(content)
    assert invalid.value.pointer == "/sample"


@pytest.mark.parametrize("text", ["?", "YQ", "YQ==\n", "A" * 250_000])
def test_a_sample_is_base64_and_not_too_long(text):
    with pytest.raises(Invalid) as invalid:
        inline_sample(text, whole=True)
    assert invalid.value.pointer == "/sample"


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        ("13812345678", "9{11}"),
        ("王伟", "汉{2}"),
        ("A-01 b", "A-9{2} a"),
        ("１２", "9{2}"),
        ("x" * 1000, "a{500}"),
        ("a1" * 100, "a9" * 29 + "a…"),
        ("\ufeff\0", "?{2}"),
    ],
)
def test_a_shape_shows_what_a_value_is_made_of(value, shape):
    assert shape_of(value) == shape


@given(st.text(alphabet=st.characters(categories=["L", "N", "M"]), min_size=1, max_size=40))
def test_a_shape_repeats_no_letter_and_no_digit(value):
    assert set(shape_of(value)) <= set("0123456789{}汉Aa9…")


@given(st.binary(max_size=400))
def test_whatever_the_bytes_are_they_are_described_or_refused(content):
    try:
        discovery = found(content)
    except Invalid as invalid:
        assert invalid.pointer == "/sample"
    else:
        assert discovery.format is None or discovery.format["kind"] == "delimited"


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "20", "-3"], "money"),
        (["1", "20"], "integer"),
        (["0012", "13"], "digits"),
        (["6222020000000000001"], "digits"),
        (["1,234.50", "0.5"], "money"),
        (["20250301", ""], "date"),
        (["20250230"], "integer"),
        (["2025-03-01"], "date"),
        (["CNY", "人民币"], "currency"),
        (["CNY", "XXX"], "text"),
        (["", ""], "empty"),
    ],
)
def test_a_column_is_of_the_kind_that_all_its_values_are(values, kind):
    assert profile("x", values, synonyms()).kind == kind
