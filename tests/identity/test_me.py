"""Whoever is signed in, about themselves: through Chalice's own client, the real authorizer and both providers."""

from __future__ import annotations

import base64
import json
import time
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from chalice.test import Client

from chalicelib.identity import add_owner, api_keys, cognito, me, membership, people
from chalicelib.identity.permissions import scopes_of
from chalicelib.platform.clock import utc_now
from chalicelib.platform.errors import NotFound
from infra.local.issuer.provider import totp_code
from tests.identity import crowd
from tests.identity.providers import Pool, address, registered


class Killed(BaseException):
    """The function went away; like a real kill, no `except Exception` sees it."""


@pytest.fixture
def http(aws: None):
    # A blueprint can be registered only once in a process, so this is the one app there is.
    from app import app

    with Client(app, stage_name="unit") as client:
        yield client.http


@pytest.fixture
def send(http):
    """Calls the API with a credential, and returns status, document and headers."""

    def call(credential: str, method: str, path: str, body: object = None) -> tuple[int, Any, Any]:
        raw = b"" if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {credential}", "Content-Type": "application/json"}
        answer = http.request(method, path, headers=headers, body=raw)
        return answer.status_code, json.loads(answer.body) if answer.body else None, answer.headers

    return call


@pytest.fixture
def tenant_id(aws: None) -> str:
    return registered()


@pytest.fixture
def owner(tenant_id: str, pool: Pool) -> people.User:
    """The invited owner, who has chosen a password."""
    user = add_owner(tenant_id, address("owner", tenant_id), "Ann Lee")
    pool.choose_password(user.email)
    return user


def collector_of(tenant_id: str) -> people.User:
    by = crowd.key(tenant_id)
    email = address("collector", tenant_id)
    return membership.invite(tenant_id, email=email, name=None, role="collector", seats=9, by=by, now=utc_now())


def code_of(secret: str) -> str:
    return totp_code(secret, time.time())


def a_second_passes(user: people.User) -> None:
    """What happened to a person happened a second ago. Tokens count whole seconds: who signs in within the second of an
    end of sessions is taken to have done so before it. No person is that fast, but a test is."""
    stored = people.find_user(user.pk)
    actions = [
        attribute.set(moment - timedelta(seconds=1))
        for attribute, moment in (
            (people.User.totp_since, stored.totp_since),
            (people.User.sessions_valid_after, stored.sessions_valid_after),
        )
        if moment is not None
    ]
    stored.update(actions=actions)


def enrolled(send, pool: Pool, user: people.User) -> str:
    """The secret of the authenticator that a person has enrolled."""
    token = pool.sign_in(user.email)
    _, enrolment, _ = send(token, "POST", "/v1/me/totp")
    assert send(token, "POST", "/v1/me/totp/confirm", {"code": code_of(enrolment["secret"])})[0] == 204
    a_second_passes(user)
    return enrolment["secret"]


def test_an_owner_signs_in_at_the_user_pool_enrols_an_authenticator_and_has_every_scope(send, pool, owner) -> None:
    first = pool.sign_in(owner.email)

    status, shown, _ = send(first, "GET", "/v1/me")
    assert (status, shown["id"], shown["name"], shown["role"]) == (200, owner.pk, "Ann Lee", "owner")
    assert (shown["scopes"], shown["second_factor"], shown["totp_since"]) == (["self"], "required", None)
    status, refused, _ = send(first, "GET", "/v1/api-keys")
    assert (status, refused["rule"]) == (403, "mfa_required")
    assert "POST /v1/me/totp" in refused["detail"]

    status, enrolment, headers = send(first, "POST", "/v1/me/totp")
    assert (status, headers["Cache-Control"]) == (200, "no-store")
    assert len(base64.b32decode(enrolment["secret"])) >= 16
    uri = urlsplit(enrolment["otpauth_uri"])
    assert (uri.scheme, uri.netloc, uri.path) == ("otpauth", "totp", f"/Duebridge:{owner.email}")
    assert parse_qs(uri.query) == {"secret": [enrolment["secret"]], "issuer": ["Duebridge"]}

    wrong = totp_code(enrolment["secret"], time.time() - 3600)
    status, refused, _ = send(first, "POST", "/v1/me/totp/confirm", {"code": wrong})
    assert (status, refused["pointer"]) == (422, "/code")
    assert send(first, "GET", "/v1/me")[1]["second_factor"] == "required"

    confirmed = {"code": code_of(enrolment["secret"])}
    assert send(first, "POST", "/v1/me/totp/confirm", confirmed)[0] == 204
    status, refused, _ = send(first, "GET", "/v1/me")
    assert (status, refused["detail"]) == (401, "this session was ended; sign in again")

    a_second_passes(owner)
    second = pool.sign_in(owner.email, totp_secret=enrolment["secret"])
    status, shown, _ = send(second, "GET", "/v1/me")
    assert (status, shown["scopes"], shown["second_factor"]) == (200, sorted(scopes_of("owner")), "shown")
    assert shown["totp_since"] is not None
    assert send(second, "GET", "/v1/api-keys")[0] == 200


def test_an_owner_signs_in_at_their_own_provider_whose_second_factor_counts(send, bank, tenant_id) -> None:
    owner = add_owner(tenant_id, address("owner", tenant_id))
    first = bank.sign_in(bank.person(owner.email))
    status, shown, _ = send(first, "GET", "/v1/me")
    assert (status, shown["id"], shown["scopes"], shown["second_factor"]) == (200, owner.pk, ["self"], "required")
    assert send(first, "GET", "/v1/api-keys")[1]["rule"] == "mfa_required"
    for path, body in (("/v1/me/totp", None), ("/v1/me/totp/confirm", {"code": "123456"})):
        status, refused, _ = send(first, "POST", path, body)
        assert (status, refused["rule"]) == (409, "second_factor_at_the_provider")

    second = bank.sign_in(bank.person(owner.email, totp=True))
    status, shown, _ = send(second, "GET", "/v1/me")
    assert (status, shown["scopes"], shown["second_factor"]) == (200, sorted(scopes_of("owner")), "shown")
    assert send(second, "GET", "/v1/api-keys")[0] == 200
    bank.server.issuer.rotate("EC")
    assert send(second, "GET", "/v1/me")[0] == 200


def test_an_id_token_of_the_user_pool_signs_nobody_in(send, pool, owner) -> None:
    token = pool.begin(owner.email)["AuthenticationResult"]["IdToken"]
    status, refused, _ = send(token, "GET", "/v1/me")
    assert (status, refused["detail"]) == (401, "the access token is not valid: it is not an access token (token_use)")


def test_a_collector_may_enrol_and_need_not(send, pool, tenant_id) -> None:
    user = collector_of(tenant_id)
    cognito.create_user(user.email)
    pool.choose_password(user.email)
    status, shown, _ = send(pool.sign_in(user.email), "GET", "/v1/me")
    assert (status, shown["scopes"], shown["second_factor"]) == (200, sorted(scopes_of("collector")), "optional")
    secret = enrolled(send, pool, user)
    assert pool.begin(user.email)["ChallengeName"] == "SOFTWARE_TOKEN_MFA"
    assert send(pool.sign_in(user.email, totp_secret=secret), "GET", "/v1/me")[0] == 200


def test_a_browser_signs_in_at_the_pools_own_pages_by_code_and_pkce(send, pool, tenant_id) -> None:
    user = collector_of(tenant_id)
    cognito.create_user(user.email)
    pool.choose_password(user.email)
    status, shown, _ = send(pool.sign_in_by_code(user.email), "GET", "/v1/me")
    assert (status, shown["email"], shown["role"]) == (200, user.email, "collector")


def test_another_authenticator_replaces_the_first_once_it_is_confirmed(send, pool, owner) -> None:
    first = enrolled(send, pool, owner)
    token = pool.sign_in(owner.email, totp_secret=first)
    second = send(token, "POST", "/v1/me/totp")[1]["secret"]
    assert second != first
    assert send(pool.sign_in(owner.email, totp_secret=first), "GET", "/v1/api-keys")[0] == 200
    assert send(token, "POST", "/v1/me/totp/confirm", {"code": code_of(second)})[0] == 204
    assert send(token, "GET", "/v1/me")[0] == 401
    a_second_passes(owner)
    assert send(pool.sign_in(owner.email, totp_secret=second), "GET", "/v1/api-keys")[0] == 200


def test_an_authenticator_is_replaced_only_by_who_has_just_shown_a_code_of_it(send, pool, owner, monkeypatch) -> None:
    first = enrolled(send, pool, owner)
    token = pool.sign_in(owner.email, totp_secret=first)
    second = send(token, "POST", "/v1/me/totp")[1]["secret"]
    later = utc_now() + me.SIGNED_IN_AFRESH + timedelta(seconds=1)
    monkeypatch.setattr("chalicelib.identity.me_routes.utc_now", lambda: later)
    for path, body in (("/v1/me/totp", None), ("/v1/me/totp/confirm", {"code": code_of(second)})):
        status, refused, _ = send(token, "POST", path, body)
        assert (status, refused["rule"]) == (403, "sign_in_again")
    assert send(token, "GET", "/v1/api-keys")[0] == 200, "everything else goes on"
    assert send(pool.sign_in(owner.email, totp_secret=first), "GET", "/v1/api-keys")[0] == 200


def test_the_first_authenticator_may_be_enrolled_at_any_time_of_a_session(send, pool, owner, monkeypatch) -> None:
    token = pool.sign_in(owner.email)
    later = utc_now() + me.SIGNED_IN_AFRESH + timedelta(seconds=1)
    monkeypatch.setattr("chalicelib.identity.me_routes.utc_now", lambda: later)
    secret = send(token, "POST", "/v1/me/totp")[1]["secret"]
    assert send(token, "POST", "/v1/me/totp/confirm", {"code": code_of(secret)})[0] == 204


def test_ending_ones_sessions_ends_this_one_too(send, pool, owner) -> None:
    secret = enrolled(send, pool, owner)
    one, other = (pool.sign_in(owner.email, totp_secret=secret) for _ in range(2))
    assert send(one, "DELETE", "/v1/me/sessions")[0] == 204
    for token in (one, other):
        assert send(token, "GET", "/v1/me")[1]["detail"] == "this session was ended; sign in again"
    a_second_passes(owner)
    assert send(pool.sign_in(owner.email, totp_secret=secret), "GET", "/v1/me")[0] == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/me"), ("POST", "/v1/me/totp"), ("POST", "/v1/me/totp/confirm"), ("DELETE", "/v1/me/sessions")],
)
def test_an_api_key_is_nobody_and_an_unknown_caller_is_refused(send, tenant_id, method, path) -> None:
    key, _ = api_keys.create(tenant_id, name="owner", scopes=api_keys.SCOPES, now=utc_now())
    status, refused, _ = send(key, method, path, {"code": "123456"})
    assert (status, refused["scope"]) == (403, "self")
    assert send("nonsense", method, path)[0] == 401


@pytest.mark.parametrize("code", ["", "12345", "1234567", "12345a", "１２３４５６", "123456\n", 123456, None])
def test_a_code_is_six_digits(send, pool, owner, code) -> None:
    status, refused, _ = send(pool.sign_in(owner.email), "POST", "/v1/me/totp/confirm", {"code": code})
    assert (status, refused["pointer"]) == (422, "/code")


def test_who_turns_the_authenticator_off_at_the_pool_has_to_enrol_again(send, pool, owner) -> None:
    first = enrolled(send, pool, owner)
    token = pool.sign_in(owner.email, totp_secret=first)
    boto3.client("cognito-idp").set_user_mfa_preference(
        AccessToken=token, SoftwareTokenMfaSettings={"Enabled": False, "PreferredMfa": False}
    )
    with_password_alone = pool.sign_in(owner.email)
    assert send(with_password_alone, "GET", "/v1/me")[1]["scopes"] == ["self"]
    assert send(with_password_alone, "GET", "/v1/api-keys")[1]["rule"] == "mfa_required"
    second = enrolled(send, pool, owner)
    assert send(pool.sign_in(owner.email, totp_secret=second), "GET", "/v1/api-keys")[0] == 200


@pytest.mark.parametrize("step", ["people", "sign_out"])
def test_an_enrolment_that_was_killed_is_begun_again_or_is_whole(send, pool, owner, monkeypatch, step) -> None:
    token = pool.sign_in(owner.email)
    assert send(token, "GET", "/v1/me")[0] == 200
    user = me.find_me(owner.tenant_id, owner.pk)
    secret = me.begin_totp(user, token, now=utc_now()).secret

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as broken:
        if step == "people":
            broken.setattr(people.User, "update_if", killed)
        else:
            broken.setattr(cognito, "sign_out_everywhere", killed)
        with pytest.raises(Killed):
            me.confirm_totp(user, token, code_of(secret), now=utc_now())

    if step == "people":
        assert send(token, "GET", "/v1/me")[1]["second_factor"] == "required"
        secret = me.begin_totp(user, token, now=utc_now()).secret
        me.confirm_totp(user, token, code_of(secret), now=utc_now())
    assert send(token, "GET", "/v1/me")[0] == 401
    a_second_passes(owner)
    assert send(pool.sign_in(owner.email, totp_secret=secret), "GET", "/v1/api-keys")[0] == 200


def test_who_was_removed_meanwhile_enrols_nothing(pool, owner) -> None:
    token = pool.sign_in(owner.email)
    owner.update(actions=[type(owner).state.set("removed"), type(owner).issuer.set(_issuer_of(pool))])
    secret = me.begin_totp(owner, token, now=utc_now()).secret
    with pytest.raises(NotFound):
        me.confirm_totp(owner, token, code_of(secret), now=utc_now())
    assert people.find_user(owner.pk).totp_since is None


def test_nobody_finds_another_tenants_person_as_themselves(owner, aws: None) -> None:
    assert me.find_me(owner.tenant_id, owner.pk).pk == owner.pk
    for tenant_id, user_id in ((registered(), owner.pk), (owner.tenant_id, "usr_x"), (owner.tenant_id, "key_x")):
        with pytest.raises(NotFound):
            me.find_me(tenant_id, user_id)


def test_an_authenticator_that_was_enrolled_later_does_not_lift_a_session_that_began_before(send, pool, owner) -> None:
    token = pool.sign_in(owner.email)
    assert send(token, "GET", "/v1/me")[0] == 200
    model = type(owner)
    owner.update(actions=[model.totp_since.set(utc_now() + timedelta(seconds=1))])
    assert send(token, "GET", "/v1/me")[1]["scopes"] == ["self"]


def _issuer_of(pool: Pool) -> str:
    from chalicelib.identity.issuers import issuers

    return next(iter(issuers()))
