"""What is particular to a Cognito user pool, on MiniStack's; and a cell that has none."""

from __future__ import annotations

import time
from dataclasses import replace

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from chalicelib.identity import cognito
from chalicelib.platform.aws import client
from chalicelib.platform.errors import Conflict, Invalid, Unauthenticated, Unavailable
from chalicelib.platform.ids import new_id
from chalicelib.platform.settings import settings
from infra.local.issuer.provider import totp_code
from tests.identity.providers import Pool, address


@pytest.fixture
def email(aws: None) -> str:
    return address("ann", new_id("ten"))


@pytest.fixture
def ann(pool: Pool, email: str) -> str:
    """The address of a person who has chosen a password."""
    cognito.create_user(email)
    pool.choose_password(email)
    return email


@pytest.fixture
def no_pool(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    without = replace(settings(), user_pool_id="")
    monkeypatch.setattr(cognito, "settings", lambda: without)


def in_pool(email: str) -> list[dict]:
    found = boto3.client("cognito-idp").list_users(UserPoolId=settings().user_pool_id, Filter=f'email = "{email}"')
    return found["Users"]


def test_a_person_is_made_with_a_verified_address_and_made_again_is_the_same(email) -> None:
    for _ in range(2):
        cognito.create_user(email)
    (user,) = in_pool(email)
    attributes = {each["Name"]: each["Value"] for each in user["Attributes"]}
    assert (attributes["email"], attributes["email_verified"]) == (email, "true")
    assert user["UserStatus"] == "FORCE_CHANGE_PASSWORD"


def test_a_person_who_is_deleted_is_gone_and_can_be_deleted_again(email) -> None:
    cognito.create_user(email)
    for _ in range(2):
        cognito.delete_user(email)
    assert in_pool(email) == []


def test_the_pool_tells_the_verified_address_of_a_token(pool, ann) -> None:
    assert cognito.verified_email(pool.sign_in(ann)) == ann


def test_an_address_that_is_not_verified_is_none(pool, ann) -> None:
    token = pool.sign_in(ann)
    boto3.client("cognito-idp").admin_update_user_attributes(
        UserPoolId=settings().user_pool_id,
        Username=ann,
        UserAttributes=[{"Name": "email_verified", "Value": "false"}],
    )
    assert cognito.verified_email(token) is None


def test_a_token_of_somebody_who_was_deleted_is_refused(pool, ann) -> None:
    token = pool.sign_in(ann)
    cognito.delete_user(ann)
    with pytest.raises(Unauthenticated, match="sign in again"):
        cognito.verified_email(token)


@pytest.mark.parametrize("token", ["nonsense", "a.b.c"])
def test_what_is_no_token_is_refused(aws: None, token) -> None:
    with pytest.raises(Unauthenticated):
        cognito.verified_email(token)


def test_signing_out_everywhere_ends_what_could_be_refreshed(pool, ann) -> None:
    tokens = pool.begin(ann)["AuthenticationResult"]
    for _ in range(2):
        cognito.sign_out_everywhere(ann)
    with pytest.raises(Unauthenticated):
        cognito.verified_email(tokens["AccessToken"])
    cognito.sign_out_everywhere(address("nobody", new_id("ten")))


def test_an_authenticator_counts_once_a_code_of_it_was_seen(pool, ann) -> None:
    token = pool.sign_in(ann)
    secret = cognito.associate_totp(token)
    assert "AuthenticationResult" in pool.begin(ann)
    assert not cognito.asks_for_totp(token)

    with pytest.raises(Invalid) as refused:
        cognito.confirm_totp(token, totp_code(secret, time.time() - 3600))
    assert refused.value.pointer == "/code"
    assert "AuthenticationResult" in pool.begin(ann)

    for _ in range(2):
        cognito.confirm_totp(token, totp_code(secret, time.time()))
    assert pool.begin(ann)["ChallengeName"] == "SOFTWARE_TOKEN_MFA"
    assert cognito.asks_for_totp(pool.sign_in(ann, totp_secret=secret))


def test_a_code_without_a_secret_is_refused(pool, ann) -> None:
    with pytest.raises(Invalid):
        cognito.confirm_totp(pool.sign_in(ann), "123456")


def test_a_cell_without_a_pool_makes_and_ends_nothing_and_says_where_to_enrol(no_pool, email) -> None:
    cognito.create_user(email)
    cognito.sign_out_everywhere(email)
    cognito.delete_user(email)
    assert in_pool(email) == []
    with pytest.raises(Conflict, match="provider of their own"):
        cognito.associate_totp("token")
    with pytest.raises(Conflict, match="provider of their own"):
        cognito.confirm_totp("token", "123456")


@pytest.mark.parametrize(
    "failure",
    [
        ClientError({"Error": {"Code": "TooManyRequestsException"}}, "GetUser"),
        ClientError({"Error": {"Code": "InternalErrorException"}}, "GetUser"),
        EndpointConnectionError(endpoint_url="https://cognito-idp"),
    ],
)
def test_a_pool_that_fails_is_no_reason_to_sign_in_again(aws: None, monkeypatch, failure) -> None:
    def failing(**_: object) -> None:
        raise failure

    monkeypatch.setattr(client("cognito-idp"), "get_user", failing)
    with pytest.raises(Unavailable, match="try again in a minute"):
        cognito.verified_email("token")


def test_what_the_pool_refuses_of_our_own_calls_is_not_hidden(aws: None, monkeypatch, email) -> None:
    without = replace(settings(), user_pool_id="eu-central-1_nothing")
    monkeypatch.setattr(cognito, "settings", lambda: without)
    for verb in (cognito.create_user, cognito.delete_user, cognito.sign_out_everywhere):
        with pytest.raises(ClientError, match="ResourceNotFoundException"):
            verb(email)
