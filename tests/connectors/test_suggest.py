"""Fields proposed from headings and values, with how sure that is and what is missing."""

from __future__ import annotations

import re
from datetime import date

import pytest

from chalicelib.connectors.mapping import ObjectStoreSource
from chalicelib.connectors.profile import profile
from chalicelib.connectors.suggest import Suggestion, file_pattern, suggest
from chalicelib.connectors.synonyms import plain, synonyms
from chalicelib.connectors.vocabulary import TARGETS

KEYS = [f"A{n:03d}" for n in range(30)]
DAYS = ["2025-03-31", ""] * 15


def suggested(**columns: list[str]) -> Suggestion:
    return suggest([profile(name, values, synonyms()) for name, values in columns.items()], synonyms())


def sources(suggestion: Suggestion) -> dict[str, str]:
    return {each.target: each.document["source"] for each in suggestion.fields}


def test_names_in_either_language_are_understood():
    table = {"账号": KEYS, "客户号": KEYS, "逾期金额": ["1.50"] * 30, "最早逾期日": DAYS, "币种": ["CNY"] * 30}
    chinese = suggested(**table)
    english = suggested(
        **dict(zip(["LOAN_NO", "CustID", "Past-Due Amt", "due date", "CCY"], table.values(), strict=True))
    )
    assert list(sources(chinese)) == list(sources(english))
    assert (chinese.missing, english.missing) == ((), ())
    assert min(each.confidence for each in chinese.fields) >= 0.9
    assert [check["kind"] for check in chinese.checks] == ["required_together", "not_after_business_date"]


def test_a_name_is_not_believed_where_the_values_cannot_be_it():
    suggestion = suggested(账号=["same"] * 30, 逾期金额=["yes"] * 30, 客户号=KEYS)
    assert sources(suggestion) == {"account.number": "账号", "borrower.key": "客户号"}
    missing = {each.target: each for each in suggestion.missing}
    assert {target for target, each in missing.items() if each.required} == {
        "account.key",
        "account.overdue_amount",
        "account.currency",
    }
    assert missing["account.key"].candidates == ("客户号",)


def test_what_only_the_values_tell_is_less_sure():
    suggestion = suggested(a=KEYS, b=["13812345678"] * 30, c=["CNY", "USD"] * 15, d=["110101198001010017"] * 30)
    assert sources(suggestion) == {"account.currency": "c", "borrower.phone": "b", "borrower.id_number": "d"}
    assert all(each.confidence <= 0.6 for each in suggestion.fields)
    assert suggestion.unused == ("a",)


def test_days_that_could_be_read_two_ways_are_doubtful():
    [field] = suggested(**{"due date": ["03/04/2025", "05/06/2025"]}).fields
    assert field.confidence <= 0.5
    assert "%d/%m/%Y and %m/%d/%Y" in " ".join(field.notes)
    [sure] = suggested(**{"due date": ["03/04/2025", "25/06/2025"]}).fields
    assert (sure.document["date_format"], sure.confidence) == ("%d/%m/%Y", 1.0)


def test_units_separators_and_codes_are_proposed_as_they_stand():
    suggestion = suggested(
        **{
            "余额(分)": ["150", "0"],
            "past due amount": ["1,234.50", "0.00"],
            "credit limit (万元)": ["5", "10"],
            "币种": ["156", "RMB"],
            "客户号": ["Ａ１", "Ａ２"],
        }
    )
    fields = {each.target: each.document for each in suggestion.fields}
    assert fields["account.balance"]["unit"] == "minor"
    assert fields["account.overdue_amount"]["thousands_separator"] == ","
    assert fields["account.currency"]["codes"] == {"156": "CNY", "RMB": "CNY"}
    assert fields["borrower.key"]["full_width_to_half"] is True
    assert "account.credit_limit" not in fields, "an amount in units of ten thousand has no unit to be read in"


def test_a_number_of_days_is_no_amount():
    assert sources(suggested(**{"Days Past Due": ["3", "0"], "逾期天数": ["3", "0"]})) == {}


def test_the_key_is_the_number_where_no_other_column_is():
    one = suggested(借据号=KEYS)
    assert sources(one) == {"account.key": "借据号", "account.number": "借据号"}
    two = suggested(借据号=KEYS, 卡号=[f"62{n:014d}" for n in range(30)])
    assert sources(two) == {"account.key": "借据号", "account.number": "卡号"}


@pytest.mark.parametrize(
    ("name", "day"),
    [("CORE_LOAN_20050430.txt", "20050430"), ("a+b 20050430-20050501.csv.gz", "20050501"), ("20050430", "20050430")],
)
def test_a_pattern_takes_names_like_the_one_it_is_made_of(name, day):
    source = ObjectStoreSource(kind="object-store", file_pattern=file_pattern(name))
    assert source.business_date(name) == date.fromisoformat(day)
    assert source.business_date(name.replace(day, "20060102")) == date(2006, 1, 2)
    assert source.business_date("x" + name) is None


@pytest.mark.parametrize("name", ["loans.csv", "loans_2005.csv", "loans_20051399.csv", "1200504301.csv"])
def test_a_name_without_a_day_gives_no_pattern(name):
    assert file_pattern(name) is None


def test_every_target_has_names_and_no_name_is_written_twice_for_one():
    words = synonyms()
    assert set(words.fields) == set(TARGETS)
    assert all(len(names) >= 5 for names in words.fields.values())


@pytest.mark.parametrize(
    "heading", ["Account No.", "ACCOUNT_NO", "account-no", "ＡＣＣＯＵＮＴ　ＮＯ", "Account No (core)"]
)
def test_ways_of_writing_one_name_are_one(heading):
    assert plain(heading) == "accountno"
    assert re.fullmatch(r"\w+", plain(heading))
