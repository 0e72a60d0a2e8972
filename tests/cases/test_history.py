"""Whatever happens in whatever order: a store with cases against a few lines that keep the same in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from chalicelib.cases import Repayment, Source, apply_repayment, apply_rows
from chalicelib.cases.items import borrower_id_of
from tests.cases.bank import ON, Bank, assert_sound, cases, events

OWNER = {"1": "A", "2": "A", "3": "B"}
TRIGGER = 30


@dataclass
class Said:
    """What the last run said of an account, and what was repaid since."""

    run: int
    on: date
    overdue: int
    due: date | None
    gone: bool
    repaid: list[tuple[date, int]] = field(default_factory=list)

    @property
    def left(self) -> int:
        paid = sum(amount for booked_on, amount in self.repaid if booked_on > self.on)
        return 0 if self.gone else max(0, self.overdue - paid)


class Expected:
    """The rules of the house, written down once more and as plainly as possible."""

    def __init__(self) -> None:
        self.said: dict[str, Said] = {}
        self.open: dict[str, tuple[int, int]] = {}
        self.events: dict[str, int] = {}

    def state(self, run: int, on: date, rows: dict[str, tuple[int, int, bool]]) -> None:
        told: set[str] = set()
        for account, (overdue, days, gone) in rows.items():
            known = self.said.get(account)
            told.add(OWNER[account])
            if known is None or known.run <= run:
                due = on - timedelta(days) if overdue else None
                self.said[account] = Said(run, on, overdue, due, gone, known.repaid if known else [])
        for owner in told:
            self.settle(owner, may_open=True)

    def repay(self, account: str, booked_on: date, amount: int) -> None:
        self.said[account].repaid.append((booked_on, amount))
        owner = OWNER[account]
        if owner in self.open:
            self.events[owner] += 1
        self.settle(owner, may_open=False)

    def settle(self, owner: str, *, may_open: bool) -> None:
        mine = [said for account, said in self.said.items() if OWNER[account] == owner]
        today = max(said.on for said in mine)
        late = [said for said in mine if said.left > 0]
        days = max(((today - said.due).days for said in late if said.due), default=0)
        figures = (sum(said.left for said in late), days)
        if owner in self.open:
            if not late:
                del self.open[owner]
            elif self.open[owner] != figures:
                self.open[owner] = figures
            else:
                return
            self.events[owner] = self.events.get(owner, 0) + 1
        elif may_open and days >= TRIGGER:
            self.open[owner] = figures
            self.events[owner] = self.events.get(owner, 0) + 2


ROW = st.tuples(st.integers(0, 3), st.integers(1, 70), st.booleans())
FILE = st.dictionaries(st.sampled_from(list(OWNER)), ROW, min_size=1)
PUSH = st.tuples(st.sampled_from(list(OWNER)), st.integers(-2, 20), st.integers(1, 3))
STEP = st.one_of(
    st.tuples(st.just("file"), FILE, st.booleans()),
    st.tuples(st.just("again"), st.integers(0, 9), st.booleans()),
    st.tuples(st.just("push"), PUSH, st.booleans()),
)


@pytest.fixture(scope="module")
def one_tenant(aws):
    from tests.conftest import provisioned

    return provisioned("Harbour Bank")


# Histories are short enough to read as they are found: shrinking one against a store takes minutes.
@settings(
    max_examples=25,
    deadline=None,
    phases=set(Phase) - {Phase.shrink, Phase.explain},
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(STEP, min_size=1, max_size=10))
def test_any_history_of_files_repeats_and_repayments_ends_as_expected(one_tenant, now: datetime, steps):
    """Each example is a bank of its own. A file is cut in one chunk or in one for each account; `again` delivers any
    chunk ever delivered, however old."""
    tenant, bank, expected = one_tenant, Bank(), Expected()
    delivered: list[tuple[int, Source, dict[str, tuple[int, int, bool]]]] = []
    run, last_push = 0, 0

    def deliver(number: int, source: Source, said: dict[str, tuple[int, int, bool]]) -> None:
        rows = []
        for account, (overdue, days, gone) in said.items():
            op = "removed" if gone else "changed"
            row = bank.row(account, overdue, days, borrower=OWNER[account], before=1, op=op, on=source.business_date)
            rows.append(row)
        apply_rows(tenant, rows, source, now=now)
        expected.state(number, source.business_date, said)

    for what, detail, flag in steps:
        if what == "file":
            run += 1
            on = ON + timedelta(10 * run)
            parts = [{account: row} for account, row in detail.items()] if flag else [detail]
            for chunk, part in enumerate(parts):
                delivered.append((run, bank.source(chunk, run=run, on=on), part))
                deliver(*delivered[-1])
        elif what == "again" and delivered:
            deliver(*delivered[detail % len(delivered)])
        elif what == "push" and detail[0] in expected.said:
            account, after, amount = detail
            last_push += 1
            booked_on = ON + timedelta(10 * run + after)
            repayment = Repayment(account, f"R{last_push}", amount, "TWD", booked_on)
            for _ in range(1 + flag):
                apply_repayment(tenant, repayment, connector_id=bank.connector_id, now=now)
            expected.repay(account, booked_on, amount)

    assert_sound(tenant)
    told = events(tenant)
    for owner in set(OWNER.values()):
        borrower = borrower_id_of(tenant.vault, bank.connector_id, owner)
        mine = [case for case in cases(tenant) if case["borrower_id"]["S"] == borrower]
        still_open = [
            (int(case["overdue_amount"]["N"]), int(case["days_past_due"]["N"]))
            for case in mine
            if case["status"]["S"] == "open"
        ]
        assert still_open == ([expected.open[owner]] if owner in expected.open else [])
        assert sum(len(told[case["pk"]["S"]]) for case in mine) == expected.events.get(owner, 0)
