"""Deliveries as a tenant looks at them: which events reached which endpoint, and once more for one that did not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pynamodb.expressions.update import Action

from chalicelib.feed import endpoints, messages
from chalicelib.feed.messages import Message
from chalicelib.feed.model import DELIVERED, DELIVERY_SK, PENDING, Delivery
from chalicelib.feed.recording import delivery_id, find_deliveries
from chalicelib.platform.errors import Conflict, NotFound, Unavailable
from chalicelib.platform.pages import Cursor, page_of
from chalicelib.platform.tenant import Tenant


def list_for_endpoint(
    tenant: Tenant, endpoint_id: str, *, limit: int, cursor: Cursor | None = None
) -> tuple[Sequence[Delivery], Cursor | None]:
    """The deliveries to an endpoint, those of the latest events first, and the cursor of the next page.

    An index is read, which lags a moment behind. Raises Invalid for a cursor that is none of this list.
    """
    return page_of(tenant.bind(Delivery).by_endpoint, endpoint_id, limit=limit, cursor=cursor, newest_first=True)


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
