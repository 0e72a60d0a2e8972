"""Quarantined rows repaired, replayed and given up: what a correct file gives comes of it, and no row is lost."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.connectors import repair as repairs
from chalicelib.connectors.connectors import find_connector, mapping_of
from chalicelib.connectors.mappings import replace_mapping
from chalicelib.connectors.model import PLANNING, QuarantinedRow, Replay, Run
from chalicelib.connectors.push import PushedRow, push
from chalicelib.connectors.rejected import QuarantineEntry, Wanted, list_rejected
from chalicelib.connectors.repair import Correction
from chalicelib.connectors.replay import Selection, find_replay, request_replay, state_of
from chalicelib.connectors.report import quarantine_counts
from chalicelib.connectors.runs import find_run
from chalicelib.connectors.views import report_view
from chalicelib.platform.errors import Conflict, Invalid, NotFound
from tests.connectors.institution import Institution, Loan, extract, late
from tests.connectors.tables import events, items

OTHERS = [Loan(n) for n in range(100, 180)]
"""So many good rows that four broken ones are no more than the mapping allows."""
BY = "usr_tester"


@pytest.fixture
def bank(tenant, now) -> Institution:
    return Institution(tenant, now)


def deliver(bank: Institution, day: str, *loans: Loan) -> Run:
    run = bank.deliver(day, [*OTHERS, *loans])
    assert run.status == "completed", run.verdict
    return run


def broken(loan: Loan) -> Loan:
    """The loan with a balance that no mapping so far accepts."""
    return Loan(loan.number, "5000.", loan.overdue, loan.due, loan.phone)


def entries(bank: Institution, run: Run, **wanted: str) -> list[QuarantineEntry]:
    return list_rejected(
        bank.tenant, bank.connector_id, run.id, limit=200, cursor=None, now=bank.clock, wanted=Wanted(**wanted)
    )[0]


def correct(bank: Institution, entry: QuarantineEntry, text: str | None = None, **values: str) -> QuarantineEntry:
    correction = Correction(text=text) if text is not None else Correction(values=values)
    return repairs.repair(
        bank.tenant, bank.connector_id, entry.run_id, str(entry.line), correction, by=BY, now=bank.clock
    )


def replay(bank: Institution, **selection: Any) -> Replay:
    asked = request_replay(bank.tenant, bank.connector_id, Selection(**selection), by=BY, now=bank.clock)
    bank.work()
    done = find_replay(bank.tenant, bank.connector_id, asked.id)
    assert state_of(bank.tenant, done) == "done"
    return done


def allow_the_balance(bank: Institution) -> None:
    """Puts the mapping right: a balance that is not to be read is left out."""
    connector = find_connector(bank.tenant, bank.connector_id)
    document = mapping_of(connector)
    fields = [
        f.model_copy(update={"severity": "warn"}) if f.target == "account.balance" else f for f in document.fields
    ]
    replace_mapping(bank.tenant, connector, document.model_copy(update={"fields": fields}), made_by=BY, now=bank.clock)


def quarantine(bank: Institution, run: Run) -> tuple[int, int, int, int]:
    counts = quarantine_counts(find_run(bank.tenant, bank.connector_id, run.id), bank.clock)
    assert counts is not None
    return counts.waiting, counts.replayed, counts.discarded, counts.expired


def accounts(bank: Institution, numbers: range = range(1, 10)) -> dict[int, Any]:
    """What the store shows of accounts, their borrowers and their cases."""
    vault, stored = bank.tenant.vault, items(bank.tenant, "cases")
    by_key = {(item["pk"]["S"], item["sk"]["S"]): item for item in stored}
    shown = {}
    for n in numbers:
        account = by_key.get((vault.derived_id("acct", bank.connector_id, Loan(n).key), "account"))
        if account is None:
            continue
        borrower_id = account["borrower_id"]["S"]
        names = ("as_of", "reported", "balance", "overdue_amount", "oldest_due_date", "currency", "product")
        cases = [
            {name: item[name] for name in ("status", "overdue_amount", "days_past_due", "close_reason") if name in item}
            for item in stored
            if item["sk"]["S"] == "case" and item["borrower_id"]["S"] == borrower_id
        ]
        person = vault.open(by_key[borrower_id, "borrower"]["sealed"]["B"], bound_to=borrower_id)
        shown[n] = {name: account.get(name) for name in names} | {"cases": cases, "person": person}
    return shown


def told(bank: Institution) -> Counter[str]:
    """How often what happened to cases of the bank's borrowers was told."""
    ours = {bank.tenant.vault.derived_id("bor", bank.connector_id, f"C{n:08d}") for n in range(1, 10)}
    return Counter(e["type"] for e in events(bank.tenant) if e["data"].get("borrower_id") in ours)


HISTORIES: dict[str, tuple[list[Loan], Loan, list[Loan]]] = {
    "new and late, then the same": ([], late(1), [late(1)]),
    "new and late, then cured": ([], late(1), [Loan(1)]),
    "new and late, then worse": ([], late(1), [late(1, overdue="3000")]),
    "new and late, then gone": ([], late(1), []),
    "new, then late": ([], Loan(1), [late(1)]),
    "new, then gone": ([], Loan(1), []),
    "known, now late, then as it was at first": ([Loan(1)], late(1), [Loan(1)]),
    "known, now late, then the same": ([Loan(1)], late(1), [late(1)]),
    "known, now late, then gone": ([Loan(1)], late(1), []),
    "late, now cured, then the same": ([late(1)], Loan(1), [Loan(1)]),
    "late, now cured, then late as at first": ([late(1)], Loan(1), [late(1)]),
    "late, now worse, then gone": ([late(1)], late(1, overdue="9000"), []),
    "known, another phone, then the same": ([Loan(1)], Loan(1, phone="13911111111"), [Loan(1, phone="13911111111")]),
    "known and unchanged": ([Loan(1)], Loan(1), [Loan(1)]),
}
"""What three files say of one account; the row of the second one is broken."""


@pytest.mark.parametrize("history", HISTORIES)
def test_a_replayed_row_and_the_file_after_it_give_what_a_correct_file_gives(tenant, now, history):
    first, second, third = HISTORIES[history]
    banks = {}
    for name in ("correct", "replayed"):
        bank = banks[name] = Institution(tenant, now)
        deliver(bank, "20050430", *first)
        run = deliver(bank, "20050531", broken(second) if name == "replayed" else second)
        if name == "replayed":
            [entry] = entries(bank, run)
            assert correct(bank, entry, 当前余额="5000").reasons == []
            done = replay(bank, run=run.id)
            assert (done.replayed, done.kept) == (1, 0)
            assert quarantine(bank, run) == (0, 1, 0, 0)
    assert accounts(banks["replayed"]) == accounts(banks["correct"])
    for bank in banks.values():
        report = deliver(bank, "20050630", *third)
        bank.last = report.counts
    assert accounts(banks["replayed"]) == accounts(banks["correct"])
    assert banks["replayed"].last == banks["correct"].last
    assert told(banks["replayed"]) == told(banks["correct"])


def test_a_fixed_mapping_replays_what_it_fixes_and_what_it_does_not_stays_with_its_new_reasons(bank):
    run = deliver(bank, "20050430", broken(late(1)), Loan(2, overdue="x"))
    allow_the_balance(bank)
    done = replay(bank, code="not_an_amount")
    assert (done.runs, done.replayed, done.kept) == (1, 1, 1)
    applied, kept = entries(bank, run)
    assert (applied.status, kept.status) == ("replayed", "waiting")
    assert [(r["field"], r["code"]) for r in kept.reasons] == [("account.overdue_amount", "not_an_amount")]
    assert (kept.mapping_version, kept.first_reasons) == (2, None)
    assert accounts(bank)[1]["balance"] is None
    assert quarantine(bank, run) == (1, 1, 0, 0)
    [last, _] = bank.runs()
    assert (last.replay_of, last.status, last.reconciled, last.discrepancies) == (run.id, "completed", True, [])
    assert last.counts == {"read": 2, "new": 1, "changed": 0, "unchanged": 0, "removed": 0, "quarantined": 1}


def test_an_old_row_is_refused_once_a_later_file_stated_its_account_or_no_longer_has_it(bank):
    deliver(bank, "20050430", Loan(1), Loan(2))
    run = deliver(bank, "20050531", broken(late(1)), broken(late(2)), broken(late(3)), Loan(4))
    # The first is stated as it was before the broken row, so that nothing of it is written; the second and third leave.
    deliver(bank, "20050630", Loan(1), Loan(4))
    before = accounts(bank)
    allow_the_balance(bank)
    done = replay(bank, run=run.id)
    assert (done.replayed, done.kept) == (0, 3)
    assert [[r["code"] for r in e.reasons] for e in entries(bank, run)] == [
        ["stated_later"],
        ["gone_later"],
        ["gone_later"],
    ]
    assert accounts(bank) == before


def test_rows_of_several_days_are_replayed_in_order_of_their_days(bank):
    deliver(bank, "20050430", Loan(1))
    second = deliver(bank, "20050531", broken(late(1)))
    third = deliver(bank, "20050630", broken(late(1, overdue="2000")))
    allow_the_balance(bank)
    done = replay(bank)
    assert (done.runs, done.replayed, done.kept) == (2, 2, 0)
    assert accounts(bank)[1]["overdue_amount"] == {"N": "200000"}
    assert accounts(bank)[1]["as_of"] == {"S": "2005-06-30"}
    assert [quarantine(bank, run) for run in (second, third)] == [(0, 1, 0, 0)] * 2
    assert told(bank) == {"case.opened": 1, "case.assigned": 1, "case.updated": 1}
    assert deliver(bank, "20050731", Loan(1)).counts["changed"] == 1


def test_of_one_account_the_row_of_a_later_day_overtakes_that_of_an_earlier_one(bank):
    second = deliver(bank, "20050531", broken(late(1)))
    third = deliver(bank, "20050630", broken(late(1, overdue="2000")))
    allow_the_balance(bank)
    assert replay(bank, run=third.id).replayed == 1
    before = accounts(bank)
    assert replay(bank, run=second.id).kept == 1
    assert accounts(bank) == before


def test_between_two_days_that_wait_the_earlier_one_can_be_replayed_and_then_the_later_one(bank):
    second = deliver(bank, "20050531", broken(late(1)))
    third = deliver(bank, "20050630", broken(late(1, overdue="2000")))
    deliver(bank, "20050731", broken(late(1, overdue="3000")))
    allow_the_balance(bank)
    for run, overdue in ((second, "100000"), (third, "200000")):
        assert replay(bank, run=run.id).replayed == 1
        assert accounts(bank)[1]["overdue_amount"] == {"N": overdue}
    assert replay(bank, run=second.id).runs == 0


def test_an_older_row_does_not_undo_what_a_later_file_said_of_its_borrower(bank):
    old, new = "13811111111", "13922222222"

    class Owned(Loan):
        """A loan of borrower 1, whatever its number."""

        @property
        def line(self) -> str:
            return super().line.replace(f"C{self.number:08d}", "C00000001")

    run = deliver(bank, "20050430", broken(Loan(1, phone=old)), Owned(2, phone=old))
    deliver(bank, "20050531", broken(Loan(1, phone=old)), Owned(2, phone=new))
    allow_the_balance(bank)
    assert replay(bank, run=run.id).replayed == 1
    assert accounts(bank)[1]["person"]["phone"] == new
    # What the account's own row says of the borrower counts again with the next file.
    deliver(bank, "20050630", Loan(1, phone="13933333333"), Owned(2, phone="13933333333"))
    assert accounts(bank)[1]["person"]["phone"] == "13933333333"


def test_a_repayment_booked_after_the_rows_day_still_counts_when_the_row_is_replayed(bank):
    deliver(bank, "20050430", late(1))
    run = deliver(bank, "20050531", broken(late(1, overdue="2000")))
    day = run.business_date + timedelta(days=1)
    push(bank.tenant, bank.connector_id, [PushedRow(Loan(1).key, "R1", 50_000, "CNY", day)], now=bank.clock)
    bank.work()
    allow_the_balance(bank)
    replay(bank, run=run.id)
    [case] = accounts(bank)[1]["cases"]
    assert case["overdue_amount"] == {"N": "150000"}


def test_both_rows_of_a_key_met_twice_stay_until_one_of_them_is_given_up(bank):
    run = deliver(bank, "20050430", late(1), late(1, overdue="2000"))
    assert replay(bank, run=run.id).kept == 2
    first, second = entries(bank, run, code="duplicate_key")
    repairs.discard(bank.tenant, bank.connector_id, run.id, str(first.line), "the old one", by=BY, now=bank.clock)
    assert replay(bank, run=run.id).replayed == 1
    assert accounts(bank)[1]["overdue_amount"] == {"N": "200000"}
    assert [e.status for e in entries(bank, run)] == ["discarded", "replayed"]
    assert entries(bank, run)[0].note == "the old one"
    assert quarantine(bank, run) == (0, 1, 1, 0)
    assert second.line > first.line


def test_one_of_two_rows_is_replayed_where_it_is_named_and_the_other_is_then_overtaken(bank):
    run = deliver(bank, "20050430", late(1), late(1, overdue="2000"))
    first, second = entries(bank, run)
    assert replay(bank, run=run.id, line=second.line).replayed == 1
    assert replay(bank, run=run.id, line=first.line).kept == 1
    assert accounts(bank)[1]["overdue_amount"] == {"N": "200000"}
    assert [r["code"] for r in entries(bank, run)[0].reasons] == ["stated_later"]


def test_a_key_that_was_not_to_be_read_is_corrected_and_its_account_comes_back(bank):
    deliver(bank, "20050430", Loan(1))
    garbled = late(1).line.replace(Loan(1).key, "")

    class Garbled(Loan):
        @property
        def line(self) -> str:
            return garbled

    run = deliver(bank, "20050531", Garbled(1))
    assert run.counts["removed"] == 1
    [entry] = entries(bank, run)
    assert correct(bank, entry, 账号=Loan(1).key).reasons == []
    assert replay(bank, run=run.id).replayed == 1
    shown = accounts(bank)[1]
    assert (shown["reported"], [case["status"] for case in shown["cases"]]) == ({"BOOL": True}, [{"S": "open"}])
    assert deliver(bank, "20050630").counts["removed"] == 1


def test_a_row_is_not_corrected_to_an_account_that_another_row_states(bank):
    # The key stands in the broken row, too, where a telephone number should; it is settled all the same.
    run = deliver(bank, "20050430", broken(Loan(1, phone=Loan(2).key)), Loan(2))
    [entry] = entries(bank, run)
    before = accounts(bank)
    values = {"账号": Loan(2).key, "当前余额": "1", "手机号码": "13800000000"}
    assert correct(bank, entry, **values).reasons == []
    assert replay(bank, run=run.id).kept == 1
    assert [r["code"] for r in entries(bank, run)[0].reasons] == ["stated_later"]
    assert accounts(bank) == before


def test_a_repair_keeps_the_row_as_delivered_and_says_which_reasons_still_stand(bank):
    run = deliver(bank, "20050430", Loan(1, balance="x", overdue="y"))
    [entry] = entries(bank, run)
    half = correct(bank, entry, 当前余额="17")
    assert (half.status, [r["field"] for r in half.reasons]) == ("repaired", ["account.overdue_amount"])
    assert [r["field"] for r in half.first_reasons] == ["account.balance", "account.overdue_amount"]
    assert (half.raw, half.corrected) == (entry.raw, entry.raw.replace("||x||", "||17||"))
    whole = correct(bank, half, text=half.corrected.replace("||y||", "||0||"))
    assert (whole.reasons, whole.raw, whole.changed_by, whole.version) == ([], entry.raw, BY, 3)
    stored = bank.tenant.bind(QuarantinedRow).find(run.id, QuarantinedRow.key_of(entry.line))
    assert b"17" not in stored.corrected
    actions = [leaf["action"]["S"] for leaf in items(bank.tenant, "ledger") if leaf["subject"]["S"] == run.id]
    assert Counter(actions)["quarantine.repaired"] == 2
    assert entries(bank, run, status="waiting") == []
    assert [e.line for e in entries(bank, run, status="repaired", field="account.balance")] == [entry.line]


@pytest.mark.parametrize(
    ("correction", "pointer"),
    [
        (Correction(values={"余额": "1"}), "/values/余额"),
        (Correction(values={"当前余额": "1||2"}), "/values/当前余额"),
        (Correction(values={"当前余额": "1\n2"}), "/values/当前余额"),
        (Correction(values={"当前余额": "1\0"}), "/values/当前余额"),
        (Correction(values={"当前余额": "\ud800"}), "/values/当前余额"),
        (Correction(text="1\n2"), "/text"),
        (Correction(text="x" * 70_000), None),
    ],
)
def test_a_correction_that_the_row_cannot_hold_is_refused_with_its_place(bank, correction, pointer):
    run = deliver(bank, "20050430", broken(Loan(1)))
    [entry] = entries(bank, run)
    with pytest.raises(Invalid) as refused:
        repairs.repair(bank.tenant, bank.connector_id, run.id, str(entry.line), correction, by=BY, now=bank.clock)
    assert refused.value.pointer == pointer
    assert entries(bank, run) == [entry]


def test_a_row_with_a_column_too_many_is_corrected_as_a_whole(bank):
    class Wide(Loan):
        @property
        def line(self) -> str:
            return super().line + "||"

    run = deliver(bank, "20050430", Wide(1, balance="0", overdue="1000", due="20050301"))
    [entry] = entries(bank, run)
    with pytest.raises(Invalid, match="15 columns and the file 14"):
        correct(bank, entry, 当前余额="1")
    assert correct(bank, entry, text=late(1).line).reasons == []
    assert replay(bank, run=run.id).replayed == 1
    assert len(accounts(bank)[1]["cases"]) == 1


def test_a_settled_row_is_neither_repaired_nor_discarded_nor_replayed(bank):
    run = deliver(bank, "20050430", broken(Loan(1)))
    [entry] = entries(bank, run)
    assert correct(bank, entry, 当前余额="1").version == 2
    with pytest.raises(Conflict):
        repairs.discard(bank.tenant, bank.connector_id, run.id, str(entry.line), "-", by=BY, now=bank.clock, expected=1)
    replay(bank, run=run.id)
    with pytest.raises(Conflict):
        correct(bank, entry, 当前余额="2")
    with pytest.raises(Conflict):
        repairs.discard(bank.tenant, bank.connector_id, run.id, str(entry.line), "too late", by=BY, now=bank.clock)
    with pytest.raises(Conflict):
        replay(bank, run=run.id, line=entry.line)
    with pytest.raises(NotFound):
        replay(bank, run=run.id, line=entry.line + 1)
    assert replay(bank, run=run.id).runs == 0


def test_rows_are_not_changed_while_they_are_replayed(bank):
    run = deliver(bank, "20050430", broken(Loan(1)), broken(Loan(2)))
    [entry, _] = entries(bank, run)
    asked = request_replay(bank.tenant, bank.connector_id, Selection(run=run.id), by=BY, now=bank.clock)
    assert state_of(bank.tenant, asked) == "waiting"
    [(message, done)] = list(bank.messages("sync"))
    done()
    bank.handle(message)
    assert bank.runs()[0].status != PLANNING
    if state_of(bank.tenant, find_replay(bank.tenant, bank.connector_id, asked.id)) == "running":
        with pytest.raises(Conflict, match="a replay of its run's rows is at work"):
            correct(bank, entry, 当前余额="1")
    bank.work()
    assert correct(bank, entry, 当前余额="1").reasons == []


def test_what_waits_too_long_is_expired_and_counted(bank):
    run = deliver(bank, "20050430", broken(Loan(1)), broken(Loan(2)), broken(Loan(3)))
    first, second, _ = entries(bank, run)
    repairs.discard(bank.tenant, bank.connector_id, run.id, str(first.line), "closed", by=BY, now=bank.clock)
    correct(bank, second, 当前余额="1")
    replay(bank, run=run.id, line=second.line)
    stored = find_run(bank.tenant, bank.connector_id, run.id)
    assert stored.quarantine_until - stored.started_at.replace(microsecond=0) == timedelta(days=90)
    bank.clock = stored.quarantine_until
    rows = entries(bank, run)
    assert [(e.status, e.raw == "") for e in rows] == [("discarded", False), ("replayed", False), ("expired", True)]
    with pytest.raises(Conflict, match="expired"):
        correct(bank, rows[2], 当前余额="1")
    assert replay(bank).runs == 0
    assert quarantine(bank, run) == (0, 1, 1, 1)
    assert report_view(stored).quarantine.expired == 1
    assert {
        int(i["forget_after"]["N"])
        for i in items(bank.tenant, "connector")
        if i["pk"]["S"] == run.id and i["sk"]["S"].startswith("quarantine#")
    } == {int(stored.quarantine_until.timestamp())}


def test_rows_of_a_refused_file_show_what_was_wrong_and_are_not_replayed(bank):
    run = bank.deliver("20050430", [Loan(1), broken(Loan(2))])
    assert run.verdict["code"] == "too_many_quarantined"
    [entry] = entries(bank, run)
    with pytest.raises(Conflict):
        correct(bank, entry, 当前余额="1")
    with pytest.raises(Conflict):
        replay(bank, run=run.id)
    assert replay(bank).runs == 0
    assert report_view(run).quarantine is None


def test_a_row_of_which_only_the_beginning_is_kept_is_replayed_once_its_whole_text_is_given(bank):
    huge = Loan(1, balance="x" * 20_000)
    run = deliver(bank, "20050430", huge)
    [entry] = entries(bank, run)
    assert replay(bank).kept == 1
    assert [r["code"] for r in entries(bank, run)[0].reasons] == ["not_kept_whole"]
    with pytest.raises(Conflict, match="only the beginning"):
        replay(bank, run=run.id, line=entry.line)
    with pytest.raises(Invalid):
        correct(bank, entry, 当前余额="1")
    assert correct(bank, entry, text=late(1).line).reasons == []
    assert replay(bank).replayed == 1


def test_more_rows_than_one_run_replays_follow_in_another(bank, monkeypatch):
    monkeypatch.setattr("chalicelib.connectors.replay_plan.MOST_ROWS", 2)
    run = bank.deliver("20050430", [*(Loan(n) for n in range(100, 220)), *(broken(late(n)) for n in range(1, 6))])
    allow_the_balance(bank)
    done = replay(bank)
    assert (done.runs, done.replayed, done.kept) == (1, 5, 0)
    assert [r.counts["read"] for r in bank.runs()] == [1, 2, 2, 125]
    assert quarantine(bank, run) == (0, 5, 0, 0)
    assert not find_connector(bank.tenant, bank.connector_id).replays


def test_the_same_key_asks_for_a_replay_once(bank):
    run = deliver(bank, "20050430", broken(Loan(1)))
    allow_the_balance(bank)
    asked = [
        request_replay(bank.tenant, bank.connector_id, Selection(run=run.id), by=BY, now=bank.clock, key="k").id
        for _ in range(2)
    ]
    assert asked[0] == asked[1]
    with pytest.raises(Conflict):
        request_replay(bank.tenant, bank.connector_id, Selection(code="x"), by=BY, now=bank.clock, key="k")
    bank.work()
    assert [r.replay_of for r in bank.runs()] == [run.id, None]


def test_a_replay_goes_before_a_file_that_waits(bank):
    run = deliver(bank, "20050430", broken(late(1)))
    allow_the_balance(bank)
    bank.drop("20050531", extract([*OTHERS, Loan(1)]))
    done = replay(bank, run=run.id)
    assert done.replayed == 1
    assert [str(r.business_date) for r in bank.runs()] == ["2005-05-31", "2005-04-30", "2005-04-30"]
    assert told(bank) == {"case.opened": 1, "case.assigned": 1, "case.closed": 1}
