"""Rows survive both formats, whatever a tenant's items say, and the columns never depend on the rows."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.leaving.files import JSONL, PARQUET, PartWriter, connect
from chalicelib.leaving.kinds import EXPORTED_KINDS, OTHER, columns_of
from infra.verify_export import parquet_rows

texts = st.text(st.characters(codec="utf-8"), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | texts | st.integers() | st.floats(allow_nan=False, allow_infinity=False, width=32),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": texts,
    "integer": st.integers(-(2**63), 2**63 - 1),
    "boolean": st.booleans(),
    "date": st.dates().map(lambda day: day.isoformat()),
    "timestamp": st.datetimes().map(lambda moment: moment.isoformat(timespec="microseconds") + "Z"),
    "json": json_values,
}


def rows_of(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    """Rows of a kind with any values, and with none."""
    return st.fixed_dictionaries({name: st.none() | VALUES[column] for name, column in columns_of(kind).items()})


def written(kind: str, rows: list[dict[str, Any]], folder: Path) -> dict[str, Path]:
    """The two files of some rows, by format."""
    writer = PartWriter(folder)
    for row in rows:
        writer.add(kind, row)
    return {file.format: file.path for file in writer.finish()}


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(EXPORTED_KINDS).flatmap(
        lambda kind: st.tuples(st.just(kind), st.lists(rows_of(kind), min_size=1, max_size=4))
    )
)
def test_both_formats_say_the_same(given_rows):
    kind, rows = given_rows
    with tempfile.TemporaryDirectory() as folder:
        files = written(kind, rows, Path(folder))
        lines = [json.loads(line) for line in files[JSONL].read_text("utf-8").split("\n")[:-1]]
        assert list(parquet_rows(files[PARQUET], columns_of(kind))) == rows == lines


@pytest.mark.parametrize("kind", EXPORTED_KINDS)
def test_the_columns_of_a_row_of_nothing_are_those_of_every_other(kind, tmp_path):
    files = written(kind, [dict.fromkeys(columns_of(kind))], tmp_path)
    types = {"integer": "BIGINT", "boolean": "BOOLEAN", "date": "DATE", "timestamp": "TIMESTAMP WITH TIME ZONE"}
    found = duckdb.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(files[PARQUET])]).fetchall()
    assert {name: type for name, type, *_ in found} == {
        name: types.get(column, "VARCHAR") for name, column in columns_of(kind).items()
    }


def test_what_json_and_utf8_cannot_hold_is_kept_as_near_to_it_as_can_be(tmp_path):
    row = {
        "table": "feed",
        "pk": "a\ud83d",
        "sk": "\x00",
        "attributes": {"n": float("nan"), "i": float("inf"), "b": 10**30},
    }
    files = written(OTHER, [row], tmp_path)
    kept = {"table": "feed", "pk": "a?", "sk": "\x00", "attributes": {"n": "NaN", "i": "Infinity", "b": 10**30}}
    assert json.loads(files[JSONL].read_text("utf-8")) == kept
    assert list(parquet_rows(files[PARQUET], columns_of(OTHER))) == [kept]


def test_a_row_as_long_as_an_item_can_be_is_written(tmp_path):
    row = {"table": "feed", "pk": "p", "sk": "s", "attributes": {"text": "\x01\u2028张" * 130_000}}
    files = written(OTHER, [row], tmp_path)
    assert list(parquet_rows(files[PARQUET], columns_of(OTHER))) == [row]


def test_a_member_that_is_no_column_is_not_written_and_one_that_is_missing_is_an_error(tmp_path):
    writer = PartWriter(tmp_path)
    with pytest.raises(KeyError, match="attributes"):
        writer.add(OTHER, {"table": "feed", "pk": "p", "sk": "s"})


def test_the_database_that_converts_reaches_nothing_outside_its_folder(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside.jsonl"
    inside.mkdir()
    outside.write_text('{"a": 1}\n')
    with connect(inside) as con, pytest.raises(duckdb.PermissionException):
        con.execute(f"SELECT * FROM read_json('{outside}')")
