"""Deliveries that were kept while their endpoint was disabled, and are sent once it is enabled."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from chalicelib.feed import messages
from chalicelib.feed.messages import Message, Resend
from chalicelib.feed.model import ENDPOINTS_PK, Delivery, Endpoint
from chalicelib.feed.recording import stands_still
from chalicelib.platform.errors import Unavailable
from chalicelib.platform.pages import page_of
from chalicelib.platform.telemetry import logger
from chalicelib.platform.tenant import Tenant

PAGE = 500
"""Deliveries looked through for one message; the rest of a long list follows by the next message."""


def resend(tenant: Tenant, wish: Resend, *, now: datetime) -> None:
    """Asks for an attempt of each kept delivery on a page of the endpoint's, the oldest events first, and for the page
    after it. Does nothing for an endpoint that is disabled again, or gone.

    Doing it twice does no harm. Raises Unavailable when the queue does not take everything.
    """
    endpoint = tenant.bind(Endpoint).find(ENDPOINTS_PK, wish.endpoint_id)
    if endpoint is None or not endpoint.enabled:
        return
    page, cursor = page_of(tenant.bind(Delivery).by_endpoint, wish.endpoint_id, limit=PAGE, cursor=wish.cursor)
    kept = [Message(tenant.id, d.event_id, d.endpoint_id, d.made + 1) for d in page if stands_still(d)]
    if messages.send(kept, now=now):
        raise Unavailable("the queue of deliveries did not take what was kept")
    if cursor is not None:
        messages.send_resend(replace(wish, cursor=cursor))
    named = {"tenant_id": tenant.id, "endpoint_id": wish.endpoint_id}
    logger.info("kept deliveries sent", extra={**named, "messages": len(kept), "more": cursor is not None})
