"""From a mapping and a file's headings to one DuckDB query that parts, maps and validates every row at once.

The query works in layers, each a subquery: the line, its columns, the values made of them (trimmed, narrowed), what
they mean (currencies, days, numbers), the amounts, the reason against each value, the checks between them, and the
record with its digests. A reason is a small number, an index into `Program.reasons`; 0 is none.
"""

# ruff: noqa: S608 - SQL is what this module makes; all text of users enters it through `expressions.literal`.
from __future__ import annotations

from collections.abc import Mapping as Table
from dataclasses import dataclass, field, replace
from datetime import date
from hashlib import sha256

from chalicelib.connectors import expressions as sql
from chalicelib.connectors.formats import STRAY_RETURN, UNREADABLE, TextFile, locate
from chalicelib.connectors.mapping import (
    CodeField,
    CurrencyField,
    DateField,
    FieldMapping,
    Mapping,
    MoneyField,
    NotAfterBusinessDate,
    RequiredTogether,
    TextField,
)
from chalicelib.connectors.vocabulary import MONEY_TARGETS, TARGETS, Target
from chalicelib.platform.money import EXPONENTS

UNKNOWN_EXPONENT = max(EXPONENTS.values())
"""Decimals with which an amount is read where its currency is not known: its row is rejected, but can be summed."""
Judgement = tuple[str, int | str]
"""A test on a row, and the reason's number (or the expression of it) where it holds."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a value, or a whole row (`field` and `source` empty), is not accepted, and what is."""

    field: str
    source: str
    code: str
    accepted: str


@dataclass(frozen=True, slots=True)
class Program:
    """The mapping of one file as SQL, and what the numbers in its `reasons` and `warnings` mean.

    `over` gives the query over some lines of the file. Its columns: `line`; `reasons` (list of numbers, null where the
    row is accepted) and `warnings` alike; `is_shifted` (the columns are not those of the headings, and nothing in them
    can be summed); `control` (the amount that the trailer sums, even where its row is
    rejected); one column for each target (see `column`); `account_digest` and `borrower_digest` over those; and the
    `line_digests`. `duplicate` is the number of the reason for a key met twice.
    """

    layers: tuple[str, ...]
    text: TextFile
    reasons: tuple[Reason, ...]
    duplicate: int

    def over(self, lines: str) -> str:
        """The query over `lines`, a relation of `line` and `raw` such as `filled_lines` gives."""
        query = sql.parted(self.text, lines)
        for layer in self.layers:
            query = f"SELECT {layer} FROM ({query})"
        return query

    def fingerprint(self) -> str:
        """The digest of all that decides what a line means: equal for two files only if equal lines mean the same."""
        return sha256("\n".join((self.over("lines"), *map(repr, self.reasons))).encode()).hexdigest()


def column(target: Target) -> str:
    """The name of the column that holds a target: `account.key` is `account_key`."""
    return target.replace(".", "_")


def sql_type(target: Target) -> str:
    """The DuckDB type in which a target is stored."""
    if target in MONEY_TARGETS:
        return "BIGINT"
    return "DATE" if target == "account.oldest_due_date" else "VARCHAR"


def compile_mapping(mapping: Mapping, text: TextFile, business_date: date) -> Program:
    """The program for one file; raises `FileRefused` where the file lacks a required column."""
    locate(text.headings, mapping.headings(required=True))
    return _Compiler(mapping, text, business_date).program()


def meaning_of(mapping: Mapping, text: TextFile) -> str:
    """The fingerprint of a mapping over files with these headings, apart from the day and from what the file holds."""
    any_file = replace(text, padded=True, stray_returns=1, unreadable=1)
    return compile_mapping(mapping, any_file, date.min).fingerprint()


@dataclass
class _Compiler:
    mapping: Mapping
    text: TextFile
    business_date: date
    reasons: list[Reason] = field(default_factory=lambda: [Reason("", "", "", "")])

    def program(self) -> Program:
        fields: dict[Target, FieldMapping] = {
            item.target: item for item in self.mapping.fields if item.source in self.text.headings
        }
        values = {
            f"{column(target)}_v": sql.value_of(
                item, self.text.headings.index(item.source) + 1, padded=self.text.padded
            )
            for target, item in fields.items()
        }
        amounts = {
            f"{column(target)}_m": sql.amount(item, column(target))
            for target, item in fields.items()
            if isinstance(item, MoneyField)
        }
        judgements = {f"{column(target)}_r": self._judge(item, column(target)) for target, item in fields.items()}
        checks = {f"check_{at}": _first_of([check]) for at, check in enumerate(self._checks(fields))}
        duplicate = self._reason("duplicate_key", "each key once in a file", fields["account.key"])
        rejecting = [f"{column(target)}_r" for target, item in fields.items() if item.severity == "reject"]
        warning = [f"{column(target)}_r" for target, item in fields.items() if item.severity == "warn"]
        layers = (
            f"line, {_first_of(self._row_judgements())} AS row_r, "
            f"(p IS NULL OR len(p) <> {len(self.text.headings)}) AS is_shifted, "
            f"{sql.named(sql.line_digests('raw'))}, {sql.named(values)}",
            f"*, {sql.named(self._meanings(fields))}",
            f"*, {sql.named(amounts)}",
            f"*, {sql.named(judgements)}",
            f"*, {sql.named(checks)}" if checks else "*",
            f"line, CASE WHEN row_r > 0 THEN [row_r] WHEN {sql.any_of([*rejecting, *checks])} "
            f"THEN {sql.those_of([*rejecting, *checks])} END AS reasons, "
            f"CASE WHEN {sql.any_of(warning)} THEN {sql.those_of(warning)} END AS warnings, "
            f"is_shifted, {self._control()} AS control, line_digest, line_check, {sql.named(self._record(fields))}",
            f"*, {_digest('account')}, {_digest('borrower')}",
        )
        return Program(layers, self.text, tuple(self.reasons), duplicate)

    def _reason(self, code: str, accepted: str, item: FieldMapping | None = None) -> int:
        self.reasons.append(Reason(item.target if item else "", item.source if item else "", code, accepted))
        return len(self.reasons) - 1

    def _row_judgements(self) -> list[Judgement]:
        width = len(self.text.headings)
        quotes = "quotes around a whole column only, those inside it doubled or escaped"
        judgements: list[Judgement] = [
            ("p IS NULL", self._reason("misplaced_quote", quotes)),
            (f"len(p) <> {width}", self._reason("wrong_column_count", f"{width} columns, as many as headings")),
        ]
        if self.text.stray_returns:
            stray = f"contains(raw, {sql.literal(STRAY_RETURN)})"
            judgements.append((stray, self._reason("stray_return", "a carriage return at the end of a line only")))
        return judgements

    def _meanings(self, fields: Table[Target, FieldMapping]) -> dict[str, str]:
        meanings = {} if self.mapping.currency is None else {"exponent": str(EXPONENTS[self.mapping.currency])}
        for target, item in fields.items():
            name = column(target)
            match item:
                case MoneyField():
                    meanings[f"{name}_d"] = sql.number(item, name)
                case DateField():
                    meanings[f"{name}_m"] = sql.day(f"{name}_v", item.date_format)
                case CodeField():
                    results = [sql.literal(code) for code in item.codes.values()]
                    meanings[f"{name}_m"] = sql.looked_up(f"{name}_v", list(item.codes), results)
                case CurrencyField():
                    codes = {code: code for code in EXPONENTS} | (item.codes or {})
                    results = [sql.literal(code) for code in codes.values()]
                    meanings[f"{name}_m"] = sql.looked_up(f"{name}_v", list(codes), results)
                    exponents = [str(EXPONENTS[code]) for code in codes.values()]
                    known = sql.looked_up(f"{name}_v", list(codes), exponents)
                    meanings["exponent"] = f"coalesce({known}, {UNKNOWN_EXPONENT})"
                case TextField():
                    continue
        return meanings

    def _judge(self, item: FieldMapping, name: str) -> str:
        """The number of the first reason against a field's value."""
        blank = self._reason("empty", "a value", item) if item.empty == "reject" else 0
        judgements: list[Judgement] = [(f"{name}_v = ''", blank)]
        if self.text.unreadable:
            accepted = "text of the file's encoding, or one value of the kind that stands there"
            unread = f"contains({name}_v, {sql.literal(UNREADABLE)})"
            judgements.append((unread, self._reason("unreadable", accepted, item)))
        unreadable = f"{name}_m IS NULL"
        match item:
            case TextField():
                judgements += self._judge_text(item, f"{name}_v")
            case MoneyField():
                judgements += self._judge_money(item, name)
            case DateField():
                written = item.date_format.replace("%Y", "YYYY").replace("%m", "MM").replace("%d", "DD")
                judgements.append((unreadable, self._reason("not_a_date", f"a day of the calendar as {written}", item)))
            case CurrencyField():
                accepted = _listed(["a currency code of ISO 4217", *(item.codes or ())])
                judgements.append((unreadable, self._reason("unknown_currency", accepted, item)))
            case CodeField():
                judgements.append((unreadable, self._reason("unknown_code", _listed(list(item.codes)), item)))
        return _first_of(judgements)

    def _judge_text(self, item: TextField, value: str) -> list[Judgement]:
        # A text of n bytes has at most n characters: counting them is seldom needed.
        too_long = f"strlen({value}) > {item.max_length} AND length({value}) > {item.max_length}"
        judgements: list[Judgement] = [
            (too_long, self._reason("too_long", f"at most {item.max_length} characters", item))
        ]
        if item.pattern is not None:
            differs = f"NOT regexp_full_match({value}, {sql.literal(item.pattern)})"
            judgements.append((differs, self._reason("pattern", f"what {item.pattern} matches", item)))
        return judgements

    def _judge_money(self, item: MoneyField, name: str) -> list[Judgement]:
        example = "123450" if item.unit == "minor" else "1234.50 or 1,234.50" if item.thousands_separator else "1234.50"
        accepted = f"digits such as {example}, after a minus sign where negative"
        unshaped = f"NOT regexp_full_match({name}_v, {sql.literal(sql.amount_shape(item))})"
        unreadable: list[Judgement] = [
            (unshaped, self._reason("not_an_amount", accepted, item)),
        ]
        if item.unit == "major":
            too_many = f"{sql.decimals(f'{name}_v')} > exponent"
            unreadable.append(
                (too_many, self._reason("too_many_decimals", "no more decimals than the currency has", item))
            )
        lowest = f"at least {item.min}" if item.min is not None else ""
        highest = f"at most {item.max}" if item.max is not None else ""
        limits = " and ".join(filter(None, (lowest, highest))) or "at most 18 digits"
        beyond = self._reason("out_of_range", limits, item)
        judgements: list[Judgement] = [(f"{name}_m IS NULL", _first_of(unreadable, otherwise=beyond))]
        outside = sql.outside(name, item.min, item.max)
        return [*judgements, (outside, beyond)] if outside else judgements

    def _checks(self, fields: Table[Target, FieldMapping]) -> list[Judgement]:
        judgements: list[Judgement] = []
        for check in self.mapping.checks:
            match check:
                case RequiredTogether():
                    judgements += self._check_together(check, fields)
                case NotAfterBusinessDate():
                    for target in filter(fields.__contains__, check.fields):
                        late = f"{column(target)}_m > DATE '{self.business_date.isoformat()}'"
                        accepted = "a day not after the business date of the file"
                        judgements.append((late, self._reason("after_business_date", accepted, fields[target])))
        return judgements

    def _check_together(self, check: RequiredTogether, fields: Table[Target, FieldMapping]) -> list[Judgement]:
        if (when := fields.get(check.when)) is None:
            return []
        name = column(check.when)
        present = f"{name}_m > 0" if isinstance(when, MoneyField) else f"{name}_v <> ''"
        judgements: list[Judgement] = []
        for target in check.requires:
            item = fields.get(target)
            lacks = f"{present} AND {column(target)}_v = ''" if item else present
            accepted = f"{target} wherever {check.when} has a value"
            judgements.append((lacks, self._reason("required_together", accepted, item or when)))
        return judgements

    def _record(self, fields: Table[Target, FieldMapping]) -> dict[str, str]:
        record = {column(target): f"NULL::{sql_type(target)}" for target in TARGETS}
        for target, item in fields.items():
            name = column(target)
            result = f"nullif({name}_v, '')" if isinstance(item, TextField) else f"{name}_m"
            record[name] = f"CASE WHEN {name}_r = 0 THEN {result} END"
        if self.mapping.currency is not None:
            record["account_currency"] = sql.literal(self.mapping.currency)
        return record

    def _control(self) -> str:
        total_field = self.mapping.format.total_field
        if total_field is None:
            return "NULL::BIGINT"
        name = column(total_field)
        return f"CASE WHEN is_shifted THEN NULL WHEN {name}_v = '' THEN 0 ELSE {name}_m END"


def _first_of(judgements: list[Judgement], otherwise: int = 0) -> str:
    whens = " ".join(f"WHEN {test} THEN {reason}" for test, reason in judgements)
    return f"CASE {whens} ELSE {otherwise} END::UTINYINT"


def _listed(accepted: list[str]) -> str:
    return ", ".join(accepted[:20]) + (f" and {len(accepted) - 20} more" if len(accepted) > 20 else "")


def _digest(part: str) -> str:
    return f"hash({', '.join(column(target) for target in TARGETS if target.startswith(part))}) AS {part}_digest"
