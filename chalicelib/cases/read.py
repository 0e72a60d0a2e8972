"""Reading accounts, borrowers and cases as people and machines of the tenant see them, personal fields opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from chalicelib.cases.delinquency import Booking, bucket, days_past_due, overdue_after
from chalicelib.cases.model import (
    ACCOUNT,
    BORROWER,
    CASE,
    REPAYMENT,
    STANDING,
    Account,
    BookedRepayment,
    Borrower,
    Case,
    Standing,
    position_of,
)
from chalicelib.platform.batches import Key, item, read_items, read_partition
from chalicelib.platform.errors import NotFound
from chalicelib.platform.tenant import Tenant


@dataclass(frozen=True)
class AccountState:
    """An account as the last file stated it, and after the repayments booked since (`bookings`)."""

    item: Account
    number: str | None
    key: str
    bookings: Sequence[Booking]

    @property
    def overdue_amount(self) -> int | None:
        """What is overdue after repayments, in minor units; None when the file does not say."""
        stated = self.item.overdue_amount
        return None if stated is None else overdue_after(stated, self.bookings, self.item.as_of)

    @property
    def balance(self) -> int | None:
        """What is owed after repayments, in minor units; negative when the account is in credit."""
        stated = self.item.balance
        return None if stated is None else stated - sum(b.amount for b in self.bookings)

    @property
    def days_past_due(self) -> int:
        """Days past due on the business date of the last file."""
        return days_past_due(self.overdue_amount or 0, self.item.oldest_due_date, self.item.as_of)

    @property
    def bucket(self) -> str:
        """The bucket of these days."""
        return bucket(self.days_past_due)


@dataclass(frozen=True)
class CaseFile:
    """A case with its borrower's personal fields and its accounts."""

    case: Case
    borrower: Mapping[str, str]
    accounts: Sequence[AccountState]


def get_case(tenant: Tenant, case_id: str) -> CaseFile:
    """The case, in two round trips. Raises NotFound.

    The accounts' bookings are those since the last file; `get_account` knows all.
    """
    model, account = tenant.bind(Case), tenant.bind(Account)
    borrower, standing = tenant.bind(Borrower), tenant.bind(Standing)
    case = item(read_items(tenant.store, [(model, case_id, CASE)]), model, case_id, CASE)
    if case is None:
        raise NotFound("no case has that id")
    accounts: list[Key] = [(account, account_id, ACCOUNT) for account_id in case.account_ids]
    people: list[Key] = [(borrower, case.borrower_id, BORROWER), (standing, case.borrower_id, STANDING)]
    found = read_items(tenant.store, [*accounts, *people])
    stored = item(found, borrower, case.borrower_id, BORROWER)
    position = position_of(case.borrower_id, item(found, standing, case.borrower_id, STANDING))
    items = [a for account_id in case.account_ids if (a := item(found, account, account_id, ACCOUNT)) is not None]
    states = [_state(tenant, a, position.accounts[a.pk].bookings if a.pk in position.accounts else ()) for a in items]
    return CaseFile(case, {} if stored is None else _opened(tenant, stored), states)


def read_account(tenant: Tenant, account_id: str) -> tuple[Account, list[BookedRepayment]] | None:
    """An account's item and every repayment booked on it, oldest first; None when there is no such account."""
    models = {ACCOUNT: tenant.bind(Account), REPAYMENT: tenant.bind(BookedRepayment)}
    items = read_partition(tenant.store, account_id, models)
    account = next((i for i in items if isinstance(i, Account)), None)
    return None if account is None else (account, [i for i in items if isinstance(i, BookedRepayment)])


def get_account(tenant: Tenant, account_id: str) -> tuple[AccountState, list[BookedRepayment]]:
    """An account and every repayment booked on it, in one round trip. Raises NotFound."""
    found = read_account(tenant, account_id)
    if found is None:
        raise NotFound("no account has that id")
    account, repayments = found
    return _state(tenant, account, [Booking(r.repayment_id, r.booked_on, r.amount) for r in repayments]), repayments


def get_borrower(tenant: Tenant, borrower_id: str) -> tuple[Mapping[str, str], str | None, Sequence[str]]:
    """A borrower's personal fields, the open case and the closed ones, in one round trip. Raises NotFound."""
    borrower, standing = tenant.bind(Borrower), tenant.bind(Standing)
    found = read_items(tenant.store, [(borrower, borrower_id, BORROWER), (standing, borrower_id, STANDING)])
    stored = item(found, borrower, borrower_id, BORROWER)
    if stored is None:
        raise NotFound("no borrower has that id")
    position = position_of(borrower_id, item(found, standing, borrower_id, STANDING))
    return _opened(tenant, stored), position.case_id, position.past_case_ids


def _opened(tenant: Tenant, stored: Borrower) -> Mapping[str, str]:
    return tenant.vault.open(stored.sealed, bound_to=stored.pk)


def _state(tenant: Tenant, stored: Account, bookings: Sequence[Booking]) -> AccountState:
    names = tenant.vault.open(stored.sealed, bound_to=stored.pk)
    return AccountState(stored, names.get("number"), names["key"], _since(bookings, stored.as_of))


def _since(bookings: Sequence[Booking], as_of: date) -> list[Booking]:
    return [b for b in bookings if b.booked_on > as_of]
