"""Billing time: what decides about money and about the steps of a tenant's life.

It is real time, unless the tenant's customer at Stripe lives on a test clock: then it is that clock's, so that the end
of a trial or a year of renewals can be tried out in a minute. Credentials and signatures never go by it.
"""

from __future__ import annotations

from datetime import UTC, datetime

from chalicelib.billing.stripe_client import is_missing, stripe_client
from chalicelib.platform.clock import utc_now
from chalicelib.platform.telemetry import logger
from chalicelib.tenancy import TenantRecord


def billing_now(record: TenantRecord) -> datetime:
    """The present moment for a tenant. Raises stripe.StripeError where its test clock cannot be read."""
    if record.test_clock_id is None:
        return utc_now()
    import stripe  # cold start: only tenants of a test have a clock

    try:
        clock = stripe_client().v1.test_helpers.test_clocks.retrieve(record.test_clock_id)
    except stripe.InvalidRequestError as error:
        if not is_missing(error):
            raise
        # Stripe deletes a test clock after some weeks, and everything that lived on it.
        logger.warning("test clock is gone", extra={"tenant_id": record.pk, "test_clock_id": record.test_clock_id})
        return utc_now()
    return datetime.fromtimestamp(clock.frozen_time, UTC)
