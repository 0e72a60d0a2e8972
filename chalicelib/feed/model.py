"""How events, endpoints and deliveries are stored in a tenant's feed table."""

from __future__ import annotations

from pynamodb.attributes import BinaryAttribute, BooleanAttribute, JSONAttribute, UnicodeAttribute, UTCDateTimeAttribute
from pynamodb.indexes import AllProjection, GlobalSecondaryIndex

from chalicelib.platform.attributes import IntegerAttribute
from chalicelib.platform.store import TenantModel

EVENT_SK, DELIVERY_SK = "event", "delivery"
ENDPOINTS_PK, REGISTER_PK, REGISTER_SK = "endpoints", "endpoint-register", "register"
LOG_PK = "log"

PENDING, DELIVERED, FAILED, ABANDONED = "pending", "delivered", "failed", "abandoned"
"""What a delivery is: to be tried (again), accepted, tried as often as the schedule allows, or wanted by nobody."""

ENDPOINT_DISABLED = "endpoint_disabled"
ENDPOINT_DELETED = "endpoint_deleted"
ENDPOINT_GONE = "endpoint_gone"
REFUSED_BY_RECEIVER = "refused_by_receiver"
ATTEMPTS_EXHAUSTED = "attempts_exhausted"
ENDPOINT_DID_NOT_ANSWER = "endpoint_did_not_answer"


class Event(TenantModel):
    """Something that happened; `pk` is its id (`evt_…`), `sk` always `event`.

    Written once, in the transaction of its change. `schema_version` is that of the type's document. `only_endpoint`
    names the one endpoint that an event is meant for (a test); such an event is not part of the log that is polled.
    """

    class Meta:
        table_kind = "feed"

    type = UnicodeAttribute()
    occurred_at = UTCDateTimeAttribute()
    data = JSONAttribute()
    schema_version = IntegerAttribute()
    only_endpoint = UnicodeAttribute(null=True)


class Endpoint(TenantModel):
    """Where a tenant receives webhooks; `pk` is always `endpoints`, `sk` its id (`ep_…`).

    `sealed_secrets` holds `current` and, after a rotation, `previous`, which signs too until `previous_until`.
    `disabled_reason` says who disabled it: the tenant (`endpoint_disabled`) or its receiver with a 410
    (`endpoint_gone`). `resting_until` is set while it does not answer: nothing is posted before then. `wish_digest` is
    that of what was asked for, where it was made with an idempotency key.
    """

    class Meta:
        table_kind = "feed"

    url = UnicodeAttribute()
    description = UnicodeAttribute(default="")
    event_types = JSONAttribute()
    enabled = BooleanAttribute(default=True)
    disabled_reason = UnicodeAttribute(null=True)
    resting_until = UTCDateTimeAttribute(null=True)
    sealed_secrets = BinaryAttribute(legacy_encoding=False)
    wish_digest = UnicodeAttribute(null=True)
    previous_until = UTCDateTimeAttribute(null=True)
    created_at = UTCDateTimeAttribute()
    updated_at = UTCDateTimeAttribute()
    version = IntegerAttribute(default=1)


class EndpointRegister(TenantModel):
    """One item that every new endpoint changes too, so that two created at once cannot both be the last allowed."""

    class Meta:
        table_kind = "feed"

    version = IntegerAttribute(default=0)


class ByEndpoint(GlobalSecondaryIndex["Delivery"]):
    """The deliveries of one endpoint, in the order of their events."""

    class Meta:
        index_name = "by_endpoint"
        projection = AllProjection()

    endpoint_id = UnicodeAttribute(hash_key=True)
    event_id = UnicodeAttribute(range_key=True)


class Delivery(TenantModel):
    """One event on its way to one endpoint; `pk` is its id (`dlv_…`, derived from both), `sk` always `delivery`.

    `made` counts the attempts; `attempts` lists the latest of them, each `{"at", "status", "kind", "milliseconds"}`.
    `reason` says why it waits for no attempt or came to its end. `next_attempt_at` is null when none is due, and then
    `begun_at` is too: it says since when the delivery has been on its way without standing still.
    """

    class Meta:
        table_kind = "feed"

    by_endpoint = ByEndpoint()
    endpoint_id = UnicodeAttribute()
    event_id = UnicodeAttribute()
    event_type = UnicodeAttribute()
    status = UnicodeAttribute(default=PENDING)
    reason = UnicodeAttribute(null=True)
    made = IntegerAttribute(default=0)
    attempts = JSONAttribute(default=list)
    next_attempt_at = UTCDateTimeAttribute(null=True)
    begun_at = UTCDateTimeAttribute(null=True)
    updated_at = UTCDateTimeAttribute()


class LogPage(TenantModel):
    """Events in the order in which they are polled; `pk` is always `log`, `sk` is `page#` and the page's number.

    Pages are numbered 1, 2, 3 … without gaps, whoever writes them, so that a reader who has seen a page has seen every
    page before it for good.
    """

    class Meta:
        table_kind = "feed"

    event_ids = JSONAttribute()
