"""What the queue `billing` asks for."""

from __future__ import annotations

import json
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from chalice.app import Blueprint

from chalicelib.billing.process import process
from chalicelib.platform.telemetry import logger

blueprint = Blueprint(__name__)
_processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


@blueprint.lambda_function(name="bill")
def bill(event: dict[str, Any], context: Any) -> Any:
    """Processes each event of Stripe's; one that failed comes back, and waits in the dead-letter queue in the end."""
    return process_partial_response(event=event, record_handler=_carry_out, processor=_processor, context=context)


def _carry_out(record: SQSRecord) -> None:
    event_id = json.loads(record.body)["event_id"]
    try:
        process(event_id)
    except Exception as error:
        # The batch processor keeps failures to itself. The class only: Stripe's messages may repeat what we sent.
        logger.error("billing event failed", extra={"event_id": event_id, "error": type(error).__name__})
        raise
