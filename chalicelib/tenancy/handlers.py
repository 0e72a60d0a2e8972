"""What the queue `tenant-lifecycle` asks for."""

from __future__ import annotations

import json
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from chalice.app import Blueprint

from chalicelib.platform.telemetry import logger
from chalicelib.tenancy.provisioning import provision as provision_tenant

blueprint = Blueprint(__name__)
_processor = BatchProcessor(event_type=EventType.SQS)


@blueprint.lambda_function(name="provision")
def provision(event: dict[str, Any], context: Any) -> Any:
    """Carries out each message; one that is not finished yet, or failed, comes back to be continued."""
    return process_partial_response(event=event, record_handler=_carry_out, processor=_processor, context=context)


def _carry_out(record: SQSRecord) -> None:
    message = json.loads(record.body)
    if message["action"] != "provision":
        raise ValueError(f"unknown action {message['action']!r}")
    try:
        provision_tenant(message["tenant_id"])
    except Exception:
        # Powertools reports the failed record to SQS but says nothing of why.
        logger.exception("provisioning interrupted", extra={"tenant_id": message["tenant_id"]})
        raise
