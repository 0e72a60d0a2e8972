"""What Stripe left as drafts while a subscription was unpaid: billed as soon as its customer pays again."""

from __future__ import annotations

from chalicelib.billing.follow import find_subscription
from chalicelib.billing.stripe_client import stripe_client
from chalicelib.platform.telemetry import logger


def bill_drafts(subscription_id: str) -> None:
    """Has Stripe take what an unpaid subscription left as drafts, oldest first, once nothing else of it is open.

    While a subscription is unpaid Stripe still makes an invoice for each period, and neither collects it nor lets the
    customer pay it. Until the last one is paid the subscription stays unpaid, whatever else the customer has paid. A
    declined card leaves the invoice open, to be paid in the portal. Repeating it is harmless. Raises
    stripe.StripeError.
    """
    import stripe  # cold start: only here are its errors needed

    invoices = stripe_client().v1.invoices
    found = invoices.list({"subscription": subscription_id, "status": "draft", "limit": 100}).auto_paging_iter()
    drafts = [invoice.id for invoice in found if invoice.id and not invoice.auto_advance]
    if not drafts:
        return
    subscription = find_subscription(subscription_id)
    if subscription is None or subscription.status != "unpaid":
        return  # somebody wrote them by hand
    if invoices.list({"subscription": subscription_id, "status": "open", "limit": 1}).data:
        return  # these come first, and the customer pays them
    for draft in reversed(drafts):
        ids = {"subscription_id": subscription_id, "invoice_id": draft}
        try:
            invoices.pay(draft, {}, {"idempotency_key": f"draft-{draft}"})
        except stripe.CardError as error:
            logger.warning("an invoice from before is declined", extra={**ids, "code": error.code})
            return
        logger.info("an invoice from before is paid", extra=ids)
