"""Every route asked as every role: refused exactly where the permission table says no, and nowhere else."""

from __future__ import annotations

import pytest

from app import app
from chalicelib.identity.permissions import KEY_SCOPES, ROLES, SCOPES, SELF, scopes_of
from chalicelib.platform.http import ENDPOINTS, Endpoint
from infra.demo import roles
from infra.demo.roles import LET_THROUGH, REFUSED, RolesDiffer, ask, check_every_route, context_of, ungated

BEHIND = [each for each in ENDPOINTS if each.scope is not None]
PUBLIC = [each for each in ENDPOINTS if each.scope is None]


def named(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path}"


@pytest.fixture(autouse=True)
def no_gate():
    """Here there is no tenant whose state or rate could decide."""
    with ungated():
        yield


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_refused_exactly_where_the_table_says_no(role) -> None:
    answers = {named(each): ask(each, context_of(role)) for each in BEHIND}
    assert {name for name, answer in answers.items() if answer.status == REFUSED} == {
        named(each) for each in BEHIND if each.scope not in scopes_of(role)
    }
    assert {answer.status for answer in answers.values()} <= {REFUSED, LET_THROUGH}


def test_a_refusal_says_which_scope_is_missing() -> None:
    differ = [
        named(each)
        for each in BEHIND
        for role in ROLES
        if each.scope not in scopes_of(role) and ask(each, context_of(role)).problem["scope"] != each.scope
    ]
    assert differ == []


def test_nobody_without_a_credential_gets_further_than_the_public_routes() -> None:
    assert {ask(each, None).status for each in BEHIND} == {401}
    assert {ask(each, None).status for each in PUBLIC} == {LET_THROUGH}


def test_an_api_key_with_every_scope_reaches_all_but_what_is_about_a_person() -> None:
    context = {"tenant_id": "ten_x", "subject": "key_x", "scopes": " ".join(KEY_SCOPES)}
    refused = {named(each) for each in BEHIND if ask(each, context).status == REFUSED}
    assert refused == {named(each) for each in BEHIND if each.scope == SELF}
    assert refused


def test_without_the_second_factor_a_person_reaches_only_what_is_about_themselves_and_is_told_why() -> None:
    context = context_of("owner") | {"scopes": SELF, "mfa": "required"}
    answers = [(each, ask(each, context)) for each in BEHIND]
    assert {named(each) for each, answer in answers if answer.status == LET_THROUGH} == {
        named(each) for each in BEHIND if each.scope == SELF
    }
    assert {answer.problem["rule"] for _, answer in answers if answer.status == REFUSED} == {"mfa_required"}


def test_every_scope_that_a_route_names_is_in_the_table_and_every_scope_is_some_routes() -> None:
    asked = {each.scope for each in BEHIND}
    assert asked <= SCOPES
    # The routes by which cases are worked are not built; those who will work them have the scope already.
    assert SCOPES - asked == {"cases:write"}


def test_what_only_reads_asks_for_a_reading_scope_and_what_writes_for_a_writing_one() -> None:
    reading = {each for each in SCOPES if each.endswith(":read")}
    searches = {"POST /v1/cases/search"}  # what is looked for stands in the body, not in a log
    previews = {"POST /v1/billing/subscription/preview"}
    wrong = [
        named(each)
        for each in BEHIND
        if each.scope != SELF and (each.method == "GET") != (each.scope in reading)
        if named(each) not in searches | previews
    ]
    assert wrong == []


def test_every_route_with_an_authorizer_is_an_endpoint_with_a_scope() -> None:
    routed = {
        f"{method} {path}": entry.authorizer is not None
        for path, methods in app.routes.items()
        for method, entry in methods.items()
    }
    assert routed == {named(each): each.scope is not None for each in ENDPOINTS}


def test_the_demonstration_counts_every_route_and_role() -> None:
    assert check_every_route() == len(ENDPOINTS) * len(ROLES)


def test_the_demonstration_fails_when_one_role_may_do_more_than_the_table_says(monkeypatch) -> None:
    generous = {**context_of("collector"), "scopes": "cases:read cases:write keys:write self tenant:read"}
    monkeypatch.setattr(roles, "context_of", lambda role: generous if role == "collector" else context_of(role))
    with pytest.raises(RolesDiffer, match=r"collector: .* /v1/api-keys"):
        check_every_route()
