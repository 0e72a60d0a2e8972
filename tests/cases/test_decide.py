"""What should become of a case, from a borrower's position."""

from dataclasses import replace
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.cases.decide import CaseFigures, Close, Open, Update, decide
from chalicelib.cases.delinquency import Booking
from chalicelib.cases.position import AccountPosition, BorrowerPosition, from_json, to_json
from chalicelib.cases.triggers import Triggers

ON = date(2005, 9, 30)
RULES = Triggers.model_validate({"rules": [{"id": "all", "products": ["*"], "days_past_due": 31}]})


def account(id: str, days: int, amount: int = 100, *, run: str = "run_1", on: date = ON, **more) -> AccountPosition:
    return AccountPosition(id, "CC", more.pop("currency", "TWD"), amount, on - timedelta(days), on, run, **more)


def position(*accounts: AccountPosition) -> BorrowerPosition:
    return BorrowerPosition("bor_1", {a.account_id: a for a in accounts})


def figures_of(decision) -> CaseFigures:
    assert decision is not None
    return decision.figures


def opened(*accounts: AccountPosition) -> CaseFigures:
    decision = decide(position(*accounts), None, RULES, 1)
    assert isinstance(decision, Open)
    return decision.figures


def test_a_case_collects_every_overdue_account_once_one_meets_the_trigger():
    figures = opened(account("acct_b", 55, 200), account("acct_a", 5, 30), account("acct_c", 90, 0))
    assert figures == CaseFigures(("acct_a", "acct_b"), 55, 230, "TWD", ON)
    assert figures.bucket == "M2"


def test_below_the_trigger_nothing_opens():
    assert decide(position(account("acct_a", 30)), None, RULES, 1) is None


def test_a_case_below_the_trigger_but_not_cured_stays_open_and_is_updated():
    current = opened(account("acct_a", 55))
    assert isinstance(decide(position(account("acct_a", 25, 40)), current, RULES, 1), Update)


def test_a_case_closes_when_no_account_is_overdue():
    current = opened(account("acct_a", 55), account("acct_b", 3))
    assert isinstance(decide(position(account("acct_a", 0, 0), account("acct_b", 33)), current, RULES, 1), Update)
    decision = decide(position(account("acct_a", 0, 0), account("acct_b", 0, 0)), current, RULES, 1)
    assert isinstance(decision, Close)
    assert decision.reason == "cured"


def test_a_case_whose_account_leaves_the_file_unpaid_is_withdrawn_not_cured():
    current = opened(account("acct_a", 55))
    decision = decide(position(account("acct_a", 55, reported=False)), current, RULES, 1)
    assert isinstance(decision, Close)
    assert decision.reason == "withdrawn"


def test_amounts_in_another_currency_are_not_added():
    figures = opened(account("acct_a", 55, 200), account("acct_b", 5, 7, currency="USD"))
    assert (figures.account_ids, figures.overdue_amount, figures.currency) == (("acct_a", "acct_b"), 200, "TWD")


def test_a_repayment_that_cures_closes_and_never_opens():
    start = position(account("acct_a", 55, 100))
    current = opened(account("acct_a", 55, 100))
    paid = start.repaid("acct_a", Booking("pay_1", ON + timedelta(1), 100))
    assert isinstance(decide(paid, current, RULES, 1, may_open=False), Close)
    assert decide(start, None, RULES, 1, may_open=False) is None


def test_a_repayment_counts_once_and_not_at_all_when_the_file_holds_it():
    start = position(account("acct_a", 55, 100))
    booking = Booking("pay_1", ON + timedelta(1), 60)
    once = start.repaid("acct_a", booking)
    assert once.accounts["acct_a"].overdue == 40
    assert once.repaid("acct_a", booking) == once
    assert start.repaid("acct_a", Booking("pay_2", ON, 60)) == start


def test_the_next_file_takes_over_the_repayments_that_it_holds():
    start = position(account("acct_a", 55, 100))
    for day in (1, 40):
        start = start.repaid("acct_a", Booking(f"pay_{day}", ON + timedelta(day), 10))
    later = start.stated(account("acct_a", 85, 90, run="run_2", on=ON + timedelta(30)))
    assert [b.repayment_id for b in later.accounts["acct_a"].bookings] == ["pay_40"]
    assert later.accounts["acct_a"].overdue == 80


def test_an_older_run_never_undoes_a_newer_one():
    newer = position(account("acct_a", 0, 0, run="run_2"))
    assert newer.stated(account("acct_a", 55, 100, run="run_1")) == newer


ACCOUNTS = st.builds(
    account,
    st.sampled_from(["acct_a", "acct_b", "acct_c"]),
    st.integers(0, 200),
    st.integers(0, 3),
    run=st.sampled_from(["run_1", "run_2", "run_3"]),
    reported=st.booleans(),
    bookings=st.lists(
        st.builds(Booking, st.uuids().map(str), st.dates(ON - timedelta(3), ON + timedelta(9)), st.integers(1, 3)),
        max_size=2,
    ).map(tuple),
    outcome=st.sampled_from([None, "opened", "updated", "closed"]),
)

STATEMENTS = ACCOUNTS.map(lambda stated: replace(stated, bookings=(), outcome=None))
"""What a file can say: it knows nothing of repayments booked later."""


@given(ACCOUNTS)
def test_a_stored_position_is_read_back_as_it_was(stored: AccountPosition):
    assert from_json(stored.account_id, to_json(stored)) == stored


@given(st.lists(STATEMENTS, min_size=1, max_size=8))
def test_saying_everything_again_changes_nothing(statements: list[AccountPosition]):
    once = BorrowerPosition("bor_1")
    for each in statements:
        once = once.stated(each)
    last = {each.account_id: each for each in statements if once.accounts[each.account_id].run_id == each.run_id}
    again = once
    for each in last.values():
        again = again.stated(each)
    assert again == once


@given(st.lists(ACCOUNTS, min_size=1, max_size=8))
def test_a_decision_that_was_carried_out_is_not_made_again(statements: list[AccountPosition]):
    current, at = None, BorrowerPosition("bor_1")
    for each in statements:
        at = at.stated(each)
        decision = decide(at, current, RULES, 1)
        current = None if isinstance(decision, Close) else current if decision is None else decision.figures
        repeated = decide(at, current, RULES, 1)
        assert repeated is None
        assert current is None or at.overdue_accounts
        overdue = at.overdue_accounts
        if current is None:
            assert all(a.days_past_due(at.as_of) < 31 for a in overdue)


@given(st.lists(ACCOUNTS, min_size=1, max_size=8))
def test_an_open_cases_figures_are_those_of_the_position(statements: list[AccountPosition]):
    at = BorrowerPosition("bor_1")
    for each in statements:
        at = at.stated(each)
    decision = decide(at, CaseFigures(("acct_x",), 31, 1, "TWD", ON), RULES, 1)
    if isinstance(decision, Update):
        assert set(decision.figures.account_ids) == {"acct_x"} | {a.account_id for a in at.overdue_accounts}
        assert decision.figures.overdue_amount == sum(a.overdue for a in at.overdue_accounts)
    elif isinstance(decision, Close):
        assert not at.overdue_accounts


def test_a_later_business_date_alone_is_no_change():
    at = position(account("acct_a", 55))
    current = replace(opened(account("acct_a", 55)), as_of=ON - timedelta(1))
    assert decide(at, current, RULES, 1) is None
