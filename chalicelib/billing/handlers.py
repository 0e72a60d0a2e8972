"""What the queue `billing` and the hour's schedule ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chalice.app import Blueprint

from chalicelib.platform.queues import work_through

blueprint = Blueprint(__name__)


@blueprint.lambda_function(name="bill")
def bill(event: dict[str, Any], context: Any) -> Any:
    """Does what each message asks for; what failed comes back. Woken by the schedule (no records), begins the hour."""
    if "Records" not in event:
        from chalicelib.billing.hourly import ask_all  # cold start: only this function looks at tenants

        return {"asked": ask_all()}
    return work_through(event, context, _carry_out)


def _carry_out(message: dict[str, Any]) -> None:
    if "event_id" in message:
        from chalicelib.billing.process import process  # cold start: as above

        process(message["event_id"])
        return
    action = message["action"]
    if action not in ACTIONS:
        raise ValueError(f"unknown action {action!r}; there are {', '.join(ACTIONS)}")
    ACTIONS[action](message["tenant_id"])


def _hour(tenant_id: str) -> None:
    from chalicelib.billing.hourly import hour_of  # cold start: as above

    hour_of(tenant_id)


def _checkout(tenant_id: str) -> None:
    from chalicelib.billing.hourly import look_at_checkout  # cold start: as above
    from chalicelib.tenancy import find_tenant

    look_at_checkout(find_tenant(tenant_id))


def _cancel(tenant_id: str) -> None:
    from chalicelib.billing.ending import cancel  # cold start: as above

    cancel(tenant_id)


def _forget_customer(tenant_id: str) -> None:
    from chalicelib.billing.customers import forget_customer  # cold start: as above

    forget_customer(tenant_id)


def _announce(tenant_id: str) -> None:
    from chalicelib.tenancy import announce  # cold start: as above

    announce(tenant_id)


ACTIONS: dict[str, Callable[[str], None]] = {
    "announce": _announce,
    "cancel": _cancel,
    "checkout": _checkout,
    "forget_customer": _forget_customer,
    "hour": _hour,
}
"""What may be asked for a tenant. `checkout`: follow its last one, whose event seems to be lost."""
