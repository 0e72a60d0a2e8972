"""Delivery: a batch of due attempts, of one or several tenants, is posted, recorded and followed up.

What was done is recorded before the next attempt is asked for. A batch that dies anywhere comes again: what is recorded
as delivered is not posted a second time, and a next attempt that was recorded but not asked for is asked for then.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import PynamoDBException

from chalicelib.feed import egress, endpoints, messages
from chalicelib.feed.attempt import POST_SECONDS, Attempt, Receiver, Settlement, make_attempt, settle, settle_unmade
from chalicelib.feed.events import body, find_events
from chalicelib.feed.lanes import run
from chalicelib.feed.messages import Message
from chalicelib.feed.model import (
    ABANDONED,
    DELIVERED,
    DELIVERY_SK,
    ENDPOINT_DELETED,
    ENDPOINT_DISABLED,
    ENDPOINT_GONE,
    PENDING,
    Delivery,
    Endpoint,
    Event,
)
from chalicelib.feed.recording import (
    Result,
    Version,
    add_attempt,
    delivery_id,
    find_deliveries,
    record,
    stands_still,
    version_of,
)
from chalicelib.platform.clock import utc_now
from chalicelib.platform.commit import MAX_ITEMS
from chalicelib.platform.errors import Erased, NotFound, Unavailable
from chalicelib.platform.settings import settings
from chalicelib.platform.telemetry import logger
from chalicelib.platform.tenant import Tenant
from chalicelib.tenancy import open_tenant

RESERVE_SECONDS = POST_SECONDS + 15
"""A post begins only while this much is left of the function's time, so that its result can still be recorded."""

REST = timedelta(seconds=60)
"""How long an endpoint is left alone after `SLOW_FAILURES` attempts in a row that took long for nothing."""

SLOW_FAILURES = 3

Lane = tuple[str, str]
"""A tenant and one of its endpoints."""

_pool = egress.Pool()


@dataclass(frozen=True)
class Job:
    """One attempt to make: what to post where, and the delivery that it belongs to, read at version `seen`."""

    message: Message
    delivery: Delivery
    seen: Version | None
    event: Event
    receiver: Receiver

    @property
    def lane(self) -> Lane:
        return self.message.tenant_id, self.message.endpoint_id


@dataclass
class Batch:
    """What a batch of messages comes to while it is worked on."""

    tenants: dict[str, Tenant] = field(default_factory=dict[str, Tenant])
    jobs: list[Job] = field(default_factory=list[Job])
    results: list[Result] = field(default_factory=list[Result])
    """What is still to be recorded."""
    closed: dict[Lane, str] = field(default_factory=dict[Lane, str])
    """Lanes that nothing more is posted to in this batch: resting, or the reason why the endpoint is disabled."""
    resting: dict[Lane, datetime] = field(default_factory=dict[Lane, datetime])
    failed: set[Message] = field(default_factory=set[Message])
    counts: Counter[str] = field(default_factory=Counter[str])


def deliver(
    due: Sequence[Message],
    *,
    remaining_seconds: Callable[[], float],
    clock: Callable[[], datetime] = utc_now,
    post_seconds: float = POST_SECONDS,
) -> set[Message]:
    """Makes the attempts that the messages ask for, and returns the messages that have to come again.

    These are the ones whose result could not be recorded or whose next attempt could not be asked for, whose tenant
    could not be reached, and those for which `remaining_seconds` (of the function) left no time. A message that comes
    before its time goes back to the queue with the rest of its delay.
    """
    batch, now = Batch(), clock()
    early = [message for message in due if message.due is not None and message.due > now]
    batch.failed.update(messages.send(early, now=now))
    for tenant_id, own in _by_tenant(set(due) - set(early)).items():
        _prepare(batch, tenant_id, own, now)
    _post(batch, remaining_seconds, clock, post_seconds)
    _record(batch, len(batch.results), clock())
    if batch.counts or batch.failed:
        logger.info("deliveries attempted", extra={"results": dict(batch.counts), "to_come_again": len(batch.failed)})
    return batch.failed


def _by_tenant(due: Iterable[Message]) -> dict[str, list[Message]]:
    groups: dict[str, list[Message]] = {}
    for message in sorted(due, key=lambda m: (m.tenant_id, m.event_id, m.endpoint_id, m.attempt)):
        groups.setdefault(message.tenant_id, []).append(message)
    return groups


def _prepare(batch: Batch, tenant_id: str, due: Sequence[Message], now: datetime) -> None:
    """Reads what a tenant's messages need (three requests) and sorts them into posts, records and nothing to do."""
    try:
        tenant = batch.tenants[tenant_id] = open_tenant(tenant_id)
        events = find_events(tenant, {message.event_id for message in due})
        known = {endpoint.sk: endpoint for endpoint in endpoints.list_endpoints(tenant)}
        ids = {message: delivery_id(tenant, message.event_id, message.endpoint_id) for message in due}
        deliveries = find_deliveries(tenant, ids.values())
        receivers = {endpoint_id: _receiver(tenant, endpoint, now) for endpoint_id, endpoint in known.items()}
    except (NotFound, Erased):
        logger.warning("deliveries dropped: no such tenant", extra=messages.ids_of(due))
        return
    except Exception as error:
        # One tenant's trouble (its key disabled, its table throttled) must not hold up the others in the batch.
        logger.error("tenant not reached", extra={**messages.ids_of(due), "error": type(error).__name__})
        batch.failed.update(due)
        return
    planned: set[str] = set()
    for message in due:
        event, endpoint = events.get(message.event_id), known.get(message.endpoint_id)
        if event is None or ids[message] in planned:
            batch.counts["no_such_event" if event is None else "repeated"] += 1
            continue
        stored = deliveries.get(ids[message])
        delivery = stored or _new_delivery(tenant, ids[message], message, event, now)
        planned.add(delivery.pk)
        receiver = receivers.get(message.endpoint_id, _NOBODY)
        job = Job(message, delivery, None if stored is None else version_of(stored), event, receiver)
        _plan(batch, job, endpoint, now)


def _plan(batch: Batch, job: Job, endpoint: Endpoint | None, now: datetime) -> None:
    """Decides what a message is worth: its delivery says what has been done since the message was sent."""
    delivery = job.delivery
    if delivery.status != PENDING or job.message.attempt < delivery.made:
        batch.counts["done_before"] += 1
    elif job.message.attempt == delivery.made and delivery.next_attempt_at is not None:
        # This very attempt is recorded. Had its follow-up been sent for certain, the message would not be back.
        batch.failed.update(_follow_up([(job.message, delivery)], now))
    elif endpoint is None:
        _stand(batch, job, ABANDONED, ENDPOINT_DELETED, now)
    elif not endpoint.enabled:
        _stand(batch, job, PENDING, endpoint.disabled_reason or ENDPOINT_DISABLED, now)
    else:
        delivery.begun_at = delivery.begun_at or now
        if endpoint.resting_until is not None and endpoint.resting_until > now:
            batch.resting[job.lane] = endpoint.resting_until
        batch.jobs.append(job)


def _post(
    batch: Batch, remaining_seconds: Callable[[], float], clock: Callable[[], datetime], post_seconds: float
) -> None:
    """Posts the jobs side by side, records as it goes, and closes the lanes of endpoints that do not answer."""
    lanes: dict[Lane, list[Job]] = {}
    for job in batch.jobs:
        lanes.setdefault(job.lane, []).append(job)
    slow: Counter[Lane] = Counter()

    def work(job: Job) -> Attempt | None:
        try:
            return make_attempt(
                job.receiver, job.event.pk, body(job.event), pool=_pool, clock=clock, seconds=post_seconds
            )
        except Exception as error:
            # The message comes again, and this is the only trace of why.
            named = {**messages.ids_of([job.message]), "delivery_id": job.delivery.pk}
            logger.error("attempt broke", extra={**named, "error": type(error).__name__})
            return None

    def may_start(lane: Lane) -> bool:
        return lane not in batch.closed and lane not in batch.resting and remaining_seconds() > RESERVE_SECONDS

    for group in run(lanes, work, may_start=may_start):
        for job, attempt in group:
            now = clock()
            if attempt is not None:
                slow[job.lane] = slow[job.lane] + 1 if attempt.slow_failure else 0
                _note_endpoint(batch, job, attempt, slow[job.lane], now)
                _attempted(batch, job, attempt, now)
            elif job.lane in batch.closed:
                _stand(batch, job, PENDING, batch.closed[job.lane], now)
            elif job.lane in batch.resting:
                _put_off(batch, job, batch.resting[job.lane], now)
            else:
                batch.failed.add(job.message)
        # Whole requests while there is more to come; all there is when nothing else is coming for a moment.
        whole = len(batch.results) // MAX_ITEMS * MAX_ITEMS
        if waiting := len(batch.results) if not group else whole:
            _record(batch, waiting, clock())


def _note_endpoint(batch: Batch, job: Job, attempt: Attempt, slow: int, now: datetime) -> None:
    """Remembers what an attempt says of its endpoint: that it is gone, or that it had better be left alone a while."""
    tenant, lane = batch.tenants[job.message.tenant_id], job.lane
    try:
        if attempt.outcome == "disable" and lane not in batch.closed:
            batch.closed[lane] = ENDPOINT_GONE
            endpoints.disable(tenant, job.message.endpoint_id, ENDPOINT_GONE, now=now)
        elif slow >= SLOW_FAILURES and lane not in batch.resting:
            batch.resting[lane] = now + REST
            endpoints.rest(tenant, job.message.endpoint_id, until=now + REST)
    except _STORE_ERRORS as error:
        # The next attempt will say the same of the endpoint again.
        named = {"tenant_id": tenant.id, "endpoint_id": job.message.endpoint_id}
        logger.error("endpoint not updated", extra={**named, "error": type(error).__name__})


def _attempted(batch: Batch, job: Job, attempt: Attempt, now: datetime) -> None:
    """Adds an attempt to its delivery, to be recorded."""
    delivery, document = job.delivery, attempt.document()
    add_attempt(delivery, document)
    chance = random.random()  # noqa: S311 - spreads retries, is no secret
    settled = settle(attempt, delivery.made, now=now, jitter=chance, not_before=batch.resting.get(job.lane))
    _settled(delivery, settled, now)
    batch.results.append(Result(job.message, delivery, job.seen, document))
    batch.counts[DELIVERED if settled.status == DELIVERED else attempt.kind] += 1


def _put_off(batch: Batch, job: Job, rested: datetime, now: datetime) -> None:
    """Leaves an attempt for later because its endpoint rests."""
    settled = settle_unmade(job.delivery.begun_at, now=now, rested=rested)
    _settled(job.delivery, settled, now)
    batch.results.append(Result(job.message, job.delivery, job.seen))
    batch.counts[settled.reason or "put_off"] += 1


def _stand(batch: Batch, job: Job, status: str, reason: str, now: datetime) -> None:
    """Records why a delivery is not attempted."""
    if (job.delivery.status, job.delivery.reason) != (status, reason):
        _settled(job.delivery, Settlement(status, reason), now)
        batch.results.append(Result(job.message, job.delivery, job.seen))
    batch.counts[reason] += 1


def _settled(delivery: Delivery, settled: Settlement, now: datetime) -> None:
    delivery.status, delivery.reason, delivery.next_attempt_at = settled.status, settled.reason, settled.due
    delivery.updated_at = now
    if settled.due is None:
        # It stands still, for good or until somebody sets it on its way again; its time is counted anew then.
        delivery.begun_at = None


def _record(batch: Batch, count: int, now: datetime) -> None:
    """Records the first results, a hundred a request, and asks for the next attempts of those deliveries."""
    results, batch.results = batch.results[:count], batch.results[count:]
    for tenant_id in dict.fromkeys(result.message.tenant_id for result in results):
        own = [result for result in results if result.message.tenant_id == tenant_id]
        for start in range(0, len(own), MAX_ITEMS):
            part = own[start : start + MAX_ITEMS]
            try:
                standing = record(batch.tenants[tenant_id], part)
                _look_again(batch.tenants[tenant_id], [delivery for _, delivery in standing], now)
            except _STORE_ERRORS as error:
                lost = [result.message for result in part]
                logger.error("deliveries not recorded", extra={**messages.ids_of(lost), "error": type(error).__name__})
                batch.failed.update(lost)
            else:
                batch.failed.update(_follow_up(standing, now))


def _look_again(tenant: Tenant, recorded: Iterable[Delivery], now: datetime) -> None:
    """Makes due what was recorded as kept although its endpoint is enabled: it may have been enabled meanwhile, and who
    enabled it did not find what was not recorded yet."""
    kept = [delivery for delivery in recorded if stands_still(delivery)]
    enabled = {endpoint.sk for endpoint in endpoints.list_endpoints(tenant) if endpoint.enabled} if kept else set[str]()
    for delivery in kept:
        if delivery.endpoint_id in enabled:
            delivery.next_attempt_at = now


def _follow_up(records: Sequence[tuple[Message, Delivery]], now: datetime) -> list[Message]:
    """Asks for the next attempts that are due; returns the messages for whose deliveries that did not succeed."""
    origins: Mapping[Message, Message] = {
        Message(m.tenant_id, m.event_id, m.endpoint_id, delivery.made + 1, delivery.next_attempt_at): m
        for m, delivery in records
        if delivery.next_attempt_at is not None
    }
    return [origins[unsent] for unsent in messages.send(list(origins), now=now)]


def _new_delivery(tenant: Tenant, pk: str, message: Message, event: Event, now: datetime) -> Delivery:
    return tenant.bind(Delivery)(
        pk,
        DELIVERY_SK,
        endpoint_id=message.endpoint_id,
        event_id=message.event_id,
        event_type=event.type,
        updated_at=now,
    )


def _receiver(tenant: Tenant, endpoint: Endpoint, now: datetime) -> Receiver:
    secrets = endpoints.signing_secrets(tenant, endpoint, now=now)
    return Receiver(endpoint.url, secrets, settings().loopback_endpoints)


_NOBODY = Receiver("", (), allow_loopback=False)
"""Stands for an endpoint that does not exist any more; nothing is ever posted to it."""

_STORE_ERRORS = (PynamoDBException, ClientError, BotoCoreError, Unavailable)
