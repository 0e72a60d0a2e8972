"""What comes in: the changed rows of a file as the connectors hand them over, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

Code = Annotated[str, StringConstraints(max_length=64)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]


class _Part(BaseModel):
    # What is wrong with a row is said without its values, which are a borrower's.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class AccountRow(_Part):
    """An account as the business system states it. Money is in the currency's minor unit.

    What the file does not say is null. A null `overdue_amount` says nothing about lateness: it decides nothing.
    """

    key: Key
    number: str | None = None
    product: Code | None = None
    branch: Code | None = None
    currency: Currency
    credit_limit: int | None = None
    balance: int | None = None
    overdue_amount: int | None = None
    last_paid_amount: int | None = None
    oldest_due_date: date | None = None


class BorrowerRow(_Part):
    """The person or firm behind an account."""

    key: Key
    name: str | None = None
    id_number: str | None = None
    phone: str | None = None
    address: str | None = None


class Before(_Part):
    """What the last snapshot said of the account."""

    overdue_amount: int | None = None
    oldest_due_date: date | None = None


class Row(_Part):
    """One line of a chunk: an account that is new, changed or no longer in the file (`removed`).

    `line` is its line in the file. `borrower_changed` says whether the borrower's own columns differ from the last
    snapshot; `before` is null for what is new.
    """

    op: Literal["new", "changed", "removed"]
    line: int
    account: AccountRow
    borrower: BorrowerRow
    borrower_changed: bool
    before: Before | None = None

    @property
    def touches_overdue(self) -> bool:
        """Whether the account is or was overdue, as far as is known. No other row can open, change or close a case.

        Where the last snapshot did not say (null), the account may have been overdue before that.
        """
        now = self.account.overdue_amount
        if self.op != "removed" and now is None:
            return False
        before = None if self.before is None else self.before.overdue_amount
        unsaid_before = self.op != "new" and before is None
        return (now or 0) > 0 or (before or 0) > 0 or unsaid_before

    @property
    def carries_borrower(self) -> bool:
        """Whether the row says something new about its borrower."""
        return self.op == "new" or self.borrower_changed


@dataclass(frozen=True)
class Source:
    """Where rows come from: one chunk of one run of one connector, and the business date that the file speaks of.

    Run ids are ULIDs, so of two runs the one with the greater id is the later one.
    """

    connector_id: str
    run_id: str
    chunk: int
    business_date: date


@dataclass(frozen=True)
class Applied:
    """What applying a chunk did, as counts. Chunks add up: `a + b`.

    A chunk that is applied again reports what its first application decided, so a run's figures stay true whatever
    was repeated. `rows_stale` are rows that a later run had already decided.
    """

    accounts_written: int = 0
    borrowers_written: int = 0
    cases_opened: int = 0
    cases_updated: int = 0
    cases_closed: int = 0
    events_created: int = 0
    rows_stale: int = 0

    def __add__(self, other: Applied) -> Applied:
        return Applied(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))
