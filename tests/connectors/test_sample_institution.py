"""The sample institution's six months, through the shipped preset, against the manifest of what is broken in them."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from chalicelib.connectors.mapping import load_preset
from tests.connectors.delivery import Desk, codes

GENERATE = Path(__file__).parents[2] / "tenants" / "samples" / "generate.py"
CUSTOMERS = 1200
CODES = {
    "limit_with_thousands": ["not_an_amount"],
    "overdue_with_thousands": ["not_an_amount"],
    "amount_is_dash": ["not_an_amount"],
    "negative_credit_limit": ["out_of_range"],
    "customer_number_empty": ["empty"],
    "impossible_date": ["not_a_date"],
    "unknown_currency": ["unknown_currency"],
    "phone_with_letters": ["pattern"],
    "too_few_columns": ["wrong_column_count"],
    "too_many_columns": ["wrong_column_count"],
    "duplicate_account": ["duplicate_key"],
}


@pytest.fixture(scope="module")
def extracts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("harbour-bank")
    command = [sys.executable, str(GENERATE), "--out", str(folder), "--rows", str(CUSTOMERS)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def test_six_months_are_taken_with_exactly_the_broken_rows_in_quarantine(extracts, tmp_path):
    files: list[dict[str, Any]] = json.loads((extracts / "manifest.json").read_text())["files"]
    desk = Desk(tmp_path, load_preset("cn-core-banking-delimited"))
    state: dict[str, Any] = {}
    for file in files:
        day = desk.mapping.source.business_date(file["name"])
        assert isinstance(day, date)
        staged, found = desk.take((extracts / file["name"]).read_bytes(), day)
        broken = [(line, codes(reasons)) for line, _, _, reasons in desk.quarantined(staged)]
        assert broken == sorted((row["line"], CODES[row["reason_kind"]]) for row in file["quarantined"])
        assert staged.rows == file["rows"] == found.new + found.changed + found.unchanged + found.quarantined
        assert len(state) == found.changed + found.unchanged + found.removed + found.carried
        assert found.removed == 0
        assert staged.unread_total_rows == 0
        for change in desk.changes(found):
            state[change["account"]["key"]] = change["account"] | {"phone": change["borrower"]["phone"]}
        assert len(state) == found.new + found.previous
    assert all(len(account["phone"]) == 11 and account["phone"].isascii() for account in state.values())
    # What all months' changes amount to is what the last month's file says, but for accounts that are broken in it.
    [last] = staged.totals
    broken_keys = {row["account_number"] for row in files[-1]["quarantined"]}
    sums = sum(account["balance"] for key, account in state.items() if key not in broken_keys)
    assert (last.currency, last.balance) == ("TWD", sums)
