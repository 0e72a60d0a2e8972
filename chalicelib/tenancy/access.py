"""What a tenant may do right now, for those who ask at every call: its state and terms, a few seconds old at most."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

from chalicelib.platform.errors import Forbidden, NotFound
from chalicelib.platform.http import Need
from chalicelib.tenancy.registry import find_tenant, terms_of
from chalicelib.tenancy.states import State, allows
from chalicelib.tenancy.terms import Entitlements, Terms

KEPT_SECONDS = 5.0
"""How long a container believes what it read: a payment opens what was closed within this time."""

_MAX_KEPT = 1024

_WHY = {
    State.PENDING: "the tenant has not subscribed yet",
    State.LIMITED: "a payment is overdue: connectors are paused until it is made (POST /v1/billing/portal)",
    State.SUSPENDED: "a payment is overdue: only reading and export go on until it is made (POST /v1/billing/portal)",
    State.CLOSING: "the tenant is closing: only reading and export are left (POST /v1/billing/checkout to return)",
    State.ERASED: "the tenant was erased",
}


class NotInThisState(Forbidden):
    """The tenant's state does not allow what was asked for; `state` says which it is, `need` what it would have to
    allow."""

    type, title = "not-in-this-state", "The tenant's state does not allow that"


@dataclass(frozen=True)
class Access:
    """A tenant's state and terms. Terms are None only for a tenant that never subscribed."""

    state: State
    terms: Terms | None

    @property
    def entitlements(self) -> Entitlements:
        """What the tenant may use. Only for a tenant that has subscribed, which every caller's has."""
        assert self.terms is not None, f"a tenant that is {self.state} has no entitlements"
        return self.terms.entitlements


_kept: OrderedDict[str, tuple[float, Access]] = OrderedDict()


def access(tenant_id: str) -> Access:
    """The tenant's state and terms as they were at most `KEPT_SECONDS` ago. Raises NotFound."""
    kept = _kept.get(tenant_id)
    if kept is not None and time.monotonic() < kept[0]:
        return kept[1]
    record = find_tenant(tenant_id)
    # From the first step of its erasure on nobody works for what is left of a tenant.
    state = State.ERASED if record.erasure else State(record.state)
    found = Access(state, None if record.terms is None else terms_of(record))
    _kept[tenant_id] = (time.monotonic() + KEPT_SECONDS, found)
    _kept.move_to_end(tenant_id)
    while len(_kept) > _MAX_KEPT:
        _kept.popitem(last=False)
    return found


def may(tenant_id: str, need: Need) -> bool:
    """Whether the tenant's state allows something; False for a tenant that does not exist."""
    try:
        return allows(access(tenant_id).state, need)
    except NotFound:
        return False


def require(tenant_id: str, need: Need) -> Access:
    """The tenant's access. Raises NotInThisState, saying what would help, when its state does not allow `need`."""
    found = access(tenant_id)
    if not allows(found.state, need):
        raise NotInThisState(
            _WHY.get(found.state, "the tenant's state does not allow that"), state=found.state, need=need
        )
    return found


def forget_access(tenant_id: str) -> None:
    """Lets the next question read anew, in the container that just changed the tenant."""
    _kept.pop(tenant_id, None)
