"""API keys on the deployed stack, with its roles: made, used, rotated and revoked by the institution itself."""

from __future__ import annotations

import pytest

from infra.demo.client import Client, Refused
from infra.demo.scenario import Institution
from infra.local.stack import Stack
from tests.deployed.backstage import items

pytestmark = pytest.mark.deployed

# The authorizer's answers are kept for a minute: how a key ends is seen in what is stored, and not waited for.


def refused(api: Client, method: str, path: str, body: object = None) -> Refused:
    with pytest.raises(Refused) as caught:
        api.call(method, path, body)
    return caught.value


def test_a_key_is_made_used_rotated_and_revoked(stack: Stack, rival: Institution):
    made = rival.api.post("/v1/api-keys", {"name": "core", "scopes": ["cases:read", "keys:read"]})
    key = Client(stack.url, made["api_key"])
    assert key.get("/v1/cases?limit=1")["items"] is not None

    successor = rival.api.post(f"/v1/api-keys/{made['id']}/rotate", {"overlap_hours": 1})
    assert Client(stack.url, successor["api_key"]).get("/v1/cases?limit=1")["items"] is not None
    rival.api.call("DELETE", f"/v1/api-keys/{successor['id']}")

    shown = {item["id"]: item for item in key.pages("/v1/api-keys?limit=1")}
    stored = items(stack, "credentials")
    assert shown[made["id"]]["last_used_at"] is not None
    assert shown[made["id"]]["expires_at"] is not None
    assert shown[successor["id"]]["revoked_at"] is not None
    assert stored[made["id"], "api-key"]["replaced_by"]["S"] == successor["id"]
    assert "revoked_at" in stored[successor["id"], "api-key"]
    assert made["api_key"].split("_", 3)[3] not in str(stored)


def test_a_key_that_no_longer_works_is_refused_at_its_first_use(stack: Stack, rival: Institution):
    made = rival.api.post("/v1/api-keys", {"name": "short", "scopes": ["cases:read"]})
    rival.api.call("DELETE", f"/v1/api-keys/{made['id']}")

    answer = refused(Client(stack.url, made["api_key"]), "GET", "/v1/cases")

    assert (answer.status, answer.problem["detail"]) == (401, "the API key was revoked")


def test_the_claimed_key_is_listed_and_cannot_be_revoked_while_it_is_the_last_that_writes_keys(rival: Institution):
    (owner,) = [item for item in rival.api.pages("/v1/api-keys") if item["name"] == "owner"]

    answer = refused(rival.api, "DELETE", f"/v1/api-keys/{owner['id']}")

    assert (answer.status, answer.problem["rule"]) == (409, "last_key_that_writes_keys")
    second = rival.api.post("/v1/api-keys", {"name": "second", "scopes": ["keys:write"]})
    rival.api.call("DELETE", f"/v1/api-keys/{second['id']}")


def test_a_key_is_accepted_only_from_its_networks(stack: Stack, rival: Institution):
    def key(network: str) -> Client:
        wish = {"name": network, "scopes": ["cases:read"], "allowed_networks": [network]}
        return Client(stack.url, rival.api.post("/v1/api-keys", wish)["api_key"])

    answer = refused(key("198.51.100.0/24"), "GET", "/v1/cases")

    assert key("127.0.0.0/8").get("/v1/cases?limit=1")["items"] is not None
    assert (answer.status, answer.problem["rule"]) == (403, "allowed_networks")


def test_another_tenants_keys_are_neither_listed_nor_found(bank: Institution, rival: Institution):
    theirs = {item["id"] for item in bank.api.pages("/v1/api-keys")}
    assert theirs
    assert not theirs & {item["id"] for item in rival.api.pages("/v1/api-keys")}

    for method, path, body in [("DELETE", "/v1/api-keys/{}", None), ("POST", "/v1/api-keys/{}/rotate", {})]:
        unknown = refused(rival.api, method, path.format("key_" + "0" * 26), body)
        for key_id in theirs:
            answer = refused(rival.api, method, path.format(key_id), body)
            assert (answer.status, answer.problem) == (404, unknown.problem)
