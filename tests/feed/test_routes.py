"""The feed's routes, through Chalice's own client and the real authorizer."""

from __future__ import annotations

import json

import pytest
from chalice.test import Client

from chalicelib.feed import log
from chalicelib.identity import api_keys
from chalicelib.platform.clock import utc_now


@pytest.fixture
def call(tenant):
    """Calls the API as the tenant, and returns status and document."""
    text, _ = api_keys.create(tenant.id, name="test", scopes=["feed:read", "feed:write"], now=utc_now())
    # A blueprint can be registered only once in a process, so this is the one app there is.
    from app import app

    with Client(app, stage_name="unit") as client:

        def send(method: str, path: str, body: object = None, **headers: str):
            raw = b"" if body is None else json.dumps(body).encode()
            answer = client.http.request(
                method,
                path,
                headers={"Authorization": f"Bearer {text}", "Content-Type": "application/json", **headers},
                body=raw,
            )
            return answer.status_code, json.loads(answer.body) if answer.body else None

        yield send


def test_an_endpoint_is_made_shown_changed_rotated_and_removed(call):
    status, made = call("POST", "/v1/webhook-endpoints", {"url": "https://93.184.215.14/hooks"})
    assert (status, made["event_types"], made["secret"][:6]) == (201, ["*"], "whsec_")
    path = f"/v1/webhook-endpoints/{made['id']}"
    assert call("GET", path) == (200, {**made, "secret": None})
    assert call("GET", "/v1/webhook-endpoints")[1]["items"] == [{**made, "secret": None}]
    status, changed = call("PATCH", path, {"event_types": ["case.*"]}, **{"If-Match": '"1"'})
    assert (status, changed["event_types"], changed["version"]) == (200, ["case.*"], 2)
    assert call("PATCH", path, {"enabled": False}, **{"If-Match": "1"})[0] == 409
    status, rotated = call("POST", f"{path}/rotate-secret")
    assert status == 200
    assert rotated["secret"] != made["secret"]
    assert call("POST", f"{path}/test")[0] == 202
    assert call("DELETE", path) == (204, None)
    assert call("GET", path)[0] == 404


def test_a_repeated_call_with_its_idempotency_key_is_answered_alike(call):
    wish, key = {"url": "https://93.184.215.14/hooks"}, {"Idempotency-Key": "set-up-1"}
    first = call("POST", "/v1/webhook-endpoints", wish, **key)
    assert first[0] == 201
    assert call("POST", "/v1/webhook-endpoints", wish, **key) == first
    assert call("POST", "/v1/webhook-endpoints", {**wish, "description": "x"}, **key)[0] == 409
    assert len(call("GET", "/v1/webhook-endpoints")[1]["items"]) == 1


def test_a_metadata_address_is_refused_with_the_rule_in_the_problem(call):
    status, problem = call("POST", "/v1/webhook-endpoints", {"url": "https://169.254.169.254/"})
    assert (status, problem["rule"], problem["pointer"]) == (422, "metadata", "/url")
    assert call("POST", "/v1/webhook-endpoints", {"url": "https://a.example/", "secret": "x"})[0] == 422


def test_events_are_polled_with_a_cursor_that_always_leads_on(call, tenant, emit):
    assert call("GET", "/v1/events")[1]["items"] == []
    ids = [emit(tenant) for _ in range(3)]
    log.append(tenant, ids)
    _, first = call("GET", "/v1/events?limit=2")
    assert ([each["id"] for each in first["items"]], first["has_more"]) == (ids[:2], True)
    assert set(first["items"][0]) == {"id", "type", "timestamp", "data"}
    _, rest = call("GET", f"/v1/events?after={first['cursor']}")
    assert ([each["id"] for each in rest["items"]], rest["has_more"]) == (ids[2:], False)
    assert call("GET", f"/v1/events?after={rest['cursor']}")[1]["items"] == []
    assert call("GET", "/v1/events?after=e30")[0] == 422


def test_event_types_are_listed_with_schema_and_example(call):
    _, listed = call("GET", "/v1/event-types")
    assert "case.opened" in [each["name"] for each in listed["items"]]
    assert {"name", "version", "summary", "data_schema", "example"} == set(listed["items"][0])


def test_deliveries_are_asked_for_by_endpoint_or_event(call):
    assert call("GET", "/v1/deliveries")[0] == 422
    assert call("GET", "/v1/deliveries?event_id=evt_x")[0] == 422
    missing = "01J9ZK3T8Q5V7W2X4Y6Z8A0B1C"
    assert call("GET", f"/v1/deliveries?event_id=evt_{missing}") == (200, {"items": [], "cursor": None})
    assert call("GET", f"/v1/deliveries?endpoint_id=ep_{missing}") == (200, {"items": [], "cursor": None})
    assert call("POST", f"/v1/deliveries/dlv_{missing}/retry")[0] == 404
