"""Finding and showing cases, accounts and borrowers."""

from __future__ import annotations

from datetime import timedelta

import pytest

from chalicelib.cases import apply_rows
from chalicelib.cases.items import account_id_of, borrower_id_of
from chalicelib.cases.read import get_account, get_borrower, get_case
from chalicelib.cases.search import list_cases, search_cases
from chalicelib.cases.views import account_view, borrower_view, case_detail
from chalicelib.platform import requests
from chalicelib.platform.errors import Invalid, NotFound
from chalicelib.platform.sealing import SealBroken
from tests.cases.bank import ON, Bank


@pytest.fixture
def bank(tenant, now) -> Bank:
    """Five late borrowers, more days late from one to the next; the third has a name of his own and is cured later."""
    bank = Bank()
    rows = [bank.row(str(n), 700 + n, 50 + n, op="new") for n in range(5)]
    rows[3] = bank.row("3", 703, 53, op="new", name="Ｗang  Xiaoming", id_number="11010119800101001X")
    apply_rows(tenant, rows, bank.source(), now=now)
    apply_rows(tenant, [bank.row("3", 0, before=703)], bank.source(run=2), now=now + timedelta(1))
    return bank


def test_a_case_is_shown_with_its_borrower_and_accounts_in_two_round_trips(tenant, bank):
    [worst, *_] = list_cases(tenant, assignee="team", limit=10).cases
    with requests.counted() as sent:
        shown = case_detail(get_case(tenant, worst.pk))
    assert sent.total() == 2
    assert (shown.days_past_due, shown.overdue_amount, shown.bucket, shown.currency) == (54, 704, "M2", "TWD")
    assert (shown.borrower.name, shown.borrower.phone, shown.borrower.address) == ("Name of 4", "0912 345 678", None)
    [account] = shown.accounts
    assert (account.key, account.number, account.overdue_amount, account.as_of) == ("4", "624", 704, ON)


def test_an_account_is_shown_in_one_round_trip(tenant, bank):
    account_id = account_id_of(tenant.vault, bank.connector_id, "4")
    with requests.counted() as sent:
        state, repayments = get_account(tenant, account_id)
    assert sent.total() == 1
    assert account_view(state, []).balance == 100_000
    assert repayments == []


def test_a_borrower_is_shown_with_open_and_closed_cases(tenant, bank):
    personal, open_case_id, past = get_borrower(tenant, borrower_id_of(tenant.vault, bank.connector_id, "of 3"))
    assert borrower_view("bor_1", personal).id_number == "11010119800101001X"
    assert (open_case_id, len(past)) == (None, 1)


@pytest.mark.parametrize("read", [get_case, get_account, get_borrower])
def test_what_does_not_exist_is_not_found(tenant, read):
    with pytest.raises(NotFound):
        read(tenant, "case_01J9ZK3T8Q5V7W2X4Y6Z8A0B1C")


def test_an_assignees_open_cases_come_worst_first_page_by_page(tenant, bank):
    first = list_cases(tenant, assignee="team", limit=3)
    second = list_cases(tenant, assignee="team", limit=3, cursor=first.cursor)
    assert [case.days_past_due for case in [*first.cases, *second.cases]] == [54, 52, 51, 50]
    assert second.cursor is None


def test_cases_are_listed_by_status(tenant, bank):
    assert len(list_cases(tenant, limit=10).cases) == 4
    [closed] = list_cases(tenant, status="closed", limit=10).cases
    assert (closed.close_reason, closed.days_past_due) == ("cured", 0)
    assert list_cases(tenant, assignee="nobody", limit=10).cases == []


@pytest.mark.parametrize(
    ("field", "value", "found"),
    [
        ("name", "wang xiaoming", 1),
        ("name", "wang", 0),
        ("id_number", "11010119800101001x", 1),
        ("phone", "０９１２３４５６７８", 5),
        ("name", "0912345678", 0),
    ],
)
def test_a_search_is_exact_but_for_case_width_and_white_space(tenant, bank, field, value, found):
    assert len(search_cases(tenant, field, value, limit=10).cases) == found


def test_a_search_goes_on_where_its_first_page_ended(tenant, bank):
    seen, cursor = set[str](), None
    for _ in range(4):
        page = search_cases(tenant, "phone", "0912345678", limit=2, cursor=cursor)
        seen |= {case.pk for case in page.cases}
        cursor = page.cursor
        if cursor is None:
            break
    assert len(seen) == 5


def test_a_cursor_from_elsewhere_is_refused_with_words(tenant, bank):
    with pytest.raises(Invalid) as refused:
        list_cases(tenant, limit=3, cursor={"pk": {"S": "case_1"}})
    assert refused.value.pointer == "/cursor"


def test_another_tenant_finds_nothing(bank, other_tenant):
    assert search_cases(other_tenant, "phone", "0912345678", limit=10).cases == []
    assert list_cases(other_tenant, limit=10).cases == []


def test_sealed_fields_open_for_their_own_record_only(tenant, bank):
    from chalicelib.cases.model import ACCOUNT, Account

    account = tenant.bind(Account)
    stored = account.get(account_id_of(tenant.vault, bank.connector_id, "4"), ACCOUNT)
    stored.pk = account_id_of(tenant.vault, bank.connector_id, "2")
    stored.save()
    with pytest.raises(SealBroken):
        get_account(tenant, stored.pk)
