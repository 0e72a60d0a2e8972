"""JSON: every value comes as it was written, and what is broken is refused or quarantined where it stands."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.connectors.formats import UNREADABLE
from chalicelib.connectors.forms.json_values import plain_number
from tests.connectors.forms.reading import read, refused, rows

COLUMNS = {"key": "/id", "name": "/who/name", "amount": "/amounts/0"}
JSON = {"kind": "json", "columns": COLUMNS}
NDJSON = {"kind": "ndjson", "columns": COLUMNS}
ROW = {"id": "A1", "who": {"name": "王伟"}, "amounts": [12.5, 3]}


def document(*texts: str) -> bytes:
    return ("[" + ",".join(texts) + "]").encode()


def both(tmp_path, text: str) -> list[str]:
    """The one row that a text makes in a document and on a line alike."""
    [in_document] = rows(read(tmp_path, document(text), JSON))
    [on_line] = rows(read(tmp_path, text.encode(), NDJSON))
    assert in_document == on_line
    return on_line


def test_values_stand_where_pointers_say(tmp_path):
    content = json.dumps([ROW, {"id": 7, "who": None}], ensure_ascii=False).encode()
    text = read(tmp_path, content, JSON, ("key", "amount"))
    assert rows(text) == [["A1", "王伟", "12.5"], ["7", "", ""]]
    assert (text.headings, text.first_line, text.lines) == (("key", "name", "amount"), 1, 2)
    assert (text.sha256, text.bytes) == (hashlib.sha256(content).hexdigest(), len(content))


@pytest.mark.parametrize(
    ("written", "stands_as"),
    [
        ("null", ""),
        ("true", "true"),
        ("false", "false"),
        ("0.1", "0.1"),
        ("100.00", "100"),
        ("1234.50", "1234.5"),
        ("-0", "0"),
        ("-0.00", "0"),
        ("-0.5", "-0.5"),
        ("1e5", "100000"),
        ("1.5E-7", "0.00000015"),
        ("12345678901234567890", "12345678901234567890"),
        ("1234567890123456.78", "1234567890123456.78"),
        ("0." + "1" * 40, "0." + "1" * 40),
        pytest.param("9" * 5000, "9" * 5000, id="5000 digits"),
        ("1e401", UNREADABLE + "1e401"),
        ("1e99999999999999", UNREADABLE + "1e99999999999999"),
        ("NaN", UNREADABLE + "NaN"),
        ("-Infinity", UNREADABLE + "-Infinity"),
        ('"\\ud800x"', UNREADABLE + "x"),
        ('"\\ud83d\\ude00"', "😀"),
        ('"a\\nb"', "a\nb"),
        ('"a\\r\\nb"', "a\nb"),
        ('"a\\u0000b\\u001fc"', "a\u2400b\u241fc"),
        ('{"a":[1]}', UNREADABLE + '{"a": ["1"]}'),
        ("[]", UNREADABLE + "[]"),
    ],
)
def test_a_value_is_the_text_that_it_was_written_as(tmp_path, written, stands_as):
    assert both(tmp_path, f'{{"id":{written},"who":{{"name":"x"}}}}')[0] == stands_as


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('{"id":1,"id":2}', [UNREADABLE + "2", "", ""]),
        ('{"id":"A","who":{"name":"a","name":"b"}}', ["A", UNREADABLE + "b", ""]),
        ('{"id":"A","who":{"name":"a"},"who":{"name":"b"}}', ["A", UNREADABLE + '{"name": "b"}', ""]),
        ('{"id":"A","other":1,"other":2}', ["A", "", ""]),
        ('{"id":"A","who":"Li","amounts":[]}', ["A", UNREADABLE + "Li", ""]),
        ('[{"id":"A"}]', ["", "", ""]),
    ],
)
def test_a_value_that_is_not_known_for_certain_is_unreadable(tmp_path, text, values):
    assert both(tmp_path, text) == values


@pytest.mark.parametrize("text", ["5", '"A1"', "null", "true"])
def test_a_row_that_has_no_members_is_one_column(tmp_path, text):
    assert both(tmp_path, text) == [text]


def test_where_there_is_one_column_a_row_that_is_none_has_two(tmp_path):
    assert rows(read(tmp_path, b'{"id":"A"}\nx\n', NDJSON | {"columns": {"key": "/id"}})) == [["A"], ["x", ""]]


@pytest.mark.parametrize(
    "line",
    [
        "{",
        '{"id":1}}',
        '{"id":1,}',
        '{"id":01}',
        pytest.param("[" * 100_000, id="deep"),
        '{"id":"a\tb"}',
        "{'id':1}",
        "账号",
    ],
)
def test_a_line_that_is_no_json_is_quarantined_and_the_others_are_read(tmp_path, line):
    text = read(tmp_path, f'{{"id":"A"}}\r\n\n{line}\n{{"id":"B"}}'.encode(), NDJSON)
    assert rows(text) == [["A", "", ""], [], [line], ["B", "", ""]]


def test_rows_stand_at_a_pointer_and_the_document_says_how_many_there_are(tmp_path):
    form = JSON | {
        "rows": "/data/1/loans~1all",
        "control": {"count": "/meta/rows", "total": "/sums/0", "total_field": "account.balance"},
    }
    others = {"big": [{"x": ["]}"]}] * 3, "deep": {"a": {"b": {}}}, "empty": [], "none": {}, "n": 12}
    content = {
        "meta": {"rows": 1},
        **others,
        "data": [{"loans/all": 1}, {"loans/all": [ROW]}],
        "sums": ["12.50"],
    }
    text = read(tmp_path, json.dumps(content, indent=3).encode(), form)
    assert rows(text) == [["A1", "王伟", "12.5"]]
    assert text.trailer is not None
    assert (text.trailer.count, text.trailer.total, text.trailer.line) == (1, Decimal("12.50"), 2)


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (b"", "empty_file", "no JSON document"),
        (b" \n ", "empty_file", "no JSON document"),
        (b"{}", "missing_rows", "no array at /rows"),
        (b'{"rows":{}}', "missing_rows", "no array at /rows"),
        (b'{"rows":[]}', "missing_trailer", "/n"),
        (b'{"rows":[],"n":"many"}', "unreadable_trailer", "/n"),
        (b'{"rows":[],"n":1,"n":1}', "broken_document", "/n is there twice"),
        (b'{"rows":[],"rows":[],"n":0}', "broken_document", "there twice"),
        (b'{"n":0,"rows":[]} x', "broken_document", "byte 18: something follows"),
        (b'{"n":0,"rows":[{"id":1},', "broken_document", "byte 24 after 1 rows: it ends there"),
        (b'{"n":0,"rows":[{"id":1},{"id":"2', "broken_document", "it ends there"),
        (b'{"n":0,"rows":[{"id":1}', "broken_document", "it ends there"),
        (b'{"n":0,"rows":[{"id":1} {"id":2}]}', "broken_document", "byte 24: a comma"),
        ('{"n":0,"rows":["王",{"id":x}]}'.encode(), "broken_document", "byte 27"),
        (b'{"n":0,"rows":[1,]}', "broken_document", "byte 17"),
        (b'{"n" 0,"rows":[]}', "broken_document", "byte 5: a colon"),
        (b'{n:0,"rows":[]}', "broken_document", "byte 1: the name"),
        pytest.param(b'{"n":0,"rows":[' + b"[" * 100_000, "too_deep", "Row 1 nests", id="deep row"),
        pytest.param(b'{"n":' + b'{"a":' * 100_000, "too_deep", "nests", id="deep beside"),
        (b'\xff\xfe{\0"\0', "wrong_encoding", "UTF-16"),
        (b"\xff\xfe\0\0{\0\0\0", "wrong_encoding", "UTF-32"),
        (b'{\0"\0n\0', "wrong_encoding", "UTF-16"),
        ('{"n":0,"rows":["王"]}'.encode("gb18030"), "wrong_encoding", "offset 16"),
        ('{"n":0,"rows":["王"'.encode()[:-2], "wrong_encoding", "offset 16"),
    ],
)
def test_a_broken_document_is_refused_with_its_place(tmp_path, content, code, says):
    form = JSON | {"rows": "/rows", "control": {"count": "/n"}}
    error = refused(tmp_path, content, form)
    assert (error.code, says in error.detail) == (code, True), error.detail


@pytest.mark.parametrize("form", [JSON, NDJSON])
def test_a_row_longer_than_allowed_is_refused_and_not_held(tmp_path, form):
    long = json.dumps({"id": "x" * 2_000_000})
    error = refused(tmp_path, document(long) if form is JSON else long.encode(), form)
    assert (error.code, "max_row_bytes" in error.detail) == ("line_too_long", True)
    [row] = rows(read(tmp_path, document(long) if form is JSON else long.encode(), form | {"max_row_bytes": 3_000_000}))
    assert len(row[0]) == 2_000_000


@pytest.mark.parametrize("form", [JSON, NDJSON])
def test_a_column_that_no_row_has_is_missing_and_the_members_there_are_are_named(tmp_path, form):
    content = b'{"no":1,"who":{}}\n{"no":2}\n' if form is NDJSON else b'[{"no":1,"who":{}},{"no":2}]'
    error = refused(tmp_path, content, form, ("key",))
    assert (error.code, error.extra["missing"], error.extra["found"]) == ("missing_column", ["key"], ["no", "who"])
    assert "/id (key)" in error.detail
    error = refused(tmp_path, content, form, ("other",))
    assert (error.code, error.extra["missing"]) == ("missing_column", ["other"])


def test_a_column_that_is_null_or_in_a_later_row_only_is_there(tmp_path):
    assert rows(read(tmp_path, b'[{},{"id":null}]', JSON, ("key",))) == [["", "", ""], ["", "", ""]]
    assert rows(read(tmp_path, b"[]", JSON, ("key",))) == []
    assert rows(read(tmp_path, b"\n", NDJSON, ("key",))) == [[]]
    assert refused(tmp_path, b"", NDJSON).code == "empty_file"


def test_a_byte_order_mark_is_skipped(tmp_path):
    assert rows(read(tmp_path, b"\xef\xbb\xbf" + document('{"id":1}'), JSON)) == [["1", "", ""]]
    assert rows(read(tmp_path, b'\xef\xbb\xbf{"id":1}', NDJSON)) == [["1", "", ""]]


def test_two_thousand_columns_are_read(tmp_path):
    columns = {f"c{n}": f"/c{n}" for n in range(2_000)}
    content = json.dumps([{name: n for n, name in enumerate(columns)} | {"c9999": 1}]).encode()
    assert rows(read(tmp_path, content, {"kind": "json", "columns": columns})) == [[str(n) for n in range(2_000)]]


@settings(max_examples=200, deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False) | st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_keeps_every_digit(number):
    text = str(number)
    if abs(Decimal(text).adjusted()) <= 350 and "e" not in text.lower()[:1]:
        plain = plain_number(text)
        assert "e" not in plain.lower()
        assert Decimal(plain) == Decimal(text)
        assert not plain.endswith(".0")


numbers = st.integers(-(10**20), 10**20) | st.decimals(-(10**9), 10**9, places=2)
scalars = st.none() | st.booleans() | st.text(max_size=8) | numbers


def text_of(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        shown = value.replace("\r\n", "\n").replace("\r", "\u240d")
        return shown.replace("\0", "\u2400").replace("\x1f", "\u241f").replace("\ufdd0", "\n")
    if value is None:
        return ""
    return "0" if value == 0 else f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(scalars, scalars, scalars), max_size=6),
    st.booleans(),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\n\t", " :\r\n")]),
)
def test_any_table_written_as_json_comes_back(tmp_path_factory, table, is_ascii, separators):
    comma, colon = separators
    texts: list[str] = []
    for row in table:
        key, name, amount = (
            str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=is_ascii) for value in row
        )
        who = f'{{"name"{colon}{name}}}'
        texts.append(f'{{"x"{colon}1{comma}"id"{colon}{key}{comma}"who"{colon}{who}{comma}"amounts"{colon}[{amount}]}}')
    expected = [[text_of(value) for value in row] for row in table]
    folder = tmp_path_factory.mktemp("json")
    assert rows(read(folder, document(*texts), JSON)) == expected
    if texts and "\n" not in comma:
        assert rows(read(folder, "\n".join(texts).encode(), NDJSON)) == expected


@given(st.binary(max_size=200) | st.text(max_size=80).map(str.encode))
@settings(max_examples=200, deadline=None)
def test_whatever_comes_is_read_or_refused(tmp_path_factory, content):
    from chalicelib.connectors.errors import FileRefused

    for form in (JSON, NDJSON):
        try:
            read(tmp_path_factory.mktemp("any"), content, form)
        except FileRefused as error:
            assert error.detail


def test_a_long_document_is_read_across_its_blocks(tmp_path):
    count = 20_000
    written = {"m": "x" * 500_000, "rows": [{"id": n, "who": {"name": "王" * 9}} for n in range(count)]}
    text = read(tmp_path, json.dumps(written, ensure_ascii=False).encode(), JSON | {"rows": "/rows"})
    assert rows(text) == [[str(n), "王" * 9, ""] for n in range(count)]
    assert text.format.max_line_bytes == 100


def test_a_document_that_does_not_state_its_rows_is_previewed_all_the_same():
    from chalicelib.connectors.mapping import from_dict
    from chalicelib.connectors.preview import preview
    from chalicelib.connectors.samples import Sample
    from tests.connectors.delivery import DAY, GOOD
    from tests.connectors.delivery import document as mapping_document

    form = {"kind": "json", "columns": {name: f"/{name}" for name in GOOD}, "rows": "/rows", "control": {"count": "/n"}}
    under = from_dict(mapping_document(format=form))
    found = preview(Sample(json.dumps({"rows": [GOOD]}).encode(), True), under, business_date=DAY, rows=5)
    assert (found.refusal.code, found.counts["accepted"], found.rows[0].before) == ("missing_trailer", 1, GOOD)
