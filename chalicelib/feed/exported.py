"""How events, endpoints and deliveries stand in an export: an endpoint without the secrets that sign for it."""

from __future__ import annotations

from chalicelib.feed.model import (
    DELIVERY_SK,
    ENDPOINTS_PK,
    EVENT_SK,
    LOG_PK,
    REGISTER_PK,
    REGISTER_SK,
    Delivery,
    Endpoint,
    EndpointRegister,
    Event,
    LogPage,
)
from chalicelib.platform.exports import ExportedKind, after, an_id, fixed

EXPORTED = (
    ExportedKind("events", Event, pk=an_id("evt"), sk=fixed(EVENT_SK)),
    ExportedKind(
        "endpoints",
        Endpoint,
        pk=fixed(ENDPOINTS_PK),
        sk=an_id("ep"),
        hidden=frozenset({"sealed_secrets", "wish_digest"}),
    ),
    ExportedKind("endpoint_registers", EndpointRegister, pk=fixed(REGISTER_PK), sk=fixed(REGISTER_SK)),
    ExportedKind("deliveries", Delivery, pk=an_id("dlv"), sk=fixed(DELIVERY_SK)),
    ExportedKind("log_pages", LogPage, pk=fixed(LOG_PK), sk=after("page#", "page", "integer")),
)
