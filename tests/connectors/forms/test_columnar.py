"""Parquet: every type as text without loss, and what is no single value refused by name."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.connectors.errors import FileRefused, MappingInvalid
from chalicelib.connectors.formats import UNREADABLE
from tests.connectors.forms.reading import read, refused, rows

PARQUET = {"kind": "parquet"}


def written(folder: Path, query: str, options: str = "", values: list[object] | None = None) -> bytes:
    path = folder / "written.parquet"
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'Asia/Shanghai'")
        con.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet{options})", values or [])
    content = path.read_bytes()
    path.unlink()
    return content


@pytest.mark.parametrize(
    ("value", "stands_as"),
    [
        ("NULL::VARCHAR", ""),
        ("'王伟'", "王伟"),
        ("' a '", " a "),
        ("'a' || chr(10) || 'b' || chr(13) || chr(10) || 'c'", "a\nb\nc"),
        ("'a' || chr(31) || chr(0) || 'b'", "a\u241f\u2400b"),
        ("true", "true"),
        ("false", "false"),
        ("255::UTINYINT", "255"),
        ("(-9223372036854775808)::BIGINT", "-9223372036854775808"),
        ("18446744073709551615::UBIGINT", "18446744073709551615"),
        ("1234.50::DECIMAL(18, 2)", "1234.5"),
        ("100::DECIMAL(18, 2)", "100"),
        ("100::DECIMAL(18, 0)", "100"),
        ("-0.01::DECIMAL(38, 10)", "-0.01"),
        ("99999999999999999999999999999999999999::DECIMAL(38, 0)", "9" * 38),
        ("0.1::DOUBLE", "0.1"),
        ("0.1::FLOAT", "0.1"),
        ("100::DOUBLE", "100"),
        ("'-0'::DOUBLE", "0"),
        ("1e22::DOUBLE", "1" + "0" * 22),
        ("-1.5e-7::DOUBLE", "-0.00000015"),
        ("'nan'::DOUBLE", UNREADABLE + "nan"),
        ("'-inf'::FLOAT", UNREADABLE + "-inf"),
        ("DATE '2026-02-28'", "2026-02-28"),
        ("TIMESTAMP '2026-02-28 00:00:00'", "2026-02-28"),
        ("TIMESTAMP '2026-02-28 12:30:00.5'", "2026-02-28 12:30:00.5"),
        ("TIMESTAMP_NS '2026-02-28 00:00:00'", "2026-02-28"),
        ("TIMESTAMPTZ '2026-02-28 00:00:00+08'", "2026-02-27 16:00:00+00"),
        ("TIME '12:30:00'", "12:30:00"),
        ("'a'::ENUM ('a', 'b')", "a"),
        ("'{\"a\":1}'::JSON", '{"a":1}'),
        ("'00000000-0000-0000-0000-000000000001'::UUID", "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_a_value_of_any_type_is_text(tmp_path, value, stands_as):
    text = read(tmp_path, written(tmp_path, f'SELECT \'A\' AS "账 ""号", {value} AS v'), PARQUET, ("v",))
    assert (text.headings, rows(text)) == (('账 "号', "v"), [["A", stands_as]])


def test_an_instant_is_a_local_time_where_the_mapping_says_the_zone(tmp_path):
    content = written(tmp_path, "SELECT 1 AS n, TIMESTAMPTZ '2026-02-28 00:00:00+08' AS v")
    assert rows(read(tmp_path, content, PARQUET | {"time_zone": "Asia/Shanghai"})) == [["1", "2026-02-28"]]
    with pytest.raises(MappingInvalid, match="Asia/Shangri-La is no time zone"):
        read(tmp_path, content, PARQUET | {"time_zone": "Asia/Shangri-La"})


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("[1, 2]", "INTEGER[]"),
        ("{'a': 1}", "STRUCT"),
        ("MAP {'a': 1}", "MAP"),
        ("'x'::BLOB", "BLOB"),
        ("INTERVAL 1 DAY", "INTERVAL"),
    ],
)
def test_what_is_no_single_value_is_refused_by_name_unless_it_is_not_read(tmp_path, value, kind):
    content = written(tmp_path, f"SELECT 1 AS n, {value} AS v")
    error = refused(tmp_path, content, PARQUET)
    assert (error.code, error.extra["column"], kind in error.detail) == ("column_type", "v", True)
    assert rows(read(tmp_path, content, PARQUET | {"columns": ["n"]})) == [["1"]]


def test_columns_are_read_in_the_order_of_the_document_or_the_file(tmp_path):
    content = written(tmp_path, "SELECT 1 AS a, 2 AS b, 3 AS c")
    assert rows(read(tmp_path, content, PARQUET)) == [["1", "2", "3"]]
    assert rows(read(tmp_path, content, PARQUET | {"columns": ["c", "a"]})) == [["3", "1"]]


def test_a_missing_column_is_refused_with_the_names_there_are(tmp_path):
    content = written(tmp_path, "SELECT 1 AS a, 2 AS b")
    for form, wanted in ((PARQUET, ("a", "x")), (PARQUET | {"columns": ["a", "x"]}, ("a",))):
        error = refused(tmp_path, content, form, wanted)
        assert (error.code, error.extra["missing"], error.extra["found"]) == ("missing_column", ["x"], ["a", "b"])


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "no end", "inside"])
def test_a_damaged_file_is_refused(tmp_path, damage):
    content = written(tmp_path, "SELECT range AS a, 'x' || range AS b FROM range(10000)")
    damaged = {
        "empty": b"",
        "text": b"a,b\n1,2\n",
        "cut": content[: len(content) // 2],
        "no end": content[:-1],
        "inside": content[:200] + bytes(2_000) + content[2_200:],
    }[damage]
    error = refused(tmp_path, damaged, PARQUET)
    assert error.code == ("empty_file" if damage == "empty" else "broken_document")


def test_a_file_of_ten_thousand_columns_is_refused_unless_some_are_named(tmp_path):
    content = written(tmp_path, "SELECT " + ", ".join(f"{n} AS c{n}" for n in range(10_000)))
    assert refused(tmp_path, content, PARQUET, ("c7",)).code == "too_many_columns"
    assert rows(read(tmp_path, content, PARQUET | {"columns": ["c7"]}, ("c7",))) == [["7"]]


def test_few_bytes_that_stand_for_any_number_of_rows_are_refused(tmp_path):
    content = written(tmp_path, "SELECT repeat('x', 100000) AS a FROM range(50000)", ", COMPRESSION zstd")
    assert len(content) < 1 << 20
    assert refused(tmp_path, content, PARQUET).code == "unpacks_too_far"
    content = written(tmp_path, "SELECT repeat('x', 17000000) AS a")
    assert refused(tmp_path, content, PARQUET).code == "line_too_long"


def test_a_file_without_rows_is_read(tmp_path):
    text = read(tmp_path, written(tmp_path, "SELECT 1 AS a, 2 AS b WHERE false"), PARQUET, ("a",))
    assert (text.headings, rows(text)) == (("a", "b"), [])


def test_rows_keep_their_order_over_row_groups(tmp_path):
    content = written(tmp_path, "SELECT range AS a, range % 7 AS b FROM range(30000)", ", ROW_GROUP_SIZE 2048")
    assert rows(read(tmp_path, content, PARQUET)) == [[str(n), str(n % 7)] for n in range(30_000)]


texts = st.text(st.characters(codec="utf-8", exclude_characters="\ufdd0\ufffd\r\x00\x1f"), max_size=8)
tables = st.lists(
    st.tuples(
        st.none() | texts,
        st.none() | st.decimals(-(10**15), 10**15, places=2),
        st.none() | st.floats(allow_nan=False, allow_infinity=False),
        st.none() | st.dates(),
        st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)).map(lambda at: at.replace(microsecond=0)),
        st.none() | st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


def text_of(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case datetime():
            return str(value.date()) if value.time() == datetime.min.time() else str(value)
        case date():
            return f"{value:%Y-%m-%d}".rjust(10, "0")
        case float() | Decimal():
            return "0" if value == 0 else f"{Decimal(str(value)).normalize():f}"
        case _:
            return str(value)


@settings(max_examples=40, deadline=None)
@given(tables)
def test_any_table_written_as_parquet_comes_back(tmp_path_factory, table):
    folder = tmp_path_factory.mktemp("parquet")
    types = ("VARCHAR", "DECIMAL(18, 2)", "DOUBLE", "DATE", "TIMESTAMP", "BOOLEAN")
    row = ", ".join(f"?::{kind}" for kind in types)
    query = f"SELECT * FROM (VALUES {', '.join([f'({row})'] * len(table))}) t(a, b, c, d, e, f)"
    content = written(folder, query, values=[value for row in table for value in row])
    assert rows(read(folder, content, PARQUET)) == [[text_of(value) for value in row] for row in table]


@given(st.binary(max_size=300), st.integers(0, 2_000))
@settings(max_examples=40, deadline=None)
def test_whatever_bytes_stand_in_it_it_is_read_or_refused(tmp_path_factory, noise, at):
    folder = tmp_path_factory.mktemp("any")
    content = written(folder, "SELECT range AS a, 'x' || range AS b FROM range(100)")
    try:
        read(folder, content[:at] + noise + content[at + len(noise) :], PARQUET)
    except FileRefused as error:
        assert error.detail
