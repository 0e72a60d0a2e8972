"""How many cases of a tenant are open: what its price depends on, so it is exact, and it is asked every hour, so it
reads no case."""

from __future__ import annotations

from chalicelib.cases.model import WORKLOAD, Workload
from chalicelib.platform.tenant import Tenant


def open_cases(tenant: Tenant) -> int:
    """The tenant's open cases at this moment: the sum of its collectors' loads, by one consistent query.

    A case is never without an assignee, and opening, giving away or closing it changes the load of whoever has it in
    the same transaction. Loads of collectors who no longer stand in the assignment document count as long as their
    cases are open.
    """
    return sum(load.open_cases for load in tenant.bind(Workload).query(WORKLOAD, consistent_read=True))
