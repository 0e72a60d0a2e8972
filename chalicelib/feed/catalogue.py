"""What can happen: the event types as data, the envelope they travel in, and the filters endpoints choose them with.

Each type is a document in `event_types/` with a JSON Schema (2020-12) of its `data` and an example. Events carry
identifiers, codes, dates and amounts, and no personal data: every schema is closed, so a field not named in it is an
error, and free text has no place in any.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import cast

from chalicelib.platform.clock import rfc3339

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_FOLDER = Path(__file__).parent / "event_types"
_DEFINITIONS = "definitions.json"

Json = Mapping[str, object]


@dataclass(frozen=True)
class EventType:
    """One kind of event. `schema` describes the `data` of its envelope and stands alone; `example` is such data."""

    name: str
    version: int
    summary: str
    schema: Json
    example: Json


@cache
def types() -> tuple[EventType, ...]:
    """Every event type, sorted by name."""
    definitions = _read(_DEFINITIONS)
    documents = [_read(path.name) for path in sorted(_FOLDER.glob("*.json")) if path.name != _DEFINITIONS]
    return tuple(_event_type(document, definitions) for document in documents)


def event_type(name: str) -> EventType:
    """The type of that name. Raises KeyError when there is none."""
    for known in types():
        if known.name == name:
            return known
    raise KeyError(f"no event type {name!r}")


def matches(pattern: str, name: str) -> bool:
    """Whether an endpoint's filter wants events of that type: `*` wants all, `case.*` all of a noun, and a full name
    that one type."""
    if pattern == "*":
        return True
    if pattern.endswith(".*"):
        return name.startswith(pattern.removesuffix("*"))
    return pattern == name


def envelope(name: str, occurred_at: datetime, data: Json) -> bytes:
    """The body that is signed and sent: compact JSON in UTF-8 with sorted keys, the same bytes for the same event.

    `occurred_at` is when it happened (aware), not when it is sent. Raises ValueError for what JSON cannot hold.
    """
    message = {"type": name, "timestamp": rfc3339(occurred_at), "data": data}
    return json.dumps(message, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode()


def validate(name: str, data: Json) -> None:
    """Check data against its type's schema; for tests and `make check`, as `jsonschema` is no part of what is deployed.

    Raises KeyError for an unknown type and `jsonschema.ValidationError` naming the member at fault.
    """
    from jsonschema import Draft202012Validator

    Draft202012Validator(dict(event_type(name).schema), format_checker=Draft202012Validator.FORMAT_CHECKER).validate(
        data
    )


def _event_type(document: Json, definitions: Json) -> EventType:
    schema = cast(Json, document["schema"])
    used = _used_definitions(schema, definitions)
    complete = {"$schema": DIALECT, **schema, **({"$defs": used} if used else {})}
    return EventType(
        name=cast(str, document["type"]),
        version=cast(int, document["version"]),
        summary=cast(str, document["summary"]),
        schema=complete,
        example=cast(Json, document["example"]),
    )


def _used_definitions(schema: object, definitions: Json) -> dict[str, object]:
    """The shared definitions that a schema refers to, and those that they refer to in turn."""
    text = json.dumps(schema)
    used = {name: part for name, part in definitions.items() if f'"#/$defs/{name}"' in text}
    deeper = _used_definitions(used, definitions) if used else {}
    return used | deeper


def _read(name: str) -> Json:
    return cast(Json, json.loads((_FOLDER / name).read_text("utf-8")))
