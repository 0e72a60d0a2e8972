"""Which accounts open a case, and the evidence for it."""

import tomllib
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from chalicelib.cases.position import AccountPosition
from chalicelib.cases.triggers import Evidence, Triggers, decide

ON = date(2005, 9, 30)


def account(days: int, amount: int = 100, product: str = "CC-STD", id: str = "acct_1", currency: str = "TWD"):
    return AccountPosition(id, product, currency, amount, ON - timedelta(days), ON, "run_1")


def document(*rules: dict) -> Triggers:
    return Triggers.model_validate({"rules": list(rules)})


CARDS = {"id": "cards", "products": ["CC-*"], "days_past_due": 31}


@pytest.mark.parametrize(("days", "opens"), [(30, False), (31, True), (400, True)])
def test_a_rule_is_met_from_its_day_on(days: int, opens: bool):
    assert (decide([account(days)], document(CARDS), 3, ON) is not None) is opens


def test_the_evidence_names_rule_version_account_and_days():
    assert decide([account(55)], document(CARDS), 3, ON) == Evidence(3, "cards", "acct_1", 55)


def test_a_product_that_no_rule_names_opens_nothing():
    assert decide([account(400, product="MORTGAGE")], document(CARDS), 1, ON) is None


def test_the_first_rule_that_names_a_product_judges_it_alone():
    strict = {"id": "gold", "products": ["CC-GOLD"], "days_past_due": 90}
    assert decide([account(60, product="CC-GOLD")], document(strict, CARDS), 1, ON) is None
    assert decide([account(60, product="CC-GOLD")], document(CARDS, strict), 1, ON) is not None


def test_a_small_amount_is_below_the_threshold_of_its_currency_only():
    rule = CARDS | {"least_overdue": {"TWD": 1000}}
    assert decide([account(60, 999)], document(rule), 1, ON) is None
    assert decide([account(60, 1000)], document(rule), 1, ON) is not None
    assert decide([account(60, 1, currency="JPY")], document(rule), 1, ON) is not None


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 9)), min_size=1, max_size=6), st.randoms())
def test_the_latest_account_is_the_evidence_whatever_the_order(latenesses: list[tuple[int, int]], random):
    accounts = [account(days, id=f"acct_{n}") for days, n in {n: (d, n) for d, n in latenesses}.values()]
    first = decide(accounts, document(CARDS), 1, ON)
    random.shuffle(accounts)
    assert decide(accounts, document(CARDS), 1, ON) == first
    worst = max(a.days_past_due(ON) for a in accounts)
    assert (first.days_past_due if first else None) == (worst if worst >= 31 else None)


@pytest.mark.parametrize(
    "rules",
    [
        [],
        [CARDS, CARDS],
        [CARDS | {"days_past_due": 0}],
        [CARDS | {"products": []}],
        [CARDS | {"products": ["C*C"]}],
        [CARDS | {"id": "has space"}],
        [CARDS | {"dayz": 1}],
        [CARDS | {"least_overdue": {"twd": 1}}],
    ],
)
def test_a_document_with_a_mistake_is_refused(rules: list[dict]):
    with pytest.raises(ValidationError):
        document(*rules)


@pytest.mark.parametrize("path", ["rules/default-triggers.toml", "samples/harbour-bank/triggers.toml"])
def test_the_documents_that_come_with_the_project_are_valid(path: str):
    text = (Path(__file__).parents[2] / "tenants" / path).read_text("utf-8")
    assert Triggers.model_validate(tomllib.loads(text)).rules
