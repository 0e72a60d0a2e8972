"""Events: written beside the change that they tell of, read back as the body that every receiver sees."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from chalicelib.feed import catalogue
from chalicelib.feed.model import EVENT_SK, Event
from chalicelib.platform.batches import read_each
from chalicelib.platform.commit import Put
from chalicelib.platform.ids import new_id
from chalicelib.platform.tenant import Tenant


def event_put(
    tenant: Tenant, type: str, data: Mapping[str, object], *, now: datetime, only_endpoint: str | None = None
) -> Put:
    """The write of a new event, to stand in the transaction of the change that it tells of.

    `data` follows the type's schema in the catalogue; `now` is when it happened. `only_endpoint` sends it to that
    endpoint and nowhere else. Raises KeyError for a type that the catalogue does not know, and ValueError or TypeError
    for data that JSON cannot hold: better here, where the change fails, than later, where the feed would stand still.
    """
    known = catalogue.event_type(type)
    catalogue.envelope(type, now, data)
    item = tenant.bind(Event)(
        new_id("evt", at=now),
        EVENT_SK,
        type=type,
        occurred_at=now,
        data=dict(data),
        schema_version=known.version,
        only_endpoint=only_endpoint,
    )
    return Put(item)


def find_events(tenant: Tenant, ids: Iterable[str]) -> dict[str, Event]:
    """The events of those ids that exist, by id: one request for each hundred. An id may be asked for twice."""
    return read_each(tenant.store, tenant.bind(Event), ids, EVENT_SK)


def body(event: Event) -> bytes:
    """The event as it is signed, sent and polled: the same bytes every time."""
    return catalogue.envelope(event.type, event.occurred_at, event.data)
