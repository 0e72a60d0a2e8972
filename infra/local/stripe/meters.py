"""Meters and the usage reported to them.

A repeated identifier is refused for a day of this server's clock, as Stripe refuses it "within a rolling period of at
least 24 hours"; after that the same event counts again. Stripe checks a payload later and tells by an event of its
own; here a payload that it would not count is refused at once.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator

from . import periods
from .errors import StripeError
from .shapes import Object, new_id, new_object
from .state import State

METER = "billing.meter"
EVENT = "billing.meter_event"
_IDENTIFIER = "meter event identifier"

OLDEST = 35 * periods.DAY
"""Seconds for which usage may be reported afterwards."""

AHEAD = 300
"""Seconds that usage may lie in the future."""

IDENTIFIER_LIFE = periods.DAY
"""Seconds for which an identifier is not taken twice."""

_WINDOWS = {"hour": 3600, "day": periods.DAY, None: 60}
"""Seconds to which the moments of a summary must be aligned, by its grouping window."""


def create(state: State, params: Object) -> Object:
    """A meter that sums the events of a name; an active meter's name is its own."""
    _require_free_name(state, params["event_name"])
    made = new_object(
        METER,
        created=state.now,
        customer_mapping=params.get("customer_mapping", {"event_payload_key": "stripe_customer_id", "type": "by_id"}),
        default_aggregation=params["default_aggregation"],
        display_name=params["display_name"],
        event_name=params["event_name"],
        updated=state.now,
        value_settings=params.get("value_settings", {"event_payload_key": "value"}),
    )
    return state.add(made, "billing.meter.created")


def rename(state: State, identifier: str, params: Object) -> Object:
    """Change the name shown; nothing else of a meter ever changes."""
    meter = state.find(METER, identifier)
    with state.changing(meter, "billing.meter.updated"):
        meter["display_name"] = params.get("display_name", meter["display_name"])
    return meter


def deactivate(state: State, identifier: str) -> Object:
    """Take no more events and allow no more prices."""
    meter = state.find(METER, identifier)
    if meter["status"] == "inactive":
        raise StripeError("This meter is already inactive.")
    with state.changing(meter, "billing.meter.deactivated"):
        meter.update(status="inactive", updated=state.now, status_transitions={"deactivated_at": state.now})
    return meter


def reactivate(state: State, identifier: str) -> Object:
    """Take events again, unless another meter has taken the name meanwhile."""
    meter = state.find(METER, identifier)
    if meter["status"] == "active":
        raise StripeError("This meter is already active.")
    _require_free_name(state, meter["event_name"])
    with state.changing(meter, "billing.meter.reactivated"):
        meter.update(status="active", updated=state.now, status_transitions={"deactivated_at": None})
    return meter


def report(state: State, params: Object) -> Object:
    """Take one event of usage; by the customer's clock it lies at ``timestamp``, or now."""
    name = params["event_name"]
    meter = next((meter for meter in _active(state) if meter["event_name"] == name), None)
    if meter is None:
        raise StripeError(f"No active meter found for event name {name}.", param="event_name")
    customer = _payload(params, meter["customer_mapping"]["event_payload_key"])
    value = _payload(params, meter["value_settings"]["event_payload_key"])
    if not re.fullmatch(r"[0-9]{1,15}", value):
        key = meter["value_settings"]["event_payload_key"]
        raise StripeError(f"Expected a whole number of zero or more, got {value}.", param=f"payload[{key}]")
    key = meter["customer_mapping"]["event_payload_key"]
    clock = state.find("customer", customer, f"payload[{key}]")["test_clock"]
    identifier = params.get("identifier") or new_id("")
    with state.living_by(clock):
        made = _event(state, params, identifier)
    _claim_identifier(state, identifier)
    noted = {**made, "_meter": meter["id"], "_customer": customer, "_value": int(value)}
    state.put(EVENT, new_id("mtrev_"), noted)
    return noted


def used(state: State, meter: str, customer: str, start: int, end: int) -> int:
    """What a customer used from ``start`` on and before ``end``."""
    return sum(event["_value"] for event in _events(state, meter, customer, start, end))


def summaries(state: State, identifier: str, params: Object) -> list[Object]:
    """A customer's usage between two moments: whole, or by hour or day, where one without usage is left out."""
    meter = state.find(METER, identifier)
    customer = state.find("customer", params["customer"], "customer")["id"]
    start, end, window = params["start_time"], params["end_time"], params.get("value_grouping_window")
    for name in ("start_time", "end_time"):
        if params[name] % _WINDOWS[window]:
            raise StripeError(f"`{name}` must be aligned with {window or 'minute'} boundaries.", param=name)
    if start >= end:
        raise StripeError("`end_time` must be later than `start_time`.", param="end_time")
    step = end - start if window is None else _WINDOWS[window]
    counted: Counter[int] = Counter() if window else Counter({start: 0})
    for event in _events(state, meter["id"], customer, start, end):
        counted[start + (event["timestamp"] - start) // step * step] += event["_value"]
    return [
        _summary(meter["id"], customer, moment, moment + step, counted[moment])
        for moment in sorted(counted)
        if window is None or counted[moment]
    ]


def _events(state: State, meter: str, customer: str, start: int, end: int) -> Iterator[Object]:
    for event in state.all(EVENT):
        if (event["_meter"], event["_customer"]) == (meter, customer) and start <= event["timestamp"] < end:
            yield event


def _summary(meter: str, customer: str, start: int, end: int, value: int) -> Object:
    mark = hashlib.sha256(f"{meter} {customer} {start} {end}".encode()).hexdigest()[:24]
    return new_object(
        "billing.meter_event_summary",
        id=f"mtrusg_{mark}",
        aggregated_value=value,
        start_time=start,
        end_time=end,
        meter=meter,
    )


def _event(state: State, params: Object, identifier: str) -> Object:
    moment = params.get("timestamp", state.now)
    if not state.now - OLDEST <= moment <= state.now + AHEAD:
        raise StripeError(
            "The timestamp must be within the past 35 calendar days or up to 5 minutes in the future.",
            param="timestamp",
        )
    return new_object(
        EVENT,
        created=state.now,
        event_name=params["event_name"],
        identifier=identifier,
        payload=params["payload"],
        timestamp=moment,
    )


def _claim_identifier(state: State, identifier: str) -> None:
    """Stripe's refusal of a repeat has no code: its message is what tells it."""
    held = state.get(_IDENTIFIER, identifier)
    if held is not None and state.now < held["taken_at"] + IDENTIFIER_LIFE:
        raise StripeError(f"An event already exists with identifier {identifier}.")
    state.put(_IDENTIFIER, identifier, {"taken_at": state.now})


def _payload(params: Object, key: str) -> str:
    if key not in params["payload"]:
        raise StripeError(f"Missing required param: payload[{key}].", param=f"payload[{key}]", code="parameter_missing")
    return params["payload"][key]


def _active(state: State) -> list[Object]:
    return [meter for meter in state.all(METER) if meter["status"] == "active"]


def _require_free_name(state: State, name: str) -> None:
    if any(meter["event_name"] == name for meter in _active(state)):
        raise StripeError(f"An active meter with the event name {name} already exists.", param="event_name")
