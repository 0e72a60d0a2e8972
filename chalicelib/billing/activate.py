"""From a settled checkout to a tenant that is being provisioned."""

from __future__ import annotations

from enum import StrEnum

from chalicelib.platform.errors import NotFound
from chalicelib.platform.telemetry import logger
from chalicelib.tenancy import ACTIVE, PENDING, TRIALING, begin_provisioning, find_tenant, records

TENANT_STATES = {"trialing": TRIALING, "active": ACTIVE}
"""The state that a pending tenant takes by the status of its subscription; any other status leaves it pending."""


class Outcome(StrEnum):
    """What processing an event did."""

    ACTIVATED = "activated"
    REPEATED = "repeated"
    NOT_SETTLED = "not-settled"
    UNKNOWN_OBJECT = "unknown-object"
    UNKNOWN_TENANT = "unknown-tenant"
    UNKNOWN_TYPE = "unknown-type"
    SECOND_SUBSCRIPTION = "second-subscription"


def activate(tenant_id: str, *, customer_id: str, subscription_id: str, subscription_status: str) -> Outcome:
    """Takes a pending tenant to trialing or active and has it provisioned. Repeating it changes nothing.

    A worker killed between the two is made good by the next try, which finds the subscription in the record and asks
    for provisioning again. A tenant that already has another subscription keeps it: somebody paid twice, which the
    log says as an error for a person to refund.
    """
    state = TENANT_STATES.get(subscription_status)
    if state is None:
        return Outcome.NOT_SETTLED
    outcome = Outcome.ACTIVATED
    if not _leave_pending(tenant_id, state, customer_id, subscription_id):
        try:
            record = find_tenant(tenant_id)
        except NotFound:
            return Outcome.UNKNOWN_TENANT
        if record.subscription_id != subscription_id:
            logger.error("second subscription", extra={"tenant_id": tenant_id, "subscription_id": subscription_id})
            return Outcome.SECOND_SUBSCRIPTION
        outcome = Outcome.REPEATED
    begin_provisioning(tenant_id)
    return outcome


def _leave_pending(tenant_id: str, state: str, customer_id: str, subscription_id: str) -> bool:
    model = records()
    return model(tenant_id, "tenant").update_if(
        model.state == PENDING,
        [
            model.state.set(state),
            model.customer_id.set(customer_id),
            model.subscription_id.set(subscription_id),
            model.version.add(1),
        ],
    )
