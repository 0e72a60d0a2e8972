"""Applying a chunk of changed rows: accounts and borrowers are written, cases are opened, updated and closed.

Accounts and borrowers are whole items written without reading, so writing them again changes nothing. What is decided
about a case commits in one transaction with its event, its leaf and the standing that it was decided from. A chunk
that was killed anywhere is simply applied again: what was done is found done, the rest is done.

The connectors apply a connector's runs in order: they hand over a run's chunks only when the run before it is done.
Within a run, chunks may be applied at the same time and more than once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from itertools import chain

from chalicelib.cases.assignment import Assignment, choose
from chalicelib.cases.decide import Open, decide
from chalicelib.cases.effects import EVENTS, Effect, bundles, change_of, effect_of
from chalicelib.cases.items import NamedRow, account_item, borrower_item, name_rows, stated_position
from chalicelib.cases.model import (
    CASE,
    OPEN,
    RULES,
    STANDING,
    WORKLOAD,
    Account,
    Borrower,
    Case,
    RuleDocument,
    Standing,
    Workload,
    position_of,
)
from chalicelib.cases.position import AccountPosition, BorrowerPosition, Outcome
from chalicelib.cases.rows import Applied, Row, Source
from chalicelib.cases.rules import ASSIGNMENT, TRIGGERS, Version, rules_in_force
from chalicelib.cases.triggers import Triggers
from chalicelib.ledger import leaf_put
from chalicelib.platform.batches import Key, item, read_items, write_items
from chalicelib.platform.commit import MAX_ITEMS, Group, commit
from chalicelib.platform.errors import Unavailable
from chalicelib.platform.telemetry import logger
from chalicelib.platform.tenant import Tenant

_ROUNDS = 8
"""How often a borrower is decided again because another worker changed the standing or the case meanwhile."""


def apply_rows(tenant: Tenant, rows: Sequence[Row], source: Source, *, now: datetime) -> Applied:
    """Applies a chunk and says what it did. Repeating it, at the same time or later, leads to the same state.

    Raises Unavailable when the store or other workers keep it from finishing; what was done stays done, and the chunk
    is to be applied again.
    """
    named = name_rows(tenant.vault, source.connector_id, rows)
    accounts = {n.account_id: n for n in named}
    borrowers = {n.borrower_id: n for n in named if n.row.carries_borrower}
    account, borrower, vault = tenant.bind(Account), tenant.bind(Borrower), tenant.vault
    write_items(
        tenant.store,
        chain(
            (account_item(account, vault, n, source) for n in accounts.values()),
            (borrower_item(borrower, vault, n, source) for n in borrowers.values()),
        ),
    )
    written = Applied(accounts_written=len(accounts), borrowers_written=len(borrowers))
    return written + _Chunk(tenant, source, now).settle(_reports(named, source), _chunk_leaf(tenant, rows, source, now))


@dataclass(frozen=True)
class _Seen:
    """What one round of decisions reads: positions and cases by borrower, the rules, and who has how many cases."""

    positions: Mapping[str, BorrowerPosition]
    cases: Mapping[str, Case]
    triggers: Version[Triggers]
    assignment: Version[Assignment]
    loads: Counter[str]


Reports = Mapping[str, Sequence[AccountPosition]]
"""What rows state about accounts that are or were overdue, by borrower."""


class _Chunk:
    """The decisions of one chunk, in rounds: read, decide, commit, and again for those that another worker changed."""

    def __init__(self, tenant: Tenant, source: Source, now: datetime) -> None:
        self._tenant = tenant
        self._source = source
        self._now = now

    def settle(self, reports: Reports, leaf: Group) -> Applied:
        """Decides every borrower and commits the decisions, and the leaf that covers the chunk's rows."""
        total, stale, pending, extra = Applied(), dict[str, int](), dict(reports), [leaf]
        for number in range(_ROUNDS):
            effects: list[Effect] = []
            if pending:
                effects, done_before = self._decide(pending, self._read(pending), stale)
                total += _applied(done_before)
            # Many borrowers share a transaction at first; who is refused stands alone, so it delays nobody else.
            packed = bundles(self._tenant.bind(Workload), effects, max_items=MAX_ITEMS if number == 0 else 1)
            groups = [*(group for group, _ in packed), *extra]
            refused = {g.key for g in commit(self._tenant.store, groups, max_items=MAX_ITEMS)}
            total += _applied(e.outcome for group, members in packed if group.key not in refused for e in members)
            again = [e.borrower_id for group, members in packed if group.key in refused for e in members]
            pending = {borrower_id: pending[borrower_id] for borrower_id in again}
            extra = []
            if not pending:
                return total + Applied(rows_stale=sum(stale.values()))
            logger.info("borrowers changed while they were decided", extra={**self._ids, "borrowers": len(pending)})
        raise Unavailable(f"{len(pending)} borrowers kept changing; apply chunk {self._source.chunk} again")

    def _read(self, reports: Reports) -> _Seen:
        store, bind = self._tenant.store, self._tenant.bind
        standing, case, load, rule = bind(Standing), bind(Case), bind(Workload), bind(RuleDocument)
        keys: list[Key] = [(rule, RULES, kind.name) for kind in (TRIGGERS, ASSIGNMENT)]
        found = read_items(store, [*keys, *((standing, borrower_id, STANDING) for borrower_id in reports)])
        positions = {b: position_of(b, item(found, standing, b, STANDING)) for b in reports}
        tenant, now = self._tenant, self._now
        triggers = rules_in_force(tenant, TRIGGERS, item(found, rule, RULES, TRIGGERS.name), now=now)
        assignment = rules_in_force(tenant, ASSIGNMENT, item(found, rule, RULES, ASSIGNMENT.name), now=now)
        case_ids = {b: p.case_id for b, p in positions.items() if p.case_id is not None}
        keys = [(load, WORKLOAD, collector.id) for collector in assignment.document.collectors]
        found = read_items(store, [*keys, *((case, case_id, CASE) for case_id in case_ids.values())])
        cases = {b: c for b, id in case_ids.items() if (c := item(found, case, id, CASE)) and c.status == OPEN}
        loads = Counter({sk: w.open_cases for (pk, sk), w in found.items() if pk == WORKLOAD and isinstance(w, load)})
        return _Seen(positions, cases, triggers, assignment, loads)

    def _decide(
        self, reports: Reports, seen: _Seen, stale: dict[str, int]
    ) -> tuple[list[Effect], list[Outcome | None]]:
        """The effects still to be committed, and the outcomes of those that an earlier application committed.

        Notes in `stale`, by borrower, how many rows a later run had overtaken.
        """
        effects: list[Effect] = []
        done: list[Outcome | None] = []
        for borrower_id, accounts in reports.items():
            position = seen.positions[borrower_id]
            stale[borrower_id] = sum(position.is_newer_than(a.run_id, a.account_id) for a in accounts)
            after = reduce(BorrowerPosition.stated, accounts, position)
            effect = self._effect(position, after, accounts[0].account_id, seen)
            if effect is None:
                done += _outcomes(position, accounts)
            else:
                effects.append(effect)
        return effects, done

    def _effect(self, before: BorrowerPosition, after: BorrowerPosition, account_id: str, seen: _Seen) -> Effect | None:
        case = seen.cases.get(before.borrower_id)
        current = None if case is None else case.figures
        decision = decide(after, current, seen.triggers.document, seen.triggers.version)
        if decision is None and after == before:
            return None
        change = None
        if decision is not None:
            choice = None
            if isinstance(decision, Open):
                choice = choose(seen.assignment.document, seen.assignment.version, seen.loads)
            change = change_of(self._tenant, before.borrower_id, case, decision, choice, now=self._now)
            # Loads follow within the round, so that the next case of this chunk sees this one.
            seen.loads.update(change.load)
        actor = self._source.connector_id
        return effect_of(self._tenant, after, change, account_id=account_id, actor=actor, now=self._now)

    @property
    def _ids(self) -> dict[str, str | int]:
        return {"run_id": self._source.run_id, "chunk": self._source.chunk}


def _reports(named: Iterable[NamedRow], source: Source) -> Reports:
    """What the rows state, by borrower; only of accounts that are or were overdue."""
    reports: dict[str, list[AccountPosition]] = {}
    for each in named:
        if each.row.touches_overdue:
            reports.setdefault(each.borrower_id, []).append(stated_position(each, source))
    return reports


def _outcomes(position: BorrowerPosition, accounts: Iterable[AccountPosition]) -> list[Outcome | None]:
    """What statements of this run about these accounts did when they were applied before."""
    known = ((a, position.accounts.get(a.account_id)) for a in accounts)
    return [k.outcome for a, k in known if k is not None and k.run_id == a.run_id]


def _applied(outcomes: Iterable[Outcome | None]) -> Applied:
    counts = Counter[Outcome](outcome for outcome in outcomes if outcome is not None)
    return Applied(
        cases_opened=counts["opened"],
        cases_updated=counts["updated"],
        cases_closed=counts["closed"],
        events_created=sum(EVENTS[outcome] * n for outcome, n in counts.items()),
    )


def _chunk_leaf(tenant: Tenant, rows: Sequence[Row], source: Source, now: datetime) -> Group:
    """One leaf that covers the chunk's rows, whatever they change; the same one when the chunk is applied again."""
    leaf = leaf_put(
        tenant,
        subject=source.run_id,
        action="chunk.applied",
        content={
            "run_id": source.run_id,
            "chunk": source.chunk,
            "business_date": source.business_date.isoformat(),
            "rows": [row.model_dump_json() for row in rows],
        },
        actor=source.connector_id,
        now=now,
        key=f"{source.run_id}#{source.chunk:06d}",
    )
    return Group("chunk leaf", [leaf])
