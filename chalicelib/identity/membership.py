"""Who belongs to a tenant, and as what: people are invited, given another role and removed, and a tenant is never left
without an owner.

Two rules bind everybody who changes people, by person or API key: nobody gives, changes or removes a role that carries
more than they do themselves, and only an owner makes, changes or removes an owner. That the caller still stands is
checked in the transaction, so what the authorizer remembered for a moment too long changes nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from chalicelib.identity import cognito, people, sessions
from chalicelib.identity.people import (
    ACTIVE,
    EMAIL,
    INVITED,
    NOBODY,
    OWNER,
    PERSON,
    REMOVED,
    TRIES,
    Counted,
    EmailPointer,
    Listing,
    User,
    counts_for,
    recount,
)
from chalicelib.identity.permissions import SELF, Role, scopes_of
from chalicelib.identity.removal import make_way, release, removal_of, unchanged
from chalicelib.identity.standing import check_standing, no_longer, standing
from chalicelib.platform.clock import utc_now
from chalicelib.platform.commit import Group, Put, Update, Write, commit_one
from chalicelib.platform.errors import Conflict, Forbidden, NotFound
from chalicelib.platform.ids import is_id, new_id
from chalicelib.platform.store import shared
from chalicelib.platform.telemetry import logger

if TYPE_CHECKING:
    # It brings pydantic along, which the authorizer's cold start does without.
    from chalicelib.platform.http import Caller

_NO_MAIL_REACHES = ("invalid", "local", "localhost")
"""Top-level domains that mail cannot be sent to."""


def invite(tenant_id: str, *, email: str, name: str | None, role: Role, seats: int, by: Caller, now: datetime) -> User:
    """A person who has been invited and takes one of the tenant's `seats`; they join when they first sign in. An
    invitation by another tenant that was not followed for long gives way to this one.

    Raises Forbidden when the caller may not give that role, and Conflict when every seat is in use or the address
    cannot be used. Of an address that is another tenant's, or that somebody pays for a sign-up with at this moment,
    nothing more is said.
    """
    from chalicelib.identity.abuse import at_no_other_checkout  # cold start: it brings pydantic along

    _check_may_give(by, role)
    address = email.lower()
    if address.rpartition(".")[2] in _NO_MAIL_REACHES:
        raise _unusable()
    unpaid = at_no_other_checkout(tenant_id, address, now=now)
    for _ in range(TRIES):
        user = _new_user(tenant_id, address, name, role, now)
        counted = recount(tenant_id, NOBODY, counts_for(role, INVITED), seats=seats)
        if commit_one(shared(), Group(user.pk, [*_entered(user), *counted, unpaid, *standing(by)])):
            logger.info("invited", extra={"tenant_id": tenant_id, "user_id": user.pk, "role": role, "by": by.subject})
            return user
        # Whoever may not invite takes no address from anybody.
        check_standing(by)
        _check_seats(tenant_id, seats)
        make_way(address, to=tenant_id, now=now)
        _check_free(tenant_id, address)
        if not commit_one(shared(), Group(tenant_id, [unpaid])):
            raise _unusable()
    raise _busy()


def add_owner(tenant_id: str, email: str, name: str | None = None) -> User:
    """The tenant's owner under that address, who is made when there is none, and who can then sign in. Repeatable.

    This is how a tenant gets its first owner: no seat is asked for. Raises Conflict when the address is somebody
    else's.
    """
    address = email.lower()
    for _ in range(TRIES):
        found = people.find_by_email(address)
        if found is not None and not _is_owner_of(found, tenant_id):
            _check_free(tenant_id, address)
            continue
        if found is None:
            found = _new_user(tenant_id, address, name, OWNER, utc_now())
            counted = recount(tenant_id, NOBODY, counts_for(OWNER, INVITED))
            if not commit_one(shared(), Group(found.pk, [*_entered(found), *counted])):
                continue
            logger.info("owner added", extra={"tenant_id": tenant_id, "user_id": found.pk})
        cognito.create_user(address)
        return found
    raise _busy()


def change_person(
    tenant_id: str, user_id: str, *, role: Role | None, name: str | None, by: Caller, version: int | None = None
) -> User:
    """The person with another role or name; None leaves either as it is.

    Raises NotFound; Forbidden when the caller may not change this person or give that role; Conflict when the person
    was removed, is no longer at `version`, or is the last owner and would not stay one.
    """
    for _ in range(TRIES):
        user = find_person(tenant_id, user_id)
        if user.state == REMOVED:
            raise Conflict("the person was removed; invite them anew")
        if version is not None and user.version != version:
            raise Conflict(f"the person is at version {user.version}, not {version}", version=user.version)
        _check_may_change(by, user)
        _check_may_give(by, role or user.role)
        if role in (None, user.role) and name in (None, user.name):
            return user
        before, after = counts_for(user.role, user.state), counts_for(role or user.role, user.state)
        model = type(user)
        changes = [model.role.set(role)] if role is not None else []
        changes += [model.name.set(name)] if name is not None else []
        change = Update(model, user.pk, PERSON, [*changes, model.version.add(1)], unchanged(user))
        if commit_one(shared(), Group(user.pk, [change, *recount(tenant_id, before, after), *standing(by, user.pk)])):
            logger.info(
                "person changed",
                extra={"tenant_id": tenant_id, "user_id": user.pk, "role": role or user.role, "by": by.subject},
            )
            return find_person(tenant_id, user_id)
        check_standing(by)
        _check_an_owner_remains(tenant_id, before, after)
    raise _busy()


def remove(tenant_id: str, user_id: str, *, by: Caller, now: datetime) -> None:
    """Removes a person: the seat is free, their sessions end, and nobody signs in as them again.

    Their address can be invited anew, as another person with nothing of the former. Removing again finishes what an
    interrupted removal left. Raises NotFound, Forbidden like `change_person`, and Conflict for the last owner.
    """
    for _ in range(TRIES):
        user = find_person(tenant_id, user_id)
        _check_may_change(by, user)
        if user.state == REMOVED or _removed(user, by, now):
            release(user)
            return
        check_standing(by)
        _check_an_owner_remains(tenant_id, counts_for(user.role, user.state), NOBODY)
    raise _busy()


def end_sessions(tenant_id: str, user_id: str, *, by: Caller, now: datetime) -> None:
    """Signs a person out everywhere; they may sign in again. Nothing happens to one who is not signed in.

    Raises NotFound, and Forbidden when the caller may not change this person.
    """
    user = find_person(tenant_id, user_id)
    _check_may_change(by, user)
    check_standing(by)
    if user.state == ACTIVE:
        sessions.end_sessions(user, now=now)


def find_person(tenant_id: str, user_id: str) -> User:
    """The tenant's person; another tenant's is answered like one who does not exist. Raises NotFound."""
    model = shared().bind(User)
    user = model.find_if(user_id, PERSON, model.tenant_id == tenant_id) if is_id("usr", user_id) else None
    if user is None:
        raise NotFound("no person under that id")
    return user


def check_may_invite_again(user: User, by: Caller) -> None:
    """Raises Conflict for a person who is not (or no longer) invited, and Forbidden like `change_person`."""
    _check_may_change(by, user)
    check_standing(by)
    if user.state != INVITED:
        why = "has joined already" if user.state == ACTIVE else "was removed; invite them anew"
        raise Conflict(f"the person {why}", state=user.state)


def _new_user(tenant_id: str, address: str, name: str | None, role: str, now: datetime) -> User:
    return shared().bind(User)(
        new_id("usr", at=now), PERSON, tenant_id=tenant_id, email=address, name=name, role=role, invited_at=now
    )


def _entered(user: User) -> list[Write]:
    """What makes a person known: the person, the place among the tenant's people, and whose the address is."""
    pointer = shared().bind(EmailPointer)
    by_email = pointer(people.email_key(user.email), EMAIL, user_id=user.pk, tenant_id=user.tenant_id)
    listing = shared().bind(Listing)(user.tenant_id, f"{PERSON}#{user.pk}")
    return [Put(user, type(user).pk.does_not_exist()), Put(listing), Put(by_email, pointer.pk.does_not_exist())]


def _removed(user: User, by: Caller, now: datetime) -> bool:
    if not commit_one(shared(), Group(user.pk, [*removal_of(user, now), *standing(by, user.pk)])):
        return False
    logger.info("person removed", extra={"tenant_id": user.tenant_id, "user_id": user.pk, "by": by.subject})
    return True


def _is_owner_of(user: User, tenant_id: str) -> bool:
    return user.tenant_id == tenant_id and user.role == OWNER and user.state != REMOVED


def _check_may_give(by: Caller, role: str) -> None:
    if role == OWNER and by.role != OWNER:
        raise Forbidden("only an owner makes an owner", pointer="/role", rule="owners_only")
    if beyond := sorted(scopes_of(role) - {SELF} - by.scopes):
        raise Forbidden(
            f"nobody gives a role that carries more than they do; you lack {', '.join(beyond)}",
            pointer="/role",
            rule="beyond_own_scopes",
            scopes=beyond,
        )


def _check_may_change(by: Caller, user: User) -> None:
    if by.subject == user.pk:
        if (user.state, user.role) != (ACTIVE, by.role):
            raise no_longer()
        return
    if user.role == OWNER and by.role != OWNER:
        raise Forbidden("only an owner changes or removes an owner", rule="owners_only")
    if beyond := sorted(scopes_of(user.role) - {SELF} - by.scopes):
        raise Forbidden(
            f"nobody changes a person whose role carries more than they do; you lack {', '.join(beyond)}",
            rule="beyond_own_scopes",
            scopes=beyond,
        )


def _check_free(tenant_id: str, address: str) -> None:
    """Raises Conflict for an address that is somebody's; one of a person who was removed here is set free."""
    pointer = shared().bind(EmailPointer).find(people.email_key(address), EMAIL)
    if pointer is None:
        return
    if pointer.tenant_id != tenant_id:
        raise _unusable()
    holder = people.find_user(pointer.user_id)
    if holder is None or holder.state != REMOVED:
        raise Conflict("a person of this tenant has that address already", pointer="/email", user_id=pointer.user_id)
    release(holder)


def _check_seats(tenant_id: str, seats: int) -> None:
    used = people.seats_used(tenant_id)
    if used >= seats:
        raise Conflict(
            f"{used} of {seats} seats are in use; remove somebody, or add seats by PATCH /v1/billing/subscription",
            rule="seats",
            seats=seats,
            seats_used=used,
        )


def _check_an_owner_remains(tenant_id: str, before: Counted, after: Counted) -> None:
    count = people.headcount(tenant_id)
    if after.owners < before.owners and count.owners <= 1:
        raise Conflict("this is the last owner; make somebody else an owner first", rule="last_owner")
    if after.owners_joined < before.owners_joined and count.owners_joined <= 1:
        raise Conflict("this is the last owner who has joined; another one must sign in first", rule="last_owner")


def _unusable() -> Conflict:
    # The same for an address that no mail reaches, one of another tenant's and one at a checkout: it tells not which.
    return Conflict("that address cannot be used here; ask the person for another one", pointer="/email")


def _busy() -> Conflict:
    return Conflict("the tenant's people are being changed by others; try again")
