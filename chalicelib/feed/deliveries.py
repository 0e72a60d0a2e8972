"""Deliveries as a tenant looks at them: which events reached which endpoint, and once more for one that did not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pynamodb.expressions.update import Action

from chalicelib.feed import endpoints, messages
from chalicelib.feed.deliver import delivery_id, find_deliveries
from chalicelib.feed.messages import Message
from chalicelib.feed.model import DELIVERED, DELIVERY_SK, PENDING, Delivery
from chalicelib.platform.errors import Conflict, Invalid, NotFound, Unavailable
from chalicelib.platform.ids import is_id
from chalicelib.platform.tenant import Tenant


def list_for_endpoint(
    tenant: Tenant, endpoint_id: str, *, limit: int, after: Mapping[str, Any] | None = None
) -> tuple[Sequence[Delivery], Mapping[str, Any] | None]:
    """The deliveries to an endpoint, those of the latest events first, and the position of the next page.

    An index is read, which lags a moment behind. Raises Invalid for a position that is none of this list.
    """
    found = tenant.bind(Delivery).by_endpoint.query(
        endpoint_id,
        scan_index_forward=False,
        limit=limit,
        last_evaluated_key=None if after is None else _key(endpoint_id, after),
    )
    page = list(found)
    if not page or found.last_evaluated_key is None:
        return page, None
    return page, {"delivery_id": page[-1].pk, "event_id": page[-1].event_id}


def list_for_event(tenant: Tenant, event_id: str) -> Sequence[Delivery]:
    """The deliveries of an event to the endpoints that exist now, in the order of the endpoints."""
    ids = [delivery_id(tenant, event_id, endpoint.sk) for endpoint in endpoints.list_endpoints(tenant)]
    found = find_deliveries(tenant, ids)
    return [found[i] for i in ids if i in found]


def retry(tenant: Tenant, delivery_id: str, *, now: datetime) -> Delivery:
    """Asks for one more attempt at once, whatever the schedule says, and ends a rest of the endpoint.

    Raises NotFound, Conflict for a delivery that was made or whose endpoint is deleted or disabled, and Unavailable
    when the queue does not take it.
    """
    delivery = tenant.bind(Delivery).find(delivery_id, DELIVERY_SK)
    if delivery is None:
        raise NotFound("no such delivery")
    if delivery.status == DELIVERED:
        raise Conflict("the event was delivered already")
    try:
        endpoint = endpoints.find_endpoint(tenant, delivery.endpoint_id)
    except NotFound:
        raise Conflict("the endpoint of this delivery was deleted") from None
    if not endpoint.enabled:
        raise Conflict("the endpoint is disabled; enable it first", reason=endpoint.disabled_reason)
    if endpoint.resting_until is not None:
        endpoints.wake(tenant, endpoint.sk)
    _reopen(delivery, now)
    message = Message(tenant.id, delivery.event_id, delivery.endpoint_id, delivery.made + 1)
    if messages.send([message], now=now):
        raise Unavailable("the queue of deliveries did not take it; try again")
    return delivery


def _reopen(delivery: Delivery, now: datetime) -> None:
    """Makes the delivery pending again if nobody attempted it meanwhile."""
    actions: list[Action] = [
        Delivery.status.set(PENDING),
        Delivery.reason.remove(),
        Delivery.next_attempt_at.set(now),
        Delivery.updated_at.set(now),
    ]
    unchanged = (Delivery.status == delivery.status) & (Delivery.made == delivery.made)
    if not delivery.update_if(unchanged, actions):
        raise Conflict("the delivery is being attempted at this moment")


def _key(endpoint_id: str, position: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The index's key of a position that `list_for_endpoint` gave."""
    delivery, event = position.get("delivery_id"), position.get("event_id")
    if not (isinstance(delivery, str) and isinstance(event, str) and is_id("dlv", delivery) and is_id("evt", event)):
        raise Invalid("the cursor is not one that this list gave", pointer="/cursor")
    return {
        "pk": {"S": delivery},
        "sk": {"S": DELIVERY_SK},
        "endpoint_id": {"S": endpoint_id},
        "event_id": {"S": event},
    }
