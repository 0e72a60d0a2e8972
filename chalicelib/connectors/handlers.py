"""What the queues `sync` and `sync-chunks` and the minute's schedule ask for."""

from __future__ import annotations

from typing import Any

from chalice.app import Blueprint

from chalicelib.connectors.advance import advance
from chalicelib.connectors.apply import apply_chunk
from chalicelib.connectors.push import apply_push
from chalicelib.connectors.watch import wake_all, wake_tenant
from chalicelib.platform.clock import utc_now
from chalicelib.platform.queues import work_through
from chalicelib.tenancy import forget_access, open_tenant

blueprint = Blueprint(__name__)


@blueprint.lambda_function(name="sync_plan")
def sync_plan(event: dict[str, Any], context: Any) -> Any:
    """Plans the connectors that messages name; woken by the schedule (no records), looks which ones have work."""
    if "Records" not in event:
        return {"woken": wake_all(now=utc_now())}
    return work_through(event, context, _plan)


@blueprint.lambda_function(name="sync_apply")
def sync_apply(event: dict[str, Any], context: Any) -> Any:
    """Applies the chunk or the pushed rows that each message names; what fails comes back and is tried again."""
    return work_through(event, context, _apply)


def _plan(message: dict[str, Any]) -> None:
    tenant = open_tenant(message["tenant_id"])
    if message.get("action") == "wake":
        # The tenant may connect again: whatever waited is looked at now and not with the next minute.
        forget_access(tenant.id)
        wake_tenant(tenant, now=utc_now())
    else:
        advance(tenant, message["connector_id"], now=utc_now())


def _apply(message: dict[str, Any]) -> None:
    tenant, connector_id = open_tenant(message["tenant_id"]), message["connector_id"]
    if "push" in message:
        apply_push(tenant, connector_id, message["push"], now=utc_now())
    else:
        apply_chunk(tenant, connector_id, message["run_id"], message["chunk"], message["sha256"], now=utc_now())
