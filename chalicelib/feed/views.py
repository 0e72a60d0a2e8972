"""What the API shows of the feed."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, cast

from chalicelib.feed.catalogue import EventType
from chalicelib.feed.log import Logged
from chalicelib.feed.model import Delivery, Endpoint
from chalicelib.platform.http import View


class EndpointView(View):
    """An endpoint. `secret` is shown when it was made, and again only when that call is repeated with its idempotency
    key; `resting_until` is set while it does not answer; `previous_secret_until` while the secret before the last
    rotation still signs."""

    id: str
    url: str
    description: str
    event_types: list[str]
    enabled: bool
    disabled_reason: str | None
    resting_until: datetime | None
    previous_secret_until: datetime | None
    created_at: datetime
    updated_at: datetime
    version: int
    secret: str | None = None


class TestView(View):
    """The event that a test sends."""

    event_id: str


class EventView(View):
    """An event as webhooks carry it, with its id (`webhook-id` there)."""

    id: str
    type: str
    timestamp: str
    data: dict[str, Any]


class EventsView(View):
    """The next events of the log. `cursor` always says where to go on; with `has_more` there are some already."""

    items: list[EventView]
    cursor: str
    has_more: bool


class EventTypeView(View):
    """One kind of event, the JSON Schema of its data, and an example of such data."""

    name: str
    version: int
    summary: str
    data_schema: dict[str, Any]
    example: dict[str, Any]


class AttemptView(View):
    """One attempt: when, the HTTP status if there was an answer, the kind of outcome, and how long it took."""

    at: datetime
    status: int | None
    kind: str
    milliseconds: int


class DeliveryView(View):
    """An event on its way to an endpoint; `attempts_made` counts all attempts, `attempts` lists the latest."""

    id: str
    endpoint_id: str
    event_id: str
    event_type: str
    status: str
    reason: str | None
    attempts_made: int
    attempts: list[AttemptView]
    next_attempt_at: datetime | None
    updated_at: datetime


def endpoint_view(each: Endpoint, secret: str | None = None) -> EndpointView:
    """An endpoint as shown, with its secret only where it was just made."""
    return EndpointView(
        id=each.sk,
        url=each.url,
        description=each.description,
        event_types=each.event_types,
        enabled=each.enabled,
        disabled_reason=each.disabled_reason,
        resting_until=each.resting_until,
        previous_secret_until=each.previous_until,
        created_at=each.created_at,
        updated_at=each.updated_at,
        version=each.version,
        secret=secret,
    )


def event_view(each: Logged) -> EventView:
    """An event of the log as shown: what a webhook's body says, and the id."""
    return EventView(id=each.event_id, **json.loads(each.body))


def delivery_view(each: Delivery) -> DeliveryView:
    """A delivery as shown."""
    return DeliveryView(
        id=each.pk,
        endpoint_id=each.endpoint_id,
        event_id=each.event_id,
        event_type=each.event_type,
        status=each.status,
        reason=each.reason,
        attempts_made=each.made,
        attempts=[AttemptView.model_validate(attempt) for attempt in cast("list[object]", each.attempts)],
        next_attempt_at=each.next_attempt_at,
        updated_at=each.updated_at,
    )


def event_type_view(each: EventType) -> EventTypeView:
    """A type of the catalogue as shown."""
    return EventTypeView(
        name=each.name,
        version=each.version,
        summary=each.summary,
        data_schema=dict(each.schema),
        example=dict(each.example),
    )
