"""The registry of tenants: who they are, what state they are in, and what has been provisioned for them."""

from __future__ import annotations

from pynamodb.attributes import BinaryAttribute, BooleanAttribute, JSONAttribute, UnicodeAttribute, UTCDateTimeAttribute

from chalicelib.platform.attributes import IntegerAttribute
from chalicelib.platform.errors import NotFound
from chalicelib.platform.store import SharedModel, shared

PENDING, TRIALING, ACTIVE = "pending", "trialing", "active"


class TenantRecord(SharedModel):
    """A tenant's entry: `pk` is the tenant's id, `sk` is always `tenant`.

    `owner_email` is the institution's own administrator, never a borrower. `provisioned` maps a step's name to what it
    made (an ARN, a name) or to an empty text; a step in `intended` was begun but has not been recorded as done.
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
    ready = BooleanAttribute(default=False)
    created_at = UTCDateTimeAttribute()
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
