"""The routes of API keys, through Chalice's own client and the real authorizer."""

from __future__ import annotations

import json

import pytest
from chalice.test import Client

from chalicelib.identity import api_keys
from chalicelib.platform.clock import utc_now
from tests.identity.providers import registered


@pytest.fixture
def http(aws: None):
    # A blueprint can be registered only once in a process, so this is the one app there is.
    from app import app

    with Client(app, stage_name="unit") as client:
        yield client.http


@pytest.fixture
def send(http):
    """Calls the API with a key, and returns status and document."""

    def call(key: str, method: str, path: str, body: object = None):
        raw = b"" if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        answer = http.request(method, path, headers=headers, body=raw)
        return answer.status_code, json.loads(answer.body) if answer.body else None

    return call


@pytest.fixture
def owner(aws: None) -> str:
    return api_keys.create(registered(), name="owner", scopes=api_keys.SCOPES, now=utc_now())[0]


def test_a_key_is_made_shown_once_used_rotated_and_revoked(send, owner):
    wish = {"name": " core ", "scopes": ["keys:read"], "allowed_networks": ["127.0.0.1", "10.0.0.0/8", "127.0.0.1/32"]}
    status, made = send(owner, "POST", "/v1/api-keys", wish)
    assert (status, made["name"], made["scopes"]) == (201, "core", ["keys:read"])
    assert (made["allowed_networks"], made["expires_at"]) == (["127.0.0.1/32", "10.0.0.0/8"], None)
    assert made["made_by"] == f"key_{owner.split('_')[2]}"

    status, page = send(made["api_key"], "GET", "/v1/api-keys")
    assert (status, [item["name"] for item in page["items"]], page["cursor"]) == (200, ["core", "owner"], None)
    assert page["items"][0] == {name: made[name] for name in made if name not in {"api_key", "last_used_at"}} | {
        "last_used_at": page["items"][0]["last_used_at"]
    }
    assert page["items"][0]["last_used_at"] is not None
    assert made["api_key"].split("_", 3)[3] not in json.dumps(page)

    status, successor = send(owner, "POST", f"/v1/api-keys/{made['id']}/rotate")
    assert (status, successor["scopes"], successor["id"] != made["id"]) == (201, ["keys:read"], True)
    assert send(made["api_key"], "GET", "/v1/api-keys")[0] == 200
    assert send(successor["api_key"], "GET", "/v1/api-keys")[0] == 200

    assert send(owner, "DELETE", f"/v1/api-keys/{successor['id']}") == (204, None)
    assert send(owner, "DELETE", f"/v1/api-keys/{successor['id']}") == (204, None)
    assert send(successor["api_key"], "GET", "/v1/api-keys")[0] == 401


def test_the_list_comes_in_pages(send, owner):
    for name in "abc":
        assert send(owner, "POST", "/v1/api-keys", {"name": name, "scopes": ["cases:read"]})[0] == 201
    first = send(owner, "GET", "/v1/api-keys?limit=3")[1]
    rest = send(owner, "GET", f"/v1/api-keys?limit=3&cursor={first['cursor']}")[1]
    assert sorted(item["name"] for item in first["items"] + rest["items"]) == ["a", "b", "c", "owner"]
    assert rest["cursor"] is None


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"name": "x" * 101}, "/name"),
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["cases:own"]}, "/scopes/0"),
        ({"expires_at": "2031-01-01T00:00:00"}, "/expires_at"),
        ({"expires_at": 1924992000}, "/expires_at"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-14:00"}, "/expires_at"),
        ({"allowed_networks": ["10.0.0.1/8"]}, "/allowed_networks/0"),
        ({"allowed_networks": ["10.0.0.0/8"] * 21}, "/allowed_networks"),
        ({"role": "owner"}, "/role"),
    ],
)
def test_a_member_that_is_not_accepted_is_pointed_at(send, owner, change, pointer):
    status, problem = send(owner, "POST", "/v1/api-keys", {"name": "k", "scopes": ["cases:read"]} | change)
    assert (status, problem["pointer"]) == (422, pointer)


@pytest.mark.parametrize("hours", [-1, 169, 1.5, "24", True, None])
def test_an_overlap_is_a_whole_number_of_hours_up_to_a_week(send, owner, hours):
    path = f"/v1/api-keys/{owner[3:33]}/rotate"
    assert send(owner, "POST", path, {"overlap_hours": hours})[0] == 422
    assert send(owner, "POST", path, {"overlap_hours": 168})[0] == 201


def test_reading_keys_is_not_writing_them_and_writing_gives_no_more_than_one_has(send, owner):
    def key(*scopes: str) -> str:
        return send(owner, "POST", "/v1/api-keys", {"name": "k", "scopes": scopes})[1]["api_key"]

    wish = {"name": "k", "scopes": ["cases:read"]}
    assert send(key("keys:read"), "POST", "/v1/api-keys", wish)[1]["scope"] == "keys:write"
    assert send(key("keys:write"), "GET", "/v1/api-keys")[1]["scope"] == "keys:read"
    status, problem = send(key("keys:write"), "POST", "/v1/api-keys", wish)
    assert (status, problem["scopes"]) == (403, ["cases:read"])


def test_the_last_key_that_can_write_keys_is_kept_with_the_reason(send, owner):
    status, problem = send(owner, "DELETE", f"/v1/api-keys/{owner[3:33]}")
    assert (status, problem["rule"]) == (409, "last_key_that_writes_keys")


def test_a_key_is_not_accepted_from_outside_its_networks_and_the_networks_are_not_told(send, owner):
    wish = {"name": "k", "scopes": ["keys:read"], "allowed_networks": ["198.51.100.0/24", "2001:db8::/32"]}
    key = send(owner, "POST", "/v1/api-keys", wish)[1]["api_key"]
    for method, path in [("GET", "/v1/api-keys"), ("POST", "/v1/api-keys"), ("GET", "/v1/cases")]:
        status, problem = send(key, method, path, {})
        assert (status, problem["rule"]) == (403, "allowed_networks")
        assert "scope" not in problem
        assert "198.51" not in json.dumps(problem)
