"""The authorizer: who a credential is, for which tenant, with which scopes; and who is refused, and why."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from chalice.app import AuthRequest

from chalicelib.identity import add_owner, api_keys, authorizer, membership, people, sessions, tokens
from chalicelib.identity.permissions import MFA_ROLES, ROLES, scopes_of
from chalicelib.platform.clock import utc_now
from chalicelib.platform.errors import Conflict, NotFound, Unavailable
from tests.identity import crowd
from tests.identity.providers import Bank, address, registered

HOUR = 3600


@pytest.fixture
def tenant_id(aws: None) -> str:
    return registered()


@pytest.fixture
def owner(tenant_id: str) -> people.User:
    """The invited owner."""
    return add_owner(tenant_id, address("owner", tenant_id))


def authorized(authorization: str) -> dict[str, Any]:
    """What the authorizer tells the routes. They are all let through, to answer for themselves."""
    answer = authorizer.authorize.func(AuthRequest("TOKEN", authorization, "arn"))
    assert answer.routes == ["*"]
    assert answer.principal_id == answer.context.get("subject", "nobody")
    return answer.context


def signed_in(token: str) -> dict[str, Any]:
    return authorized(f"Bearer {token}")


def invited(tenant_id: str, role: Any) -> people.User:
    """A person of a role, invited by somebody who may."""
    by = crowd.key(tenant_id)
    if role == "owner":
        return add_owner(tenant_id, address(role, tenant_id))
    return membership.invite(
        tenant_id, email=address(role, tenant_id), name=None, role=role, seats=99, by=by, now=utc_now()
    )


# --- API keys


def test_an_api_key_is_its_tenants_with_its_scopes_and_networks(tenant_id) -> None:
    text, key = api_keys.create(
        tenant_id, name="core", scopes={"feed:read", "cases:read"}, now=utc_now(), allowed_networks=["10.0.0.0/8"]
    )
    assert authorized(f"bearer  {text} ") == {
        "tenant_id": tenant_id,
        "subject": key.pk,
        "scopes": "cases:read feed:read",
        "networks": "10.0.0.0/8",
    }


@pytest.mark.parametrize("credential", ["", "nonsense", "db_key_", "one.dot", "x" * 3_000, "db_key_é"])
def test_what_is_neither_key_nor_token_is_refused_as_a_key(aws: None, credential) -> None:
    assert signed_in(credential) == {"refusal": "the API key is not valid"}


def test_another_scheme_is_told_what_is_accepted(aws: None) -> None:
    for header in ("", "Basic dXNlcjpwYXNz", "db_key_x"):
        assert authorized(header) == {"refusal": "the Authorization header must read: Bearer <API key or access token>"}


# --- people


def test_an_invited_persons_first_sign_in_binds_them_and_the_next_finds_them(bank, tenant_id) -> None:
    collector = invited(tenant_id, "collector")
    person = bank.person(address("collector", tenant_id).upper())
    context = signed_in(bank.sign_in(person))
    assert context == {
        "tenant_id": tenant_id,
        "subject": collector.pk,
        "scopes": " ".join(sorted(scopes_of("collector"))),
        "role": "collector",
    }
    joined = people.find_user(collector.pk)
    assert (joined.state, joined.issuer, joined.subject) == ("active", bank.server.url, person.subject)
    assert signed_in(bank.sign_in(person)) == context


@pytest.mark.parametrize("role", ROLES)
def test_a_role_that_needs_a_second_factor_may_do_nothing_else_before_it(bank, tenant_id, role) -> None:
    user = invited(tenant_id, role)
    context = signed_in(bank.sign_in(bank.person(user.email)))
    assert (context["scopes"] == "self", context.get("mfa")) == (
        (True, "required") if role in MFA_ROLES else (False, None)
    )
    context = signed_in(bank.sign_in(bank.person(user.email, totp=True)))
    assert (context["scopes"], context.get("mfa")) == (" ".join(sorted(scopes_of(role))), None)


def test_of_two_first_sign_ins_at_once_both_are_the_one_person(bank, tenant_id) -> None:
    user = invited(tenant_id, "collector")
    token = bank.sign_in(bank.person(user.email))
    with ThreadPoolExecutor(4) as pool:
        contexts = list(pool.map(signed_in, [token] * 4))
    assert {context.get("subject") for context in contexts} == {user.pk}


def test_nobody_gets_in_by_an_address_that_is_not_verified(bank, owner) -> None:
    token = bank.sign_in(bank.person(owner.email, email_verified=False))
    assert "no verified e-mail address" in signed_in(token)["refusal"]
    assert people.find_user(owner.pk).state == "invited"


def test_nobody_gets_in_by_a_token_without_an_address(bank, owner) -> None:
    token = bank.server.issuer.mint(bank.person(owner.email), ("mfa",), email=None)
    assert "no verified e-mail address" in signed_in(token)["refusal"]


def test_who_was_not_invited_is_told_so(bank, owner) -> None:
    token = bank.sign_in(bank.person("stranger@elsewhere.example"))
    assert signed_in(token) == {"refusal": "nobody was invited under the e-mail address of this sign-in"}


def test_the_address_of_somebody_who_has_joined_lets_nobody_else_in(bank, owner) -> None:
    signed_in(bank.sign_in(bank.person(owner.email)))
    impostor = bank.server.issuer.mint(bank.person("other@elsewhere.example"), ("mfa",), email=owner.email)
    assert "nobody was invited" in signed_in(impostor)["refusal"]


def test_who_was_removed_is_refused_with_a_token_that_is_still_valid(bank, tenant_id) -> None:
    user = invited(tenant_id, "collector")
    token = bank.sign_in(bank.person(user.email))
    assert signed_in(token)["subject"] == user.pk
    membership.remove(tenant_id, user.pk, by=crowd.key(tenant_id), now=utc_now())
    assert "refusal" in signed_in(token)


def test_a_person_whose_removal_was_interrupted_is_refused(bank, tenant_id) -> None:
    user = invited(tenant_id, "collector")
    token = bank.sign_in(bank.person(user.email))
    signed_in(token)
    joined = people.find_user(user.pk)
    joined.update(actions=[type(joined).state.set("removed")])
    assert signed_in(token) == {"refusal": "this person has no access any more"}


def test_an_ended_session_is_refused_even_when_its_token_was_refreshed_since(bank, tenant_id) -> None:
    user = invited(tenant_id, "collector")
    person = bank.person(user.email)
    bank.ago = HOUR / 2
    old = bank.sign_in(person)
    signed_in(old)

    sessions.end_sessions(people.find_user(user.pk), now=utc_now() - timedelta(seconds=60))

    ended = {"refusal": "this session was ended; sign in again"}
    assert signed_in(old) == ended
    bank.ago = 0
    began = int(utc_now().timestamp() - HOUR / 2)
    assert signed_in(bank.server.issuer.mint(person, ("pwd",), auth_time=began)) == ended
    assert signed_in(bank.sign_in(person))["subject"] == user.pk


def test_within_the_second_of_the_end_a_session_counts_as_ended(bank, tenant_id) -> None:
    user = invited(tenant_id, "collector")
    person = bank.person(user.email)
    token = bank.sign_in(person)
    signed_in(token)
    second = tokens.verify_token(token, now=utc_now()).authenticated_at
    for end, kept in ((second + timedelta(milliseconds=1), False), (second, True)):
        sessions.end_sessions(people.find_user(user.pk), now=end)
        assert ("subject" in signed_in(token)) is kept


def test_the_sessions_of_somebody_who_is_gone_cannot_be_ended(bank, tenant_id) -> None:
    user = invited(tenant_id, "collector")
    user.delete()
    with pytest.raises(NotFound):
        sessions.end_sessions(user, now=utc_now())


def test_an_issuer_that_does_not_answer_is_no_reason_to_sign_in_again(bank: Bank, owner) -> None:
    token = bank.sign_in(bank.person(owner.email))
    bank.server.issuer.key_set = dict
    assert signed_in(token) == {
        "refusal": "the keys of who signed you in cannot be had at the moment; try again in a minute",
        "unavailable": "true",
    }


def test_an_invitation_that_others_are_changing_is_no_refusal(bank, owner, monkeypatch) -> None:
    def changing(*_: object, **__: object) -> None:
        raise Conflict("the person is being changed by others")

    monkeypatch.setattr(people, "bind", changing)
    with pytest.raises(Unavailable):
        sessions.open_session(bank.sign_in(bank.person(owner.email)), now=utc_now())


def test_a_token_for_another_api_is_refused_whoever_it_is_for(bank, owner) -> None:
    token = bank.server.issuer.mint(bank.person(owner.email), ("mfa",), aud="another-api")
    assert "another audience" in signed_in(token)["refusal"]


def test_a_deployment_that_trusts_no_issuer_takes_no_token(bank: Bank, owner) -> None:
    token = bank.sign_in(bank.person(owner.email))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokens, "issuers", dict)
        assert "its issuer is not one" in signed_in(token)["refusal"]
