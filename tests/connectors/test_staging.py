"""Every row is accepted with typed values, or quarantined with its reasons and its line."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.connectors.errors import FileRefused
from chalicelib.connectors.expressions import literal
from chalicelib.connectors.staging import connect
from tests.connectors.delivery import DAY, FIELDS, Desk, codes, delivered, mapping, row, with_field

TRAILER = {"prefix": "TRL", "count": 1, "total": 2, "total_field": "account.balance"}


def staged_values(folder: Path, columns: str, rows: list[str], **members: Any) -> list[tuple[Any, ...]]:
    desk = Desk(folder, mapping(**members))
    desk.stage(delivered(rows))
    return desk.con.execute(f"SELECT {columns} FROM fresh ORDER BY line").fetchall()


def reasons_of(folder: Path, line: str, **members: Any) -> list[str]:
    """The reasons against the only row of a file."""
    desk = Desk(folder, mapping(**members))
    staged = desk.stage(delivered([line]))
    found = desk.quarantined(staged)
    assert (staged.rows, staged.accepted, staged.quarantined) == (1, 1 - len(found), len(found))
    return codes(found[0][3]) if found else []


@pytest.mark.parametrize(
    ("written", "currency", "minor"),
    [
        ("1234.50", "CNY", 123450),
        ("1234.5", "CNY", 123450),
        ("1234", "CNY", 123400),
        ("-0.01", "CNY", -1),
        ("-0.00", "CNY", 0),
        ("000012.30", "CNY", 1230),
        ("1234", "JPY", 1234),
        ("1.234", "KWD", 1234),
        ("1.2", "KWD", 1200),
        ("92233720368547758.07", "CNY", 2**63 - 1),
        ("-92233720368547758.08", "CNY", -(2**63)),
    ],
)
def test_an_amount_is_kept_in_exact_minor_units(tmp_path, written, currency, minor):
    assert staged_values(tmp_path, "account_balance", [row(balance=written, currency=currency)]) == [(minor,)]


@pytest.mark.parametrize(
    ("written", "currency", "reason"),
    [
        ("1,234.50", "CNY", "not_an_amount"),
        ("-", "CNY", "not_an_amount"),
        ("１２３", "CNY", "not_an_amount"),
        ("NaN", "CNY", "not_an_amount"),
        ("Infinity", "CNY", "not_an_amount"),
        ("1e5", "CNY", "not_an_amount"),
        ("+5", "CNY", "not_an_amount"),
        (".5", "CNY", "not_an_amount"),
        ("5.", "CNY", "not_an_amount"),
        ("1 234", "CNY", "not_an_amount"),
        ("1_000", "CNY", "not_an_amount"),
        ("0x10", "CNY", "not_an_amount"),
        ("1.005", "CNY", "too_many_decimals"),
        ("1.500", "CNY", "too_many_decimals"),
        ("0." + "1" * 40, "CNY", "too_many_decimals"),
        ("100.00", "JPY", "too_many_decimals"),
        ("1" * 40, "CNY", "out_of_range"),
        ("92233720368547758.08", "CNY", "out_of_range"),
        ("9223372036854775808", "JPY", "out_of_range"),
    ],
)
def test_an_amount_that_cannot_be_kept_exactly_is_a_reason(tmp_path, written, currency, reason):
    assert reasons_of(tmp_path, row(balance=written, currency=currency)) == [reason]


@pytest.mark.parametrize(
    ("written", "members", "result"),
    [
        ("1,234.50", {"thousands_separator": ","}, 123450),
        ("-1,234,567", {"thousands_separator": ","}, -123456700),
        ("1234.50", {"thousands_separator": ","}, 123450),
        ("12,34.50", {"thousands_separator": ","}, ["not_an_amount"]),
        ("1,234,5", {"thousands_separator": ","}, ["not_an_amount"]),
        (",123", {"thousands_separator": ","}, ["not_an_amount"]),
        ("１２３．４５", {"full_width_to_half": True}, 12345),
        ("123450", {"unit": "minor"}, 123450),
        ("-5", {"unit": "minor"}, -5),
        ("1234.50", {"unit": "minor"}, ["not_an_amount"]),
        ("9223372036854775808", {"unit": "minor"}, ["out_of_range"]),
        ("-0.01", {"min": "0"}, ["out_of_range"]),
        ("0.00", {"min": "0"}, 0),
        ("10.01", {"max": "10"}, ["out_of_range"]),
        ("10", {"max": "10"}, 1000),
        ("0.05", {"min": "0.051"}, ["out_of_range"]),
        ("", {"empty": "reject"}, ["empty"]),
        ("", {}, None),
        ("-", {"severity": "warn"}, None),
    ],
)
def test_what_the_mapping_says_of_an_amount_is_done(tmp_path, written, members, result):
    fields = with_field("account.balance", **members)
    if isinstance(result, list):
        assert reasons_of(tmp_path, row(balance=written), fields=fields) == result
    else:
        assert staged_values(tmp_path, "account_balance", [row(balance=written)], fields=fields) == [(result,)]


@pytest.mark.parametrize(
    ("written", "date_format", "day"),
    [
        ("20050930", "%Y%m%d", date(2005, 9, 30)),
        ("20240229", "%Y%m%d", date(2024, 2, 29)),
        ("30/09/2005", "%d/%m/%Y", date(2005, 9, 30)),
        ("2005.09.30", "%Y.%m.%d", date(2005, 9, 30)),
        ("", "%Y%m%d", None),
    ],
)
def test_a_day_is_read_in_the_mappings_format(tmp_path, written, date_format, day):
    fields = with_field("account.oldest_due_date", date_format=date_format)
    assert staged_values(tmp_path, "account_oldest_due_date", [row(due=written)], fields=fields) == [(day,)]


@pytest.mark.parametrize(
    ("written", "date_format"),
    [
        ("20050931", "%Y%m%d"),
        ("00000000", "%Y%m%d"),
        ("20260229", "%Y%m%d"),
        ("2005930", "%Y%m%d"),
        ("200509300", "%Y%m%d"),
        ("2005-09-30", "%Y%m%d"),
        ("２００５0930", "%Y%m%d"),
        ("2005x09x30", "%Y.%m.%d"),
        ("2005-9-3", "%Y-%m-%d"),
    ],
)
def test_a_day_that_no_calendar_has_is_a_reason(tmp_path, written, date_format):
    fields = with_field("account.oldest_due_date", date_format=date_format)
    assert reasons_of(tmp_path, row(due=written), fields=fields) == ["not_a_date"]


@pytest.mark.parametrize(
    ("target", "members", "values", "result"),
    [
        ("borrower.phone", {"pattern": "1[3-9][0-9]{9}"}, {"phone": "1381234567O"}, ["pattern"]),
        ("borrower.phone", {"pattern": "1[3-9][0-9]{9}"}, {"phone": "138123456789"}, ["pattern"]),
        ("borrower.phone", {"pattern": "[0-9]+", "severity": "warn"}, {"phone": "n/a"}, None),
        ("borrower.phone", {"full_width_to_half": True}, {"phone": "　１３８　"}, "138"),
        ("borrower.phone", {"trim": False}, {"phone": " 138 "}, " 138 "),
        ("borrower.name", {"max_length": 3}, {"name": "欧阳修远"}, ["too_long"]),
        ("borrower.name", {"max_length": 4}, {"name": "欧阳修远"}, "欧阳修远"),
        ("borrower.name", {}, {"name": " \t王　伟\u00a0"}, "王　伟"),
        ("borrower.name", {}, {"name": r"C:\0 \x1f '' \N"}, r"C:\0 \x1f '' \N"),
        ("borrower.name", {"empty": "reject"}, {"name": "　 "}, ["empty"]),
        ("borrower.name", {"type": "code", "codes": {"王伟": "it's"}}, {}, "it's"),
        ("borrower.name", {"type": "code", "codes": {"x": "y"}}, {}, ["unknown_code"]),
        ("account.currency", {}, {"currency": "XXX"}, ["unknown_currency"]),
        ("account.currency", {}, {"currency": "cny"}, ["unknown_currency"]),
        ("account.currency", {"codes": {"156": "CNY"}}, {"currency": "156"}, "CNY"),
        ("account.currency", {"codes": {"156": "CNY"}}, {"currency": "USD"}, "USD"),
        ("account.currency", {}, {"currency": ""}, ["empty"]),
        ("account.key", {}, {"key": " "}, ["empty"]),
    ],
)
def test_a_text_or_a_code_is_taken_as_the_mapping_says(tmp_path, target, members, values, result):
    fields = with_field(target, **members)
    if isinstance(result, list):
        assert reasons_of(tmp_path, row(**values), fields=fields) == result
    else:
        desk = Desk(tmp_path, mapping(fields=fields))
        _, found = desk.take(delivered([row(**values)]))
        part, name = target.split(".")
        assert desk.changes(found)[0][part][name] == result


def test_a_warning_is_counted_and_keeps_its_row(tmp_path):
    desk = Desk(tmp_path, mapping(fields=with_field("borrower.phone", pattern="[0-9]+", severity="warn")))
    for _ in range(2):  # it is counted again the next day, though the line is the same
        staged, _ = desk.take(delivered([row(phone="n/a"), row(key="A2")]))
        assert [(count.reason.code, count.rows) for count in staged.warnings] == [("pattern", 1)]
        assert (staged.accepted, staged.quarantined) == (2, 0)


def test_an_amount_in_an_unknown_currency_is_no_second_reason_but_counts_in_the_trailers_total(tmp_path):
    desk = Desk(tmp_path, mapping(form={"trailer": TRAILER}))
    staged = desk.stage(
        delivered([row(currency="XXX"), row(key="A2", currency="JPY", balance="7")], trailer="TRL||2||1241.50")
    )
    assert [codes(reasons) for *_, reasons in desk.quarantined(staged)] == [["unknown_currency"]]


def test_all_reasons_against_a_row_are_given_with_the_line_and_never_the_value(tmp_path):
    desk = Desk(tmp_path)
    line = row(balance="secret-1", due="secret-2")
    staged = desk.stage(delivered([row(key="A0"), line]))
    assert desk.quarantined(staged) == [
        (
            3,
            line,
            "A1",
            [
                {
                    "field": "account.balance",
                    "source": "balance",
                    "code": "not_an_amount",
                    "accepted": "digits such as 1234.50, after a minus sign where negative",
                },
                {
                    "field": "account.oldest_due_date",
                    "source": "due",
                    "code": "not_a_date",
                    "accepted": "a day of the calendar as YYYYMMDD",
                },
            ],
        )
    ]


@pytest.mark.parametrize("line", ["A1||C1", row() + "||", "A1", row(name="a||b")])
def test_a_row_with_too_few_or_too_many_columns_has_that_one_reason(tmp_path, line):
    assert reasons_of(tmp_path, line) == ["wrong_column_count"]


def test_a_carriage_return_inside_a_row_is_a_reason_and_is_shown(tmp_path):
    desk = Desk(tmp_path)
    staged = desk.stage(delivered([row(name="a\rb"), row(key="A2")]))
    [(line, raw, _, reasons)] = desk.quarantined(staged)
    assert (line, codes(reasons), "a\u240db" in raw) == (2, ["stray_return"], True)


def test_the_longest_line_allowed_is_read_and_a_file_of_headings_alone_has_no_rows(tmp_path):
    desk = Desk(tmp_path)
    line = row(name="")
    line = row(name="王" * ((desk.mapping.format.max_line_bytes - len(line)) // 3))
    assert [codes(reasons) for *_, reasons in desk.quarantined(desk.stage(delivered([line])))] == [["too_long"]]
    assert desk.stage(delivered([])).rows == 0


def test_all_rows_of_a_key_that_is_met_twice_are_quarantined(tmp_path):
    desk = Desk(tmp_path)
    staged = desk.stage(delivered([row(), row(key="A2"), row(balance="7"), row(balance="-")]))
    found = [(line, codes(reasons)) for line, _, _, reasons in desk.quarantined(staged)]
    assert found == [(2, ["duplicate_key"]), (4, ["duplicate_key"]), (5, ["not_an_amount", "duplicate_key"])]
    assert staged.accepted == 1


@pytest.mark.parametrize("second", [row(), row(balance="7"), row(balance="-")])
def test_a_known_line_is_quarantined_too_when_its_key_is_met_twice(tmp_path, second):
    desk = Desk(tmp_path)
    desk.take(delivered([row(), row(key="A2")]))
    staged, found = desk.take(delivered([row(), row(key="A2"), second]))
    assert [(line, raw) for line, raw, *_ in desk.quarantined(staged)] == [(2, row()), (4, second)]
    assert (staged.accepted, found.unchanged, found.carried, found.removed) == (1, 1, 1, 0)


def test_blank_lines_are_no_rows_and_keep_the_numbers_of_those_after_them(tmp_path):
    desk = Desk(tmp_path, mapping(form={"trailer": TRAILER}))
    staged = desk.stage(delivered([row(), "", "  ", row(key="A2", balance="x")], trailer="TRL||2||9"))
    assert (staged.rows, [line for line, *_ in desk.quarantined(staged)]) == (2, [5])


@pytest.mark.parametrize(
    ("trailer", "code"),
    [("TRL||3||2469.00", "trailer_count"), ("TRL||2||2469.01", "trailer_total"), ("TRL||2||2469.00", None)],
)
def test_a_file_that_does_not_agree_with_its_trailer_is_refused(tmp_path, trailer, code):
    desk = Desk(tmp_path, mapping(form={"trailer": TRAILER}))
    content = delivered([row(), row(key="A2", overdue="-1")], trailer=trailer)
    if code is None:
        assert desk.stage(content).quarantined == 1
    else:
        with pytest.raises(FileRefused) as refused:
            desk.stage(content)
        assert (refused.value.code, refused.value.line) == (code, 4)


@pytest.mark.parametrize("empty", ["null", "reject"])
def test_a_blank_amount_adds_nothing_to_the_total(tmp_path, empty):
    fields = with_field("account.balance", empty=empty)
    desk = Desk(tmp_path, mapping(form={"trailer": TRAILER}, fields=fields))
    assert desk.stage(delivered([row(), row(key="A2", balance="")], trailer="TRL||2||1234.50")).unread_total_rows == 0
    with pytest.raises(FileRefused, match=r"sum up to 1234\.50"):
        desk.stage(delivered([row(), row(key="A2", balance="")], trailer="TRL||2||1234.51"))


def test_a_total_in_minor_units_is_compared_in_minor_units(tmp_path):
    fields = with_field("account.balance", unit="minor")
    desk = Desk(tmp_path, mapping(form={"trailer": TRAILER}, fields=fields))
    rows = [row(balance="123"), row(key="A2", balance="5", currency="JPY")]
    desk.take(delivered(rows, trailer="TRL||2||128"))
    staged, _ = desk.take(delivered(rows, trailer="TRL||2||128"))
    assert staged.known == 2
    with pytest.raises(FileRefused):
        desk.stage(delivered(rows, trailer="TRL||2||1.28"))


def test_a_total_that_cannot_be_proven_is_reported_as_such(tmp_path):
    desk = Desk(tmp_path, mapping(form={"trailer": TRAILER}))
    staged = desk.stage(delivered([row(), row(key="A2", balance="1,000.00")], trailer="TRL||2||2234.50"))
    assert staged.unread_total_rows == 1


def test_too_many_quarantined_rows_refuse_the_file_and_show_why(tmp_path):
    desk = Desk(tmp_path, mapping(max_quarantine_share=0.3))
    with pytest.raises(FileRefused, match="2 of 4 rows") as refused:
        desk.stage(delivered([row(), row(key="A2"), row(key="A3", due="x"), row(key="A4", due="x")]))
    assert refused.value.code == "too_many_quarantined"
    assert refused.value.extra["reasons"][0]["code"] == "not_a_date"
    assert (tmp_path / "1" / "quarantine.parquet").exists()


def test_checks_between_fields(tmp_path):
    checks = [
        {"kind": "required_together", "when": "account.overdue_amount", "requires": ["account.oldest_due_date"]},
        {"kind": "not_after_business_date", "fields": ["account.oldest_due_date"]},
    ]
    desk = Desk(tmp_path, mapping(checks=checks))
    staged = desk.stage(
        delivered(
            [
                row(key="A1", overdue="0.01"),
                row(key="A2", overdue="0.01", due="20050930"),
                row(key="A3", overdue="0.01", due="20051001"),
                row(key="A4", overdue="0.01", due="20050931"),
                row(key="A5", overdue="0.00"),
                row(key="A6", overdue=""),
            ]
        ),
        DAY,
    )
    assert [(key, codes(reasons)) for _, _, key, reasons in desk.quarantined(staged)] == [
        ("A1", ["required_together"]),
        ("A3", ["after_business_date"]),
        ("A4", ["not_a_date"]),
    ]


def test_control_totals_are_by_currency_over_accepted_rows(tmp_path):
    desk = Desk(tmp_path)
    staged = desk.stage(
        delivered([row(), row(key="A2", currency="JPY", balance="7", overdue="3"), row(key="A3", balance="x")])
    )
    assert [(t.currency, t.rows, t.balance, t.overdue_amount) for t in staged.totals] == [
        ("CNY", 1, 123450, 0),
        ("JPY", 1, 7, 3),
    ]


def test_columns_that_the_mapping_does_not_read_are_listed_and_optional_ones_may_be_missing(tmp_path):
    fields = [item for item in FIELDS if item["source"] != "name"]
    fields.append({"target": "borrower.address", "source": "address", "type": "text", "required": False})
    desk = Desk(tmp_path, mapping(fields=fields))
    staged, found = desk.take(delivered([row()]))
    assert staged.ignored == ("name",)
    assert desk.changes(found)[0]["borrower"] == {
        "key": "C1",
        "name": None,
        "id_number": None,
        "phone": "13812345678",
        "address": None,
    }


def test_a_file_without_a_required_column_is_refused(tmp_path):
    desk = Desk(tmp_path)
    with pytest.raises(FileRefused, match="'due'"):
        desk.stage(b"key||customer||name||phone||currency||balance||overdue\n")


def test_quoted_columns_may_hold_delimiters_quotes_and_line_ends(tmp_path):
    desk = Desk(tmp_path, mapping(form={"delimiter": ",", "quote": '"'}))
    lines = [
        '"A1",C1,"Smith, ""Jo""",138,CNY,1.00,0,',
        'A2,C2,"two\nlines",138,CNY,"2.00",0,""',
        'A3,C3,mis"placed",138,CNY,3.00,0,',
        "A4,C4,plain,138,CNY,x,0,",
    ]
    content = "".join(
        f"{line}\n" for line in [",".join(["key,customer,name,phone,currency,balance,overdue,due"]), *lines]
    )
    staged, found = desk.take(content.encode())
    assert [(c["line"], c["borrower"]["name"], c["account"]["balance"]) for c in desk.changes(found)] == [
        (2, 'Smith, "Jo"', 100),
        (3, "two\nlines", 200),
    ]
    assert [(line, raw, codes(reasons)) for line, raw, _, reasons in desk.quarantined(staged)] == [
        (5, lines[2], ["misplaced_quote"]),
        (6, lines[3], ["not_an_amount"]),
    ]


def test_words_of_users_cannot_leave_their_place_in_the_query(tmp_path):
    nasty = "'; DROP TABLE x; --"
    headings = ["key", "customer", nasty, "phone", "currency", "balance", "overdue", "due"]
    fields = with_field("borrower.name", source=nasty, type="code", codes={nasty: nasty})
    fields = [item | {"pattern": "a'b|[^']+"} if item["target"] == "borrower.phone" else item for item in fields]
    desk = Desk(tmp_path, mapping(fields=fields))
    _, found = desk.take("\n".join(["||".join(headings), row(name=nasty), ""]).encode())
    assert desk.changes(found)[0]["borrower"]["name"] == nasty


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_any_text_is_the_same_as_a_literal(text):
    assert duckdb.execute(f"SELECT {literal(text)}").fetchall() == [(text,)]


def test_the_connection_reaches_nothing_outside_its_folder(tmp_path):
    (tmp_path / "inside").mkdir()
    (tmp_path / "outside.txt").write_text("x")
    with connect(tmp_path / "inside") as con:
        for statement in (
            f"SELECT * FROM read_text('{tmp_path}/outside.txt')",
            f"COPY (SELECT 1) TO '{tmp_path}/new.csv'",
            "SET enable_external_access = true",
            "INSTALL httpfs",
        ):
            with pytest.raises(duckdb.Error):
                con.execute(statement)
