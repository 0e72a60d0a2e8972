"""The gate before every call of a known caller: is the tenant in a state that allows it, and is there rate left for it.

Rates are counted per minute in windows that all containers share, for the credential and for the whole tenant, and
apart from both for paying. A container draws a twentieth of the rate at a time and spends it in memory, so that
counting costs one write for many calls. What a container drew and did not spend by the end of the minute is lost: a
tenant close to its rate, on many containers, may be asked to wait a little early, and never gets more than its rate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from chalicelib.platform import limits
from chalicelib.platform.clock import utc_now
from chalicelib.platform.errors import TooManyRequests
from chalicelib.platform.http import Caller, Endpoint
from chalicelib.tenancy.access import require
from chalicelib.tenancy.terms import Entitlements

WINDOW = timedelta(minutes=1)

PAYING_A_MINUTE = 60
"""How often a tenant may call what changes what it pays: each such call asks Stripe, whose limit all tenants share."""

_PORTIONS = 20
_MAX_KEPT = 4096


@dataclass
class _Purse:
    """What this container drew for a name in the window that starts at `start`, and what was left beyond it then."""

    start: int
    left: int
    beyond: int


_purses: dict[str, _Purse] = {}


@dataclass(frozen=True)
class Spent:
    """Whether one more call was allowed, how many are known to be left, and in how many seconds the window ends."""

    allowed: bool
    remaining: int
    resets_in: int


@dataclass(frozen=True)
class _Rate:
    """What a call is counted in: whose rate it is, how many calls a minute it has, and what this one left of it."""

    whose: str
    limit: int
    spent: Spent


def gate(endpoint: Endpoint, caller: Caller) -> Mapping[str, str]:
    """Lets a call through and gives the `RateLimit` headers of its answer.

    Raises NotInThisState, and TooManyRequests with the seconds to wait. Access can be taken away whatever the rate:
    those calls are counted, and never refused for it. Money can be paid, too: that has a rate of its own.
    """
    entitlements = require(caller.tenant_id, endpoint.need).entitlements
    rates = list(_rates(endpoint, caller, entitlements, utc_now()))
    tightest = min(rates, key=lambda rate: (rate.spent.allowed, rate.spent.remaining))
    headers = {
        "RateLimit-Limit": str(tightest.limit),
        "RateLimit-Remaining": str(tightest.spent.remaining),
        "RateLimit-Reset": str(tightest.spent.resets_in),
    }
    if not tightest.spent.allowed and endpoint.need != "secure":
        refusal = TooManyRequests(
            f"{tightest.whose} may call {tightest.limit} times a minute", retry_after=tightest.spent.resets_in
        )
        refusal.headers = {**refusal.headers, **headers}
        raise refusal
    return headers


def _rates(endpoint: Endpoint, caller: Caller, may: Entitlements, now: datetime) -> Iterator[_Rate]:
    """The rates that a call is counted in, each of them spent."""
    if endpoint.need == "bill":
        spent = spend(f"rate#{caller.tenant_id}#bill", PAYING_A_MINUTE, now)
        yield _Rate("for payments the tenant", PAYING_A_MINUTE, spent)
        return
    of_credential = spend(f"rate#{_opaque(caller.subject)}", may.requests_per_minute_per_key, now)
    yield _Rate("this credential", may.requests_per_minute_per_key, of_credential)
    # What a credential is refused is not taken from the tenant: one that runs wild, or is stolen, stops nobody else.
    if of_credential.allowed:
        of_tenant = spend(f"rate#{caller.tenant_id}", may.requests_per_minute, now)
        yield _Rate("the tenant", may.requests_per_minute, of_tenant)


def spend(name: str, limit: int, now: datetime) -> Spent:
    """Spends one call of a name's rate, drawing a portion from the shared window when this container has none left."""
    seconds = int(WINDOW.total_seconds())
    moment = int(now.timestamp())
    start = moment // seconds * seconds
    purse = _purses.get(name)
    if purse is None or purse.start != start:
        _make_room()
        purse = _purses[name] = _Purse(start, 0, limit)
    if purse.left == 0 and purse.beyond > 0:
        _draw(name, limit, purse, now)
    allowed = purse.left > 0
    purse.left -= allowed
    return Spent(allowed, purse.left + purse.beyond, max(1, start + seconds - moment))


def _draw(name: str, limit: int, purse: _Purse, now: datetime) -> None:
    """Fills the purse with a portion, or with a single call when a portion is more than there is."""
    for portion in dict.fromkeys((max(1, limit // _PORTIONS), 1)):
        taken = limits.take(name, limit, WINDOW, now=now, portion=portion)
        purse.beyond = taken.remaining
        if taken.allowed:
            purse.left = portion
            return


def _make_room() -> None:
    while len(_purses) >= _MAX_KEPT:
        del _purses[next(iter(_purses))]


def _opaque(subject: str) -> str:
    return hashlib.sha256(subject.encode()).hexdigest()[:32]
