"""The OpenAPI document, against what the routes do with a call."""

from __future__ import annotations

import pytest
from chalice.app import Blueprint

from app import app
from chalicelib.platform.http import ENDPOINTS, IDEMPOTENCY_KEY, IF_MATCH, PAGING, Endpoint, endpoint
from chalicelib.platform.openapi import document

DEPLOYED = document(each for each in ENDPOINTS if each.path in app.routes)


def operation(**declared) -> dict:
    """The operation of an endpoint that is declared with these."""
    path = declared.setdefault("path", "/v1/things")
    base = {"method": "GET", "name": "it", "summary": "", "body": None, "returns": None, "status": 200, "scope": None}
    return document([Endpoint(**base | declared)])["paths"][path]["get"]


def asking_for(header: str) -> set[tuple[str, str]]:
    return {
        (method, path)
        for path, operations in DEPLOYED["paths"].items()
        for method, each in operations.items()
        if header in [p["name"] for p in each["parameters"] if p["in"] == "header"]
    }


def test_what_may_be_repeated_says_so():
    assert asking_for("Idempotency-Key") == {
        ("post", "/v1/connectors"),
        ("post", "/v1/connectors/{connector_id}/push"),
        ("post", "/v1/connectors/{connector_id}/quarantine/replay"),
        ("post", "/v1/connectors/{connector_id}/quarantine/{run_id}/{line}/replay"),
        ("post", "/v1/webhook-endpoints"),
    }


def test_what_may_name_the_version_it_replaces_says_so():
    assert asking_for("If-Match") == {
        ("put", "/v1/connectors/{connector_id}/mapping"),
        ("put", "/v1/connectors/{connector_id}/quarantine/{run_id}/{line}"),
        ("post", "/v1/connectors/{connector_id}/quarantine/{run_id}/{line}/discard"),
        ("put", "/v1/rules/triggers"),
        ("put", "/v1/rules/assignment"),
        ("patch", "/v1/webhook-endpoints/{endpoint_id}"),
        ("patch", "/v1/users/{user_id}"),
        ("patch", "/v1/billing/subscription"),
    }


def test_headers_and_query_parameters_are_optional_and_have_their_types():
    shown = operation(query=PAGING, headers=IDEMPOTENCY_KEY | IF_MATCH)["parameters"]
    assert [(p["name"], p["in"], p["schema"]["type"]) for p in shown] == [
        ("limit", "query", "integer"),
        ("cursor", "query", "string"),
        ("Idempotency-Key", "header", "string"),
        ("If-Match", "header", "string"),
    ]
    assert (shown[0]["schema"]["minimum"], shown[0]["schema"]["maximum"]) == (1, 200)
    assert not any(p.get("required") for p in shown)
    assert all(p["description"] for p in shown)


@pytest.mark.parametrize(
    ("path", "tags"),
    [
        ("/v1/connectors/{connector_id}/push", ["connectors"]),
        ("/v1/openapi.json", ["openapi"]),
        ("/signup/{tenant_id}", ["signup"]),
        ("/", []),
    ],
)
def test_operations_are_grouped_by_the_first_noun_of_their_path(path, tags):
    assert operation(path=path)["tags"] == tags


def test_the_credential_that_an_operation_needs_is_a_scheme_of_the_document():
    assert operation(scope="cases:read")["security"] == [{"bearer": ["cases:read"]}]
    assert operation(claim=True)["security"] == [{"claim_token": []}]
    assert "security" not in operation()
    assert set(DEPLOYED["components"]["securitySchemes"]) == {"bearer", "claim_token"}
    assert DEPLOYED["servers"] == [{"url": "/"}]


def test_a_route_takes_an_api_key_or_a_claim_token_and_not_both():
    with pytest.raises(TypeError, match="either"):
        endpoint(Blueprint("x"), "GET", "/v1/x", summary="", scope="x:read", authorizer=object(), claim=True)
