"""Applying chunks to a real store."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta

import pytest

from chalicelib.cases import Applied, apply_rows
from chalicelib.cases import apply as apply_module
from chalicelib.cases.model import Case
from chalicelib.cases.rules import ASSIGNMENT, TRIGGERS, replace_rules
from chalicelib.feed import catalogue
from chalicelib.platform import batches, requests
from chalicelib.platform.errors import Unavailable
from tests.cases.bank import Bank, assert_sound, cases, events, items, summary


@pytest.fixture
def bank() -> Bank:
    return Bank()


def first_chunk(bank: Bank):
    """Four accounts: one fine, one early, one late, and two late ones of one borrower."""
    return [
        bank.row("1", op="new"),
        bank.row("2", 500, 5, op="new"),
        bank.row("3", 700, 55, op="new"),
        bank.row("4", 900, 85, op="new", borrower="B"),
        bank.row("5", 100, 10, op="new", borrower="B"),
    ]


def second_chunk(bank: Bank):
    """The early one is late now, the late one is cured, of the two one is cured."""
    return [
        bank.row("2", 600, 35, before=500),
        bank.row("3", 0, 0, before=700),
        bank.row("4", 0, 0, before=900, borrower="B"),
    ]


def test_late_accounts_become_assigned_cases_with_the_evidence_for_it(tenant, bank, now):
    applied = apply_rows(tenant, first_chunk(bank), bank.source(), now=now)
    assert applied == Applied(accounts_written=5, borrowers_written=4, cases_opened=2, events_created=4)
    told = sorted(events(tenant).values(), key=lambda of_case: of_case[0]["days_past_due"])
    assert [[e["type"] for e in of_case] for of_case in told] == [["case.opened", "case.assigned"]] * 2
    assert [of_case[0]["overdue_amount"]["amount"] for of_case in told] == [700, 1000]
    assert told[0][0]["trigger"] == {"document_version": 1, "rule": "thirty_days"}
    assert_sound(tenant)


def test_the_next_file_opens_updates_and_closes(tenant, bank, now):
    apply_rows(tenant, first_chunk(bank), bank.source(), now=now)
    applied = apply_rows(tenant, second_chunk(bank), bank.source(run=2), now=now)
    assert (applied.cases_opened, applied.cases_updated, applied.cases_closed) == (1, 1, 1)
    assert Counter(c["status"]["S"] for c in cases(tenant)) == {"open": 2, "closed": 1}
    assert_sound(tenant)


def test_every_event_follows_the_catalogue(tenant, bank, now):
    apply_rows(tenant, first_chunk(bank), bank.source(), now=now)
    apply_rows(tenant, second_chunk(bank), bank.source(run=2), now=now)
    found = [event for of_case in events(tenant).values() for event in of_case]
    for event in found:
        catalogue.validate(event.pop("type"), event)
    assert len(found) == 8


def test_a_chunk_applied_twice_changes_nothing_and_reports_the_same(tenant, bank, now):
    first = apply_rows(tenant, first_chunk(bank), bank.source(), now=now)
    before = summary(tenant)
    again = apply_rows(tenant, first_chunk(bank), bank.source(), now=now + timedelta(hours=1))
    assert again == first
    assert summary(tenant) == before


def test_an_older_run_delivered_again_never_undoes_a_newer_decision(tenant, bank, now):
    apply_rows(tenant, first_chunk(bank), bank.source(), now=now)
    apply_rows(tenant, second_chunk(bank), bank.source(run=2), now=now)
    before = summary(tenant)
    applied = apply_rows(tenant, first_chunk(bank), bank.source(), now=now)
    assert applied.rows_stale == 3
    assert summary(tenant)["cases"] == before["cases"]


def test_an_account_that_leaves_the_file_unpaid_withdraws_its_case(tenant, bank, now):
    apply_rows(tenant, [bank.row("3", 700, 55, op="new")], bank.source(), now=now)
    apply_rows(tenant, [bank.row("3", 700, 55, before=700, op="removed")], bank.source(run=2), now=now)
    [case] = cases(tenant)
    assert (case["status"]["S"], case["close_reason"]["S"]) == ("closed", "withdrawn")


def test_a_borrower_who_is_late_again_gets_a_new_case(tenant, bank, now):
    for run, overdue in enumerate([700, 0, 300], start=1):
        apply_rows(tenant, [bank.row("3", overdue, 55, before=1)], bank.source(run=run), now=now)
    assert sorted(c["status"]["S"] for c in cases(tenant)) == ["closed", "open"]
    assert_sound(tenant)


def test_no_personal_value_is_readable_in_the_tables(tenant, bank, now):
    apply_rows(tenant, [bank.row("3", 700, 55, op="new", address="Harbour Road 7")], bank.source(), now=now)
    for kind in ("cases", "feed", "ledger"):
        text = repr(items(tenant, kind))
        for personal in ("Name of 3", "0912", "Harbour Road", "'623'"):
            assert personal not in text


def test_cases_go_to_collectors_by_capacity(tenant, bank, now):
    collectors = [{"id": "half", "capacity": 50}, {"id": "full", "capacity": 100}]
    document = ASSIGNMENT.schema.model_validate({"collectors": collectors})
    replace_rules(tenant, ASSIGNMENT, document, made_by="usr_1", now=now)
    rows = [bank.row(str(n), 700, 55, op="new") for n in range(30)]
    apply_rows(tenant, rows, bank.source(), now=now)
    assert Counter(c["assignee"]["S"] for c in cases(tenant)) == {"half": 10, "full": 20}
    assert_sound(tenant)


def test_the_evidence_names_the_version_of_the_rules_that_decided(tenant, bank, now):
    rule = {"id": "cards", "products": ["CC-*"], "days_past_due": 60}
    replace_rules(tenant, TRIGGERS, TRIGGERS.schema.model_validate({"rules": [rule]}), made_by="usr_1", now=now)
    apply_rows(tenant, first_chunk(bank), bank.source(), now=now)
    [told] = events(tenant).values()
    assert told[0]["trigger"] == {"document_version": 2, "rule": "cards"}


def test_a_chunk_costs_full_batches_and_packed_transactions(tenant, bank, now):
    apply_rows(tenant, [bank.row("a", 700, 55, op="new")], bank.source(9), now=now)
    rows = [bank.row(str(n), 700 if n < 40 else 0, 55, op="new") for n in range(500)]
    with requests.counted() as sent:
        apply_rows(tenant, rows, bank.source(), now=now)
    # 500 accounts and 500 borrowers; 40 cases of 5 items (case, standing, two events, leaf), loads and chunk leaf.
    assert sent == {"BatchWriteItem": 40, "BatchGetItem": 2, "TransactWriteItems": 3}


def test_rows_that_were_never_overdue_are_written_without_any_read(tenant, bank, now):
    with requests.counted() as sent:
        apply_rows(tenant, [bank.row(str(n), op="new") for n in range(25)], bank.source(), now=now)
    assert sent == {"BatchWriteItem": 2, "TransactWriteItems": 1}


class Killed(BaseException):
    """The worker is gone, as by a kill: nothing catches it."""


class Doomed:
    """Lets a store write `writes` times and then kills the worker, before or right after the next write."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tenant, writes: int, *, after: bool) -> None:
        self._left = writes
        self._after = after
        for name in ("batch_write_item", "transact_write_items"):
            monkeypatch.setattr(tenant.store.connection, name, self._doomed(getattr(tenant.store.connection, name)))

    def _doomed(self, write):
        def attempt(*args, **kwargs):
            self._left -= 1
            if self._left < 0 and not self._after:
                raise Killed
            answer = write(*args, **kwargs)
            if self._left < 0:
                raise Killed
            return answer

        return attempt


@pytest.mark.parametrize("after", [False, True], ids=["before_the_write", "after_the_write"])
def test_a_worker_killed_at_any_write_and_run_again_ends_in_the_same_state(tenant, bank, now, monkeypatch, after):
    """Each bank is one more kill point: the same rows of another connector, so that one tenant serves all."""
    monkeypatch.setattr(apply_module, "MAX_ITEMS", 7)
    monkeypatch.setattr(batches, "WRITE_BATCH", 3)
    undisturbed = Applied()
    for rows, run in ((first_chunk, 1), (second_chunk, 2)):
        undisturbed += apply_rows(tenant, rows(bank), bank.source(run=run), now=now)
    alone = summary(tenant)
    for writes in range(100):
        other, done, killed = Bank(), Applied(), 0
        for rows, run in ((first_chunk, 1), (second_chunk, 2)):
            with monkeypatch.context() as patch:
                Doomed(patch, tenant, writes, after=after)
                try:
                    apply_rows(tenant, rows(other), other.source(run=run), now=now)
                except Killed:
                    killed += 1
            done += apply_rows(tenant, rows(other), other.source(run=run), now=now)
        assert done == undisturbed
        assert_sound(tenant)
        if not killed:
            break
    assert writes >= 5
    repeated = summary(tenant)
    shapes = Counter(repr(case[1:]) for case in repeated["cases"])
    assert shapes == Counter({repr(case[1:]): writes + 2 for case in alone["cases"]})
    # Nothing is left of an interrupted attempt: leaves are doubled by no retry (rules leave one each).
    assert Counter(repeated["leaves"]) == Counter(
        {a: n if a == "rules.replaced" else n * (writes + 2) for a, n in Counter(alone["leaves"]).items()}
    )


@pytest.mark.parametrize("known", [False, True], ids=["new_borrower", "known_borrower"])
def test_two_chunks_at_once_about_one_borrower_make_one_case(tenant, bank, now, monkeypatch, known):
    if known:
        apply_rows(tenant, [bank.row("0", 1, 5, op="new", borrower="B")], bank.source(), now=now)
    both_have_decided = threading.Barrier(2)
    waited = threading.local()
    commit = apply_module.commit

    def commit_when_both_have_decided(*args, **kwargs):
        if not hasattr(waited, "once"):
            waited.once = True
            both_have_decided.wait(30)
        return commit(*args, **kwargs)

    monkeypatch.setattr(apply_module, "commit", commit_when_both_have_decided)
    done: list[Applied] = []

    def work(chunk: int, account: str) -> None:
        rows = [bank.row(account, 700, 55, op="new", borrower="B")]
        done.append(apply_rows(tenant, rows, bank.source(chunk, run=2), now=now))

    threads = [threading.Thread(target=work, args=(n, account)) for n, account in enumerate(("1", "2"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    total = sum(done, Applied())
    assert (total.cases_opened, total.cases_updated, total.events_created) == (1, 1, 3)
    [case] = cases(tenant)
    assert int(case["overdue_amount"]["N"]) == 1400 + known
    assert_sound(tenant)


def test_a_case_that_somebody_else_changed_meanwhile_is_decided_again(tenant, bank, now, monkeypatch):
    apply_rows(tenant, [bank.row("3", 700, 55, op="new")], bank.source(), now=now)
    case = tenant.bind(Case)
    [case_id] = [c["pk"]["S"] for c in cases(tenant)]
    commit = apply_module.commit

    def commit_after_a_reassignment(*args, **kwargs):
        monkeypatch.setattr(apply_module, "commit", commit)
        case(case_id, "case").update([case.version.add(1), case.assignee.set("hb_07")])
        return commit(*args, **kwargs)

    monkeypatch.setattr(apply_module, "commit", commit_after_a_reassignment)
    applied = apply_rows(tenant, [bank.row("3", 800, 55, before=700)], bank.source(run=2), now=now)
    assert applied.cases_updated == 1
    stored = case.get(case_id, "case")
    assert (stored.assignee, stored.version, stored.sequence, stored.overdue_amount) == ("hb_07", 3, 3, 800)


def test_a_borrower_who_never_stops_changing_is_left_to_the_next_delivery(tenant, bank, now, monkeypatch):
    monkeypatch.setattr(apply_module, "commit", lambda store, groups, **_: list(groups))
    with pytest.raises(Unavailable):
        apply_rows(tenant, [bank.row("3", 700, 55, op="new")], bank.source(), now=now)
