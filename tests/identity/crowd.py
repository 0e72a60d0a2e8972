"""People of a tenant for tests, made with the product's own verbs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from chalicelib.identity import api_keys, membership, people
from chalicelib.identity.people import User
from chalicelib.identity.permissions import KEY_SCOPES, Role, scopes_of
from chalicelib.platform.clock import utc_now
from chalicelib.platform.http import Caller
from chalicelib.platform.ids import new_id

ISSUER = "https://issuer.example"


@dataclass(frozen=True)
class Claims:
    """What an issuer says of somebody who signs in."""

    subject: str
    email: str | None
    email_verified: bool = True
    issuer: str = ISSUER


def address() -> str:
    """An address that nobody has."""
    return f"{new_id('mail').lower().replace('_', '-')}@bank.example"


def caller(user: User) -> Caller:
    """A person as the authorizer shows them, with everything that their role gives."""
    return Caller(user.tenant_id, user.pk, scopes_of(user.role), role=user.role)


def key(tenant_id: str, scopes: frozenset[str] = KEY_SCOPES) -> Caller:
    """An API key as the authorizer shows it."""
    made = api_keys.create(tenant_id, name="core", scopes=scopes, now=utc_now())
    assert made is not None
    return Caller(tenant_id, made[1].pk, scopes)


def joined(user: User, now: datetime) -> User:
    """The person after their first sign-in."""
    found = people.bind(Claims(f"sub-of-{user.pk}", user.email), now=now)
    assert found is not None
    return found


def owner_of(tenant_id: str, now: datetime) -> User:
    """A first owner, who has joined."""
    return joined(membership.add_owner(tenant_id, address()), now)


def invited(tenant_id: str, role: Role, by: Caller, now: datetime, *, email: str = "", seats: int = 50) -> User:
    return membership.invite(tenant_id, email=email or address(), name=None, role=role, seats=seats, by=by, now=now)


def colleague(tenant_id: str, role: Role, by: Caller, now: datetime) -> User:
    """Somebody who was invited and has joined."""
    return joined(invited(tenant_id, role, by, now), now)


def counted(tenant_id: str) -> tuple[int, int, int]:
    """The headcount as it is kept: seats, owners, owners who have joined."""
    count = people.headcount(tenant_id)
    return count.seats_used, count.owners, count.owners_joined


def recounted(tenant_id: str) -> tuple[int, int, int]:
    """The headcount as it is found by looking at everybody."""
    here = [user for user in people.people_in(tenant_id) if user.state != "removed"]
    owners = [user for user in here if user.role == "owner"]
    return len(here), len(owners), sum(user.state == "active" for user in owners)
