"""Recording what came of deliveries, never over what somebody else has recorded since they were read.

SQS hands one message to two functions now and then, and both may make the same attempt. Of their two results the more
final one stands, whichever comes to be written first: a delivery that was accepted is never pending again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from pynamodb.expressions.condition import Condition

from chalicelib.feed.messages import Message
from chalicelib.feed.model import ABANDONED, DELIVERED, DELIVERY_SK, FAILED, PENDING, Delivery
from chalicelib.platform.batches import read_each
from chalicelib.platform.commit import Group, Put, commit
from chalicelib.platform.errors import Unavailable
from chalicelib.platform.tenant import Tenant

KEPT_ATTEMPTS = 20

_FINALITY = {PENDING: 0, FAILED: 0, ABANDONED: 1, DELIVERED: 2}
"""Of two results the higher one stands; of two equal ones the one that was recorded first."""

_TRIES = 5

Version = tuple[int, str]
"""What a delivery was when it was read: how many attempts had been made, and its status."""


@dataclass(frozen=True)
class Result:
    """A delivery as it is to be stored, and the message that brought it about.

    `seen` is the version that it was read at (None: there was none), `attempt` the document of the attempt that is new
    in it (None: none was made).
    """

    message: Message
    delivery: Delivery
    seen: Version | None
    attempt: Mapping[str, object] | None = None


def delivery_id(tenant: Tenant, event_id: str, endpoint_id: str) -> str:
    """The id of the delivery of an event to an endpoint: the same however often it is dispatched."""
    return tenant.vault.derived_id("dlv", event_id, endpoint_id)


def find_deliveries(tenant: Tenant, ids: Iterable[str]) -> dict[str, Delivery]:
    """The deliveries of those ids that exist, by id: one request for each hundred."""
    return read_each(tenant.store, tenant.bind(Delivery), ids, DELIVERY_SK)


def version_of(delivery: Delivery) -> Version:
    """The version of a delivery as it was read."""
    return delivery.made, delivery.status


def stands_still(delivery: Delivery) -> bool:
    """Whether a delivery is kept: not at its end, and no attempt of it is due, because its endpoint is disabled."""
    return delivery.status == PENDING and delivery.next_attempt_at is None


def add_attempt(delivery: Delivery, attempt: Mapping[str, object]) -> None:
    """Counts an attempt and keeps its document among the latest."""
    delivery.made += 1
    delivery.attempts = [*cast("list[object]", delivery.attempts), attempt][-KEPT_ATTEMPTS:]


def record(tenant: Tenant, results: Sequence[Result]) -> list[tuple[Message, Delivery]]:
    """Stores the deliveries, a hundred a request, and returns each message with its delivery as it stands now.

    That is another one than was asked for where somebody else had recorded something more final; it may wait for a next
    attempt all the same, which whoever recorded it need not have asked for yet. No two results may have one delivery.
    Raises the store's error, or Unavailable when others are faster every time; recording the same results again is
    harmless.
    """
    waiting = {result.delivery.pk: result for result in results}
    standing: list[tuple[Message, Delivery]] = []
    for _ in range(_TRIES):
        groups = [Group(pk, [Put(each.delivery, _still(each))]) for pk, each in waiting.items()]
        refused = {group.key for group in commit(tenant.store, groups)}
        standing += [(each.message, each.delivery) for pk, each in waiting.items() if pk not in refused]
        if not refused:
            return standing
        stored = find_deliveries(tenant, refused)
        upon = [_upon(waiting[pk], stored.get(pk)) for pk in sorted(refused)]
        standing += [(waiting[d.pk].message, d) for d in upon if isinstance(d, Delivery)]
        waiting = {each.delivery.pk: each for each in upon if isinstance(each, Result)}
        if not waiting:
            return standing
    raise Unavailable("deliveries are recorded by others at every try")


def _still(result: Result) -> Condition:
    """That a delivery is stored as it was read."""
    if result.seen is None:
        return Delivery.pk.does_not_exist()
    made, status = result.seen
    return (Delivery.made == made) & (Delivery.status == status)


def _upon(result: Result, stored: Delivery | None) -> Result | Delivery:
    """The result upon what is stored by now, or what is stored where that is as final."""
    if stored is None:
        return replace(result, seen=None)
    ours = result.delivery
    if _FINALITY[ours.status] <= _FINALITY[stored.status]:
        return stored
    seen = version_of(stored)
    ours.made, ours.attempts = stored.made, stored.attempts
    if result.attempt is not None:
        add_attempt(ours, result.attempt)
    return replace(result, seen=seen)
