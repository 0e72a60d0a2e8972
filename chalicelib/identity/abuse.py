"""How often somebody who has not signed in may sign up or have a mail sent: `tenants/limits.toml`, counted for all.
And that an e-mail address pays for one sign-up at a time.

What is counted is found by keyed hashes: the table of counts names no address of anybody.
"""

from __future__ import annotations

import tomllib
from datetime import datetime, timedelta
from functools import cache
from ipaddress import IPv6Address, ip_address, ip_network

from pydantic import BaseModel, ConfigDict, PositiveInt
from pynamodb.attributes import UnicodeAttribute
from pynamodb.expressions.condition import Condition

from chalicelib.identity.keyed import keyed_hash
from chalicelib.platform import limits
from chalicelib.platform.attributes import IntegerAttribute
from chalicelib.platform.commit import Check
from chalicelib.platform.documents import path
from chalicelib.platform.errors import Conflict, TooManyRequests
from chalicelib.platform.store import SharedModel, shared

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
_IPV6_NETWORK = 64

CHECKOUT = "checkout"
"""The `sk` of what says who is at a checkout."""

_PAGE_IS_OPEN = timedelta(hours=25)
"""How long a checkout page that is opened now can be paid on: Stripe closes it after a day. An hour is to spare."""


class SignUpLimits(BaseModel):
    """The limits of signing up; each is described beside its figure in the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    per_network_an_hour: PositiveInt
    per_address_a_day: PositiveInt
    codes_an_hour: PositiveInt
    code_tries: PositiveInt
    code_minutes: PositiveInt
    pending_days: PositiveInt


class AtCheckout(SharedModel):
    """Which sign-up an e-mail address may pay for: `pk` is `checkout#` and the address's keyed hash, `sk` is always
    `checkout`. From `forget_after` (epoch seconds) on it holds no longer."""

    class Meta:
        table_kind = "limits"

    tenant_id = UnicodeAttribute()
    forget_after = IntegerAttribute()


@cache
def sign_up_limits() -> SignUpLimits:
    """The figures in force."""
    return SignUpLimits.model_validate(tomllib.loads(path("limits.toml").read_text(encoding="utf-8"))["sign_up"])


def admit_sign_up(source: str, email: str, *, now: datetime) -> None:
    """Counts one sign-up from an internet address (empty when it is not known) and for an e-mail address.

    Raises TooManyRequests, in the same words for both.
    """
    allowed = sign_up_limits()
    _take(f"sign-up#network#{keyed_hash(network_of(source))}", allowed.per_network_an_hour, HOUR, now)
    _take(f"sign-up#email#{keyed_hash(email.lower())}", allowed.per_address_a_day, DAY, now)


def admit_code(email: str, *, now: datetime) -> None:
    """Counts one code that is to be sent to an e-mail address. Raises TooManyRequests."""
    _take(f"code#{keyed_hash(email.lower())}", sign_up_limits().codes_an_hour, HOUR, now)


def admit_checkout(tenant_id: str, email: str, *, now: datetime) -> None:
    """Lets an e-mail address pay for this sign-up, and for no other while its page may be open.

    An address belongs to one person of one tenant, so of two that were paid for with it the second could not be set up.
    Raises Conflict when another sign-up with the address is at its checkout.
    """
    model = shared().bind(AtCheckout)
    held = model(_held_at(email), CHECKOUT)
    until = int((now + _PAGE_IS_OPEN).timestamp())
    if not held.update_if(
        _is_free_for(tenant_id, now), [model.tenant_id.set(tenant_id), model.forget_after.set(until)]
    ):
        raise Conflict(
            "another sign-up with this e-mail address is at its checkout; pay there, or wait a day until it closes",
            rule="email_at_checkout",
        )


def at_no_other_checkout(tenant_id: str, email: str, *, now: datetime) -> Check:
    """What holds a transaction to nobody else paying for a sign-up with an e-mail address: that one will need it."""
    return Check(shared().bind(AtCheckout), _held_at(email), CHECKOUT, _is_free_for(tenant_id, now))


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


def _held_at(email: str) -> str:
    return f"{CHECKOUT}#{keyed_hash(email.lower())}"


def _is_free_for(tenant_id: str, now: datetime) -> Condition:
    model = shared().bind(AtCheckout)
    free = model.tenant_id.does_not_exist() | (model.tenant_id == tenant_id)
    return free | (model.forget_after <= int(now.timestamp()))


def _take(name: str, limit: int, window: timedelta, now: datetime) -> None:
    taken = limits.take(name, limit, window, now=now)
    if not taken.allowed:
        raise TooManyRequests("that was asked for too often; wait and try again", retry_after=taken.resets_in)
