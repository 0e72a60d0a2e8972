"""Dispatch: an event that has committed goes on its way to each endpoint that wants it, and into the log for pollers.

Doing it twice does no harm: a delivery's id follows from event and endpoint, and the log leaves out what it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chalicelib.feed import log, messages
from chalicelib.feed.endpoints import list_endpoints, wants
from chalicelib.feed.events import find_events
from chalicelib.feed.messages import Message
from chalicelib.feed.model import EVENT_SK, Endpoint, Event
from chalicelib.platform.ids import is_id
from chalicelib.platform.settings import settings
from chalicelib.platform.telemetry import logger
from chalicelib.platform.tenant import Tenant


@dataclass(frozen=True)
class Fresh:
    """An event that a stream told of, and the record's sequence number, by which a batch resumes."""

    event_id: str
    sequence_number: str


def fresh_events(records: Iterable[Mapping[str, Any]]) -> list[Fresh]:
    """The records of a stream that tell of a new event, in order; all others (deliveries, pages, changes) mean nothing.

    The mapping filters already; what is decided here does not depend on it.
    """
    found: list[Fresh] = []
    for record in records:
        keys = record["dynamodb"]["Keys"]
        event_id = keys["pk"]["S"]
        if record["eventName"] == "INSERT" and is_id("evt", event_id) and keys["sk"]["S"] == EVENT_SK:
            found.append(Fresh(event_id, record["dynamodb"]["SequenceNumber"]))
    return found


def tenant_of(stream_arn: str) -> str:
    """The tenant whose feed a stream's ARN names.

    Raises ValueError for any other stream: nothing but a tenant's own feed may be dispatched with its credentials.
    """
    table = stream_arn.partition(":table/")[2].partition("/stream/")[0]
    before, _, after = settings().tenant_table("\0", "feed").partition("\0")
    tenant_id = table.removeprefix(before).removesuffix(after)
    if not is_id("ten", tenant_id) or settings().tenant_table(tenant_id, "feed") != table:
        raise ValueError(f"{stream_arn!r} is not the stream of a tenant's feed")
    return tenant_id


def dispatch(tenant: Tenant, fresh: Sequence[Fresh], *, now: datetime) -> str | None:
    """Sends and logs the events; returns the sequence number from which to go on later, or None when all is done.

    The endpoints are read after the events have committed, with a consistent query and from no cache, so that an
    endpoint misses nothing that commits after its creation was answered. Raises the store's error when the events or
    endpoints cannot be read or the log cannot be written: then the whole batch comes again.
    """
    events = find_events(tenant, {each.event_id for each in fresh})
    endpoints = list_endpoints(tenant)
    wanted = [m for each in fresh if (event := events.get(each.event_id)) for m in _messages(tenant, event, endpoints)]
    unsent = {message.event_id for message in messages.send(wanted, now=now)}
    # What comes after the first unsent event is left too: the stream resumes there, and the log keeps its order.
    done = next((i for i, each in enumerate(fresh) if each.event_id in unsent), len(fresh))
    sent = [each.event_id for each in fresh[:done]]
    for event_id in sent:
        if event_id not in events:
            logger.warning("event not found", extra={"tenant_id": tenant.id, "event_id": event_id})
    if public := [i for i in sent if i in events and events[i].only_endpoint is None]:
        log.append(tenant, public)
    logger.info("events dispatched", extra={"tenant_id": tenant.id, "events": done, "messages": len(wanted)})
    return None if done == len(fresh) else fresh[done].sequence_number


def _messages(tenant: Tenant, event: Event, endpoints: Sequence[Endpoint]) -> list[Message]:
    """One message for each endpoint that wants the event; a disabled one too, whose delivery is kept for later."""
    return [
        Message(tenant.id, event.pk, endpoint.sk)
        for endpoint in endpoints
        if wants(endpoint, event.type, event.only_endpoint)
    ]
