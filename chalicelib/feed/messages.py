"""What the queue `deliveries` carries: which event is due at which endpoint, for which attempt; and whose deliveries,
kept while it was disabled, are to be sent after all."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.feed.schedule import sqs_delay
from chalicelib.platform import aws
from chalicelib.platform.clock import parse_rfc3339, rfc3339
from chalicelib.platform.errors import Unavailable
from chalicelib.platform.ids import is_id
from chalicelib.platform.pages import Cursor
from chalicelib.platform.telemetry import logger

QUEUE = "deliveries"

_IDS = {"ten": "tenant_id", "evt": "event_id", "ep": "endpoint_id"}


@dataclass(frozen=True)
class Message:
    """An attempt to make. `attempt` counts from 1; `due` is when, or None for at once.

    A message can arrive twice, and after a later one. What has been done is in the delivery, never in the message.
    """

    tenant_id: str
    event_id: str
    endpoint_id: str
    attempt: int = 1
    due: datetime | None = None

    def document(self) -> dict[str, Any]:
        """The message as JSON can hold it."""
        document: dict[str, Any] = {
            "tenant_id": self.tenant_id,
            "event_id": self.event_id,
            "endpoint_id": self.endpoint_id,
            "attempt": self.attempt,
        }
        return document if self.due is None else document | {"due": rfc3339(self.due)}


@dataclass(frozen=True)
class Resend:
    """The deliveries to send that were kept while an endpoint was disabled, from a place in their list on (`cursor`;
    None: from its beginning)."""

    tenant_id: str
    endpoint_id: str
    cursor: Cursor | None = None

    def document(self) -> dict[str, Any]:
        """The message as JSON can hold it."""
        return {"tenant_id": self.tenant_id, "endpoint_id": self.endpoint_id, "resend_after": self.cursor}


def parse(body: str) -> Message | Resend:
    """The message of a queue record. Raises ValueError when it is not one of ours."""
    document = json.loads(body)
    if not isinstance(document, dict):
        raise ValueError("a delivery message is a JSON object")
    document = cast("dict[str, Any]", document)
    if "resend_after" in document:
        ids, cursor = _ids(document, "ten", "ep"), document["resend_after"]
        if not (cursor is None or isinstance(cursor, dict)):
            raise ValueError("resend_after is a place in a list, or null")
        return Resend(ids["ten"], ids["ep"], cast("Cursor | None", cursor))
    ids = _ids(document, "ten", "evt", "ep")
    attempt, due = document.get("attempt"), document.get("due")
    if type(attempt) is not int or attempt < 1:
        raise ValueError("attempt is a whole number from 1")
    moment = None if due is None else parse_rfc3339(str(due))
    return Message(ids["ten"], ids["evt"], ids["ep"], attempt, moment)


def _ids(document: Mapping[str, Any], *prefixes: str) -> dict[str, str]:
    ids = {prefix: str(document.get(_IDS[prefix])) for prefix in prefixes}
    if not all(is_id(prefix, value) for prefix, value in ids.items()):
        raise ValueError(f"such a message names {', '.join(_IDS[prefix] for prefix in prefixes)}")
    return ids


def send(messages: Sequence[Message], *, now: datetime) -> list[Message]:
    """Sends messages with the delay that each one's `due` asks for, ten a request where delays agree.

    Returns those that the queue did not take; the others are on their way.
    """
    unsent: list[Message] = []
    for (tenant_id, delay), group in _grouped(messages, now).items():
        for start in range(0, len(group), 10):
            part = group[start : start + 10]
            try:
                aws.send(QUEUE, tenant_id, [m.document() for m in part], delay_seconds=delay)
            except (aws.Unsent, ClientError, BotoCoreError) as error:
                # Which of the ten were taken is not told; sent twice is better than not at all.
                unsent += part
                logger.error("messages not sent", extra={**ids_of(part), "error": type(error).__name__})
    return unsent


def send_resend(wish: Resend, *, delay: timedelta = timedelta(0)) -> None:
    """Sends the wish that what was kept be sent. Raises Unavailable when the queue does not take it."""
    try:
        aws.send(QUEUE, wish.tenant_id, [wish.document()], delay_seconds=int(delay.total_seconds()))
    except (aws.Unsent, ClientError, BotoCoreError) as error:
        raise Unavailable("the queue of deliveries did not take it; try again") from error


def ids_of(messages: Sequence[Message]) -> dict[str, object]:
    """What one tenant's messages are about, to be logged where something fails: the ids in them and nothing else."""
    return {
        "tenant_id": messages[0].tenant_id,
        "event_ids": sorted({message.event_id for message in messages}),
        "endpoint_ids": sorted({message.endpoint_id for message in messages}),
    }


def delay_of(message: Message, *, now: datetime) -> int:
    """How long the queue holds a message, in whole seconds up to 900, never too short.

    Above a minute it is rounded up to quarter minutes, so that messages whose dues differ by chance share requests.
    """
    if message.due is None:
        return 0
    delay = sqs_delay(now, message.due)
    return delay if delay <= 60 else -(-delay // 15) * 15


def _grouped(messages: Iterable[Message], now: datetime) -> dict[tuple[str, int], list[Message]]:
    groups: dict[tuple[str, int], list[Message]] = {}
    for message in messages:
        groups.setdefault((message.tenant_id, delay_of(message, now=now)), []).append(message)
    return groups
