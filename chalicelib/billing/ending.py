"""The end of a subscription: cancelled at Stripe once its tenant is closing."""

from __future__ import annotations

from chalicelib.billing.clock import billing_now
from chalicelib.billing.follow import follow
from chalicelib.billing.meter import MeterMissing
from chalicelib.billing.stripe_client import is_missing, stripe_client
from chalicelib.billing.usage import report_hours
from chalicelib.platform.telemetry import logger
from chalicelib.tenancy import State, find_tenant


def cancel(tenant_id: str) -> None:
    """Cancels the subscription of a tenant that is closing, at once, and follows it. Repeating it is harmless.

    A tenant in any other state is left alone: it came back meanwhile, with another subscription. What was used beyond
    the plan since the last invoice is reported first and billed now; nothing is given back for what is left of the
    period. Raises NotFound for an unknown tenant, and stripe.StripeError.
    """
    import stripe  # cold start: only here are its errors needed

    record = find_tenant(tenant_id)
    if record.state != State.CLOSING or record.subscription_id is None:
        logger.info("nothing to cancel", extra={"tenant_id": tenant_id, "state": record.state})
        return
    try:
        report_hours(record, now=billing_now(record))
    except (stripe.InvalidRequestError, MeterMissing) as error:
        # Nobody who left goes on paying because usage is refused; it is lost to billing, and a person is to know.
        logger.error("usage not billed", extra={"tenant_id": tenant_id, "error": type(error).__name__})
    try:
        stripe_client().v1.subscriptions.cancel(record.subscription_id, {"invoice_now": True})
        logger.info("subscription cancelled", extra={"tenant_id": tenant_id})
    except stripe.InvalidRequestError as error:
        if not is_missing(error):  # a cancelled one is as good as gone
            raise
    follow(record.subscription_id)
