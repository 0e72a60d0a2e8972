"""Stripe's customer portal: where an institution changes its payment method and pays what is open."""

from __future__ import annotations

from chalicelib.billing.customers import locale_of
from chalicelib.billing.errors import PaymentsUnavailable
from chalicelib.billing.stripe_client import payments, stripe_client
from chalicelib.platform.errors import Conflict
from chalicelib.platform.settings import settings
from chalicelib.platform.telemetry import logger
from chalicelib.tenancy import TenantRecord

_OURS = "portal"
"""What `infra.stripe_sync` writes as `duebridge` into the metadata of the portal's configuration."""


def open_portal(record: TenantRecord) -> str:
    """The address of a portal session for the tenant, good for a few minutes and one person.

    Plans and cancellation are not in the portal: these go through our own API, which knows seats and states. Raises
    Conflict for a tenant without a customer at Stripe, and PaymentsUnavailable.
    """
    if record.customer_id is None or record.customer_deleted_at is not None:
        raise Conflict("there is nothing to pay: this tenant has no subscription", state=record.state)
    with payments("portal not opened", tenant_id=record.pk):
        session = stripe_client().v1.billing_portal.sessions.create(
            {
                "customer": record.customer_id,
                "configuration": _configuration(),
                "locale": locale_of(record),
                "return_url": f"{settings().public_url}/",
            }
        )
    return session.url


def _configuration() -> str:
    listed = stripe_client().v1.billing_portal.configurations.list({"active": True, "limit": 100})
    for each in listed.auto_paging_iter():
        if each.metadata is not None and each.metadata.to_dict().get("duebridge") == _OURS:
            return each.id
    logger.error("the portal is not configured in Stripe; run infra.stripe_sync")
    raise PaymentsUnavailable("the payment portal is not set up yet")
