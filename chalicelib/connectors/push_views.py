"""What the API takes and shows of pushed rows."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal, cast

from pydantic import Field, StringConstraints, ValidationInfo, field_validator

from chalicelib.connectors.model import PushReceipt
from chalicelib.connectors.push import MAX_ROWS, PushedRow
from chalicelib.platform.clock import utc_now
from chalicelib.platform.errors import Invalid
from chalicelib.platform.http import Strict, View
from chalicelib.platform.money import exponent_of, to_minor

Key = Annotated[str, StringConstraints(min_length=1, max_length=256)]
EARLIEST_BOOKING = date(1990, 1, 1)
Amount = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,15}(\.[0-9]{1,4})?$")]


class RepaymentRow(Strict):
    """A repayment booked now. `account` is the account's key as the files carry it; `amount` is in major units, as a
    decimal string with no more decimals than the currency has; `booked_on` is the business date of the booking, from
    1990 on and not after tomorrow in UTC."""

    kind: Literal["repayment"]
    account: Key
    repayment_id: Key
    currency: str
    amount: Amount
    booked_on: date

    @field_validator("booked_on", mode="before")
    @classmethod
    def _is_a_day_in_text(cls, booked_on: object) -> object:
        # A number would be read as seconds since 1970.
        if not isinstance(booked_on, str):
            raise ValueError("the day must be text, such as 2005-10-03")
        return booked_on

    @field_validator("booked_on")
    @classmethod
    def _is_a_day_that_has_come(cls, booked_on: date) -> date:
        # Where the day begins first, it may be tomorrow in UTC. A later day would be a slip, and count for years.
        latest = utc_now().date() + timedelta(days=1)
        if not EARLIEST_BOOKING <= booked_on <= latest:
            raise ValueError(f"the day must be from {EARLIEST_BOOKING} to {latest}, which is tomorrow in UTC")
        return booked_on

    @field_validator("currency")
    @classmethod
    def _is_a_currency(cls, currency: str) -> str:
        try:
            exponent_of(currency)
        except Invalid as problem:
            raise ValueError(problem.detail) from None
        return currency

    @field_validator("amount")
    @classmethod
    def _is_exact(cls, amount: str, info: ValidationInfo) -> str:
        currency = info.data.get("currency")
        if currency is None:
            return amount  # the currency is at fault already
        try:
            minor = to_minor(amount, currency)
        except Invalid as problem:
            raise ValueError(problem.detail) from None
        if minor <= 0:
            raise ValueError("the amount must be more than zero")
        return amount

    def pushed(self) -> PushedRow:
        """The row as the verbs take it, with the amount in minor units."""
        amount = to_minor(self.amount, self.currency)
        return PushedRow(self.account, self.repayment_id, amount, self.currency, self.booked_on)


class Push(Strict):
    """1 to 100 rows. They are taken together and applied each by itself."""

    rows: Annotated[list[RepaymentRow], Field(min_length=1, max_length=MAX_ROWS)]


class ReceiptView(View):
    """What became of pushed rows: `accepted` until they were worked through, then an outcome a row, in their order.

    Then the status is `applied` when every row is booked, by this push or (`repeated`) by an earlier one;
    `partly_applied` when some are and others are quarantined, each with its reason; `not_applied` when all are
    quarantined.
    """

    receipt: str
    status: Literal["accepted", "applied", "partly_applied", "not_applied"]
    rows: list[dict[str, Any]] | None
    received_at: datetime
    finished_at: datetime | None


def receipt_view(receipt: PushReceipt) -> ReceiptView:
    """A push receipt."""
    outcomes = cast("list[dict[str, Any]] | None", receipt.outcomes)
    return ReceiptView(
        receipt=receipt.id,
        status=cast("Any", receipt.status),
        rows=None if outcomes is None else [{"row": n, **outcome} for n, outcome in enumerate(outcomes)],
        received_at=receipt.received_at,
        finished_at=receipt.finished_at,
    )
