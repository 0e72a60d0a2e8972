import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from chalice.test import Client
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from chalicelib.billing.plans import (
    CURRENCIES,
    FEATURES,
    INTERVALS,
    KINDS,
    PLANS_FILE,
    Plan,
    find_plan,
    plans,
    product_of,
    read_plans,
    what_is,
)
from chalicelib.platform.errors import Invalid
from chalicelib.tenancy import Terms

HOURS_A_MONTH = 730

every_plan = pytest.mark.parametrize("plan", plans(), ids=lambda plan: plan.key)


@every_plan
def test_every_plan_seat_and_further_case_is_sold_by_month_and_year_in_every_currency(plan: Plan):
    for kind, price in [("", plan.price), ("seat_", plan.seat_price), ("overage_", plan.overage_price)]:
        assert [price(currency, interval).lookup_key for interval in INTERVALS for currency in CURRENCIES] == [
            f"{plan.key}_{kind}{interval}_{currency.lower()}" for interval in INTERVALS for currency in CURRENCIES
        ]


@every_plan
def test_a_year_costs_ten_months(plan: Plan):
    for price in (plan.price, plan.seat_price):
        assert [price(currency, "year").amount for currency in CURRENCIES] == [
            10 * price(currency, "month").amount for currency in CURRENCIES
        ]


@every_plan
@pytest.mark.parametrize("currency", CURRENCIES)
def test_a_case_beyond_the_included_ones_costs_more_than_an_included_one(plan: Plan, currency: str):
    included = Decimal(plan.price(currency).amount) / plan.entitlements.active_cases
    assert plan.overage_price(currency).amount * HOURS_A_MONTH > included


@pytest.mark.parametrize("currency", CURRENCIES)
def test_a_larger_plan_entitles_to_more_and_costs_more_while_one_more_of_anything_costs_less(currency: str):
    for smaller, larger in zip(plans(), plans()[1:], strict=False):
        assert smaller.price(currency).amount < larger.price(currency).amount
        assert smaller.seat_price(currency).amount > larger.seat_price(currency).amount
        assert smaller.overage_price(currency).amount > larger.overage_price(currency).amount
        less, more = smaller.entitlements.model_dump(), larger.entitlements.model_dump()
        assert [name for name in less if less[name] > more[name]] == []
        assert set(smaller.features) < set(larger.features)


@every_plan
def test_the_terms_of_a_plan_survive_being_stored(plan: Plan):
    assert Terms.model_validate_json(plan.terms.model_dump_json()) == plan.terms


def test_the_features_are_all_the_entitlements_that_are_granted_or_not():
    granted = find_plan("enterprise").entitlements.model_dump()
    assert [name for name, value in granted.items() if isinstance(value, bool)] == list(FEATURES)
    assert [plan.features for plan in plans()] == [(), ("insight",), FEATURES]


plan_keys = st.from_regex(r"[a-z][a-z0-9]{0,29}", fullmatch=True)


@given(plan_keys, st.sampled_from(KINDS))
def test_a_product_says_whose_and_what_it_is(key: str, kind):
    assert what_is(product_of(key, kind)) == (key, kind)


@given(st.one_of(st.text(), plan_keys.map(lambda key: f"duebridge_{key}_month")))
def test_a_product_of_somebody_else_is_nothing_of_ours(identifier: str):
    assert what_is(identifier) is None or re.fullmatch(r"duebridge_[a-z][a-z0-9]*(_seat|_overage)?", identifier)
    assert what_is(f"{identifier}_month") is None


def test_an_unknown_plan_is_refused_with_the_plans_there_are():
    with pytest.raises(Invalid, match="starter, growth, enterprise are accepted") as refused:
        find_plan("platinum")
    assert refused.value.pointer == "/plan"


def test_a_currency_or_interval_without_a_price_is_refused_with_those_that_have_one():
    for price in (find_plan("starter").price, find_plan("starter").seat_price, find_plan("starter").overage_price):
        with pytest.raises(Invalid, match="CNY, USD, GBP, EUR are accepted") as refused:
            price("TWD")
        assert refused.value.pointer == "/currency"
        with pytest.raises(Invalid, match="month, year are accepted") as refused:
            price("USD", "week")
        assert refused.value.pointer == "/interval"


def test_a_visitor_sees_what_each_plan_costs_and_entitles_to(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    from app import app

    with Client(app) as visitor:
        starter, growth, enterprise = visitor.http.get("/v1/plans").json_body["items"]
    assert (starter["seats"], starter["active_cases"], starter["trial_days"]) == (5, 500, 14)
    assert {"currency": "USD", "interval": "year", "amount": 290000} in starter["prices"]
    assert {"currency": "GBP", "interval": "month", "amount": 1200} in growth["seat_prices"]
    assert {"currency": "EUR", "interval": "month", "amount": "0.0036"} in enterprise["overage_prices"]
    assert enterprise["entitlements"] == {
        "connectors": 100,
        "endpoints": 100,
        "events_kept_days": 400,
        "requests_per_minute": 12000,
        "requests_per_minute_per_key": 4000,
        "insight": True,
        "parallel_run": True,
        "passkeys_required": True,
    }


Edit = tuple[str, str]


@pytest.fixture
def written(tmp_path: Path) -> Callable[[Edit], Path]:
    """The plans' file with one text in it replaced where it stands first."""

    def write(edit: Edit) -> Path:
        text = PLANS_FILE.read_text("utf-8")
        assert edit[0] in text
        path = tmp_path / "plans.toml"
        path.write_text(text.replace(*edit, 1), "utf-8")
        return path

    return write


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (('key = "growth"', 'key = "starter"'), "these plans stand more than once: starter"),
        (('key = "growth"', 'key = "growth_seat"'), r"plan\.1\.key"),
        (("trial_days = 0", "trial_day = 0"), r"plan\.2\.trial_days"),
        (("trial_days = 14", "trial_days = -1"), r"plan\.0\.trial_days"),
        (("insight = false", "insigth = false"), r"plan\.0\.entitlements\.insigth"),
        (("seats = 5\n", ""), r"plan\.0\.entitlements\.seats\n +Field required"),
        (("seats = 5\n", "seats = 0\n"), r"plan\.0\.entitlements\.seats"),
        (("[plan.seat_prices]", "[plan.seats_prices]"), r"plan\.0\.seat_prices"),
        (("EUR = { month = 27000, year = 270000 }\n", ""), "there is no amount in EUR by the month, EUR by the year"),
        (("EUR = { month = 27000, year = 270000 }", "EUR = { month = 27000 }"), "no amount in EUR by the year"),
        (('EUR = { month = "0.095", year = "0.095" }\n', ""), r"plan\.0\.overage_prices\n.*no amount in EUR"),
        (("EUR = { month = 27000,", "EUR = { week = 7000, month = 27000,"), r"plan\.0\.prices\.EUR\.week"),
        (("EUR = { month = 27000,", "TWD = { month = 27000, year = 1 }\nEUR = { month = 1,"), r"plan\.0\.prices\.TWD"),
        (("month = 27000", "month = 0"), r"plan\.0\.prices\.EUR\.month"),
        (("month = 27000", "month = 270.5"), r"plan\.0\.prices\.EUR\.month"),
        (('month = "0.095"', "month = 0.095"), 'write the decimal out, as text: "0.1"'),
        (('month = "0.095"', 'month = "9.5e-2"'), 'write the decimal out, as text: "0.1"'),
        (('month = "0.095"', 'month = "0.0000000000001"'), 'write the decimal out, as text: "0.1"'),
        (('month = "0.095"', 'month = "0.0000009"'), r"plan\.0\.overage_prices\.EUR\.month"),
        (('month = "0.095"', 'month = "NaN"'), r"plan\.0\.overage_prices\.EUR\.month"),
        (("limited_after = 14", "limited_after = 28"), "must each be later than the one before"),
        (("suspended_after = 60", "suspended_after = 120"), r"plan\.2\.delays\n.*must each be later"),
        (("export_kept = 14", "export_kept = 0"), r"plan\.0\.delays\.export_kept"),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_a_file_that_is_wrong_is_refused_at_the_place(written: Callable[[Edit], Path], edit: Edit, complaint: str):
    with pytest.raises(ValidationError, match=complaint):
        read_plans(written(edit))


def test_a_file_without_plans_is_refused(tmp_path: Path):
    (tmp_path / "plans.toml").write_text("plan = []", "utf-8")
    with pytest.raises(ValidationError, match="at least 1 item"):
        read_plans(tmp_path / "plans.toml")
