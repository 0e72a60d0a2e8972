"""What is erased of a tenant's people and API keys, and what of them is left. Every step may be repeated.

An entry in a listing goes last, after everything that it leads to: killed anywhere, the next try finds the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from chalicelib.identity import api_keys, cognito, people
from chalicelib.identity.key_ring import RING, KeyRing
from chalicelib.identity.people import HEADCOUNT, IDENTITY, PERSON, Headcount, IdentityPointer, User
from chalicelib.identity.removal import release
from chalicelib.platform.batches import read_partition
from chalicelib.platform.store import StoredModel, shared
from chalicelib.platform.telemetry import logger


def forget_people(tenant_id: str) -> int:
    """Erases the tenant's people with what finds them and what they sign in with, and says how many were listed.

    An address that another tenant has invited since keeps its sign-in.
    """
    listed = _listed(tenant_id, PERSON, people.Listing)
    for entry in listed:
        user = people.find_user(entry.sk.removeprefix(f"{PERSON}#"))
        if user is not None:
            release(user)
            _forget_identity(user)
            user.delete()
        entry.delete()
    shared().bind(Headcount)(tenant_id, HEADCOUNT).delete()
    logger.info("people forgotten", extra={"tenant_id": tenant_id, "people": len(listed)})
    return len(listed)


def forget_keys(tenant_id: str) -> int:
    """Erases the tenant's API keys, which thereby stop working, and says how many were listed."""
    listed = _listed(tenant_id, api_keys.KEY, api_keys.Listing)
    for entry in listed:
        shared().bind(api_keys.ApiKey)(entry.sk.removeprefix(f"{api_keys.KEY}#"), api_keys.KEY).delete()
        entry.delete()
    shared().bind(KeyRing)(tenant_id, RING).delete()
    logger.info("API keys forgotten", extra={"tenant_id": tenant_id, "keys": len(listed)})
    return len(listed)


def left_of(tenant_id: str) -> Mapping[str, int]:
    """How many items of the tenant's people and API keys there still are, by what they are."""
    kinds: Mapping[str, type[StoredModel]] = {
        PERSON: people.Listing,
        HEADCOUNT: Headcount,
        api_keys.KEY: api_keys.Listing,
        RING: KeyRing,
    }
    return {kind: len(_listed(tenant_id, kind, model)) for kind, model in kinds.items()}


def sign_ins_left(tenant_id: str, addresses: Iterable[str]) -> int:
    """How many of the tenant's people the cell's user pool still knows: of those who are listed, and of `addresses`
    (people who were forgotten) where the address is nobody's since."""
    listed = {user.email for user in people.people_in(tenant_id) if user.state != people.REMOVED}
    forgotten = {address for address in addresses if people.find_by_email(address) is None}
    return sum(cognito.has_user(address) for address in listed | forgotten)


def _forget_identity(user: User) -> None:
    if user.issuer is not None and user.subject is not None:
        pointer = shared().bind(IdentityPointer)(people.identity_key(user.issuer, user.subject), IDENTITY)
        pointer.delete_if(type(pointer).user_id == user.pk)


def _listed(tenant_id: str, kind: str, model: type[StoredModel]) -> list[StoredModel]:
    return read_partition(shared(), tenant_id, {kind: shared().bind(model)})
