"""How somebody stops being one of a tenant's people, and how an address that is kept by nobody any more is set free."""

from __future__ import annotations

from datetime import datetime, timedelta

from pynamodb.expressions.condition import Condition

from chalicelib.identity import cognito, people
from chalicelib.identity.people import (
    EMAIL,
    IDENTITY,
    INVITED,
    NOBODY,
    PERSON,
    REMOVED,
    EmailPointer,
    IdentityPointer,
    User,
    counts_for,
    recount,
)
from chalicelib.platform.commit import Delete, Group, Update, Write, commit_one
from chalicelib.platform.store import shared
from chalicelib.platform.telemetry import logger

INVITATION_LASTS = timedelta(days=7)
"""How long an invitation keeps its address from everybody else; so long, too, a user pool's first password works.
Until somebody else asks for the address, the person may still join."""


def removal_of(user: User, now: datetime) -> list[Write]:
    """What removes a person as they were read: a seat is free, sessions end, and no identity leads to them any more.

    It holds the transaction to the rules of `recount`, so the last owner stays.
    """
    model = type(user)
    change = Update(
        model,
        user.pk,
        PERSON,
        [
            model.state.set(REMOVED),
            model.removed_at.set(now),
            model.sessions_valid_after.set(now),
            model.issuer.remove(),
            model.subject.remove(),
            model.totp_since.remove(),
            model.version.add(1),
        ],
        unchanged(user),
    )
    writes: list[Write] = [change, *recount(user.tenant_id, counts_for(user.role, user.state), NOBODY)]
    if user.issuer is not None and user.subject is not None:
        key = people.identity_key(user.issuer, user.subject)
        writes.append(Delete(shared().bind(IdentityPointer), key, IDENTITY))
    return writes


def release(user: User) -> None:
    """Ends what a removed person signed in with, and then frees the address; nothing happens when that was done.

    The address stays taken until the sign-in is gone, so that a person who is invited anew never loses theirs.
    """
    pointer = shared().bind(EmailPointer).find(people.email_key(user.email), EMAIL)
    if pointer is None or pointer.user_id != user.pk:
        return
    cognito.sign_out_everywhere(user.email)
    cognito.delete_user(user.email)
    pointer.delete_if(type(pointer).user_id == user.pk)


def make_way(address: str, *, to: str, now: datetime) -> None:
    """Frees an address for the tenant `to` where another tenant has no more claim to it: its invitation was not
    followed for `INVITATION_LASTS`, or its removal of the person was killed half-way. Otherwise nothing happens.

    Nobody's mailbox is held by who only typed it in. A tenant's last owner keeps the address, joined or not. Killed
    anywhere, this is finished by the next call.
    """
    user = people.find_by_email(address)
    if user is None or user.tenant_id == to:
        return
    if user.state == INVITED and user.invited_at + INVITATION_LASTS <= now:
        if not commit_one(shared(), Group(user.pk, removal_of(user, now))):
            return  # they joined a moment ago, or are the last owner
        logger.info("invitation lapsed", extra={"tenant_id": user.tenant_id, "user_id": user.pk})
    elif user.state != REMOVED:
        return
    release(user)


def unchanged(user: User) -> Condition:
    """Holds a change to the person as they were read."""
    model = type(user)
    return (model.state == user.state) & (model.version == user.version)
