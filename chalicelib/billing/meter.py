"""The meter at Stripe that bills what is used beyond a plan: one event for a tenant and hour, and their sums."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

from chalicelib.billing.plans import METER_EVENT
from chalicelib.billing.stripe_client import stripe_client
from chalicelib.platform.telemetry import logger

REPORTABLE = timedelta(days=34)
"""How old an event may be. Stripe takes them for 35 days; the last one is left for clocks and time zones."""

REMEMBERED = timedelta(hours=20)
"""How long an event's identifier certainly protects it from being counted twice: Stripe promises 24 hours, counted
from when it took the event."""

_MAX_PAGE = 100


class MeterMissing(Exception):
    """Stripe has no active meter of ours: `infra.stripe_sync` has not been run against this account."""


def send_event(customer_id: str, identifier: str, value: int, *, at: datetime, now: datetime) -> None:
    """Has Stripe count `value` for a customer at a moment, once, however often it is called with one identifier.

    There must be one event for a customer and hour at most: by that an old one is recognised whose identifier Stripe
    may have forgotten. Raises stripe.StripeError, after which it is not known whether the event was taken.
    """
    import stripe  # cold start: only `bill` sends usage

    hour = at.replace(minute=0, second=0, microsecond=0)
    if now - at > REMEMBERED and sums(customer_id, hour, hour + timedelta(hours=1), by="hour").get(hour):
        logger.info("usage was reported before", extra={"identifier": identifier})
        return
    try:
        stripe_client().v1.billing.meter_events.create(
            {
                "event_name": METER_EVENT,
                "identifier": identifier,
                "payload": {"stripe_customer_id": customer_id, "value": str(value)},
                "timestamp": int(at.timestamp()),
            }
        )
    except stripe.InvalidRequestError as error:
        # The identifier is known: it was taken before, and who sent it did not live to hear of it. Stripe gives this
        # refusal no code of its own.
        if "already exists with identifier" not in str(error):
            raise
        logger.info("usage was reported before", extra={"identifier": identifier})


def sums(customer_id: str, since: datetime, until: datetime, *, by: Literal["hour", "day"]) -> dict[datetime, int]:
    """What Stripe has counted for a customer by hour or UTC day, from `since` up to `until`, both on such a boundary.

    Stripe counts some time after it takes an event. Raises MeterMissing and stripe.StripeError.
    """
    meters = stripe_client().v1.billing.meters
    meter = next(
        (
            each
            for each in meters.list({"status": "active", "limit": _MAX_PAGE}).auto_paging_iter()
            if each.event_name == METER_EVENT
        ),
        None,
    )
    if meter is None:
        raise MeterMissing(f"Stripe has no active meter {METER_EVENT}; run infra.stripe_sync")
    summaries = meters.event_summaries.list(
        meter.id,
        {
            "customer": customer_id,
            "start_time": int(since.timestamp()),
            "end_time": int(until.timestamp()),
            "value_grouping_window": by,
            "limit": _MAX_PAGE,
        },
    )
    found: dict[datetime, int] = {}
    for each in summaries.auto_paging_iter():
        start = datetime.fromtimestamp(each.start_time, UTC)
        found[start] = round(each.aggregated_value)
    return found
