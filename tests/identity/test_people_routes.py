"""The routes of people, through Chalice's own client, the real authorizer and a bank's own sign-in provider."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from chalice.test import Client

from chalicelib.identity import add_owner, api_keys, cognito, invitations, people
from chalicelib.platform.clock import utc_now
from chalicelib.platform.ids import new_id
from chalicelib.tenancy import find_tenant, forget_access, records
from infra.demo.mailbox import mails_to
from tests.identity.crowd import address
from tests.identity.providers import Bank, registered


@pytest.fixture
def http(aws: None):
    # A blueprint can be registered only once in a process, so this is the one app there is.
    from app import app

    with Client(app, stage_name="unit") as client:
        yield client.http


@pytest.fixture
def send(http):
    """Calls the API with a credential, and returns status and document."""

    def call(credential: str, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        raw = b"" if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {credential}", "Content-Type": "application/json", **headers}
        answer = http.request(method, path, headers=headers, body=raw)
        return answer.status_code, json.loads(answer.body) if answer.body else None

    return call


@pytest.fixture
def tenant_id(aws: None) -> str:
    return registered()


@pytest.fixture
def owner(tenant_id: str, bank: Bank) -> str:
    """The access token of the tenant's owner, who signed in with a second factor."""
    return signed_in(bank, add_owner(tenant_id, address()).email)


@pytest.fixture
def key(tenant_id: str) -> str:
    """An API key that carries everything that a key may."""
    return api_keys.create(tenant_id, name="core", scopes=api_keys.SCOPES, now=utc_now())[0]


def signed_in(bank: Bank, email: str) -> str:
    return bank.sign_in(bank.person(email, totp=True))


def set_seats(tenant_id: str, seats: int | None) -> None:
    model = records()
    find_tenant(tenant_id).update(actions=[model.seats.set(seats) if seats else model.seats.remove()])
    forget_access(tenant_id)


def test_a_person_is_invited_joins_gets_another_role_and_is_removed(send, owner, bank, ministack_port) -> None:
    email = address()
    wish = {"email": email.upper(), "role": "collector", "name": "  王 芳 "}
    status, user = send(owner, "POST", "/v1/users", wish)
    assert (status, user["email"], user["role"], user["name"]) == (201, email, "collector", "王 芳")
    assert (user["state"], user["joined_at"], user["second_factor_since"], user["version"]) == (
        "invited",
        None,
        None,
        1,
    )

    letter = mails_to(f"http://127.0.0.1:{ministack_port}", email)[-1]
    assert "Harbour Bank" in letter.subject
    assert "催收员" in letter.text

    token = bank.sign_in(bank.person(email))
    assert send(token, "GET", "/v1/me")[0] == 200
    status, found = send(owner, "GET", f"/v1/users/{user['id']}")
    assert (status, found["state"], found["joined_at"] is not None) == (200, "active", True)
    assert send(token, "GET", "/v1/users")[0] == 403

    change = {"role": "risk_analyst"}
    status, changed = send(owner, "PATCH", f"/v1/users/{user['id']}", change, **{"If-Match": f'"{found["version"]}"'})
    assert (status, changed["role"]) == (200, "risk_analyst")
    status, refused = send(owner, "PATCH", f"/v1/users/{user['id']}", change, **{"If-Match": "1"})
    assert (status, refused["version"]) == (409, changed["version"])

    assert send(owner, "DELETE", f"/v1/users/{user['id']}") == (204, None)
    assert send(token, "GET", "/v1/me")[0] == 401
    status, page = send(owner, "GET", "/v1/users")
    assert [each["state"] for each in page["items"]] == ["removed", "active"]
    assert page["items"][0]["removed_at"] is not None


def test_a_person_who_is_signed_out_signs_in_again(send, owner, bank) -> None:
    email = address()
    _, user = send(owner, "POST", "/v1/users", {"email": email, "role": "collector"})
    person = bank.person(email)
    bank.ago = 5
    token = bank.sign_in(person)
    assert send(token, "GET", "/v1/me")[0] == 200
    assert send(owner, "DELETE", f"/v1/users/{user['id']}/sessions") == (204, None)
    assert send(token, "GET", "/v1/me")[0] == 401
    bank.ago = -5
    assert send(bank.sign_in(person), "GET", "/v1/me")[0] == 200


def test_seats_are_those_of_the_plan_or_those_that_were_bought(send, owner, tenant_id) -> None:
    set_seats(tenant_id, 2)
    assert send(owner, "POST", "/v1/users", {"email": address(), "role": "collector"})[0] == 201
    status, refused = send(owner, "POST", "/v1/users", {"email": address(), "role": "collector"})
    assert (status, refused["rule"], refused["seats"], refused["seats_used"]) == (409, "seats", 2, 2)

    set_seats(tenant_id, None)
    assert invitations.seats_of(find_tenant(tenant_id)) > 2
    assert send(owner, "POST", "/v1/users", {"email": address(), "role": "collector"})[0] == 201


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"email": "no address"}, "/email"),
        ({"email": "a@b"}, "/email"),
        ({"email": "x" * 250 + "@bank.example"}, "/email"),
        ({"email": None}, "/email"),
        ({"role": "root"}, "/role"),
        ({"role": ""}, "/role"),
        ({"name": ""}, "/name"),
        ({"name": "\u200b"}, "/name"),
        ({"name": "a\nb"}, "/name"),
        ({"name": "\u202egnp.exe"}, "/name"),
        ({"name": "x" * 101}, "/name"),
        ({"tenant_id": "ten_x"}, "/tenant_id"),
    ],
)
def test_what_is_not_accepted_is_refused_at_its_place(send, key, change, pointer) -> None:
    status, refused = send(key, "POST", "/v1/users", {"email": address(), "role": "collector"} | change)
    assert (status, refused["pointer"]) == (422, pointer)


@pytest.mark.parametrize("body", [{}, {"role": None}, None, [], {"state": "active"}, {"email": "other@bank.example"}])
def test_a_change_says_what_is_to_be_different(send, key, owner, body) -> None:
    _, page = send(key, "GET", "/v1/users")
    assert send(key, "PATCH", f"/v1/users/{page['items'][0]['id']}", body)[0] == 422


def test_a_person_whom_the_mail_did_not_reach_is_invited_again(send, owner, monkeypatch) -> None:
    def no_mail(*_: str) -> None:
        raise ClientError({"Error": {"Code": "TooManyRequestsException"}}, "SendEmail")

    with monkeypatch.context() as patched:
        patched.setattr(invitations, "send", no_mail)
        status, refused = send(owner, "POST", "/v1/users", {"email": address(), "role": "collector"})
    assert status == 503
    assert refused["user_id"] in refused["detail"]

    status, user = send(owner, "POST", f"/v1/users/{refused['user_id']}/invitation")
    assert (status, user["state"], user["version"]) == (200, "invited", 2)


def test_an_invitation_again_makes_the_sign_in_that_was_missing_and_sends_another_password(
    send, owner, ministack_port
) -> None:
    email = address()
    _, user = send(owner, "POST", "/v1/users", {"email": email, "role": "collector"})
    inbox = f"http://127.0.0.1:{ministack_port}"
    before = len(mails_to(inbox, email))
    assert send(owner, "POST", f"/v1/users/{user['id']}/invitation")[0] == 200
    cognito.delete_user(email)
    assert send(owner, "POST", f"/v1/users/{user['id']}/invitation")[0] == 200
    # Each time a letter of ours and the pool's own.
    assert len(mails_to(inbox, email)) == 3 * before


def test_one_person_is_written_to_only_so_often_a_day(send, owner) -> None:
    _, user = send(owner, "POST", "/v1/users", {"email": address(), "role": "collector"})
    path = f"/v1/users/{user['id']}/invitation"
    for _ in range(invitations.LETTERS_A_DAY):
        assert send(owner, "POST", path)[0] == 200
    status, refused = send(owner, "POST", path)
    assert (status, refused["retry_after"] > 0) == (429, True)


def test_inviting_and_removing_in_turns_comes_to_an_end(send, owner, tenant_id) -> None:
    set_seats(tenant_id, 2)
    statuses = []
    for _ in range(15):
        status, user = send(owner, "POST", "/v1/users", {"email": address(), "role": "collector"})
        statuses.append(status)
        if status == 201:
            assert send(owner, "DELETE", f"/v1/users/{user['id']}")[0] == 204
    assert statuses == [201] * 14 + [429]


def test_another_tenants_people_are_like_none_in_every_route(send, key, owner, bank) -> None:
    theirs = add_owner(registered(), address())
    signed_in(bank, theirs.email)
    answers = {}
    for user_id in (theirs.pk, new_id("usr"), "me", "%2e%2e"):
        answers[user_id] = [
            send(credential, method, f"/v1/users/{user_id}{rest}", body)
            for credential in (key, owner)
            for method, rest, body in (
                ("GET", "", None),
                ("PATCH", "", {"role": "collector"}),
                ("DELETE", "", None),
                ("DELETE", "/sessions", None),
                ("POST", "/invitation", None),
            )
        ]
    assert {status for each in answers.values() for status, _ in each} == {404}
    assert len({json.dumps(each) for each in answers.values()}) == 1
    found = people.find_user(theirs.pk)
    assert found is not None
    assert found.version == theirs.version


def test_an_address_of_another_tenant_tells_nothing(send, owner) -> None:
    theirs = add_owner(registered(), address())
    asked = [
        send(owner, "POST", "/v1/users", {"email": email, "role": "collector"})
        for email in (theirs.email, "somebody@branch.local")
    ]
    assert asked[0] == asked[1]
    assert asked[0][0] == 409


def test_a_closing_tenant_invites_nobody_but_still_removes_and_signs_out(send, owner, tenant_id) -> None:
    _, user = send(owner, "POST", "/v1/users", {"email": address(), "role": "collector"})
    find_tenant(tenant_id).update(actions=[records().state.set("closing")])
    forget_access(tenant_id)
    assert send(owner, "POST", "/v1/users", {"email": address(), "role": "collector"})[0] == 403
    assert send(owner, "PATCH", f"/v1/users/{user['id']}", {"role": "auditor"})[0] == 403
    assert send(owner, "GET", "/v1/users")[0] == 200
    assert send(owner, "DELETE", f"/v1/users/{user['id']}/sessions")[0] == 204
    assert send(owner, "DELETE", f"/v1/users/{user['id']}")[0] == 204


def test_the_list_comes_in_pages(send, key, owner) -> None:
    for _ in range(3):
        assert send(key, "POST", "/v1/users", {"email": address(), "role": "collector"})[0] == 201
    first = send(key, "GET", "/v1/users?limit=3")[1]
    rest = send(key, "GET", f"/v1/users?limit=3&cursor={first['cursor']}")[1]
    assert (len(first["items"]), len(rest["items"]), rest["cursor"]) == (3, 1, None)
