"""The SQL expressions a mapping is compiled to: what a text means, and the one way in which text enters SQL.

Expressions are over columns that `compile` names: `{name}_v` is the text of a field, `{name}_d` its quick reading as
a number, `{name}_m` its meaning, and `exponent` the decimals of the row's currency (null where it is not readable).
"""

# ruff: noqa: S608 - SQL is what this module makes; all text of users enters it through `expressions.literal`.
from __future__ import annotations

import re
from collections.abc import Mapping as Table
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from chalicelib.connectors import quoting
from chalicelib.connectors.formats import BLANKS, TextFile
from chalicelib.connectors.forms.model import INNER_DELIMITER, DelimitedFormat
from chalicelib.connectors.mapping import FieldMapping, MoneyField
from chalicelib.platform.money import EXPONENTS

_FULL_WIDTH = "".join(map(chr, range(0xFF01, 0xFF5F))) + "\u3000"
_HALF_WIDTH = "".join(map(chr, range(0x21, 0x7F))) + " "
_HIGHEST_EXPONENT = max(EXPONENTS.values())
_BIGINT_MAX = 2**63 - 1


def literal(text: str) -> str:
    """Any text without NUL as an SQL string literal: the only way in which a user's words enter a query."""
    return "'" + text.replace("'", "''") + "'"


def named(expressions: Table[str, str]) -> str:
    """A select list: each expression under its name."""
    return ", ".join(f"{expression} AS {name}" for name, expression in expressions.items())


def any_of(reasons: Sequence[str]) -> str:
    """Whether any of the reason numbers is not 0."""
    return f"({' | '.join(reasons)}) > 0" if reasons else "false"


def those_of(reasons: Sequence[str]) -> str:
    """The list of the reason numbers that are not 0."""
    return f"list_filter([{', '.join(reasons)}]::UTINYINT[], lambda n: n > 0)" if reasons else "NULL::UTINYINT[]"


def lines_of(text: TextFile) -> str:
    """A relation of the file's lines: `line`, its number in the file as delivered, and `raw`, null where blank.

    The delimiter is NUL, which a checked file cannot hold, so that each line is one column. ('\\0' would not be NUL but
    a backslash and a zero, and cut off what follows them.)
    """
    longest = 4 * text.format.max_line_bytes + 1024  # a character takes up to four bytes in UTF-8
    return (
        f"(SELECT row_number() OVER () + {text.first_line - 1} AS line, raw FROM read_csv("
        f"{literal(str(text.path))}, columns = {{'raw': 'VARCHAR'}}, auto_detect = false, header = false, "
        "delim = chr(0), quote = '', escape = '', comment = '', new_line = '\\n', strict_mode = false, "
        f"max_line_size = {longest}, buffer_size = {max(4 << 20, 2 * longest)}))"
    )


def columns_of_line(form: DelimitedFormat) -> str:
    """The columns of `raw` as a list of text, or null where quotes stand where they may not."""
    plain = f"string_split(raw, {literal(form.delimiter)})"
    if form.quote is None:
        is_inner = form.delimiter == INNER_DELIMITER
        return f"string_split({_with_line_ends('raw')}, {literal(form.delimiter)})" if is_inner else plain
    rules = quoting.patterns(form)
    whole = f"raw || {literal(form.delimiter)}"
    unescaped = f"regexp_replace(c[2:-2], {literal(rules.escaped)}, '\\1', 'g')"
    bare = f"CASE WHEN starts_with(c, {literal(form.quote)}) THEN {unescaped} ELSE c END"
    ended = _with_line_ends(bare)
    return (
        f"CASE WHEN NOT contains(raw, {literal(form.quote)}) THEN {plain} "
        f"WHEN regexp_full_match({whole}, {literal(rules.record)}) "
        f"THEN list_transform(regexp_extract_all({whole}, {literal(rules.column)}, 1), lambda c: {ended}) END"
    )


def _with_line_ends(expression: str) -> str:
    return f"replace({expression}, {literal(quoting.INNER_LINE_END)}, chr(10))"


def filled_lines(text: TextFile) -> str:
    """The relation of the file's lines that are not blank: `line` and `raw`."""
    filled = f"trim(raw, {literal(BLANKS)}) <> ''" if text.padded else "raw IS NOT NULL"
    return f"(SELECT line, raw FROM {lines_of(text)} WHERE {filled})"


def parted(text: TextFile, lines: str) -> str:
    """The query that parts `lines` (a relation of `line` and `raw`) into their columns `p`; `padded` says whether a
    line holds anything that could be trimmed (false for every line of a file without padding)."""
    padded = " OR ".join(f"contains(raw, {literal(blank)})" for blank in BLANKS) if text.padded else "false"
    return f"SELECT line, raw, {columns_of_line(text.format)} AS p, ({padded}) AS padded FROM {lines}"


def line_digests(raw: str) -> dict[str, str]:
    """128 bits by which a line is known again: `line_digest`, and `line_check`, which reads it at another alignment."""
    return {"line_digest": f"hash({raw})", "line_check": f"hash('#' || {raw})"}


def value_of(item: FieldMapping, position: int, *, padded: bool) -> str:
    """The text of a field in column `position` (from 1) of `p`, narrowed and trimmed as its mapping says."""
    value = f"coalesce(p[{position}], '')"
    if item.full_width_to_half:
        narrowed = f"translate({value}, {literal(_FULL_WIDTH)}, {literal(_HALF_WIDTH)})"
        value = f"CASE WHEN strlen({value}) = length({value}) THEN {value} ELSE {narrowed} END"
    if item.trim and padded:
        value = f"CASE WHEN padded THEN trim({value}, {literal(BLANKS)}) ELSE {value} END"
    return value


def looked_up(value: str, keys: Sequence[str], results: Sequence[str]) -> str:
    """The result beside the key that equals the value, else null: an enumeration is DuckDB's quickest look-up."""
    position = f"enum_code(TRY_CAST({value} AS ENUM({', '.join(map(literal, keys))}))) + 1"
    return f"list_extract([{', '.join(results)}], {position})"


def day(value: str, date_format: str) -> str:
    """The day that a text stands for in exactly this format, null where the calendar has no such day."""
    shape = re.sub("%([Ymd])", lambda part: "[0-9]{4}" if part[1] == "Y" else "[0-9]{2}", date_format)
    parsed = f"try_strptime({value}, {literal(date_format)})::DATE"
    return f"CASE WHEN regexp_full_match({value}, {literal(shape.replace('.', '[.]'))}) THEN {parsed} END"


def number(item: MoneyField, name: str) -> str:
    """`{name}_d`: the quick reading of an amount as a number, to be believed only where it prints back the same.

    Fifteen digits leave room to multiply by 100 within the 18 that DuckDB keeps in 64 bits.
    """
    kind = "BIGINT" if item.unit == "minor" else "DECIMAL(15, 2)"
    return f"CASE WHEN {name}_v <> '' THEN TRY_CAST({name}_v AS {kind}) END"


def amount(item: MoneyField, name: str) -> str:
    """`{name}_m`: the minor units that a text stands for; null where it is no amount, inexact or beyond BIGINT.

    Most amounts are written as a number prints: where the quick reading prints as the very characters it was read
    from, it lost nothing. The others are taken apart by their digits.
    """
    value = f"{name}_v"
    matches = f"regexp_full_match({value}, {literal(amount_shape(item))})"
    same = f"{name}_d::VARCHAR = {value}"
    if item.unit == "minor":
        return f"CASE WHEN {same} THEN {name}_d WHEN {matches} THEN TRY_CAST({value} AS BIGINT) END"
    digits = f"replace({value}, ',', '')" if item.thousands_separator else value
    filled = f"replace({digits}, '.', '') || repeat('0', exponent - {decimals(value)})"
    return (
        f"CASE WHEN exponent = 2 AND {same} THEN ({name}_d * 100)::BIGINT "
        f"WHEN {matches} AND {decimals(value)} <= exponent THEN TRY_CAST({filled} AS BIGINT) END"
    )


def amount_shape(item: MoneyField) -> str:
    """The pattern of an amount as the field writes it."""
    if item.unit == "minor":
        return "-?[0-9]+"
    whole = "([0-9]+|[0-9]{1,3}(,[0-9]{3})+)" if item.thousands_separator else "[0-9]+"
    return rf"-?{whole}(\.[0-9]+)?"


def decimals(value: str) -> str:
    """How many digits follow the decimal point of an amount."""
    return f"(CASE WHEN contains({value}, '.') THEN length({value}) - instr({value}, '.') ELSE 0 END)"


def outside(name: str, lowest: Decimal | None, highest: Decimal | None) -> str | None:
    """Whether an amount lies outside its limits (major units, inclusive), or None where it has none."""
    tests: list[str] = []
    if lowest is not None:
        tests.append(f"{name}_m < {_bound(lowest, ROUND_CEILING)}")
    if highest is not None:
        tests.append(f"{name}_m > {_bound(highest, ROUND_FLOOR)}")
    return " OR ".join(tests) or None


def _bound(limit: Decimal, rounding: str) -> str:
    """A limit in major units as minor units of each row's currency, rounded to the inside."""
    minors = [
        max(-_BIGINT_MAX, min(_BIGINT_MAX, int((limit * 10**exponent).to_integral_value(rounding))))
        for exponent in range(_HIGHEST_EXPONENT + 1)
    ]
    if len(set(minors)) == 1:
        return str(minors[0])
    return f"list_extract({minors}, exponent + 1)"
