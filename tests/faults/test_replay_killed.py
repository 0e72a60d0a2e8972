"""A worker killed between any two of its requests while rows are replayed: nothing is lost, nothing is doubled."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from chalicelib.connectors.connectors import find_connector, mapping_of
from chalicelib.connectors.mappings import replace_mapping
from chalicelib.connectors.rejected import list_rejected
from chalicelib.connectors.repair import Correction, discard, repair
from chalicelib.connectors.replay import Selection, request_replay
from tests.connectors.institution import Institution, Loan, late
from tests.connectors.tables import KINDS, items
from tests.faults import test_apply_killed as killing
from tests.faults.saboteur import Killed, Saboteur

GOOD = [Loan(n) for n in range(6, 26)]
UNREADABLE = "5000."
"""A balance that the mapping does not accept at first."""

BROKEN = [
    late(1, balance=UNREADABLE),  # opens a case when it is replayed
    Loan(2, balance=UNREADABLE),  # was late: cures
    late(3, balance=UNREADABLE, overdue="x"),  # stays in quarantine
    Loan(4, balance=UNREADABLE),  # is as it was
    Loan(5, balance=UNREADABLE),  # is given up
]
AFTER = [late(1, overdue="3000"), late(2), late(3)]
"""What the next file says: one is worse, one is late again, one is there at last, and two have left."""

EVERY = 3
"""Into how many tests the requests are dealt out."""
VOLATILE = {"corrected", "note", "changed_at", "requested_at", "forget_after", "quarantine_until", "outcomes_sha256"}


def interrupted(tenant, now, saboteur, monkeypatch) -> Institution:
    """An institution with a file of which rows are quarantined, repaired and given up, then replayed under sabotage;
    then the next file is read in peace."""
    bank = Institution(tenant, now)
    _allow_broken_rows(bank)
    bank.deliver("20050430", [*GOOD, late(2), Loan(4)])
    run = bank.deliver("20050531", [*GOOD, *BROKEN])
    assert run.status == "completed", run.verdict
    rows, _ = list_rejected(tenant, bank.connector_id, run.id, limit=50, cursor=None, now=bank.clock)
    where = (tenant, bank.connector_id, run.id)
    for row in rows[:4]:
        repair(*where, str(row.line), Correction(values={"当前余额": "5000"}), by="usr_tester", now=bank.clock)
    discard(*where, str(rows[4].line), "never ours", by="usr_tester", now=bank.clock)
    while True:
        try:
            with saboteur.lurking(monkeypatch):
                request_replay(
                    tenant, bank.connector_id, Selection(run=run.id), by="usr_tester", now=bank.clock, key="once"
                )
            break
        except Killed:
            continue
    with monkeypatch.context() as patch:
        patch.setattr("chalicelib.connectors.plan.ROWS_PER_CHUNK", 2)
        patch.setattr("chalicelib.connectors.replay_plan.MOST_ROWS", 3)
        killing.work(bank, saboteur, monkeypatch)
    bank.deliver("20050630", [*GOOD, *AFTER])
    return bank


def _allow_broken_rows(bank: Institution) -> None:
    connector = find_connector(bank.tenant, bank.connector_id)
    mapping = mapping_of(connector).model_copy(update={"max_quarantine_share": 0.5})
    replace_mapping(bank.tenant, connector, mapping, made_by="usr_tester", now=bank.clock)


@pytest.mark.parametrize("first", range(1, EVERY + 1))
def test_killed_after_any_request_of_a_replay_it_ends_in_the_same_state(tenant, now, monkeypatch, first):
    monkeypatch.setattr(killing, "VOLATILE", killing.VOLATILE | VOLATILE)
    saboteur = Saboteur(None)
    banks = {"unbroken": interrupted(tenant, now, saboteur, monkeypatch)}
    for at in range(first, saboteur.requests + 1, EVERY):
        banks[f"killed after request {at}"] = interrupted(tenant, now, Saboteur(at), monkeypatch)
    stored = {kind: items(tenant, kind) for kind in KINDS}
    states = {name: killing._State(bank, stored).rows for name, bank in banks.items()}
    expected = states.pop("unbroken")
    _assert_all_is_as_it_should_be(banks["unbroken"], expected["feed"])
    for name, state in states.items():
        for kind in KINDS:
            assert state[kind] == expected[kind], f"{name}: {kind} is different"
    killing._assert_loads_are_the_open_cases(stored["cases"])


def _assert_all_is_as_it_should_be(bank: Institution, feed: Counter[str]) -> None:
    last, second_turn, first_turn, source, _ = bank.runs()
    assert [(r.status, r.reconciled) for r in bank.runs()] == [("completed", True)] * 5
    assert (first_turn.replay_of, second_turn.replay_of, last.replay_of) == (source.id, source.id, None)
    assert (first_turn.counts["read"], second_turn.counts["read"]) == (3, 1)
    assert (source.rows_replayed, source.rows_discarded, source.counts["quarantined"]) == (3, 1, 5)
    # Of the next file's accounts three are news and one, replayed and not in it, is found to have left.
    assert {name: last.counts[name] for name in ("new", "changed", "removed", "quarantined")} == {
        "new": 1,
        "changed": 2,
        "removed": 1,
        "quarantined": 0,
    }
    assert dict(Counter(json.loads(text)["type"]["S"] for text in feed.elements())) == {
        "case.opened": 4,
        "case.assigned": 4,
        "case.updated": 1,
        "case.closed": 1,
        "connector.run_completed": 5,
    }
