"""Runs in a process with a deployed function's role and settings, as `backstage.as_function` starts it; answers JSON.

python -m tests.deployed.as_function reach INTRUDER VICTIM | make-keys TENANT
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta

from chalicelib.identity import api_keys
from chalicelib.platform.clock import utc_now
from chalicelib.tenancy import open_tenant
from infra.demo import isolation


def reach(intruder: str, victim: str) -> dict[str, str]:
    """One tenant's credentials tried on another's resources: what was tried, and how it ended."""
    attempts = isolation.try_to_reach(open_tenant(intruder), open_tenant(victim))
    return {attempt.what: attempt.outcome for attempt in attempts}


def make_keys(tenant_id: str) -> dict[str, str]:
    """API keys of a tenant: one that expired a minute ago, and one that may only read cases."""
    now = utc_now()
    expired, _ = api_keys.create(
        tenant_id, name="expired", scopes=api_keys.SCOPES, now=now, expires_at=now - timedelta(minutes=1)
    )
    reader, _ = api_keys.create(tenant_id, name="reader", scopes={"cases:read"}, now=now)
    return {"expired": expired, "reader": reader}


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    print(json.dumps({"reach": reach, "make-keys": make_keys}[command](*arguments)))
