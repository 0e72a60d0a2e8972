"""What a caller still is at the moment of a change. The authorizer's answers are kept for a minute: a person who was
removed or given another role in it, and an API key that was revoked in it, change nobody and make no key any more."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from pynamodb.expressions.condition import Condition

from chalicelib.identity.api_keys import KEY, ApiKey
from chalicelib.identity.people import ACTIVE, PERSON, User, find_user
from chalicelib.platform.clock import utc_now
from chalicelib.platform.commit import Check, Write
from chalicelib.platform.errors import Forbidden, Unauthenticated
from chalicelib.platform.store import shared

if TYPE_CHECKING:
    # It brings pydantic along, which the authorizer's cold start does without.
    from chalicelib.platform.http import Caller


def standing(by: Caller, *changed: str) -> list[Write]:
    """What holds a transaction to the caller as they are when it commits; nothing where the caller is among the
    `changed` (ids), whose own items the transaction holds to what was read."""
    if by.subject in changed:
        return []
    if by.role is None:
        return [_key_stands(by)]
    person = shared().bind(User)
    return [Check(person, by.subject, PERSON, (person.state == ACTIVE) & (person.role == by.role))]


def outlasting(by: Caller, expires_at: datetime | None, *changed: str) -> list[Write]:
    """Like `standing`, for a transaction that makes an API key which expires at that moment (None: never). A caller's
    own key must last as long: what it makes would be a way to go on without it."""
    if by.role is not None or by.subject in changed:
        return standing(by, *changed)
    expiry = shared().bind(ApiKey).expires_at
    lasts = expiry.does_not_exist() | (expiry >= expires_at) if expires_at is not None else expiry.does_not_exist()
    return [_key_stands(by, lasts)]


def expiry_of(by: Caller) -> datetime | None:
    """When the API key that calls expires, as it is now and not as the authorizer remembers it: a rotation brings that
    forward. None for one that does not expire, and for a person."""
    key = shared().bind(ApiKey).find(by.subject, KEY) if by.role is None else None
    return None if key is None else key.expires_at


def check_standing(by: Caller) -> None:
    """Raises Forbidden for a person who no longer has the role that they call with, and Unauthenticated for an API key
    that works no longer: this says why a transaction was refused."""
    if by.role is None:
        key = shared().bind(ApiKey).find(by.subject, KEY)
        if key is None or key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= utc_now()):
            raise Unauthenticated("this API key works no longer")
        return
    person = find_user(by.subject)
    if person is None or (person.state, person.role) != (ACTIVE, by.role):
        raise no_longer()


def no_longer() -> Forbidden:
    """What somebody is told whose role is another one than they call with."""
    return Forbidden("your own role has changed; sign in again", rule="role_changed")


def _key_stands(by: Caller, *conditions: Condition) -> Check:
    key = shared().bind(ApiKey)
    held = key.pk.exists() & key.revoked_at.does_not_exist()
    for condition in (key.expires_at.does_not_exist() | (key.expires_at > utc_now()), *conditions):
        held &= condition
    return Check(key, by.subject, KEY, held)
