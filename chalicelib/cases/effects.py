"""From a decision to the writes that carry it out: case, standing, events and ledger leaf, all or nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from chalicelib.cases.assignment import Choice
from chalicelib.cases.decide import CaseFigures, Close, Decision, Open, Update
from chalicelib.cases.model import CASE, CLOSED, OPEN, WORKLOAD, Case, Standing, Workload, standing_of
from chalicelib.cases.position import BorrowerPosition, Outcome
from chalicelib.feed import event_put
from chalicelib.ledger import leaf_put
from chalicelib.platform import commit
from chalicelib.platform.clock import rfc3339
from chalicelib.platform.ids import new_id
from chalicelib.platform.tenant import Tenant

EVENTS: Mapping[Outcome, int] = {"opened": 2, "updated": 1, "closed": 1}
"""How many events each outcome makes."""


@dataclass(frozen=True)
class CaseChange:
    """A case as it will be stored, the events that tell of it, and by how much whose load changes.

    `outcome` is None where only an event is noted that something else makes, such as a repayment that changes no
    figure; its own leaf then proves it.
    """

    case: Case
    outcome: Outcome | None
    events: Sequence[tuple[str, Mapping[str, Any]]]
    load: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True)
class Effect:
    """The writes of one borrower's decision, and the change of loads, which is written with them."""

    borrower_id: str
    writes: Sequence[commit.Write]
    outcome: Outcome | None = None
    load: Mapping[str, int] = field(default_factory=dict[str, int])


def opened(model: type[Case], borrower_id: str, decision: Open, choice: Choice, *, now: datetime) -> CaseChange:
    """The new case of a borrower, given to the chosen collector."""
    case = model(
        new_id("case", at=now),
        CASE,
        status=OPEN,
        borrower_id=borrower_id,
        assignee=choice.assignee,
        trigger=asdict(decision.evidence),
        assignment=asdict(choice),
        sequence=0,
        version=1,
        opened_at=now,
    )
    case.take(decision.figures)
    evidence = {"document_version": decision.evidence.document_version, "rule": decision.evidence.rule}
    figures = {"days_past_due": case.days_past_due, "bucket": case.bucket, "overdue_amount": _money(decision.figures)}
    first = {"account_ids": list(case.account_ids), "assignee": case.assignee, "trigger": evidence, **figures}
    second = {"assignee": case.assignee, "previous_assignee": None, "reason": "workload"}
    events = [("case.opened", _about(case) | first), ("case.assigned", _about(case) | second)]
    return CaseChange(case, "opened", events, {choice.assignee: 1})


def updated(case: Case, decision: Update) -> CaseChange:
    """The stored case with its new figures, and one event that says what changed."""
    before = case.figures
    case.take(decision.figures)
    case.version += 1
    changes = {name: {"from": _shown(before, name), "to": _shown(case.figures, name)} for name in _SHOWN}
    changes = {name: change for name, change in changes.items() if change["from"] != change["to"]}
    return CaseChange(case, "updated", [("case.updated", _about(case) | {"changes": changes})])


def closed(case: Case, decision: Close, *, now: datetime) -> CaseChange:
    """The stored case, closed, and its collector relieved of it."""
    case.status, case.closed_at, case.close_reason = CLOSED, now, decision.reason
    case.take(decision.figures)
    case.version += 1
    data = _about(case) | {"reason": decision.reason, "opened_at": rfc3339(case.opened_at)}
    return CaseChange(case, "closed", [("case.closed", data)], {case.assignee: -1})


def noted(case: Case) -> CaseChange:
    """The stored case with nothing new but the place that an event took in its sequence."""
    case.version += 1
    return CaseChange(case, None, [])


def next_place(case: Case) -> dict[str, Any]:
    """The members that make an event one of the case's. Takes the next number of its sequence, so the case is to be
    stored with the event."""
    case.sequence += 1
    return {"case_id": case.pk, "sequence": case.sequence}


def change_of(
    tenant: Tenant, borrower_id: str, case: Case | None, decision: Decision, choice: Choice | None, *, now: datetime
) -> CaseChange:
    """What a decision does to the case. Opening needs a `choice` of collector, the others a stored `case`."""
    if isinstance(decision, Open):
        assert choice is not None
        return opened(tenant.bind(Case), borrower_id, decision, choice, now=now)
    assert case is not None
    return updated(case, decision) if isinstance(decision, Update) else closed(case, decision, now=now)


def effect_of(
    tenant: Tenant,
    position: BorrowerPosition,
    change: CaseChange | None,
    *,
    actor: str,
    now: datetime,
    account_id: str | None = None,
) -> Effect:
    """The writes that store a borrower's new position and carry out what was decided about the case, if anything.

    `account_id` is the account whose row led to it; its part of the position remembers the outcome. Everything is on
    the condition that neither the standing nor the case changed since they were read.
    """
    standing = tenant.bind(Standing)
    unchanged = standing.pk.does_not_exist() if position.version == 0 else standing.version == position.version
    if change is None:
        stored = standing_of(standing, position, version=position.version + 1)
        return Effect(position.borrower_id, [commit.Put(stored, unchanged)])
    after = _with_case(position, change)
    if account_id is not None:
        after = after.remembering(account_id, change.outcome)
    stored = standing_of(standing, after, version=position.version + 1)
    writes: list[commit.Write] = [commit.Put(stored, unchanged), _case_put(change)]
    if change.outcome is None:
        return Effect(position.borrower_id, writes)
    writes += [event_put(tenant, name, data, now=now) for name, data in change.events]
    leaf = leaf_put(
        tenant,
        subject=change.case.pk,
        action=f"case.{change.outcome}",
        content={"version": change.case.version, "events": [{"type": n, "data": dict(d)} for n, d in change.events]},
        actor=actor,
        now=now,
    )
    return Effect(position.borrower_id, [*writes, leaf], change.outcome, change.load)


Bundle = tuple[commit.Group, list[Effect]]
"""Writes that commit together, and the effects that they carry out."""


def bundles(model: type[Workload], effects: Iterable[Effect], *, max_items: int) -> list[Bundle]:
    """Effects packed into groups of at most `max_items` writes (one effect at least).

    A group changes a collector's load once, by the sum of its effects: many cases opened for few collectors fit in
    one transaction, which may not name an item twice.
    """
    packed: list[list[Effect]] = []
    for effect in effects:
        if packed and _size([*packed[-1], effect]) <= max_items:
            packed[-1].append(effect)
        else:
            packed.append([effect])
    return [(_group(model, f"bundle {number}", members), members) for number, members in enumerate(packed)]


def _group(model: type[Workload], key: str, effects: Sequence[Effect]) -> commit.Group:
    writes = [write for effect in effects for write in effect.writes]
    loads = [
        commit.Update(model, WORKLOAD, collector, [model.open_cases.add(change)])
        for collector, change in _loads(effects).items()
    ]
    return commit.Group(key, [*writes, *loads])


def _size(effects: Sequence[Effect]) -> int:
    return sum(len(e.writes) for e in effects) + len({c for e in effects for c in e.load})


def _loads(effects: Iterable[Effect]) -> dict[str, int]:
    """By how much each collector's load changes, without those for whom it evens out."""
    total = Counter[str]()
    for effect in effects:
        total.update(effect.load)
    return {collector: change for collector, change in total.items() if change}


def _with_case(position: BorrowerPosition, change: CaseChange) -> BorrowerPosition:
    case_id = change.case.pk
    if change.outcome == "opened":
        past = position.past_case_ids if position.case_id is None else (*position.past_case_ids, position.case_id)
        return replace(position, case_id=case_id, past_case_ids=past)
    if change.outcome == "closed":
        return replace(position, case_id=None, past_case_ids=(*position.past_case_ids, case_id))
    return position


def _case_put(change: CaseChange) -> commit.Put:
    model = type(change.case)
    if change.outcome == "opened":
        return commit.Put(change.case, model.pk.does_not_exist())
    return commit.Put(change.case, model.version == change.case.version - 1)


def _about(case: Case) -> dict[str, Any]:
    return {**next_place(case), "borrower_id": case.borrower_id}


_SHOWN = ("account_ids", "bucket", "days_past_due", "overdue_amount")


def _shown(figures: CaseFigures, name: str) -> Any:
    match name:
        case "overdue_amount":
            return _money(figures)
        case "account_ids":
            return list(figures.account_ids)
        case _:
            return getattr(figures, name)


def _money(figures: CaseFigures) -> dict[str, Any]:
    return {"amount": figures.overdue_amount, "currency": figures.currency}
