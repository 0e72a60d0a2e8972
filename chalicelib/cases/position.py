"""What is known of a borrower for deciding about a case: the figures of every account that was ever overdue.

A position is a value. `stated` and `repaid` make the next position from news; both can be repeated, and news from an
older run than the one that spoke last changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Literal

from chalicelib.cases.delinquency import Booking, days_past_due, overdue_after

Outcome = Literal["opened", "updated", "closed"]


@dataclass(frozen=True, slots=True)
class AccountPosition:
    """One account's figures as the run `run_id` stated them for the business date `as_of`.

    `reported` is False once the account is no longer in the file. `bookings` are the repayments booked after `as_of`.
    `outcome` is what the run's statement did to the case, kept so that a repeated chunk reports the same.
    """

    account_id: str
    product: str
    currency: str
    overdue_amount: int
    oldest_due_date: date | None
    as_of: date
    run_id: str
    reported: bool = True
    bookings: tuple[Booking, ...] = ()
    outcome: Outcome | None = None

    @property
    def remaining(self) -> int:
        """What is still unpaid of the overdue amount, whether or not the file still reports the account."""
        return overdue_after(self.overdue_amount, self.bookings, self.as_of)

    @property
    def overdue(self) -> int:
        """What is overdue for the purpose of a case: nothing, once the account has left the file."""
        return self.remaining if self.reported else 0

    def days_past_due(self, on: date) -> int:
        """Days past due on a date, after repayments."""
        return days_past_due(self.overdue, self.oldest_due_date, on)


@dataclass(frozen=True, slots=True)
class BorrowerPosition:
    """A borrower's accounts by id, and the case that is open. `version` is 0 while nothing is stored."""

    borrower_id: str
    accounts: Mapping[str, AccountPosition] = field(default_factory=dict[str, AccountPosition])
    case_id: str | None = None
    past_case_ids: tuple[str, ...] = ()
    version: int = 0

    @property
    def as_of(self) -> date:
        """The latest business date that any account was stated for. Raises ValueError when there is no account."""
        return max(account.as_of for account in self.accounts.values())

    @property
    def overdue_accounts(self) -> list[AccountPosition]:
        """The accounts with something overdue, in order of their ids."""
        return [a for _, a in sorted(self.accounts.items()) if a.overdue > 0]

    def is_newer_than(self, run_id: str, account_id: str) -> bool:
        """Whether a later run than `run_id` has already spoken about the account."""
        known = self.accounts.get(account_id)
        return known is not None and known.run_id > run_id

    def stated(self, account: AccountPosition) -> BorrowerPosition:
        """The position after a run stated an account's figures. Repayments that the figures hold are forgotten."""
        known = self.accounts.get(account.account_id)
        if known is not None:
            if known.run_id > account.run_id:
                return self
            account = replace(
                account,
                bookings=tuple(b for b in known.bookings if b.booked_on > account.as_of),
                outcome=known.outcome if known.run_id == account.run_id else None,
            )
        return self._with(account)

    def repaid(self, account_id: str, booking: Booking) -> BorrowerPosition:
        """The position after a repayment; the same one when the account's figures hold it already.

        Raises KeyError when the account is not part of the position.
        """
        account = self.accounts[account_id]
        if booking.booked_on <= account.as_of or any(b.repayment_id == booking.repayment_id for b in account.bookings):
            return self
        return self._with(replace(account, bookings=(*account.bookings, booking)))

    def remembering(self, account_id: str, outcome: Outcome | None) -> BorrowerPosition:
        """The position with a note of what the last statement about an account did to the case."""
        return self._with(replace(self.accounts[account_id], outcome=outcome))

    def _with(self, account: AccountPosition) -> BorrowerPosition:
        return replace(self, accounts={**self.accounts, account.account_id: account})


def to_json(account: AccountPosition) -> dict[str, Any]:
    """An account's position as it is stored (the id is the key it is stored under)."""
    return {
        "product": account.product,
        "currency": account.currency,
        "overdue_amount": account.overdue_amount,
        "oldest_due_date": None if account.oldest_due_date is None else account.oldest_due_date.isoformat(),
        "as_of": account.as_of.isoformat(),
        "run_id": account.run_id,
        "reported": account.reported,
        "bookings": [[b.repayment_id, b.booked_on.isoformat(), b.amount] for b in account.bookings],
        "outcome": account.outcome,
    }


def from_json(account_id: str, stored: Mapping[str, Any]) -> AccountPosition:
    """The position that `to_json` stored."""
    due = stored["oldest_due_date"]
    return AccountPosition(
        account_id=account_id,
        product=stored["product"],
        currency=stored["currency"],
        overdue_amount=stored["overdue_amount"],
        oldest_due_date=None if due is None else date.fromisoformat(due),
        as_of=date.fromisoformat(stored["as_of"]),
        run_id=stored["run_id"],
        reported=stored["reported"],
        bookings=tuple(
            Booking(id, date.fromisoformat(booked_on), amount) for id, booked_on, amount in stored["bookings"]
        ),
        outcome=stored["outcome"],
    )
