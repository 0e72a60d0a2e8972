"""The hour: every tenant is counted and looked at, so that no lost message leaves one in a state that is wrong.

The schedule sends a message for each tenant, so that each is looked at by itself and tried again by itself.
"""

from __future__ import annotations

from datetime import datetime

from chalicelib.billing.arrears import bill_drafts
from chalicelib.billing.checkout import close_page
from chalicelib.billing.clock import billing_now
from chalicelib.billing.ending import cancel
from chalicelib.billing.follow import ENDED, Outcome, follow
from chalicelib.billing.lapsed import forget_if_over
from chalicelib.billing.process import follow_checkout
from chalicelib.billing.reconcile import reconcile
from chalicelib.billing.usage import count_hour, report_hours
from chalicelib.platform.aws import send
from chalicelib.platform.clock import utc_now
from chalicelib.platform.errors import NotFound
from chalicelib.platform.telemetry import logger
from chalicelib.tenancy import State, TenantRecord, find_tenant, is_due_for_erasure, open_tenant, records, step_by_time

_GROUP = "hourly"
"""The message group of the whole wave: to a fair queue it is one of many, so that Stripe's events overtake it."""

_AT_ONCE, _SECONDS_APART, _MAX_DELAY = 10, 2, 900
"""Tenants are looked at ten every two seconds, because Stripe accepts only so many calls a second from all of us; SQS
delays a message by a quarter of an hour at most."""


def ask_all() -> int:
    """Sends a message for every tenant that has something to be looked at; returns how many. Costs a scan of the
    registry."""
    model = records()
    pays = (model.state != State.PENDING) | model.checkout_session_id.exists() | (model.pending_until <= utc_now())
    looked_at = (model.sk == "tenant") & (model.state != State.ERASED) & pays
    asked = [
        {"tenant_id": record.pk, "action": "hour"} for record in model.scan(looked_at, attributes_to_get=["pk", "sk"])
    ]
    for number, start in enumerate(range(0, len(asked), _AT_ONCE)):
        delay = min(number * _SECONDS_APART, _MAX_DELAY)
        send("billing", _GROUP, asked[start : start + _AT_ONCE], delay_seconds=delay)
    logger.info("hour begun", extra={"tenants": len(asked)})
    return len(asked)


def hour_of(tenant_id: str) -> None:
    """Looks at one tenant: counts its usage, brings its state in line with Stripe and with time, and has what is due
    done. Repeating it is harmless.

    Time alone moves nobody before Stripe was asked: while Stripe is down every tenant stays where it is. Raises
    stripe.StripeError and AWS's errors; the message then comes back.
    """
    try:
        record = find_tenant(tenant_id)
    except NotFound:
        return  # a sign-up that was forgotten meanwhile
    match State(record.state):
        case State.ERASED:
            return
        case State.PENDING:
            look_at_checkout(record)
            forget_if_over(tenant_id, now=utc_now())
        case State.CLOSING:
            _look_at_closing(record)
        case _:
            _look_at_subscriber(record)


def look_at_checkout(record: TenantRecord) -> None:
    """Follows the tenant's last checkout, in case nobody told us that it was completed."""
    if record.checkout_session_id is not None:
        follow_checkout(record.checkout_session_id)


def _look_at_subscriber(record: TenantRecord) -> None:
    if record.terms is None and record.subscription_id is not None:
        # From before terms were kept: it is counted by them.
        follow(record.subscription_id)
        record = find_tenant(record.pk)
    now = billing_now(record)
    failure = _count(record, now)
    if _is_answered_for(record) and step_by_time(record.pk, now=now) == State.CLOSING:
        cancel(record.pk)
    _have_exports_expired(record)
    if failure is not None:
        raise failure
    reconcile(record, now=now)


def _is_answered_for(record: TenantRecord) -> bool:
    """Follows the tenant's subscription; whether Stripe said how it stands, or the tenant has none. Where Stripe knows
    it no more, as with the key of another account, nobody loses anything by time alone."""
    if record.subscription_id is None:
        return True
    if record.subscription_status == "unpaid":
        bill_drafts(record.subscription_id)
    outcome = follow(record.subscription_id)
    if outcome in (Outcome.SETTLED, Outcome.UNCHANGED):
        return True
    logger.error("subscription cannot be followed", extra={"tenant_id": record.pk, "outcome": outcome.value})
    return False


def _count(record: TenantRecord, now: datetime) -> Exception | None:
    """Counts the hour, and returns what prevented it: a tenant's state must be right even where its usage cannot be
    read, or Stripe does not take it."""
    if not record.ready:
        return None
    try:
        count_hour(open_tenant(record.pk), record, now=now)
    except Exception as error:
        return error
    return None


def _look_at_closing(record: TenantRecord) -> None:
    if record.erasure:
        # It goes on by itself, and here if a message of its was lost.
        send("leaving", record.pk, [{"tenant_id": record.pk, "action": "erase"}])
        return
    look_at_checkout(record)
    if record.subscription_status not in ENDED:
        cancel(record.pk)
    record = find_tenant(record.pk)
    if record.state != State.CLOSING:
        return  # it came back, and nobody had told us
    now = billing_now(record)
    if is_due_for_erasure(record, now):
        close_page(record)  # nobody is to pay for what is about to be gone
        send("leaving", record.pk, [{"tenant_id": record.pk, "action": "erase"}])
        return
    _have_exports_expired(record)
    report_hours(record, now=now)
    reconcile(record, now=now)


def _have_exports_expired(record: TenantRecord) -> None:
    send("leaving", record.pk, [{"tenant_id": record.pk, "action": "expire_exports"}])
