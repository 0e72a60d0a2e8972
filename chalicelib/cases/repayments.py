"""A repayment that the business system pushes between two files: booked once, and a case closed when it cures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from chalicelib.cases.decide import decide
from chalicelib.cases.delinquency import Booking
from chalicelib.cases.effects import bundles, change_of, effect_of, next_place, noted
from chalicelib.cases.items import account_id_of, stored_position
from chalicelib.cases.model import (
    CASE,
    OPEN,
    REPAYMENT,
    RULES,
    STANDING,
    Account,
    BookedRepayment,
    Case,
    RuleDocument,
    Standing,
    Workload,
    position_of,
)
from chalicelib.cases.position import BorrowerPosition
from chalicelib.cases.read import read_account
from chalicelib.cases.rules import TRIGGERS, Version, rules_in_force
from chalicelib.cases.triggers import Triggers
from chalicelib.feed import event_put
from chalicelib.ledger import leaf_put
from chalicelib.platform.batches import item, read_items
from chalicelib.platform.commit import MAX_ITEMS, Put, Write, commit_one
from chalicelib.platform.errors import Conflict, Invalid, NotFound, Unavailable
from chalicelib.platform.tenant import Tenant

_ROUNDS = 8


@dataclass(frozen=True)
class Repayment:
    """A repayment as the business system tells it; `account_key` and `repayment_id` are its own names.

    `amount` is more than zero, in the currency's minor unit; `booked_on` is the business date of the booking.
    """

    account_key: str
    repayment_id: str
    amount: int
    currency: str
    booked_on: date


@dataclass(frozen=True)
class RepaymentOutcome:
    """What became of a repayment. `repayment_id` and `account_id` are our ids.

    `repeated`: it was booked before and nothing changed now. `counted`: it reduced what is overdue; False when the
    last file's figures hold it already. `case_id` is the borrower's case that was open, `case_closed` whether this
    closed it.
    """

    repayment_id: str
    account_id: str
    repeated: bool = False
    counted: bool = False
    case_id: str | None = None
    case_closed: bool = False


def apply_repayment(tenant: Tenant, repayment: Repayment, *, connector_id: str, now: datetime) -> RepaymentOutcome:
    """Books a repayment and carries out what follows for the borrower's case, in one transaction.

    Raises Invalid for an amount or a currency that is not accepted, NotFound when the connector has loaded no such
    account, Conflict when its id was booked with other particulars, Unavailable when other workers keep it from
    finishing (nothing is booked then, and it may be repeated).
    """
    if repayment.amount <= 0:
        raise Invalid("amount must be more than zero, in minor units", pointer="/amount")
    push = _Push(
        tenant,
        repayment,
        account_id=account_id_of(tenant.vault, connector_id, repayment.account_key),
        repayment_id=tenant.vault.derived_id("pay", connector_id, repayment.account_key, repayment.repayment_id),
        actor=connector_id,
        now=now,
    )
    for _ in range(_ROUNDS):
        account, booked = _read_account(tenant, push.account_id)
        if repayment.currency != account.currency:
            raise Invalid(f"the currency must be that of the account, {account.currency}", pointer="/currency")
        earlier = next((b for b in booked if b.repayment_id == push.repayment_id), None)
        if earlier is not None:
            _require_same(earlier, repayment)
            return RepaymentOutcome(push.repayment_id, push.account_id, repeated=True)
        outcome = _book(push, account)
        if outcome is not None:
            return outcome
    raise Unavailable("the borrower's case kept changing; push the repayment again")


@dataclass(frozen=True)
class _Push:
    """A repayment on its way, with our ids of it and of its account."""

    tenant: Tenant
    repayment: Repayment
    account_id: str
    repayment_id: str
    actor: str
    now: datetime


def _book(push: _Push, account: Account) -> RepaymentOutcome | None:
    """Commits the booking and what follows from it; None when the borrower changed meanwhile: nothing is written."""
    position, case, triggers = _read_borrower(push.tenant, account.borrower_id, push.now)
    if account.pk not in position.accounts:
        position = position.stated(stored_position(account))
    booking = Booking(push.repayment_id, push.repayment.booked_on, push.repayment.amount)
    after = position.repaid(account.pk, booking)
    # A repayment only lessens what is owed, so it never opens a case; a file does.
    current = None if case is None else case.figures
    decision = decide(after, current, triggers.document, triggers.version, may_open=False)
    # Before the change, so that the case's events say first what was paid and then what followed.
    booking_writes = _booking_writes(push, case)
    change = None
    if decision is not None:
        change = change_of(push.tenant, account.borrower_id, case, decision, None, now=push.now)
    elif case is not None:
        change = noted(case)
    effect = effect_of(push.tenant, after, change, actor=push.actor, now=push.now)
    whole = replace(effect, writes=[*booking_writes, *effect.writes])
    [(group, _)] = bundles(push.tenant.bind(Workload), [whole], max_items=MAX_ITEMS)
    if not commit_one(push.tenant.store, group):
        return None
    return RepaymentOutcome(
        push.repayment_id,
        push.account_id,
        counted=after != position,
        case_id=None if case is None else case.pk,
        case_closed=effect.outcome == "closed",
    )


def _booking_writes(push: _Push, case: Case | None) -> list[Write]:
    """The booking, its event and its leaf. The event takes the next place in the sequence of the open case, if any."""
    model, repayment = push.tenant.bind(BookedRepayment), push.repayment
    data = {
        **({} if case is None else next_place(case)),
        "account_id": push.account_id,
        "repayment_id": push.repayment_id,
        "amount": repayment.amount,
        "currency": repayment.currency,
        "booked_on": repayment.booked_on.isoformat(),
    }
    stored = model(
        push.account_id,
        f"{REPAYMENT}#{data['booked_on']}#{push.repayment_id}",
        repayment_id=push.repayment_id,
        amount=repayment.amount,
        currency=repayment.currency,
        booked_on=repayment.booked_on,
        received_at=push.now,
    )
    return [
        Put(stored, model.pk.does_not_exist()),
        event_put(push.tenant, "payment.received", data, now=push.now),
        leaf_put(
            push.tenant,
            subject=push.account_id,
            action="payment.received",
            content=data,
            actor=push.actor,
            now=push.now,
        ),
    ]


def _read_account(tenant: Tenant, account_id: str) -> tuple[Account, Sequence[BookedRepayment]]:
    """The account and the repayments booked on it. Raises NotFound."""
    found = read_account(tenant, account_id)
    if found is None:
        raise NotFound("no account of that key has been loaded by this connector", pointer="/account_key")
    return found


def _read_borrower(
    tenant: Tenant, borrower_id: str, now: datetime
) -> tuple[BorrowerPosition, Case | None, Version[Triggers]]:
    """The borrower's position, the open case if there is one, and the rules in force."""
    standing, rule, case = tenant.bind(Standing), tenant.bind(RuleDocument), tenant.bind(Case)
    found = read_items(tenant.store, [(standing, borrower_id, STANDING), (rule, RULES, TRIGGERS.name)])
    position = position_of(borrower_id, item(found, standing, borrower_id, STANDING))
    triggers = rules_in_force(tenant, TRIGGERS, item(found, rule, RULES, TRIGGERS.name), now=now)
    if position.case_id is None:
        return position, None, triggers
    stored = item(read_items(tenant.store, [(case, position.case_id, CASE)]), case, position.case_id, CASE)
    return position, stored if stored is not None and stored.status == OPEN else None, triggers


def _require_same(earlier: BookedRepayment, repayment: Repayment) -> None:
    """Raises Conflict when a repayment that was booked under the same id is another one."""
    if (earlier.amount, earlier.booked_on) != (repayment.amount, repayment.booked_on):
        raise Conflict("this repayment id was booked with another amount or date", pointer="/repayment_id")
