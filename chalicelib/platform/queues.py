"""Working through a batch of messages from SQS, one by one, so that one that fails takes none of the others with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from chalicelib.platform.errors import Erased
from chalicelib.platform.telemetry import log_failure, logger

Message = dict[str, Any]

_IDS = ("tenant_id", "connector_id", "run_id", "chunk", "push", "event_id", "export_id", "action")
"""The members of messages that name things; they are logged with a failure."""


def work_through(event: Message, context: Any, work: Callable[[Message], object]) -> Any:
    """Hands each message (a JSON object) to `work`, and answers as a function behind SQS does: which failed.

    Those come back to be tried again, and wait in the dead-letter queue in the end; a message for who was erased
    meanwhile is done. A failure is logged with the ids in
    the message, its class and where it happened, and not with its text, which may repeat what somebody else sent.
    """

    def handle(record: SQSRecord) -> None:
        message: Message = {}
        try:
            message = cast("Message", json.loads(record.body))
            work(message)
        except Erased:
            # No later try could do more. Anything else that is gone was still asked for, and somebody is to know.
            logger.info("message is about what was erased", extra=_named(message))
        except Exception as error:
            # The batch processor keeps failures to itself.
            log_failure("message failed", error, **_named(message))
            raise

    # A processor keeps state between records, so each batch gets its own. It would raise where a whole batch failed:
    # the messages come back either way, and what raised here would be counted as a fault of the function.
    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    return process_partial_response(event=event, record_handler=handle, processor=processor, context=context)


def _named(message: Message) -> dict[str, object]:
    return {name: message[name] for name in _IDS if name in message}
