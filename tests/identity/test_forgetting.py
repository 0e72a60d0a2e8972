"""Erasing a tenant's people and keys: all that finds them goes, nothing of others does, and it may be repeated."""

from __future__ import annotations

import contextlib

import boto3
import pytest
from pynamodb.connection import Connection

from chalicelib.identity import api_keys, cognito, forgetting, key_ring, membership, people
from chalicelib.identity.api_keys import SCOPES
from chalicelib.platform.errors import Unauthenticated
from chalicelib.platform.ids import new_id
from chalicelib.platform.settings import settings
from tests.identity.crowd import caller, colleague, invited, owner_of


def everything_in_the_table() -> set[tuple[str, str]]:
    pages = (
        boto3.client("dynamodb")
        .get_paginator("scan")
        .paginate(TableName=settings().shared_table("credentials"), ConsistentRead=True)
    )
    return {(item["pk"]["S"], item["sk"]["S"]) for page in pages for item in page["Items"]}


@pytest.fixture
def before(aws) -> set[tuple[str, str]]:
    return everything_in_the_table()


@pytest.fixture
def tenant_id(before, now) -> str:
    """A tenant with two who joined, one who is invited, one who was removed, and keys that stand and do not."""
    tenant_id = new_id("ten")
    by = caller(owner_of(tenant_id, now))
    colleague(tenant_id, "collector", by, now)
    cognito.create_user(invited(tenant_id, "auditor", by, now).email)
    membership.remove(tenant_id, colleague(tenant_id, "admin", by, now).pk, by=by, now=now)
    for _ in range(2):
        key_ring.create_key(
            tenant_id,
            name="k",
            scopes=SCOPES,
            by=by,
            expires_at=None,
            allowed_networks=[],
            now=now,
        )
    return tenant_id


def forget(tenant_id: str) -> None:
    forgetting.forget_keys(tenant_id)
    forgetting.forget_people(tenant_id)


def test_nothing_of_a_forgotten_tenant_is_left_in_the_table(tenant_id, before) -> None:
    assert all(forgetting.left_of(tenant_id).values())
    assert forgetting.forget_keys(tenant_id) == 2
    assert forgetting.forget_people(tenant_id) == 4
    assert set(forgetting.left_of(tenant_id).values()) == {0}
    assert everything_in_the_table() == before


def test_forgetting_again_finds_nothing(tenant_id) -> None:
    forget(tenant_id)
    assert (forgetting.forget_keys(tenant_id), forgetting.forget_people(tenant_id)) == (0, 0)


def test_a_forgotten_key_no_longer_works(tenant_id, now) -> None:
    text, _ = api_keys.create(tenant_id, name="k", scopes=SCOPES, now=now)
    forget(tenant_id)
    with pytest.raises(Unauthenticated):
        api_keys.verify(text, now=now)


def test_nobody_of_a_forgotten_tenant_is_in_the_user_pool(tenant_id) -> None:
    addresses = [user.email for user in people.people_in(tenant_id)]
    assert (
        forgetting.sign_ins_left(tenant_id, addresses) == 2
    )  # the owner, and who is invited; nobody wrote to the others
    forget(tenant_id)
    assert forgetting.sign_ins_left(tenant_id, addresses) == 0
    client = boto3.client("cognito-idp")
    for address in addresses:
        with pytest.raises(client.exceptions.UserNotFoundException):
            client.admin_get_user(UserPoolId=settings().user_pool_id, Username=address)


def test_whoever_went_on_to_another_tenant_stays_there(tenant_id, now) -> None:
    removed = next(user for user in people.people_in(tenant_id) if user.state == "removed")
    other = owner_of(new_id("ten"), now)
    user = invited(other.tenant_id, "collector", caller(other), now, email=removed.email)
    cognito.create_user(user.email)
    forget(tenant_id)
    found = people.find_by_email(user.email)
    assert found is not None
    assert found.pk == user.pk
    pool = settings().user_pool_id
    assert boto3.client("cognito-idp").admin_get_user(UserPoolId=pool, Username=user.email)


@pytest.mark.parametrize("request_number", range(0, 40, 3))
def test_killed_before_any_request_the_next_try_forgets_the_rest(
    tenant_id, before, monkeypatch, request_number
) -> None:
    class Killed(Exception):
        pass

    sent = 0
    real = Connection.dispatch

    def dispatch(self, operation_name, operation_kwargs):
        nonlocal sent
        if operation_name in {"DeleteItem", "GetItem"}:
            sent += 1
            if sent > request_number:
                raise Killed
        return real(self, operation_name, operation_kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(Connection, "dispatch", dispatch)
        with contextlib.suppress(Killed):
            forget(tenant_id)
    forget(tenant_id)
    assert everything_in_the_table() == before
