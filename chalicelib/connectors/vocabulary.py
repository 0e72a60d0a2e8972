"""The words that mapping documents are made of: the fields of the canonical record, headings, and strictness."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, StringConstraints

MoneyTarget = Literal["account.credit_limit", "account.balance", "account.overdue_amount", "account.last_paid_amount"]
"""Stored as whole minor units of the account's currency (BIGINT)."""
DateTarget = Literal["account.oldest_due_date"]
TextTarget = Literal[
    "account.key", "account.number", "account.product", "account.branch",
    "borrower.key", "borrower.name", "borrower.id_number", "borrower.phone", "borrower.address",
]  # fmt: skip
CurrencyTarget = Literal["account.currency"]
Target = Literal[TextTarget, CurrencyTarget, MoneyTarget, DateTarget]

TARGETS: tuple[Target, ...] = (
    "account.key", "account.number", "account.product", "account.branch", "account.currency",
    "account.credit_limit", "account.balance", "account.overdue_amount", "account.last_paid_amount",
    "account.oldest_due_date",
    "borrower.key", "borrower.name", "borrower.id_number", "borrower.phone", "borrower.address",
)  # fmt: skip
"""The canonical record, in the order in which it is stored and digested."""
MONEY_TARGETS: tuple[MoneyTarget, ...] = get_args(MoneyTarget)

Heading = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""What a column is called, in the file or by the mapping."""


class Strict(BaseModel):
    """A part of a document: a member that it does not know is an error, and nobody changes it once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)
