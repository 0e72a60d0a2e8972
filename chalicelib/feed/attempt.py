"""One attempt at a delivery: signed, posted, and what its result means for the delivery."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from chalicelib.feed import egress
from chalicelib.feed.model import (
    ABANDONED,
    ATTEMPTS_EXHAUSTED,
    DELIVERED,
    ENDPOINT_DID_NOT_ANSWER,
    ENDPOINT_GONE,
    FAILED,
    PENDING,
    REFUSED_BY_RECEIVER,
)
from chalicelib.feed.schedule import Outcome, next_attempt, outcome, put_off
from chalicelib.feed.signing import sign
from chalicelib.platform.clock import rfc3339, utc_now

ANSWERED, FORBIDDEN = "answered", "forbidden-address"
"""Kinds of attempt beside the egress's own failures; the second reached nobody."""

POST_SECONDS = 15.0
"""The longest that a post may take, from connecting to the answer."""

SLOW_SECONDS = 5.0
"""An attempt that took longer than this for nothing speaks against its endpoint."""

_HEADERS = {"content-type": "application/json", "user-agent": "Duebridge-Webhooks/1"}


@dataclass
class Receiver:
    """An endpoint as one batch posts to it. Its host is looked up once: `address` is the one that was checked."""

    url: str
    secrets: Sequence[str]
    allow_loopback: bool
    target: egress.Target | None = None
    address: egress.Address | None = None

    def checked(self) -> tuple[egress.Target, egress.Address]:
        """Where to connect. Raises ForbiddenAddress and DeliveryFailed as the egress does."""
        # Several threads may come here at once; each then checks for itself, which is as good.
        target, address = self.target, self.address
        if target is None or address is None:
            target = egress.check_url(self.url, allow_loopback=self.allow_loopback)
            address = egress.resolve(target, allow_loopback=self.allow_loopback)
            self.target, self.address = target, address
        return target, address


@dataclass(frozen=True)
class Attempt:
    """What came of an attempt: when it began, how long it took, the HTTP status if there was an answer, the kind of
    failure if not, and what it means. `retry_after` is the receiver's wish in seconds."""

    at: datetime
    seconds: float
    status: int | None
    kind: str
    outcome: Outcome
    retry_after: int | None = None

    @property
    def slow_failure(self) -> bool:
        """Whether it was for nothing and took long."""
        return self.outcome == "retry" and self.seconds > SLOW_SECONDS

    def document(self) -> dict[str, object]:
        """The attempt as it is stored and shown."""
        return {
            "at": rfc3339(self.at),
            "status": self.status,
            "kind": self.kind,
            "milliseconds": round(self.seconds * 1000),
        }


def make_attempt(
    receiver: Receiver,
    event_id: str,
    body: bytes,
    *,
    pool: egress.Pool,
    clock: Callable[[], datetime] = utc_now,
    seconds: float = POST_SECONDS,
) -> Attempt:
    """Posts an event's body to a receiver, signed for this moment; never raises for what the receiver does."""
    at, started = clock(), time.monotonic()
    try:
        target, address = receiver.checked()
        headers = _HEADERS | sign(receiver.secrets, event_id, int(at.timestamp()), body)
        answer = egress.post(target, address, headers, body, total_timeout=seconds, pool=pool)
    except egress.ForbiddenAddress:
        return Attempt(at, time.monotonic() - started, None, FORBIDDEN, "retry")
    except egress.DeliveryFailed as failure:
        return Attempt(at, time.monotonic() - started, None, failure.kind, "retry")
    meaning = outcome(answer.status, answer.headers)
    return Attempt(at, time.monotonic() - started, answer.status, ANSWERED, meaning, answer.retry_after)


@dataclass(frozen=True)
class Settlement:
    """What a delivery is after an attempt, why, and when the next one is due (None: never)."""

    status: str
    reason: str | None = None
    due: datetime | None = None


def settle(
    attempt: Attempt, made: int, *, now: datetime, jitter: float, not_before: datetime | None = None
) -> Settlement:
    """What an attempt makes of its delivery when `made` attempts, it included, have been made.

    `jitter` is drawn from [0, 1]; `not_before` holds the next attempt back while the endpoint rests.
    """
    match attempt.outcome:
        case "delivered":
            return Settlement(DELIVERED)
        case "abort":
            return Settlement(ABANDONED, REFUSED_BY_RECEIVER)
        case "disable":
            return Settlement(PENDING, ENDPOINT_GONE)
        case "retry":
            due = next_attempt(made, now=now, jitter=jitter, retry_after=attempt.retry_after)
            if due is None:
                return Settlement(FAILED, ATTEMPTS_EXHAUSTED)
            return Settlement(PENDING, due=due if not_before is None else max(due, not_before))


def settle_unmade(begun: datetime, *, now: datetime, rested: datetime) -> Settlement:
    """What becomes of a delivery, on its way since `begun`, whose attempt is not made because its endpoint rests.

    The same attempt is due later: nothing was posted, so nothing is counted. Only a delivery that has been put off for
    as long as the whole schedule takes has failed.
    """
    due = put_off(begun, now=now, rested=rested)
    return Settlement(FAILED, ENDPOINT_DID_NOT_ANSWER) if due is None else Settlement(PENDING, due=due)
