"""What the feeds' streams and the queue `deliveries` wake."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chalice.app import Blueprint

from chalicelib.feed import kept, messages
from chalicelib.feed.deliver import deliver
from chalicelib.feed.dispatch import Fresh, dispatch, fresh_events, tenant_of
from chalicelib.feed.messages import Message, Resend
from chalicelib.platform.clock import utc_now
from chalicelib.platform.errors import Erased, NotFound
from chalicelib.platform.telemetry import logger
from chalicelib.tenancy import open_tenant

blueprint = Blueprint(__name__)

Failures = dict[str, list[dict[str, str]]]


@blueprint.lambda_function(name="feed_dispatch")
def feed_dispatch(event: dict[str, Any], context: Any) -> Failures:  # noqa: ARG001 - Lambda passes it
    """Dispatches the new events of a feed's stream; where it could not go on, the stream comes again from there."""
    by_stream: dict[str, list[Mapping[str, Any]]] = {}
    for record in event["Records"]:
        by_stream.setdefault(record["eventSourceARN"], []).append(record)
    failed = [_dispatch(stream_arn, records) for stream_arn, records in by_stream.items()]
    return _report([number for number in failed if number is not None])


def _dispatch(stream_arn: str, records: list[Mapping[str, Any]]) -> str | None:
    tenant_id, fresh = tenant_of(stream_arn), fresh_events(records)
    named = {"tenant_id": tenant_id, "event_ids": [each.event_id for each in fresh]}
    try:
        return _dispatch_for(tenant_id, fresh) if fresh else None
    except (NotFound, Erased):
        # Erased since. Its stream outlives it by a day, and would be repeated all that day.
        logger.warning("events dropped: no such tenant", extra=named)
        return None
    except Exception as error:
        # Whatever it is, the stream comes again from here; the class says what, the ids where to look.
        logger.error("events not dispatched", extra={**named, "error": type(error).__name__})
        return fresh[0].sequence_number


def _dispatch_for(tenant_id: str, fresh: list[Fresh]) -> str | None:
    return dispatch(open_tenant(tenant_id), fresh, now=utc_now())


@blueprint.lambda_function(name="feed_deliver")
def feed_deliver(event: dict[str, Any], context: Any) -> Failures:
    """Makes the attempts of a batch; a message that could not be dealt with comes back, in the end to the dead letters.

    Not record by record, as other queues are read: the batch is read, posted and recorded together.
    """
    due: dict[Message, list[str]] = {}
    wishes: list[tuple[Resend, str]] = []
    failed: list[str] = []
    for record in event["Records"]:
        try:
            message = messages.parse(record["body"])
            if isinstance(message, Resend):
                wishes.append((message, record["messageId"]))
            else:
                due.setdefault(message, []).append(record["messageId"])
        except (ValueError, RecursionError) as error:
            # What it says is not ours, and no part of it is repeated.
            named = {"message_id": record["messageId"], "error": type(error).__name__}
            logger.error("not a delivery message", extra=named)
            failed.append(record["messageId"])
    failed += [message_id for wish, message_id in wishes if not _resent(wish)]
    again = deliver(list(due), remaining_seconds=lambda: context.get_remaining_time_in_millis() / 1000)
    return _report([*failed, *(message_id for message in again for message_id in due[message])])


def _resent(wish: Resend) -> bool:
    """Sends what was kept for an endpoint; whether that was dealt with."""
    named = {"tenant_id": wish.tenant_id, "endpoint_id": wish.endpoint_id}
    try:
        kept.resend(open_tenant(wish.tenant_id), wish, now=utc_now())
    except (NotFound, Erased):
        logger.warning("kept deliveries dropped: no such tenant", extra=named)
    except Exception as error:
        # The deliveries that came with it must not wait for it.
        logger.error("kept deliveries not sent", extra={**named, "error": type(error).__name__})
        return False
    return True


def _report(identifiers: list[str]) -> Failures:
    return {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in identifiers]}
