"""A tenant's invoices, as Stripe has them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from chalicelib.billing.stripe_client import is_missing, payments, stripe_client
from chalicelib.platform.errors import Invalid
from chalicelib.platform.pages import Cursor
from chalicelib.tenancy import TenantRecord

if TYPE_CHECKING:
    from stripe import Invoice
    from stripe.params import InvoiceListParams

_AFTER = "invoice"


@dataclass(frozen=True)
class BilledInvoice:
    """An invoice; amounts are in the currency's minor units. `number` and `url` (where it is shown and can be paid) are
    None for a draft; `status` is Stripe's word."""

    id: str
    number: str | None
    status: str
    currency: str
    total: int
    amount_due: int
    amount_paid: int
    created: datetime
    url: str | None


def list_invoices(
    record: TenantRecord, *, limit: int, cursor: Cursor | None
) -> tuple[list[BilledInvoice], Cursor | None]:
    """The tenant's invoices, newest first, and the cursor of the next page. Raises Invalid for a cursor that no page
    of this list gave, and PaymentsUnavailable."""
    if record.customer_id is None or record.customer_deleted_at is not None:
        return [], None
    import stripe  # cold start: only here are its errors needed

    # With the customer always named, no cursor leads to another's invoices.
    params: InvoiceListParams = {"customer": record.customer_id, "limit": limit}
    if cursor is not None:
        params["starting_after"] = _position(cursor)
    with payments("invoices not listed", tenant_id=record.pk):
        try:
            found = stripe_client().v1.invoices.list(params)
        except stripe.InvalidRequestError as error:
            if cursor is not None and is_missing(error):
                raise _foreign() from None
            raise
    invoices = [_billed(invoice) for invoice in found.data]
    return invoices, {_AFTER: invoices[-1].id} if found.has_more and invoices else None


def _billed(invoice: Invoice) -> BilledInvoice:
    assert invoice.id is not None, "only a preview has no id"
    return BilledInvoice(
        id=invoice.id,
        number=invoice.number,
        status=invoice.status or "draft",
        currency=invoice.currency.upper(),
        total=invoice.total,
        amount_due=invoice.amount_due,
        amount_paid=invoice.amount_paid,
        created=datetime.fromtimestamp(invoice.created, UTC),
        url=invoice.hosted_invoice_url,
    )


def _position(cursor: Cursor) -> str:
    position = cursor.get(_AFTER)
    if cursor.keys() != {_AFTER} or not isinstance(position, str) or not position.startswith("in_"):
        raise _foreign()
    return position


def _foreign() -> Invalid:
    return Invalid("the cursor is not one that an earlier page of this list gave", pointer="/cursor")
