"""The registry of tenants: who they are, what state they are in, and what has been provisioned for them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from pynamodb.attributes import BinaryAttribute, BooleanAttribute, JSONAttribute, UnicodeAttribute, UTCDateTimeAttribute

from chalicelib.platform.attributes import IntegerAttribute, StringsAttribute
from chalicelib.platform.errors import NotFound
from chalicelib.platform.store import SharedModel, shared
from chalicelib.tenancy.states import State
from chalicelib.tenancy.terms import Terms

_HOUR_COMES_FIRST = timedelta(days=7)

PENDING, TRIALING, ACTIVE = State.PENDING, State.TRIALING, State.ACTIVE


class TenantRecord(SharedModel):
    """A tenant's entry: `pk` is the tenant's id, `sk` is always `tenant`.

    `owner_email` is the institution's own administrator, never a borrower. `provisioned` maps a step's name to what it
    made (an ARN, a name) or to an empty text; a step in `intended` was begun but has not been recorded as done.
    `erasure` does the same for the steps of erasing it. Until `provisioning_until` one worker has the steps for itself.

    What Stripe says of the subscription is kept as it was last fetched: `subscription_status` in Stripe's word,
    `seats` as bought in total, `features` by Stripe's lookup keys, `terms` as they were agreed to. Moments that decide
    about money and states are in billing time (`billing.clock`). `announcements` are moves that people and receivers
    are still to be told of; `moves` counts them all. At `pending_until` the time of a sign-up that nobody paid is over;
    from `forget_after` (epoch seconds) on DynamoDB deletes it whatever happened.
    """

    class Meta:
        table_kind = "tenants"

    name = UnicodeAttribute()
    jurisdiction = UnicodeAttribute()
    region = UnicodeAttribute()
    locale = UnicodeAttribute()
    currency = UnicodeAttribute()
    owner_email = UnicodeAttribute()
    plan = UnicodeAttribute()
    state = UnicodeAttribute(default=PENDING)
    customer_id = UnicodeAttribute(null=True)
    subscription_id = UnicodeAttribute(null=True)
    checkout_session_id = UnicodeAttribute(null=True)
    claim_hash = UnicodeAttribute(null=True)
    key_arn = UnicodeAttribute(null=True)
    wrapped_data_key = BinaryAttribute(legacy_encoding=False, null=True)
    wrapped_index_key = BinaryAttribute(legacy_encoding=False, null=True)
    provisioned = JSONAttribute(default=dict)
    intended = UnicodeAttribute(null=True)
    provisioning_until = UTCDateTimeAttribute(null=True)
    ready = BooleanAttribute(default=False)
    created_at = UTCDateTimeAttribute()
    pending_until = UTCDateTimeAttribute(null=True)
    forget_after = IntegerAttribute(null=True)
    verification = JSONAttribute(null=True)
    email_verified_at = UTCDateTimeAttribute(null=True)
    state_since = UTCDateTimeAttribute(null=True)
    owing_since = UTCDateTimeAttribute(null=True)
    test_clock_id = UnicodeAttribute(null=True)
    interval = UnicodeAttribute(null=True)
    seats = IntegerAttribute(null=True)
    subscription_status = UnicodeAttribute(null=True)
    period_end = UTCDateTimeAttribute(null=True)
    cancel_at = UTCDateTimeAttribute(null=True)
    features = StringsAttribute(default=list)
    terms = JSONAttribute(null=True)
    announcements = JSONAttribute(default=list)
    moves = IntegerAttribute(default=0)
    legal_hold = JSONAttribute(null=True)
    closing_at = UTCDateTimeAttribute(null=True)
    erase_after = UTCDateTimeAttribute(null=True)
    certificate_hash = UnicodeAttribute(null=True)
    customer_deleted_at = UTCDateTimeAttribute(null=True)
    erasure = JSONAttribute(default=dict)
    erased_at = UTCDateTimeAttribute(null=True)
    version = IntegerAttribute(default=1)


def records() -> type[TenantRecord]:
    """The registry's model, bound to the shared table."""
    return shared().bind(TenantRecord)


def find_tenant(tenant_id: str) -> TenantRecord:
    """The tenant's record as it is now. Raises NotFound."""
    record = records().find(tenant_id, "tenant")
    if record is None:
        raise NotFound("no such tenant")
    return record


def pending_members(until: datetime) -> dict[str, Any]:
    """The members that end a sign-up's time at a moment. The hour forgets it then, at Stripe too; DynamoDB, which knows
    nothing of Stripe, comes a week later at the earliest, so that the hour is always first."""
    return {"pending_until": until, "forget_after": int((until + _HOUR_COMES_FIRST).timestamp())}


def terms_of(record: TenantRecord) -> Terms:
    """What the tenant subscribed to. Only a tenant that has a subscription has terms."""
    assert record.terms is not None, f"{record.pk} has no terms in state {record.state}"
    return Terms.model_validate(record.terms)
