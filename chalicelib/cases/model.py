"""The items of a tenant's `cases` table. Everything personal is sealed; what is searched for has a blind index.

Attribute names that are keys of an index stand only in the model that the index is for, because an item with such an
attribute is in the index.
"""

from __future__ import annotations

from typing import Any

from pynamodb.attributes import BinaryAttribute, BooleanAttribute, JSONAttribute, UnicodeAttribute, UTCDateTimeAttribute
from pynamodb.indexes import AllProjection, GlobalSecondaryIndex

from chalicelib.cases.decide import CaseFigures
from chalicelib.cases.position import BorrowerPosition, from_json, to_json
from chalicelib.platform.attributes import DateAttribute, IntegerAttribute, StringsAttribute
from chalicelib.platform.store import TenantModel

ACCOUNT, BORROWER, STANDING, CASE = "account", "borrower", "standing", "case"
REPAYMENT = "repayment"
WORKLOAD, RULES = "workload", "rules"
OPEN, CLOSED = "open", "closed"


class Account(TenantModel):
    """An account as the last file that carried it stated it (`pk` its id, `sk` "account").

    It belongs to the files: every run writes it whole. `sealed` holds `number` and `key`, the business system's names
    for it. `reported` is False once the account has left the file; its figures are then the last ones stated.
    """

    class Meta:
        table_kind = "cases"

    borrower_id = UnicodeAttribute()
    connector_id = UnicodeAttribute()
    run_id = UnicodeAttribute()
    as_of = DateAttribute()
    reported = BooleanAttribute()
    product = UnicodeAttribute(null=True)
    branch = UnicodeAttribute(null=True)
    currency = UnicodeAttribute()
    credit_limit = IntegerAttribute(null=True)
    balance = IntegerAttribute(null=True)
    overdue_amount = IntegerAttribute(null=True)
    last_paid_amount = IntegerAttribute(null=True)
    oldest_due_date = DateAttribute(null=True)
    sealed = BinaryAttribute(legacy_encoding=False)


class BookedRepayment(TenantModel):
    """A repayment that was pushed (`pk` the account, `sk` "repayment#<booked date>#<its id>")."""

    class Meta:
        table_kind = "cases"

    repayment_id = UnicodeAttribute()
    amount = IntegerAttribute()
    currency = UnicodeAttribute()
    booked_on = DateAttribute()
    received_at = UTCDateTimeAttribute()


class ByName(GlobalSecondaryIndex["Borrower"]):
    """Borrowers by the blind index of their name."""

    class Meta:
        index_name, projection = "by_name", AllProjection()

    name_index = UnicodeAttribute(hash_key=True)


class ByPhone(GlobalSecondaryIndex["Borrower"]):
    """Borrowers by the blind index of their phone number."""

    class Meta:
        index_name, projection = "by_phone", AllProjection()

    phone_index = UnicodeAttribute(hash_key=True)


class ByIdNumber(GlobalSecondaryIndex["Borrower"]):
    """Borrowers by the blind index of their identity document's number."""

    class Meta:
        index_name, projection = "by_id_number", AllProjection()

    id_number_index = UnicodeAttribute(hash_key=True)


class Borrower(TenantModel):
    """A person or firm (`pk` its id, `sk` "borrower"). `sealed` holds name, id_number, phone, address and key."""

    class Meta:
        table_kind = "cases"

    connector_id = UnicodeAttribute()
    run_id = UnicodeAttribute()
    sealed = BinaryAttribute(legacy_encoding=False)
    name_index = UnicodeAttribute(null=True)
    phone_index = UnicodeAttribute(null=True)
    id_number_index = UnicodeAttribute(null=True)
    by_name = ByName()
    by_phone = ByPhone()
    by_id_number = ByIdNumber()


class Standing(TenantModel):
    """What decisions about a borrower are made from (`pk` the borrower, `sk` "standing"); see `position`.

    Every decision writes it on the condition that `version` is still the one that was read, so two workers never
    decide from the same state.
    """

    class Meta:
        table_kind = "cases"

    accounts = JSONAttribute()
    case_id = UnicodeAttribute(null=True)
    past_case_ids = StringsAttribute()
    version = IntegerAttribute()


class ByStatus(GlobalSecondaryIndex["Case"]):
    """Cases by status, in order of their ids, which is the order in which they were opened."""

    class Meta:
        index_name, projection = "by_status", AllProjection()

    status = UnicodeAttribute(hash_key=True)
    pk = UnicodeAttribute(range_key=True)


class ByAssignee(GlobalSecondaryIndex["Case"]):
    """Cases by who works on them; `queue_key` sorts open cases by days past due."""

    class Meta:
        index_name, projection = "by_assignee", AllProjection()

    assignee = UnicodeAttribute(hash_key=True)
    queue_key = UnicodeAttribute(range_key=True)


class Case(TenantModel):
    """The collection of one borrower's overdue accounts (`pk` its id, `sk` "case").

    `sequence` is the number of its last event, `version` counts its writes. `trigger` and `assignment` are the
    evidence for opening it and for choosing the assignee.
    """

    class Meta:
        table_kind = "cases"

    status = UnicodeAttribute()
    borrower_id = UnicodeAttribute()
    account_ids = StringsAttribute()
    assignee = UnicodeAttribute()
    queue_key = UnicodeAttribute()
    trigger = JSONAttribute()
    assignment = JSONAttribute()
    days_past_due = IntegerAttribute()
    bucket = UnicodeAttribute()
    overdue_amount = IntegerAttribute()
    currency = UnicodeAttribute()
    as_of = DateAttribute()
    sequence = IntegerAttribute()
    version = IntegerAttribute()
    opened_at = UTCDateTimeAttribute()
    closed_at = UTCDateTimeAttribute(null=True)
    close_reason = UnicodeAttribute(null=True)
    by_status = ByStatus()
    by_assignee = ByAssignee()

    @property
    def figures(self) -> CaseFigures:
        """The case's figures as a value."""
        return CaseFigures(tuple(self.account_ids), self.days_past_due, self.overdue_amount, self.currency, self.as_of)

    def take(self, figures: CaseFigures) -> None:
        """Sets the case's figures, and its place in the queue that follows from them and from its status."""
        self.account_ids = list(figures.account_ids)
        self.days_past_due = figures.days_past_due
        self.bucket = figures.bucket
        self.overdue_amount = figures.overdue_amount
        self.currency = figures.currency
        self.as_of = figures.as_of
        self.queue_key = f"{self.status}#{figures.days_past_due:06d}#{self.pk}"


class Workload(TenantModel):
    """How many open cases a collector has (`pk` "workload", `sk` the collector)."""

    class Meta:
        table_kind = "cases"

    open_cases = IntegerAttribute()


class RuleDocument(TenantModel):
    """A version of a rule document (`pk` "rules").

    `sk` is "<kind>#v000001" for each version, and "<kind>" for a copy of the current one.
    """

    class Meta:
        table_kind = "cases"

    version = IntegerAttribute()
    document = UnicodeAttribute()
    made_by = UnicodeAttribute()
    made_at = UTCDateTimeAttribute()


def position_of(borrower_id: str, stored: Standing | None) -> BorrowerPosition:
    """A stored standing as a value; the empty position when nothing is stored."""
    if stored is None:
        return BorrowerPosition(borrower_id)
    accounts: dict[str, Any] = stored.accounts
    return BorrowerPosition(
        borrower_id,
        {account_id: from_json(account_id, account) for account_id, account in accounts.items()},
        stored.case_id,
        tuple(stored.past_case_ids),
        stored.version,
    )


def standing_of(model: type[Standing], position: BorrowerPosition, *, version: int) -> Standing:
    """A position as it is to be stored."""
    return model(
        position.borrower_id,
        STANDING,
        accounts={account_id: to_json(account) for account_id, account in position.accounts.items()},
        case_id=position.case_id,
        past_case_ids=list(position.past_case_ids),
        version=version,
    )
