"""What the queue `billing` asks for."""

from __future__ import annotations

from typing import Any

from chalice.app import Blueprint

from chalicelib.billing.process import process
from chalicelib.platform.queues import work_through

blueprint = Blueprint(__name__)


@blueprint.lambda_function(name="bill")
def bill(event: dict[str, Any], context: Any) -> Any:
    """Processes each event of Stripe's; one that failed comes back."""
    return work_through(event, context, lambda message: process(message["event_id"]))
