"""What billing stores: that an event of Stripe's came, and what became of it. Never the event's content."""

from __future__ import annotations

from pynamodb.attributes import BooleanAttribute, UnicodeAttribute, UTCDateTimeAttribute

from chalicelib.platform.store import SharedModel, shared

EVENT = "event"


class BillingEvent(SharedModel):
    """An event: `pk` is Stripe's id of it, `sk` is always `event`.

    `object_id` names what the event is about (its customer, for a kind that has no id; null where there is neither);
    the object itself is fetched when the event is processed. `outcome` says in a word what processing did.
    """

    class Meta:
        table_kind = "billing-events"

    type = UnicodeAttribute()
    created = UTCDateTimeAttribute()
    object_id = UnicodeAttribute(null=True)
    received_at = UTCDateTimeAttribute()
    processed = BooleanAttribute(default=False)
    outcome = UnicodeAttribute(null=True)


def billing_events() -> type[BillingEvent]:
    """The model, bound to the shared table."""
    return shared().bind(BillingEvent)
