from pathlib import Path

import pytest
from pydantic import ValidationError

from chalicelib.billing.plans import PLANS_FILE, find_plan, plans, read_plans
from chalicelib.platform.errors import Invalid

CURRENCIES = ["CNY", "USD", "GBP", "EUR"]


@pytest.mark.parametrize("plan", plans(), ids=lambda plan: plan.key)
def test_every_plan_is_sold_by_the_month_in_every_currency(plan):
    assert [plan.price(currency).lookup_key for currency in CURRENCIES] == [
        f"{plan.key}_month_{currency.lower()}" for currency in CURRENCIES
    ]


@pytest.mark.parametrize("currency", CURRENCIES)
def test_a_larger_plan_includes_more_and_costs_more(currency):
    starter, growth, enterprise = (find_plan(key) for key in ("starter", "growth", "enterprise"))
    assert starter.price(currency).amount < growth.price(currency).amount < enterprise.price(currency).amount
    assert starter.seats < growth.seats < enterprise.seats
    assert starter.active_cases < growth.active_cases < enterprise.active_cases


def test_an_unknown_plan_is_refused_with_the_plans_there_are():
    with pytest.raises(Invalid, match="starter, growth, enterprise are accepted") as refused:
        find_plan("platinum")
    assert refused.value.pointer == "/plan"


def test_a_currency_without_a_price_is_refused_with_those_that_have_one():
    with pytest.raises(Invalid, match="CNY, USD, GBP, EUR are accepted") as refused:
        find_plan("starter").price("TWD")
    assert refused.value.pointer == "/currency"


def test_a_lookup_key_that_stands_twice_is_refused(tmp_path: Path):
    broken = tmp_path / "plans.toml"
    broken.write_text(PLANS_FILE.read_text("utf-8").replace("growth_month_usd", "starter_month_usd"), "utf-8")
    with pytest.raises(ValidationError, match="stand more than once: starter_month_usd"):
        read_plans(broken)


def test_a_member_that_nobody_reads_is_refused(tmp_path: Path):
    broken = tmp_path / "plans.toml"
    broken.write_text(PLANS_FILE.read_text("utf-8").replace("trial_days = 0", "trial_day = 0"), "utf-8")
    with pytest.raises(ValidationError, match="trial_day"):
        read_plans(broken)
