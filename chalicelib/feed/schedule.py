"""When a delivery is tried again, and what a receiver's answer means for the message and its endpoint.

Functions of their inputs only: no clock, no randomness, so that a schedule can be replayed and explained.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Literal

DELAYS = (
    timedelta(0),
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=10),
)
"""The wait before each attempt, counted from the one before it: eight attempts in about 28 hours."""

JITTER = 0.2
"""The share of a wait that chance may add, so that messages which failed together do not return together."""

LIFETIME = sum(DELAYS, timedelta(0)) * (1 + JITTER)
"""The schedule's total time at its longest. An attempt is not put off any more once a delivery is that old."""

RETRY_AFTER_CAP = timedelta(hours=24)
"""The longest wait that a receiver's Retry-After can ask for."""

PUT_OFF_SHARE, PUT_OFF_CAP = 0.25, timedelta(minutes=30)
"""What waits for a resting endpoint waits at least for that share of its age, up to the cap, so that all that piles up
while an endpoint is down does not come by every minute."""

SQS_LONGEST_DELAY = timedelta(seconds=900)
"""The longest a queue can hold a message back; what is due later is sent again and again until its time."""

Outcome = Literal["delivered", "retry", "abort", "disable"]


def next_attempt(attempt: int, *, now: datetime, jitter: float, retry_after: int | None) -> datetime | None:
    """When to try next after `attempt` attempts have been made (0: none yet), or None when all have been.

    `jitter` is a number drawn from [0, 1]; 1 adds `JITTER` of the wait. `retry_after` is what the receiver asked for,
    in seconds: it can lengthen a wait up to `RETRY_AFTER_CAP`, never shorten one, and adds no attempt after the last.
    Raises ValueError for a negative attempt or a jitter outside [0, 1].
    """
    if attempt < 0:
        raise ValueError("attempt counts from 0")
    if not 0 <= jitter <= 1:
        raise ValueError("jitter lies between 0 and 1")
    if attempt >= len(DELAYS):
        return None
    wait = DELAYS[attempt] * (1 + JITTER * jitter)
    if retry_after is not None:
        # Compared as seconds: a receiver may send a number that no timedelta can hold.
        wait = max(wait, timedelta(seconds=min(max(retry_after, 0), RETRY_AFTER_CAP.total_seconds())))
    return now + wait


def put_off(begun: datetime, *, now: datetime, rested: datetime) -> datetime | None:
    """When an attempt is due again that was not made because its endpoint rests until `rested`, or None when its
    delivery, which has been on its way since `begun`, has grown as old as `LIFETIME`."""
    age = max(now - begun, timedelta(0))
    if age >= LIFETIME:
        return None
    return max(rested, now + min(age * PUT_OFF_SHARE, PUT_OFF_CAP))


def sqs_delay(now: datetime, due: datetime) -> int:
    """The DelaySeconds of a message due at `due`: whole seconds, never early, from 0 to 900."""
    return math.ceil(min(max(due - now, timedelta(0)), SQS_LONGEST_DELAY).total_seconds())


def outcome(status: int, headers: Mapping[str, str]) -> Outcome:
    """What an answer means: `delivered` for 2xx, `disable` (the endpoint wants nothing more) for 410, `abort` (this
    message is not wanted) when the header `webhook-delivery` says `abort-message`, and `retry` for all else: redirects
    are not followed, so they count as failures. Header names may be written in any case."""
    if 200 <= status < 300:
        return "delivered"
    if status == 410:
        return "disable"
    wish = next((value for name, value in headers.items() if name.lower() == "webhook-delivery"), "")
    return "abort" if wish.strip().lower() == "abort-message" else "retry"


def retry_after_seconds(value: str | None, *, now: datetime) -> int | None:
    """A Retry-After header (seconds, or an HTTP date) as whole seconds from `now`, at least 0 and at most a day.

    None when there is no header or it cannot be read: a receiver's slip never stops the schedule.
    """
    if value is None:
        return None
    text = value.strip()
    cap = int(RETRY_AFTER_CAP.total_seconds())
    if text.isascii() and text.isdigit():
        return cap if len(text) > 6 else min(int(text), cap)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(math.ceil((moment - now).total_seconds()), 0), cap)
