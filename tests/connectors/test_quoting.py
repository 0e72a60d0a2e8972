"""Columns in quotes: records over several lines, and lines that keep their numbers."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.connectors.forms.model import DelimitedFormat
from chalicelib.connectors.quoting import INNER_LINE_END, RecordJoiner, split_record

COMMA = DelimitedFormat(kind="delimited", encoding="utf-8", delimiter=",", quote='"')
ESCAPED = DelimitedFormat(kind="delimited", encoding="utf-8", delimiter=",", quote='"', escape="\\")


def joined(text: str, form: DelimitedFormat = COMMA) -> list[str]:
    joiner = RecordJoiner(form)
    lines = (joiner.feed(text.encode()) + joiner.finish()).decode().split("\n")[:-1]
    return [line.replace(INNER_LINE_END, "⏎") for line in lines]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("1,2\n3,4\n", ["1,2", "3,4"]),
        ('1,"a\nb"\n3,4\n', ['1,"a⏎b"', "", "3,4"]),
        ('1,"a\n\n""b"""\n3,4\n', ['1,"a⏎⏎""b"""', "", "", "3,4"]),
        ('1,5" pipe\n3,4\n', ['1,5" pipe', "3,4"]),
        ('1,"never closed\n3,4\n5,6\n', ['1,"never closed', "3,4", "5,6"]),
        ('1,"never closed\n3,"a\nb"\n', ['1,"never closed', '3,"a⏎b"', ""]),
    ],
)
def test_a_record_over_several_lines_becomes_one_and_later_lines_keep_their_numbers(text, lines):
    assert joined(text) == lines


def test_an_escaped_quote_does_not_end_a_column():
    assert joined('1,"a\\"\nb"\n3,4\n', ESCAPED) == ['1,"a\\"⏎b"', "", "3,4"]
    assert split_record('1,"a\\"b\\\\"', ESCAPED) == ["1", 'a"b\\']


def test_an_opening_quote_that_nothing_closes_costs_its_own_line_only():
    text = '1,"open\n' + "".join(f"{n},x\n" for n in range(1000))
    assert joined(text) == text.split("\n")[:-1]


@given(
    st.lists(st.lists(st.text('ab ,"\n', max_size=6), min_size=2, max_size=4), min_size=1, max_size=10),
    st.integers(1, 20),
)
def test_what_the_csv_module_writes_is_read_back_in_any_blocks(records, cut):
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(records)
    joiner = RecordJoiner(COMMA)
    lines = buffer.getvalue().splitlines(keepends=True)
    blocks = ["".join(lines[start : start + cut]) for start in range(0, len(lines), cut)]
    text = (b"".join(joiner.feed(block.encode()) for block in blocks) + joiner.finish()).decode()
    assert text.count("\n") == len(lines)
    read = [split_record(line, COMMA) for line in text.split("\n") if line]
    assert [[value.replace(INNER_LINE_END, "\n") for value in record] for record in read] == records


@pytest.mark.parametrize("columns", [60, 5_000])
@pytest.mark.parametrize("tail", ['12" pipe,z', 'z,12"', '"open,z', '"shut" z,9'])
@pytest.mark.timeout(20)
def test_a_stray_quote_behind_many_columns_is_told_apart_without_trying_every_parting(columns, tail):
    line = "a," * columns + tail
    assert joined(f"{line}\n1,2\n") == [line, "1,2"]
    assert split_record(line, COMMA) == line.split(",")
