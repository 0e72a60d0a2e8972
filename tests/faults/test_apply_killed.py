"""A worker killed between any two of its requests: run again, and the state is that of an unbroken run."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import pytest

from chalicelib.connectors import push, watch
from chalicelib.connectors.runs import CLAIM_TIME
from chalicelib.platform.tenant import Tenant
from tests.connectors.institution import Institution, Loan, extract, late
from tests.connectors.tables import KINDS, Item, items
from tests.faults.saboteur import Killed, Saboteur

# Two loans cure, one worsens, one is new and late, one leaves the file, one row is broken, twenty stay as they are.
FIRST = [Loan(n) for n in range(1, 21)] + [late(n) for n in range(21, 26)]
SECOND = (
    [Loan(n) for n in range(1, 20)]
    + [Loan(20, balance="-")]
    + [Loan(21), Loan(22), late(23, due="20050201"), late(24)]
    + [late(26)]
)
Files = Sequence[tuple[str, bytes]]
"""Business days and what is delivered for them."""

SCENARIOS: dict[str, tuple[Files, dict[str, int]]] = {
    "a file with every kind of row": (
        [("20050531", extract(SECOND))],
        {
            "case.opened": 6,
            "case.assigned": 6,
            "case.updated": 1,
            "case.closed": 4,
            "connector.run_completed": 2,
        },
    ),
    "a duplicate, a refused file and one without changes": (
        [
            ("20050430", extract(FIRST)),
            ("20050531", extract(SECOND, count=7)),
            ("20050630", extract(FIRST)),
        ],
        {"case.closed": 1, "connector.run_completed": 2, "connector.run_failed": 1},
    ),
}
"""What is delivered, and how many events of each type there are in the end."""
ALWAYS = {"case.opened": 5, "case.assigned": 5, "payment.received": 1}

REPAYMENT = push.PushedRow(late(24).key, "R1", 100_000, "CNY", date(2005, 6, 2))

# Times, measurements, what is sealed anew with every writing, digests over times, and what depends on other banks'.
VOLATILE = {
    *("created_at", "started_at", "planned_at", "finished_at", "applied_at", "received_at", "opened_at", "closed_at"),
    *("occurred_at", "at", "timings", "attempt", "requests", "requests_expected", "version", "etag"),
    *("sealed", "name_index", "phone_index", "id_number_index", "digest", "leaf_hash", "manifest_sha256"),
    *("assignee", "assignment", "queue_key", "outcomes", "made_at", "forget_after", "quarantine_until"),
}


def work(bank: Institution, saboteur: Saboteur, monkeypatch: pytest.MonkeyPatch) -> None:
    """Works on the queues until they are empty and nothing waits. A killed worker's message comes back, as SQS gives it
    back, and the schedule looks in; both after the dead worker's time is up."""
    pending = list(_taken(bank))
    while True:
        while pending:
            message = pending.pop(0)
            try:
                with saboteur.lurking(monkeypatch):
                    bank.handle(message)
            except Killed:
                bank.clock += CLAIM_TIME
                # Before its fellows: a chunk that comes back last, when the run is over, would test less.
                pending.insert(0, message)
            pending += _taken(bank)
        watch.wake_tenant(bank.tenant, now=bank.clock)
        pending = list(_taken(bank))
        if not pending:
            return


def _taken(bank: Institution) -> list[dict[str, Any]]:
    messages = []
    for queue in ("sync", "sync-chunks"):
        for message, done in bank.messages(queue):
            messages.append(message)
            done()
    return messages


def interrupted(
    tenant: Tenant, now: datetime, files: Files, saboteur: Saboteur, monkeypatch: pytest.MonkeyPatch
) -> Institution:
    """An institution with a first file applied, whose next files, and a repayment pushed beside them, were worked on
    under sabotage."""
    bank = Institution(tenant, now)
    bank.deliver("20050430", FIRST)
    for day, content in files:
        bank.drop(day, content)
    push.push(tenant, bank.connector_id, [REPAYMENT], now=bank.clock)
    watch.wake_tenant(tenant, now=bank.clock)
    with monkeypatch.context() as patch:
        patch.setattr("chalicelib.connectors.plan.ROWS_PER_CHUNK", 3)
        work(bank, saboteur, monkeypatch)
    return bank


class _State:
    """All that the tables hold of one institution, with its ids made comparable and times left out."""

    def __init__(self, bank: Institution, stored: dict[str, list[Item]]) -> None:
        vault, connector = bank.tenant.vault, bank.connector_id
        self._names = {connector: "con"}
        for n in range(1, 27):
            self._names[vault.derived_id("acct", connector, Loan(n).key)] = f"acct {n}"
            self._names[vault.derived_id("bor", connector, f"C{n:08d}")] = f"bor {n}"
        for item in stored["cases"]:
            if item["sk"]["S"] == "case" and item["borrower_id"]["S"] in self._names:
                self._names[item["pk"]["S"]] = f"case of {self._names[item['borrower_id']['S']]}"
        for run in bank.runs():
            self._names[run.id] = f"run of {run.business_date}"
        self.rows = {kind: Counter(filter(None, map(self._shown, stored[kind]))) for kind in KINDS}

    def _shown(self, item: Item) -> str | None:
        """The item as text, or None when it is another institution's."""
        kept = {name: value for name, value in item.items() if name not in VOLATILE}
        text = json.dumps(kept, sort_keys=True, ensure_ascii=False)
        ids = set(re.findall(r"\b[a-z]+_[0-9A-HJKMNP-TV-Z]{26}", text))
        if not ids & self._names.keys():
            return None
        for each in ids:
            text = text.replace(each, self._names.get(each, each.split("_")[0]))
        return re.sub("leaf#[0-9a-f]{2}", "leaf#", text)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_killed_after_any_request_and_run_again_it_ends_in_the_same_state(tenant, now, monkeypatch, scenario):
    files, happened = SCENARIOS[scenario]
    saboteur = Saboteur(None)
    banks = {"unbroken": interrupted(tenant, now, files, saboteur, monkeypatch)}
    for at in range(1, saboteur.requests + 1):
        banks[f"killed after request {at}"] = interrupted(tenant, now, files, Saboteur(at), monkeypatch)
    stored = {kind: items(tenant, kind) for kind in KINDS}
    states = {name: _State(bank, stored).rows for name, bank in banks.items()}
    expected = states.pop("unbroken")
    assert _event_types(expected["feed"]) == ALWAYS | happened
    for name, state in states.items():
        for kind in KINDS:
            assert state[kind] == expected[kind], f"{name}: {kind} is different"
    _assert_loads_are_the_open_cases(stored["cases"])


def _event_types(stored: Counter[str]) -> dict[str, int]:
    return dict(Counter(json.loads(text)["type"]["S"] for text in stored.elements()))


def _assert_loads_are_the_open_cases(cases: list[Item]) -> None:
    loads = {i["sk"]["S"]: int(i["open_cases"]["N"]) for i in cases if i["pk"]["S"] == "workload"}
    assigned = Counter(i["assignee"]["S"] for i in cases if i["sk"]["S"] == "case" and i["status"]["S"] == "open")
    assert {collector: load for collector, load in loads.items() if load} == dict(assigned)
