"""What the queue `tenant-lifecycle` asks for."""

from __future__ import annotations

from typing import Any

from chalice.app import Blueprint

from chalicelib.platform.clock import utc_now
from chalicelib.platform.queues import work_through
from chalicelib.tenancy.provisioning import provision_alone

blueprint = Blueprint(__name__)


@blueprint.lambda_function(name="provision")
def provision(event: dict[str, Any], context: Any) -> Any:
    """Carries out each message; one that is not finished yet, or failed, comes back to be continued."""
    return work_through(event, context, _carry_out)


def _carry_out(message: dict[str, Any]) -> None:
    if message["action"] != "provision":
        raise ValueError(f"unknown action {message['action']!r}")
    provision_alone(message["tenant_id"], now=utc_now())
