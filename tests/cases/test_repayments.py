"""Repayments that are pushed between two files."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from chalicelib.cases import Repayment, apply_repayment, apply_rows, repayments
from chalicelib.cases.items import account_id_of
from chalicelib.cases.read import get_account, get_case
from chalicelib.cases.rules import TRIGGERS, replace_rules
from chalicelib.feed import catalogue
from chalicelib.platform import requests
from chalicelib.platform.errors import Conflict, Invalid, NotFound, Unavailable
from tests.cases.bank import ON, Bank, assert_sound, cases, events, items, summary

DAY_AFTER = ON + timedelta(1)


@pytest.fixture
def bank(tenant, now) -> Bank:
    """A bank with one borrower of two late accounts, in one case over 1000."""
    bank = Bank()
    rows = [bank.row("4", 900, 85, op="new", borrower="B"), bank.row("5", 100, 10, op="new", borrower="B")]
    apply_rows(tenant, rows, bank.source(), now=now)
    return bank


def push(tenant, bank, now, amount: int, *, account="4", id="R1", booked_on=DAY_AFTER, currency="TWD"):
    repayment = Repayment(account, id, amount, currency, booked_on)
    return apply_repayment(tenant, repayment, connector_id=bank.connector_id, now=now)


def test_a_repayment_lessens_what_the_case_is_about(tenant, bank, now):
    outcome = push(tenant, bank, now, 400)
    assert (outcome.counted, outcome.repeated, outcome.case_closed) == (True, False, False)
    assert outcome.case_id is not None
    detail = get_case(tenant, outcome.case_id)
    assert detail.case.overdue_amount == 600
    assert [account.overdue_amount for account in detail.accounts if account.key == "4"] == [500]
    assert [[b.amount for b in a.bookings] for a in detail.accounts if a.key == "4"] == [[400]]


def test_the_repayment_that_cures_the_last_account_closes_the_case(tenant, bank, now):
    assert not push(tenant, bank, now, 900).case_closed
    assert push(tenant, bank, now, 100, account="5").case_closed
    [case] = cases(tenant)
    assert (case["status"]["S"], case["close_reason"]["S"]) == ("closed", "cured")
    assert_sound(tenant)


def test_a_repeated_repayment_changes_nothing_and_says_so(tenant, bank, now):
    first = push(tenant, bank, now, 400)
    before = summary(tenant)
    again = push(tenant, bank, now + timedelta(1), 400)
    assert (again.repeated, again.counted, again.repayment_id) == (True, False, first.repayment_id)
    assert summary(tenant) == before


@pytest.mark.parametrize("other", [{"amount": 401}, {"booked_on": DAY_AFTER + timedelta(1)}])
def test_a_known_id_with_other_particulars_is_refused(tenant, bank, now, other):
    push(tenant, bank, now, 400)
    with pytest.raises(Conflict):
        push(tenant, bank, now, **{"amount": 400} | other)


def test_a_repayment_that_the_file_holds_already_is_booked_but_not_counted(tenant, bank, now):
    assert not push(tenant, bank, now, 900, booked_on=ON).counted
    [case] = cases(tenant)
    assert int(case["overdue_amount"]["N"]) == 1000


def test_the_next_file_states_what_the_repayment_did_and_nothing_counts_twice(tenant, bank, now):
    push(tenant, bank, now, 400)
    later = ON + timedelta(31)
    row = bank.row("4", 500, 116, before=900, borrower="B", on=later)
    apply_rows(tenant, [row], bank.source(run=2, on=later), now=now)
    account, booked = get_account(tenant, account_id_of(tenant.vault, bank.connector_id, "4"))
    assert (account.overdue_amount, [b.amount for b in booked]) == (500, [400])


def test_a_repayment_of_an_account_that_is_not_late_waits_for_a_late_file(tenant, bank, now):
    """The file of the evening before may arrive after the repayment of the next morning."""
    apply_rows(tenant, [bank.row("9", op="new", on=ON)], bank.source(2), now=now)
    assert push(tenant, bank, now, 70, account="9", booked_on=DAY_AFTER + timedelta(1)).case_id is None
    row = bank.row("9", 100, 55, before=0, on=DAY_AFTER)
    apply_rows(tenant, [row], bank.source(run=2, on=DAY_AFTER), now=now)
    amounts = {int(case["overdue_amount"]["N"]) for case in cases(tenant)}
    assert amounts == {1000, 30}


def told(tenant, case_id: str | None, *, since: int = 0) -> list[tuple[int | None, str]]:
    """The events of a case, or of none, after a place in its sequence. Payments are checked against the catalogue."""
    found = events(tenant)[case_id or ""]
    for event in found:
        if event["type"] == "payment.received":
            catalogue.validate("payment.received", {name: value for name, value in event.items() if name != "type"})
    return [(e.get("sequence"), e["type"]) for e in found if e.get("sequence", since + 1) > since]


def test_a_payment_is_an_event_of_the_case_and_comes_before_what_it_changes(tenant, bank, now):
    case_id = push(tenant, bank, now, 400).case_id
    assert told(tenant, case_id, since=2) == [(3, "payment.received"), (4, "case.updated")]
    assert events(tenant)[case_id][-1]["changes"] == {
        "overdue_amount": {"from": {"amount": 1000, "currency": "TWD"}, "to": {"amount": 600, "currency": "TWD"}}
    }
    push(tenant, bank, now, 500, id="R2")
    push(tenant, bank, now, 100, account="5", id="R3")
    assert [name for _, name in told(tenant, case_id, since=6)] == ["payment.received", "case.closed"]
    assert_sound(tenant)


def test_a_payment_that_changes_nothing_of_the_case_still_takes_its_place_in_it(tenant, bank, now):
    case_id = push(tenant, bank, now, 900, booked_on=ON).case_id
    assert told(tenant, case_id, since=2) == [(3, "payment.received")]
    push(tenant, bank, now, 1, id="R2")
    assert told(tenant, case_id, since=3) == [(4, "payment.received"), (5, "case.updated")]
    assert_sound(tenant)


def test_a_payment_of_a_borrower_without_a_case_is_told_without_one(tenant, bank, now):
    apply_rows(tenant, [bank.row("9", op="new")], bank.source(2), now=now)
    push(tenant, bank, now, 70, account="9")
    assert told(tenant, None) == [(None, "payment.received")]


@pytest.mark.parametrize(
    ("other", "error", "pointer"),
    [
        ({"amount": 0}, Invalid, "/amount"),
        ({"amount": -5}, Invalid, "/amount"),
        ({"currency": "USD"}, Invalid, "/currency"),
        ({"account": "nobody's"}, NotFound, "/account_key"),
    ],
)
def test_a_repayment_that_cannot_be_booked_says_what_is_wrong(tenant, bank, now, other, error, pointer):
    before = summary(tenant)
    with pytest.raises(error) as refused:
        push(tenant, bank, now, **{"amount": 1} | other)
    assert refused.value.pointer == pointer
    assert summary(tenant) == before


def test_a_repayment_takes_four_round_trips(tenant, bank, now):
    with requests.counted() as sent:
        push(tenant, bank, now, 400)
    assert sent == {"Query": 1, "BatchGetItem": 2, "TransactWriteItems": 1}


@pytest.mark.parametrize(("booked_on", "left"), [(DAY_AFTER, 800), (ON, 1000)])
def test_two_repayments_at_once_are_both_booked_and_told(tenant, bank, now, monkeypatch, booked_on, left):
    both_have_decided = threading.Barrier(2)
    waited = threading.local()
    commit_one = repayments.commit_one

    def commit_when_both_have_decided(*args, **kwargs):
        if not hasattr(waited, "once"):
            waited.once = True
            both_have_decided.wait(30)
        return commit_one(*args, **kwargs)

    monkeypatch.setattr(repayments, "commit_one", commit_when_both_have_decided)
    threads = [
        threading.Thread(target=push, args=(tenant, bank, now, 100), kwargs={"id": id, "booked_on": booked_on})
        for id in "AB"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    [case] = cases(tenant)
    assert int(case["overdue_amount"]["N"]) == left
    assert [name for _, name in told(tenant, case["pk"]["S"])].count("payment.received") == 2
    assert_sound(tenant)


def test_a_repayment_and_its_leaf_are_one_transaction(tenant, bank, now):
    push(tenant, bank, now, 400)
    actions = sorted(leaf["action"]["S"] for leaf in items(tenant, "ledger"))
    assert actions == ["case.opened", "case.updated", "chunk.applied", "payment.received", *["rules.replaced"] * 2]


def test_a_repayment_opens_no_case_even_where_the_rules_became_stricter(tenant, bank, now):
    apply_rows(tenant, [bank.row("9", 500, 10, op="new")], bank.source(2), now=now)
    rule = {"id": "strict", "products": ["*"], "days_past_due": 5}
    replace_rules(tenant, TRIGGERS, TRIGGERS.schema.model_validate({"rules": [rule]}), made_by="usr_1", now=now)
    outcome = push(tenant, bank, now, 1, account="9")
    assert (outcome.counted, outcome.case_id) == (True, None)
    assert len(cases(tenant)) == 1


def test_a_borrower_who_never_stops_changing_is_left_to_the_next_push(tenant, bank, now, monkeypatch):
    monkeypatch.setattr(repayments, "commit_one", lambda *_: False)
    with pytest.raises(Unavailable):
        push(tenant, bank, now, 400)
