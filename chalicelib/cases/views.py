"""What the API shows of cases, accounts, borrowers and rules. Money is whole minor units of `currency`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime

from chalicelib.cases.assignment import Assignment
from chalicelib.cases.model import BookedRepayment, Case
from chalicelib.cases.read import AccountState, CaseFile
from chalicelib.cases.triggers import Triggers
from chalicelib.platform.http import View


class TriggerEvidence(View):
    """Why the case was opened: rule and version of the trigger document, and the account that met it."""

    document_version: int
    rule: str
    account_id: str
    days_past_due: int


class AssignmentEvidence(View):
    """Why the assignee was chosen: version of the assignment document, and the load at that moment."""

    document_version: int
    assignee: str
    open_cases: int
    capacity: int


class CaseView(View):
    """A case; its figures are as of the business date `as_of`."""

    id: str
    status: str
    borrower_id: str
    account_ids: list[str]
    assignee: str
    trigger: TriggerEvidence
    assignment: AssignmentEvidence
    days_past_due: int
    bucket: str
    overdue_amount: int
    currency: str
    as_of: date
    sequence: int
    version: int
    opened_at: datetime
    closed_at: datetime | None
    close_reason: str | None


class RepaymentView(View):
    """A repayment that was pushed."""

    id: str
    amount: int
    currency: str
    booked_on: date


class AccountView(View):
    """An account as of its last file (`as_of`), after the repayments since. `key` is the system's name for it."""

    id: str
    borrower_id: str
    connector_id: str
    key: str
    number: str | None
    product: str | None
    branch: str | None
    currency: str
    credit_limit: int | None
    balance: int | None
    overdue_amount: int | None
    last_paid_amount: int | None
    oldest_due_date: date | None
    days_past_due: int
    bucket: str
    as_of: date
    reported: bool
    repayments: list[RepaymentView]


class BorrowerView(View):
    """A borrower, with the personal fields opened for the caller."""

    id: str
    name: str | None
    id_number: str | None
    phone: str | None
    address: str | None


class BorrowerDetail(BorrowerView):
    """A borrower and the cases of the borrower."""

    open_case_id: str | None
    past_case_ids: list[str]


class CaseDetail(CaseView):
    """A case with its borrower and its accounts; each account shows the repayments since its last file."""

    borrower: BorrowerView
    accounts: list[AccountView]


class TriggersView(View):
    """The trigger document in force."""

    version: int
    document: Triggers
    made_by: str
    made_at: datetime


class AssignmentView(View):
    """The assignment document in force."""

    version: int
    document: Assignment
    made_by: str
    made_at: datetime


_SAME = (
    "status", "borrower_id", "account_ids", "assignee", "trigger", "assignment", "days_past_due", "bucket",
    "overdue_amount", "currency", "as_of", "sequence", "version", "opened_at", "closed_at", "close_reason",
)  # fmt: skip
_PERSONAL = ("name", "id_number", "phone", "address")


def case_view(case: Case) -> CaseView:
    """A stored case as the API shows it."""
    return CaseView(id=case.pk, **{name: getattr(case, name) for name in _SAME})


def case_detail(file: CaseFile) -> CaseDetail:
    """A case with everything around it."""
    return CaseDetail(
        **case_view(file.case).model_dump(),
        borrower=borrower_view(file.case.borrower_id, file.borrower),
        accounts=[account_view(account, _bookings(account)) for account in file.accounts],
    )


def account_view(account: AccountState, repayments: list[RepaymentView]) -> AccountView:
    """An account with the given repayments."""
    stored = account.item
    return AccountView(
        id=stored.pk,
        borrower_id=stored.borrower_id,
        connector_id=stored.connector_id,
        key=account.key,
        number=account.number,
        product=stored.product,
        branch=stored.branch,
        currency=stored.currency,
        credit_limit=stored.credit_limit,
        balance=account.balance,
        overdue_amount=account.overdue_amount,
        last_paid_amount=stored.last_paid_amount,
        oldest_due_date=stored.oldest_due_date,
        days_past_due=account.days_past_due,
        bucket=account.bucket,
        as_of=stored.as_of,
        reported=stored.reported,
        repayments=repayments,
    )


def repayment_view(stored: BookedRepayment) -> RepaymentView:
    """A stored repayment as the API shows it."""
    return RepaymentView(
        id=stored.repayment_id, amount=stored.amount, currency=stored.currency, booked_on=stored.booked_on
    )


def borrower_view(borrower_id: str, personal: Mapping[str, str]) -> BorrowerView:
    """A borrower's opened fields; what is not known is null."""
    return BorrowerView(id=borrower_id, **{name: personal.get(name) for name in _PERSONAL})


def _bookings(account: AccountState) -> list[RepaymentView]:
    currency = account.item.currency
    return [
        RepaymentView(id=b.repayment_id, amount=b.amount, currency=currency, booked_on=b.booked_on)
        for b in account.bookings
    ]
