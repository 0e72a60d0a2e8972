"""Sign-ups that nobody paid: when their time is over they are forgotten, at Stripe first and here last.

Nobody may come back to a sign-up in the middle of this. Its page is closed first, so that nothing can be paid any more;
then the claim's hash goes, on the condition that nobody changed the record since it was looked at; and whoever opens a
page renews the record, under that hash, before Stripe hears of it. A worker killed anywhere leaves what the next hour
finishes.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from pynamodb.expressions.condition import Condition

from chalicelib.billing.checkout import close_unless_paid
from chalicelib.billing.customers import forget_applicant
from chalicelib.platform.telemetry import logger
from chalicelib.tenancy import State, TenantRecord, find_tenant, pending_members, records

_PAYMENT_WAITS = timedelta(days=1)
"""How long a sign-up is kept on for a payment that is on its way, before it is looked at again."""


def forget_if_over(tenant_id: str, *, now: datetime) -> None:
    """Forgets a pending tenant whose time is over (`now` is real time): its open page, its customer at Stripe, its
    record. One that a payment is on its way for is kept. Repeating it is harmless.

    Raises Conflict when the page is paid at this very moment, NotFound, and stripe.StripeError.
    """
    record = find_tenant(tenant_id)
    if record.state != State.PENDING or record.pending_until is None or now < record.pending_until:
        return
    if not close_unless_paid(record):
        _keep(record, until=now + _PAYMENT_WAITS)
        return
    model = records()
    if not record.update_if(_is_as_it_was(record), [model.claim_hash.remove(), model.version.add(1)]):
        return  # somebody has gone on with it meanwhile
    forget_applicant(record)
    if record.delete_if(_is_as_it_was(record)):
        logger.info("sign-up forgotten", extra={"tenant_id": tenant_id})


def _keep(record: TenantRecord, *, until: datetime) -> None:
    model = records()
    later = [getattr(model, name).set(value) for name, value in pending_members(until).items()]
    record.update_if(_is_as_it_was(record), [*later, model.version.add(1)])


def _is_as_it_was(record: TenantRecord) -> Condition:
    model = records()
    return (model.state == State.PENDING) & (model.version == record.version)
