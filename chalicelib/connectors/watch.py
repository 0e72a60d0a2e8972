"""Looking for dropped files that nobody announced, and for runs whose worker died without a trace."""

from __future__ import annotations

from datetime import datetime

from chalicelib.connectors import drop
from chalicelib.connectors.connectors import all_connectors
from chalicelib.connectors.model import Connector
from chalicelib.connectors.runs import wake
from chalicelib.platform.telemetry import logger
from chalicelib.platform.tenant import Tenant
from chalicelib.tenancy import State, allows, open_tenant, records


def wake_all(*, now: datetime) -> int:
    """Looks at every tenant that is ready, and not paused, and wakes a worker for each connector with something to do.

    Returns how many were woken. Costs a scan of the registry, and for each tenant one query and for each idle
    connector one listing of at most one object. A tenant that cannot be looked at does not keep the others waiting.
    """
    model, woken = records(), 0
    for record in model.scan(model.ready == True, attributes_to_get=["pk", "sk", "state"]):  # noqa: E712 - a condition
        if not allows(State(record.state), "connect"):
            continue
        try:
            woken += wake_tenant(open_tenant(record.pk), now=now)
        except Exception as error:
            # Whatever it is (a key being deleted, a table being restored), it is this tenant's alone. The class only:
            # what an error says may repeat what is stored.
            logger.error("tenant not looked at", extra={"tenant_id": record.pk, "error": type(error).__name__})
    return woken


def wake_tenant(tenant: Tenant, *, now: datetime) -> int:
    """Wakes a worker for each of the tenant's connectors with something to do; returns how many."""
    due = [connector for connector in all_connectors(tenant) if _has_work(tenant, connector, now)]
    for connector in due:
        wake(tenant, connector.sk)
    return len(due)


def _has_work(tenant: Tenant, connector: Connector, now: datetime) -> bool:
    if connector.active_run is None:
        return not connector.paused and (bool(connector.replays) or drop.is_anything_waiting(tenant, connector.sk))
    return connector.claimed_until is not None and connector.claimed_until <= now
