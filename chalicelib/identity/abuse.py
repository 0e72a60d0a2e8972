"""How often somebody who has not signed in may sign up or have a mail sent: `tenants/limits.toml`, counted for all.

What is counted is found by keyed hashes: the table of counts names no address of anybody.
"""

from __future__ import annotations

import tomllib
from datetime import datetime, timedelta
from functools import cache
from ipaddress import IPv6Address, ip_address, ip_network

from pydantic import BaseModel, ConfigDict, PositiveInt

from chalicelib.identity.keyed import keyed_hash
from chalicelib.platform import limits
from chalicelib.platform.documents import path
from chalicelib.platform.errors import TooManyRequests

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
_IPV6_NETWORK = 64


class SignUpLimits(BaseModel):
    """The limits of signing up; each is described beside its figure in the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    per_network_an_hour: PositiveInt
    per_address_a_day: PositiveInt
    codes_an_hour: PositiveInt
    code_tries: PositiveInt
    code_minutes: PositiveInt
    pending_days: PositiveInt


@cache
def sign_up_limits() -> SignUpLimits:
    """The figures in force."""
    return SignUpLimits.model_validate(tomllib.loads(path("limits.toml").read_text(encoding="utf-8"))["sign_up"])


def admit_sign_up(source: str, email: str, *, now: datetime) -> None:
    """Counts one sign-up from an internet address (empty when it is not known) and for an e-mail address.

    Raises TooManyRequests, in the same words for both, so that nobody learns which addresses sign up.
    """
    allowed = sign_up_limits()
    _take(f"sign-up#network#{keyed_hash(network_of(source))}", allowed.per_network_an_hour, HOUR, now)
    _take(f"sign-up#email#{keyed_hash(email.lower())}", allowed.per_address_a_day, DAY, now)


def admit_code(email: str, *, now: datetime) -> None:
    """Counts one code that is to be sent to an e-mail address. Raises TooManyRequests."""
    _take(f"code#{keyed_hash(email.lower())}", sign_up_limits().codes_an_hour, HOUR, now)


def network_of(source: str) -> str:
    """What an internet address is counted as: an IPv4 address by itself, an IPv6 one by its network, since whoever has
    one of these has all of them."""
    try:
        found = ip_address(source)
    except ValueError:
        return "unknown"
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or ip_network((found, _IPV6_NETWORK), strict=False))
    return str(found)


def _take(name: str, limit: int, window: timedelta, now: datetime) -> None:
    taken = limits.take(name, limit, window, now=now)
    if not taken.allowed:
        raise TooManyRequests("that was asked for too often; wait and try again", retry_after=taken.resets_in)
