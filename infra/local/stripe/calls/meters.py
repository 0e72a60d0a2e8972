"""Calls about meters and usage."""

from __future__ import annotations

from .. import meters
from ..expansion import listing
from ..forms import choice, fields, integer, mapping, text
from .table import PAGE, equal, listed, retrieve, route

_METER = {
    "customer_mapping": fields({"event_payload_key": text, "type": choice("by_id")}, ("event_payload_key", "type")),
    "default_aggregation": fields({"formula": choice("sum")}, ("formula",)),
    "display_name": text,
    "event_name": text,
    "value_settings": fields({"event_payload_key": text}, ("event_payload_key",)),
}
_SUMMARIES = {
    **PAGE,
    "customer": text,
    "end_time": integer,
    "start_time": integer,
    "value_grouping_window": choice("day", "hour"),
}

ROUTES = [
    route(
        "POST",
        "billing/meters",
        _METER,
        lambda call: meters.create(call.state, call.params),
        ("default_aggregation", "display_name", "event_name"),
    ),
    route(
        "GET",
        "billing/meters",
        {**PAGE, "status": choice("active", "inactive")},
        listed("billing.meter", equal("status")),
    ),
    route("GET", "billing/meters/{id}", {}, retrieve("billing.meter")),
    route(
        "POST",
        "billing/meters/{id}",
        {"display_name": text},
        lambda call: meters.rename(call.state, call.id, call.params),
    ),
    route("POST", "billing/meters/{id}/deactivate", {}, lambda call: meters.deactivate(call.state, call.id)),
    route("POST", "billing/meters/{id}/reactivate", {}, lambda call: meters.reactivate(call.state, call.id)),
    route(
        "GET",
        "billing/meters/{id}/event_summaries",
        _SUMMARIES,
        lambda call: listing(meters.summaries(call.state, call.id, call.params), call.path, call.params),
        ("customer", "end_time", "start_time"),
    ),
    route(
        "POST",
        "billing/meter_events",
        {"event_name": text, "identifier": text, "payload": mapping(text), "timestamp": integer},
        lambda call: meters.report(call.state, call.params),
        ("event_name", "payload"),
    ),
]
