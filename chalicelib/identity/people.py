"""The people of a tenant: who they are, how a sign-in finds them, and how many seats they take.

A person is one item. Pointers under keyed hashes find it by e-mail address and by the identity that an issuer vouches
for, so one address belongs to one person of one tenant in the whole service. A listing names the people of a tenant,
and a headcount is changed in the same transaction as whatever it counts, so it is exact.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pynamodb.attributes import UnicodeAttribute, UTCDateTimeAttribute
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from chalicelib.identity.keyed import keyed_hash
from chalicelib.platform.attributes import IntegerAttribute
from chalicelib.platform.batches import read_each, read_partition
from chalicelib.platform.commit import Group, Put, Update, Write, commit_one
from chalicelib.platform.errors import Conflict
from chalicelib.platform.ids import is_id
from chalicelib.platform.pages import Cursor, page_of
from chalicelib.platform.store import SharedModel, StoredModel, shared
from chalicelib.platform.telemetry import logger

INVITED, ACTIVE, REMOVED = "invited", "active", "removed"
OWNER = "owner"

PERSON, EMAIL, IDENTITY, HEADCOUNT = "user", "email", "identity", "people"
"""The `sk` of the items of people; a listing's `sk` is `user#` and the person's id."""

TRIES = 5
"""How often a change is tried when others change the same people at the same time."""


class User(SharedModel):
    """A person: `pk` is the id, `sk` is always `user`. `email` is in lower case.

    `issuer` and `subject` are null until the first sign-in and after a removal. Tokens issued before
    `sessions_valid_after` no longer count; `totp_since` is when a second factor was enrolled.
    """

    class Meta:
        table_kind = "credentials"

    tenant_id = UnicodeAttribute()
    email = UnicodeAttribute()
    name = UnicodeAttribute(null=True)
    role = UnicodeAttribute()
    state = UnicodeAttribute(default=INVITED)
    issuer = UnicodeAttribute(null=True)
    subject = UnicodeAttribute(null=True)
    sessions_valid_after = UTCDateTimeAttribute(null=True)
    totp_since = UTCDateTimeAttribute(null=True)
    invited_at = UTCDateTimeAttribute()
    joined_at = UTCDateTimeAttribute(null=True)
    removed_at = UTCDateTimeAttribute(null=True)
    version = IntegerAttribute(default=1)


class EmailPointer(SharedModel):
    """Whose an e-mail address is: `pk` is `email#` and its keyed hash, `sk` is always `email`."""

    class Meta:
        table_kind = "credentials"

    user_id = UnicodeAttribute()
    tenant_id = UnicodeAttribute()


class IdentityPointer(SharedModel):
    """Who signs in: `pk` is `identity#` and the keyed hash of issuer and subject, `sk` is always `identity`."""

    class Meta:
        table_kind = "credentials"

    user_id = UnicodeAttribute()


class Listing(SharedModel):
    """That a tenant has a person: `pk` is the tenant's id, `sk` is `user#` and the person's id."""

    class Meta:
        table_kind = "credentials"


class Headcount(SharedModel):
    """How many seats a tenant's people take, how many of them are owners, and how many owners have joined: `pk` is the
    tenant's id, `sk` is always `people`."""

    class Meta:
        table_kind = "credentials"

    seats_used = IntegerAttribute(default=0)
    owners = IntegerAttribute(default=0)
    owners_joined = IntegerAttribute(default=0)


@dataclass(frozen=True)
class Counted:
    """What a person counts for in the headcount."""

    seats_used: int
    owners: int
    owners_joined: int


NOBODY = Counted(0, 0, 0)


class Identified(Protocol):
    """What an issuer says about whoever signs in (`tokens.Claims`)."""

    @property
    def issuer(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def email(self) -> str | None: ...
    @property
    def email_verified(self) -> bool: ...


def counts_for(role: str, state: str) -> Counted:
    """What a person of a role and a state counts for: an invitation takes a seat, a removed person takes none."""
    if state == REMOVED:
        return NOBODY
    return Counted(1, int(role == OWNER), int(role == OWNER and state == ACTIVE))


def recount(tenant_id: str, before: Counted, after: Counted, *, seats: int | None = None) -> list[Write]:
    """The write that keeps the headcount exact beside a change of one person; none when nothing is to be counted.

    It holds the transaction to two rules: no more people than `seats`, when that is given, and always an owner who has
    joined, if there was one, and always an owner.
    """
    model = shared().bind(Headcount)
    actions: list[Action] = []
    conditions: list[Condition] = []
    for attribute, change in (
        (model.seats_used, after.seats_used - before.seats_used),
        (model.owners, after.owners - before.owners),
        (model.owners_joined, after.owners_joined - before.owners_joined),
    ):
        if change:
            actions.append(attribute.add(change))
        if change < 0 and attribute is not model.seats_used:
            conditions.append(attribute > 1)
        if change > 0 and attribute is model.seats_used and seats is not None:
            conditions.append(attribute.does_not_exist() | (attribute < seats))
    if not actions:
        return []
    held = conditions[0] if conditions else None
    for condition in conditions[1:]:
        held = condition if held is None else held & condition
    return [Update(model, tenant_id, HEADCOUNT, actions, held)]


def find_user(user_id: str) -> User | None:
    """The person under an id, also one who was removed."""
    return shared().bind(User).find(user_id, PERSON) if is_id("usr", user_id) else None


def find_by_email(address: str) -> User | None:
    """Whoever has an e-mail address, in any tenant. What this says must not be told to other tenants."""
    pointer = shared().bind(EmailPointer).find(email_key(address), EMAIL)
    return None if pointer is None else find_user(pointer.user_id)


def find_by_identity(issuer: str, subject: str) -> User | None:
    """Whoever signs in with an identity; None until it was bound, and after the person was removed."""
    pointer = shared().bind(IdentityPointer).find(identity_key(issuer, subject), IDENTITY)
    return None if pointer is None else find_user(pointer.user_id)


def bind(claims: Identified, *, now: datetime) -> User | None:
    """Ties an identity to the invited person whose e-mail address the issuer has verified, who thereby joins.

    None when nobody with that address is invited. This happens once to a person: their identity never changes after.
    """
    if claims.email is None or not claims.email_verified:
        return None
    for _ in range(TRIES):
        user = find_by_email(claims.email)
        if user is None or user.state != INVITED:
            # Perhaps the same person's other call was faster.
            return find_by_identity(claims.issuer, claims.subject)
        if commit_one(shared(), Group(user.pk, _binding(user, claims, now))):
            logger.info("joined", extra={"tenant_id": user.tenant_id, "user_id": user.pk, "role": user.role})
            user.refresh(consistent_read=True)
            return user
    raise Conflict("the person is being changed by others; sign in again")


def list_people(tenant_id: str, *, limit: int, cursor: Cursor | None) -> tuple[list[User], Cursor | None]:
    """A page of the tenant's people, newest first, also those who were removed; and where to go on."""
    listed, position = page_of(
        shared().bind(Listing), tenant_id, prefix=f"{PERSON}#", limit=limit, cursor=cursor, newest_first=True
    )
    return _read(listed), position


def people_in(tenant_id: str) -> list[User]:
    """Everybody whom the tenant ever invited, oldest first, also those who were removed."""
    listed = read_partition(shared(), tenant_id, {PERSON: shared().bind(Listing)})
    return _read(listed)


def owners_of(tenant_id: str) -> list[User]:
    """The tenant's owners, oldest first, also those who have not joined yet."""
    return [user for user in people_in(tenant_id) if user.role == OWNER and user.state != REMOVED]


def headcount(tenant_id: str) -> Headcount:
    """The tenant's headcount as it is now."""
    model = shared().bind(Headcount)
    return model.find(tenant_id, HEADCOUNT) or model(tenant_id, HEADCOUNT)


def seats_used(tenant_id: str) -> int:
    """How many seats the tenant's people take; an invitation takes one."""
    return headcount(tenant_id).seats_used


def email_key(address: str) -> str:
    """The `pk` of an address's pointer; upper and lower case are one address."""
    return f"{EMAIL}#{keyed_hash(address.lower())}"


def identity_key(issuer: str, subject: str) -> str:
    """The `pk` of an identity's pointer."""
    return f"{IDENTITY}#{keyed_hash(f'{issuer}|{subject}')}"


def _binding(user: User, claims: Identified, now: datetime) -> list[Write]:
    model, pointer = type(user), shared().bind(IdentityPointer)
    join = Update(
        model,
        user.pk,
        PERSON,
        [
            model.issuer.set(claims.issuer),
            model.subject.set(claims.subject),
            model.state.set(ACTIVE),
            model.joined_at.set(now),
            model.version.add(1),
        ],
        (model.state == INVITED) & (model.version == user.version),
    )
    found_by = pointer(identity_key(claims.issuer, claims.subject), IDENTITY, user_id=user.pk)
    joined = recount(user.tenant_id, counts_for(user.role, INVITED), counts_for(user.role, ACTIVE))
    return [join, Put(found_by, pointer.pk.does_not_exist()), *joined]


def _read(listed: Iterable[StoredModel]) -> list[User]:
    ids = [each.sk.removeprefix(f"{PERSON}#") for each in listed]
    found = read_each(shared(), shared().bind(User), ids, PERSON)
    return [found[user_id] for user_id in ids if user_id in found]
