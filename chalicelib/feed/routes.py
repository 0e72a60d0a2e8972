"""The feed as a tenant's systems set it up, poll it and look after it."""

from __future__ import annotations

from typing import Annotated

from chalice.app import Blueprint
from pydantic import Field, StringConstraints

from chalicelib.feed import catalogue, deliveries, endpoints, log
from chalicelib.feed.endpoints import Change
from chalicelib.feed.log import Position
from chalicelib.feed.views import (
    DeliveryView,
    EndpointView,
    EventsView,
    EventTypeView,
    TestView,
    delivery_view,
    endpoint_view,
    event_type_view,
    event_view,
)
from chalicelib.identity import authorize
from chalicelib.platform.clock import utc_now
from chalicelib.platform.errors import Invalid
from chalicelib.platform.http import (
    IDEMPOTENCY_KEY,
    IF_MATCH,
    PAGING,
    Call,
    Page,
    Strict,
    endpoint,
    read_cursor,
    write_cursor,
)
from chalicelib.platform.ids import is_id
from chalicelib.tenancy import open_tenant, require

blueprint = Blueprint(__name__)

Url = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
Description = Annotated[str, StringConstraints(max_length=200)]
Patterns = Annotated[list[Annotated[str, StringConstraints(min_length=1, max_length=64)]], Field(max_length=50)]


class NewEndpoint(Strict):
    """Where to send webhooks, and of which event types: `*`, a noun such as `case.*`, or names in full."""

    url: Url
    description: Description = ""
    event_types: Patterns = Field(default_factory=lambda: ["*"])


class EndpointChange(Strict):
    """What to change of an endpoint; a member that is left out or null stays as it is. Enabling an endpoint sends what
    was kept for it while it was disabled."""

    url: Url | None = None
    description: Description | None = None
    event_types: Patterns | None = None
    enabled: bool | None = None


@endpoint(
    blueprint,
    "POST",
    "/v1/webhook-endpoints",
    summary="Adds a webhook endpoint and shows its signing secret, once",
    body=NewEndpoint,
    returns=EndpointView,
    status=201,
    scope="feed:write",
    authorizer=authorize,
    headers=IDEMPOTENCY_KEY,
)
def create_webhook_endpoint(call: Call[NewEndpoint]) -> EndpointView:
    wish = call.body
    made, secret = endpoints.create_endpoint(
        open_tenant(call.tenant_id),
        wish.url,
        description=wish.description,
        event_types=wish.event_types,
        now=utc_now(),
        key=call.idempotency_key,
        at_most=require(call.tenant_id, "work").entitlements.endpoints,
    )
    return endpoint_view(made, secret)


@endpoint(
    blueprint,
    "GET",
    "/v1/webhook-endpoints",
    summary="The webhook endpoints, oldest first",
    returns=Page[EndpointView],
    scope="feed:read",
    authorizer=authorize,
)
def list_webhook_endpoints(call: Call[None]) -> Page[EndpointView]:
    found = endpoints.list_endpoints(open_tenant(call.tenant_id))
    return Page[EndpointView](items=[endpoint_view(each) for each in found])


@endpoint(
    blueprint,
    "GET",
    "/v1/webhook-endpoints/{endpoint_id}",
    summary="One webhook endpoint",
    returns=EndpointView,
    scope="feed:read",
    authorizer=authorize,
)
def get_webhook_endpoint(call: Call[None], endpoint_id: str) -> EndpointView:
    return endpoint_view(endpoints.find_endpoint(open_tenant(call.tenant_id), endpoint_id))


@endpoint(
    blueprint,
    "PATCH",
    "/v1/webhook-endpoints/{endpoint_id}",
    summary="Changes, enables or disables a webhook endpoint",
    body=EndpointChange,
    returns=EndpointView,
    scope="feed:write",
    authorizer=authorize,
    headers=IF_MATCH,
)
def change_webhook_endpoint(call: Call[EndpointChange], endpoint_id: str) -> EndpointView:
    change = Change(**call.body.model_dump())
    changed = endpoints.change_endpoint(
        open_tenant(call.tenant_id), endpoint_id, change, now=utc_now(), version=call.expected_version
    )
    return endpoint_view(changed)


@endpoint(
    blueprint,
    "DELETE",
    "/v1/webhook-endpoints/{endpoint_id}",
    summary="Removes a webhook endpoint and its secrets",
    status=204,
    scope="feed:write",
    authorizer=authorize,
)
def delete_webhook_endpoint(call: Call[None], endpoint_id: str) -> None:
    endpoints.delete_endpoint(open_tenant(call.tenant_id), endpoint_id)


@endpoint(
    blueprint,
    "POST",
    "/v1/webhook-endpoints/{endpoint_id}/rotate-secret",
    summary="Makes a new signing secret and shows it, once; the old one signs as well for a day",
    returns=EndpointView,
    scope="feed:write",
    authorizer=authorize,
)
def rotate_webhook_secret(call: Call[None], endpoint_id: str) -> EndpointView:
    return endpoint_view(*endpoints.rotate_secret(open_tenant(call.tenant_id), endpoint_id, now=utc_now()))


@endpoint(
    blueprint,
    "POST",
    "/v1/webhook-endpoints/{endpoint_id}/test",
    summary="Sends an endpoint.test event to this endpoint",
    returns=TestView,
    status=202,
    scope="feed:write",
    authorizer=authorize,
)
def test_webhook_endpoint(call: Call[None], endpoint_id: str) -> TestView:
    return TestView(event_id=endpoints.send_test(open_tenant(call.tenant_id), endpoint_id, now=utc_now()))


@endpoint(
    blueprint,
    "GET",
    "/v1/events",
    summary="The events in the order in which they are sent, for systems that poll",
    returns=EventsView,
    scope="feed:read",
    authorizer=authorize,
    query={
        "after": "the cursor of an earlier answer; without it, from the beginning",
        "limit": PAGING["limit"],
    },
)
def list_events(call: Call[None]) -> EventsView:
    found = log.read(open_tenant(call.tenant_id), _position(call.query.get("after")), limit=call.limit)
    cursor = write_cursor({"page": found.position.page, "taken": found.position.taken})
    assert cursor is not None
    return EventsView(items=[event_view(each) for each in found.events], cursor=cursor, has_more=found.more)


@endpoint(
    blueprint,
    "GET",
    "/v1/event-types",
    summary="Every event type with its schema and an example",
    returns=Page[EventTypeView],
    scope="feed:read",
    authorizer=authorize,
)
def list_event_types(call: Call[None]) -> Page[EventTypeView]:  # noqa: ARG001 - the same for every caller
    return Page[EventTypeView](items=[event_type_view(each) for each in catalogue.types()])


@endpoint(
    blueprint,
    "GET",
    "/v1/deliveries",
    summary="The deliveries to one endpoint (latest events first) or of one event",
    returns=Page[DeliveryView],
    scope="feed:read",
    authorizer=authorize,
    query={
        "endpoint_id": "an endpoint (this or event_id)",
        "event_id": "an event (this or endpoint_id)",
        **PAGING,
    },
)
def list_deliveries(call: Call[None]) -> Page[DeliveryView]:
    endpoint_id, event_id = call.query.get("endpoint_id"), call.query.get("event_id")
    if (endpoint_id is None) == (event_id is None):
        raise Invalid("either endpoint_id or event_id is needed", pointer="/endpoint_id")
    tenant = open_tenant(call.tenant_id)
    if event_id is not None:
        found = deliveries.list_for_event(tenant, _checked("evt", event_id, "/event_id"))
        return Page[DeliveryView](items=[delivery_view(each) for each in found])
    page, position = deliveries.list_for_endpoint(
        tenant, _checked("ep", str(endpoint_id), "/endpoint_id"), limit=call.limit, cursor=call.cursor
    )
    return Page[DeliveryView](items=[delivery_view(each) for each in page], cursor=write_cursor(position))


@endpoint(
    blueprint,
    "POST",
    "/v1/deliveries/{delivery_id}/retry",
    summary="Attempts a delivery once more, at once",
    returns=DeliveryView,
    status=202,
    scope="feed:write",
    authorizer=authorize,
)
def retry_delivery(call: Call[None], delivery_id: str) -> DeliveryView:
    return delivery_view(deliveries.retry(open_tenant(call.tenant_id), delivery_id, now=utc_now()))


def _position(text: str | None) -> Position:
    if text is None:
        return Position()
    cursor = read_cursor(text)
    page, taken = cursor.get("page"), cursor.get("taken")
    if type(page) is not int or type(taken) is not int or not 1 <= page < 10**12 or taken < 0:
        raise Invalid("after is not a cursor that an earlier answer gave", pointer="/after")
    return Position(page, taken)


def _checked(prefix: str, value: str, pointer: str) -> str:
    if not is_id(prefix, value):
        raise Invalid(f"an id such as {prefix}_01J9… is expected", pointer=pointer)
    return value
