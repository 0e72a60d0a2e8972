"""What should become of a borrower's case, from the borrower's position: the desired state against the actual one.

Pure, and idempotent by state: deciding again after the decision was carried out decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from chalicelib.cases.delinquency import bucket
from chalicelib.cases.position import AccountPosition, BorrowerPosition
from chalicelib.cases.triggers import Evidence, Triggers
from chalicelib.cases.triggers import decide as met_rule

CloseReason = Literal["cured", "withdrawn"]


@dataclass(frozen=True)
class CaseFigures:
    """What a case says of its accounts, as of a business date.

    `overdue_amount` sums the accounts in `currency`, that of the account which opened the case; accounts in another
    currency are in `account_ids` and count for days past due, but sums across currencies would mean nothing.
    """

    account_ids: tuple[str, ...]
    days_past_due: int
    overdue_amount: int
    currency: str
    as_of: date

    @property
    def bucket(self) -> str:
        """The bucket of the case's latest account."""
        return bucket(self.days_past_due)


@dataclass(frozen=True)
class Open:
    """A case is to be opened, because of `evidence`."""

    figures: CaseFigures
    evidence: Evidence


@dataclass(frozen=True)
class Update:
    """The open case's figures are to become `figures`."""

    figures: CaseFigures


@dataclass(frozen=True)
class Close:
    """The open case is to be closed: `cured` when nothing is overdue any more, `withdrawn` when what was overdue left
    the file unpaid. `figures` are the last ones."""

    figures: CaseFigures
    reason: CloseReason


Decision = Open | Update | Close


def decide(
    position: BorrowerPosition,
    current: CaseFigures | None,
    triggers: Triggers,
    triggers_version: int,
    *,
    may_open: bool = True,
) -> Decision | None:
    """The transition that a borrower's position asks for; None when the case is as it should be.

    `current` are the figures of the open case, None when there is none. A case opens when an account meets its
    trigger rule and closes only when no account of the borrower is overdue: in between it stays open and is updated.
    """
    overdue = position.overdue_accounts
    if current is None:
        if not may_open or not overdue:
            return None
        evidence = met_rule(overdue, triggers, triggers_version, position.as_of)
        if evidence is None:
            return None
        currency = position.accounts[evidence.account_id].currency
        return Open(_figures(overdue, (), currency, position.as_of), evidence)
    figures = _figures(overdue, current.account_ids, current.currency, position.as_of)
    if not overdue:
        return Close(figures, _close_reason(position, current))
    return None if _same(figures, current) else Update(figures)


def _figures(overdue: list[AccountPosition], already: tuple[str, ...], currency: str, as_of: date) -> CaseFigures:
    return CaseFigures(
        account_ids=tuple(sorted({*already, *(a.account_id for a in overdue)})),
        days_past_due=max((a.days_past_due(as_of) for a in overdue), default=0),
        overdue_amount=sum(a.overdue for a in overdue if a.currency == currency),
        currency=currency,
        as_of=as_of,
    )


def _close_reason(position: BorrowerPosition, current: CaseFigures) -> CloseReason:
    accounts = (position.accounts.get(account_id) for account_id in current.account_ids)
    left_unpaid = any(a is not None and not a.reported and a.remaining > 0 for a in accounts)
    return "withdrawn" if left_unpaid else "cured"


def _same(figures: CaseFigures, current: CaseFigures) -> bool:
    """Equal but for the business date: a later date alone, with nothing to say, is no change."""
    return (figures.account_ids, figures.days_past_due, figures.overdue_amount) == (
        current.account_ids,
        current.days_past_due,
        current.overdue_amount,
    )
