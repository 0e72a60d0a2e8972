"""Harbour Bank's extracts are what their description says, and the expected counts follow from them."""

import gzip
import hashlib
import json
import subprocess
import sys
import tomllib
from collections import Counter
from datetime import date
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

SAMPLES = Path(__file__).parents[2] / "tenants" / "samples"
MONTHS = ["2005-04", "2005-05", "2005-06", "2005-07", "2005-08", "2005-09"]
CUSTOMERS = 500
HEADINGS = (
    "账号||客户号||客户姓名||证件号码||手机号码||联系地址||产品代码||机构号||币种||"
    "授信额度||当前余额||逾期金额||最早逾期日||上期还款额"
)
BREAKAGES = {
    "amount_is_dash": 1,
    "customer_number_empty": 1,
    "duplicate_account": 2,
    "impossible_date": 1,
    "limit_with_thousands": 1,
    "negative_credit_limit": 1,
    "overdue_with_thousands": 1,
    "phone_with_letters": 1,
    "too_few_columns": 1,
    "too_many_columns": 1,
    "unknown_currency": 1,
}


@pytest.fixture(scope="module")
def short(generate: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with six extracts of the first 500 customers."""
    folder = tmp_path_factory.mktemp("short")
    generate.write_extracts(folder, rows=CUSTOMERS)
    return folder


@pytest.fixture(scope="module")
def full(generate: ModuleType) -> list:
    """The six extracts of all customers."""
    return list(generate.build_extracts())


def _manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def _lines(folder: Path, file: dict) -> list[str]:
    text = (folder / file["name"]).read_bytes().decode("gb18030")
    assert text.endswith("\n")
    return text[:-1].split("\n")


def _details(folder: Path, file: dict) -> list[list[str]]:
    return [line.split("||") for line in _lines(folder, file)[1:-1]]


def _clean_rows(folder: Path, file: dict) -> list[list[str]]:
    broken = {finding["line"] for finding in file["quarantined"]}
    return [row for line, row in enumerate(_details(folder, file), start=2) if line not in broken]


def test_the_committed_source_is_the_documented_table_byte_for_byte() -> None:
    content = gzip.decompress((SAMPLES / "card-clients-2005.csv.gz").read_bytes())
    digest = hashlib.sha256(content).hexdigest()
    assert digest in (SAMPLES / "README.md").read_text(encoding="utf-8")
    assert content.count(b"\n") == 23_947


def test_the_institution_document_can_be_read_and_names_the_extracts_currency(short: Path) -> None:
    institution = tomllib.loads((SAMPLES / "harbour-bank" / "institution.toml").read_text(encoding="utf-8"))
    assert institution["name"] == _manifest(short)["institution"]
    assert institution["currency"] == _clean_rows(short, _manifest(short)["files"][0])[0][8]


def test_every_file_decodes_and_begins_with_the_chinese_headings(short: Path) -> None:
    files = _manifest(short)["files"]
    assert [file["name"] for file in files] == [
        "CORE_LOAN_20050430.txt",
        "CORE_LOAN_20050531.txt",
        "CORE_LOAN_20050630.txt",
        "CORE_LOAN_20050731.txt",
        "CORE_LOAN_20050831.txt",
        "CORE_LOAN_20050930.txt",
    ]
    assert {_lines(short, file)[0] for file in files} == {HEADINGS}


def test_the_trailer_counts_all_details_and_sums_those_with_fourteen_columns(short: Path) -> None:
    for file in _manifest(short)["files"]:
        details = _details(short, file)
        total = sum(Decimal(row[10]) for row in details if len(row) == 14)
        assert _lines(short, file)[-1] == f"TRL||{len(details)}||{total:.2f}"
        assert (file["rows"], file["total"]) == (len(details), f"{total:.2f}")


def test_a_short_extract_is_the_beginning_of_a_longer_one(generate: ModuleType, short: Path) -> None:
    shorter = next(generate.build_extracts(["2005-06"], rows=120))
    june = _lines(short, _manifest(short)["files"][2])[1:-1]
    assert june[: len(shorter.detail_lines)] == shorter.detail_lines


def test_a_month_written_alone_has_the_bytes_it_has_among_six(generate: ModuleType, short: Path) -> None:
    (september,) = generate.build_extracts(["2005-09"], rows=CUSTOMERS)
    assert september.content() == (short / september.name).read_bytes()


def test_the_command_line_writes_the_same_bytes_as_the_functions(short: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(SAMPLES / "generate.py"), "--out", str(tmp_path / "new"), "--rows", str(CUSTOMERS)]
    subprocess.run(command, check=True, capture_output=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()} == {
        path.name: path.read_bytes() for path in short.iterdir()
    }


@pytest.mark.parametrize(("option", "value"), [("--months", "2005-03"), ("--rows", "0"), ("--rows", "many")])
def test_an_argument_out_of_range_is_refused_and_nothing_is_written(
    generate: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    with pytest.raises(SystemExit):
        generate.main(["--out", str(tmp_path / "new"), option, value])
    assert option in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_resident_ids_carry_their_check_digit_the_holders_sex_and_birth_year(
    generate: ModuleType, people: ModuleType
) -> None:
    clients = list(generate.read_clients())
    seen = set()
    for client in clients:
        number = people.invent_person(client.id, is_male=client.is_male, age=client.age, months=6).resident_id
        seen.add(number)
        values = [10 if character == "X" else int(character) for character in number]
        assert sum(value * 2 ** (17 - place) for place, value in enumerate(values)) % 11 == 1
        assert date(int(number[6:10]), int(number[10:12]), int(number[12:14])).year == 2005 - client.age
        assert int(number[16]) % 2 == client.is_male
        assert number[2:4] == "99"
    assert len(seen) == len(clients)


def test_the_published_example_of_the_standard_gets_its_check_digit(people: ModuleType) -> None:
    assert people.check_digit("11010519491231002") == "X"
    assert people.check_digit("44052418800101001") == "4"


@given(client_id=st.integers(min_value=0, max_value=999_999_999))
def test_account_numbers_pass_the_luhn_check_and_hold_the_customers_id(generate: ModuleType, client_id: int) -> None:
    number = generate.account_number(client_id)
    reversed_digits = [int(digit) for digit in reversed(number)]
    odd = sum(reversed_digits[0::2])
    even = sum(2 * digit - 9 * (digit > 4) for digit in reversed_digits[1::2])
    assert (odd + even) % 10 == 0
    assert (len(number), number[:2], int(number[6:15])) == (16, "62", client_id)


def test_an_account_on_which_nothing_moved_comes_out_byte_for_byte_the_same(full: list) -> None:
    for before, after in pairwise(full):
        earlier = {line[:16]: line for line in before.detail_lines}
        unchanged = [line for line in after.detail_lines if earlier[line[:16]] == line]
        assert after.describe(before)["identical_to_previous"] == len(unchanged) > 1000


def test_a_borrower_keeps_name_id_and_address_and_one_in_a_hundred_changes_phone_each_month(full: list) -> None:
    for before, after in pairwise(full):
        skipped = {finding.line for finding in [*before.quarantined, *before.dirty_but_valid]}
        people_before = {
            line[:16]: line.split("||")[1:6]
            for number, line in enumerate(before.detail_lines, start=2)
            if number not in skipped
        }
        skipped = {finding.line for finding in [*after.quarantined, *after.dirty_but_valid]}
        rows = [line.split("||") for n, line in enumerate(after.detail_lines, start=2) if n not in skipped]
        pairs = [(people_before[row[0]], row[1:6]) for row in rows if row[0] in people_before]
        assert all(old[:3] + old[4:] == new[:3] + new[4:] for old, new in pairs)
        assert 0.005 < sum(old[3] != new[3] for old, new in pairs) / len(pairs) < 0.015


def test_a_short_extract_already_has_every_kind_of_breakage(short: Path) -> None:
    for file in _manifest(short)["files"]:
        kinds = Counter(finding["reason_kind"] for finding in file["quarantined"])
        assert kinds == BREAKAGES
        assert [finding["reason_kind"] for finding in file["dirty_but_valid"]] == ["full_width_phone"]


def test_a_full_extract_has_a_few_more_breakages_and_no_account_is_broken_in_two_months(full: list) -> None:
    broken = Counter()
    for extract in full:
        assert 13 <= len(extract.quarantined) <= 16
        assert len(extract.dirty_but_valid) == 2
        broken.update({finding.account_number for finding in [*extract.quarantined, *extract.dirty_but_valid]})
    assert set(broken.values()) == {1}


def _reasons(row: list[str], repeated: set[str]) -> set[str]:
    """Say what is wrong with a row, judging by its text alone."""
    if len(row) < 14:
        return {"too_few_columns"}
    if len(row) > 14:
        return {"too_many_columns"}
    checks = {
        "amount_is_dash": row[11] == "-",
        "customer_number_empty": row[1] == "",
        "duplicate_account": row[0] in repeated,
        "impossible_date": not _is_date_or_empty(row[12]),
        "limit_with_thousands": "," in row[9],
        "negative_credit_limit": row[9].startswith("-"),
        "overdue_with_thousands": "," in row[11],
        "phone_with_letters": any(character.isalpha() for character in row[4]),
        "unknown_currency": row[8] == "XXX",
        "full_width_phone": row[4].isdigit() and not row[4].isascii(),
    }
    return {kind for kind, holds in checks.items() if holds}


def _is_date_or_empty(text: str) -> bool:
    try:
        return text == "" or bool(date(int(text[:4]), int(text[4:6]), int(text[6:])))
    except ValueError:
        return False


def test_the_manifest_lists_exactly_the_rows_that_are_broken_and_why(full: list) -> None:
    for extract in full:
        rows = [line.split("||") for line in extract.detail_lines]
        repeated = {account for account, times in Counter(row[0] for row in rows).items() if times > 1}
        found = {
            (number, row[0], reason) for number, row in enumerate(rows, start=2) for reason in _reasons(row, repeated)
        }
        assert found == {
            (finding.line, finding.account_number, finding.reason_kind)
            for finding in [*extract.quarantined, *extract.dirty_but_valid]
        }


def test_the_two_rows_of_a_duplicated_account_disagree_only_in_what_is_overdue(short: Path) -> None:
    for file in _manifest(short)["files"]:
        details = _details(short, file)
        first, second = (
            details[finding["line"] - 2]
            for finding in file["quarantined"]
            if finding["reason_kind"] == "duplicate_account"
        )
        assert first[11] != second[11]
        assert first[:11] + first[12:] == second[:11] + second[12:]


def test_a_clean_row_is_overdue_with_a_date_or_neither_and_never_beyond_its_balance(short: Path) -> None:
    for file in _manifest(short)["files"]:
        for row in _clean_rows(short, file):
            overdue, due = Decimal(row[11]), row[12]
            assert (overdue > 0) == (due != "")
            assert 0 <= overdue <= max(Decimal(row[10]), Decimal(0))


def _count_by_hand(folder: Path, dpd: int, closing: str) -> list[dict]:
    """Follow every account through the written files, month by month."""
    is_open: dict[str, bool] = {}
    counts = []
    for file in _manifest(folder)["files"]:
        business_date = date.fromisoformat(file["business_date"])
        opened = closed = 0
        for row in _clean_rows(folder, file):
            was_open = is_open.get(row[0], False)
            days = (business_date - date.fromisoformat(row[12])).days if row[12] else 0
            triggered = Decimal(row[11]) > 0 and days >= dpd
            stays = was_open and closing == "cured" and Decimal(row[11]) > 0
            is_open[row[0]] = triggered or stays
            opened += is_open[row[0]] and not was_open
            closed += was_open and not is_open[row[0]]
        counts.append(
            {
                "month": file["month"],
                "accounts": len(is_open),
                "opened": opened,
                "closed": closed,
                "open": sum(is_open.values()),
            }
        )
    return counts


@pytest.mark.parametrize("closing", ["cured", "below_trigger"])
@pytest.mark.parametrize("dpd", [1, 25, 26, 31, 55, 56, 120])
def test_the_expected_counts_agree_with_a_count_by_hand_over_the_files(
    expected: ModuleType, short: Path, dpd: int, closing: str
) -> None:
    counts = expected.count_cases(_manifest(short), dpd=dpd, closing=closing)
    assert counts == _count_by_hand(short, dpd, closing)


def test_a_quarantined_account_keeps_the_state_of_the_month_before(expected: ModuleType, short: Path) -> None:
    """Quarantining everything in June freezes June, and July then shows both months' changes at once."""
    manifest = _manifest(short)
    everyone = [{"account_number": row[0]} for row in _details(short, manifest["files"][2])]
    manifest["files"][2]["quarantined"] = everyone
    counts = expected.count_cases(manifest)
    assert (counts[2]["opened"], counts[2]["closed"], counts[2]["open"]) == (0, 0, counts[1]["open"])


def test_an_account_quarantined_in_its_first_month_is_unknown_until_the_next(expected: ModuleType, short: Path) -> None:
    april, may = expected.count_cases(_manifest(short))[:2]
    assert april["accounts"] == CUSTOMERS - (sum(BREAKAGES.values()) - 1)
    assert may["accounts"] == CUSTOMERS


def test_the_expected_counts_refuse_a_month_that_is_not_one(expected: ModuleType, short: Path) -> None:
    manifest = _manifest(short)
    manifest["files"][0]["month"] = "04'; DROP TABLE clients; --"
    with pytest.raises(ValueError, match="YYYY-MM"):
        expected.count_cases(manifest)
