"""What the queue `leaving` asks for."""

from __future__ import annotations

from typing import Any

from chalice.app import Blueprint

from chalicelib.leaving.erasure import erase
from chalicelib.leaving.export import continue_export
from chalicelib.leaving.exports import expire_exports
from chalicelib.leaving.holds import release_by_operator, tell
from chalicelib.platform.clock import utc_now
from chalicelib.platform.queues import work_through

blueprint = Blueprint(__name__)


@blueprint.lambda_function(name="leave")
def leave(event: dict[str, Any], context: Any) -> Any:
    """Carries out each message; one that failed, or was not finished, comes back to be continued."""
    return work_through(event, context, _carry_out)


def _carry_out(message: dict[str, Any]) -> None:
    tenant_id = message["tenant_id"]
    match message["action"]:
        case "export":
            continue_export(tenant_id, message["export_id"])
        case "expire_exports":
            expire_exports(tenant_id, now=utc_now())
        case "erase":
            erase(tenant_id)
        case "tell":
            tell(tenant_id, message["letter"], by=message["by"], at=message["at"])
        case "release_hold":
            set_at, reference = message["set_at"], message["reference"]
            release_by_operator(tenant_id, set_at=set_at, reference=reference, now=utc_now())
        case action:
            raise ValueError(f"unknown action {action!r}")
