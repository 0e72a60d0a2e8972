"""One institution's credentials and ids are of no use against another, through the API and behind it."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import pytest

from chalicelib.platform.tenant import DATA_KEY, encryption_context
from infra.demo.client import Client, Refused, wait_for
from infra.demo.isolation import TABLES, outcome_of
from infra.demo.scenario import Institution
from infra.local.ministack import ACCOUNT
from infra.local.stack import Stack
from tests.deployed.backstage import PREFIX, as_function, client, items, role_session

pytestmark = pytest.mark.deployed

BODIES: dict[str, Any] = {
    "NewUpload": {"file_name": "CORE_LOAN_20051231.txt"},
    "EndpointChange": {"enabled": False},
    "Rotation": {"overlap_hours": 1},
    "Push": {
        "rows": [
            {
                "kind": "repayment",
                "account": "1",
                "repayment_id": "1",
                "currency": "TWD",
                "amount": "1",
                "booked_on": "2005-12-31",
            }
        ]
    },
}
"""A body that is accepted, for each schema that an operation on an id takes."""


@pytest.fixture(scope="module")
def ids(bank: Institution, core_banking: str, may: dict[str, Any], repaid: dict[str, Any]) -> dict[str, str]:
    """Something of the bank's for each parameter of a path."""
    pushed = bank.api.post(f"/v1/connectors/{core_banking}/push", BODIES["Push"])
    endpoint = bank.api.get("/v1/webhook-endpoints")["items"][0]["id"]
    delivery = wait_for("a delivery", lambda: _first(bank.api.get(f"/v1/deliveries?endpoint_id={endpoint}&limit=1")))
    return {
        "connector_id": core_banking,
        "run_id": may["id"],
        "receipt_id": pushed["receipt"],
        "case_id": repaid["id"],
        "account_id": repaid["accounts"][0]["id"],
        "borrower_id": repaid["borrower_id"],
        "endpoint_id": endpoint,
        "delivery_id": delivery["id"],
        "event_id": delivery["event_id"],
        "key_id": bank.api.get("/v1/api-keys")["items"][0]["id"],
    }


def test_on_every_route_anothers_id_is_answered_as_one_that_never_existed(
    bank: Institution, rival: Institution, ids: dict[str, str]
):
    document = rival.api.get("/v1/openapi.json")
    told_apart: list[str] = []
    tried = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if "{" not in path or not any("bearer" in way for way in operation.get("security", [])):
                continue  # a claim token is of one sign-up, and opens nothing of a tenant's
            tried += 1
            of_bank, of_nobody = path.format(**ids), path.format(**_never_made(ids))
            body = _body(operation)
            theirs, nobodys = (_answer(rival.api, method, each, body) for each in (of_bank, of_nobody))
            if theirs[0] != 404 or theirs != nobodys:
                told_apart.append(f"{method} {path}: {theirs}, and for an id of nobody's {nobodys}")
            if method == "get":
                assert bank.api.get(of_bank)

    assert not told_apart
    assert tried >= 15


def test_anothers_ids_in_a_query_find_what_ids_of_nobody_find(rival: Institution, ids: dict[str, str]):
    never = _never_made(ids)
    own = rival.api.post("/v1/connectors", {"name": "Of my own", "preset": "cn-core-banking-delimited"})["id"]
    for path in (
        "/v1/deliveries?endpoint_id={endpoint_id}",
        "/v1/deliveries?event_id={event_id}",
        f"/v1/connectors/{own}/quarantine?run={{run_id}}",
        f"/v1/connectors/{own}/runs/{{run_id}}",
        f"/v1/connectors/{own}/push/{{receipt_id}}",
    ):
        theirs, nobodys = (_answer(rival.api, "get", path.format(**each), None) for each in (ids, never))
        assert theirs == nobodys
        assert theirs[0] == 404 or theirs[1] == {"items": [], "cursor": None}


def test_lists_and_searches_hold_only_the_callers_own(bank: Institution, rival: Institution, repaid: dict[str, Any]):
    person = repaid["borrower"]
    for api, finds in ((bank.api, True), (rival.api, False)):
        found = api.post("/v1/cases/search", {"id_number": person["id_number"]})["items"]
        assert (repaid["id"] in {case["id"] for case in found}) is finds

    assert not rival.api.get("/v1/cases?status=closed")["items"]
    assert not {e["id"] for e in bank.api.get("/v1/events?limit=200")["items"]} & {
        e["id"] for e in rival.api.get("/v1/events?limit=200")["items"]
    }


def test_the_tenant_comes_from_the_credential_and_from_nothing_else(bank: Institution, rival: Institution):
    named = {"X-Tenant-Id": bank.tenant_id, "tenant_id": bank.tenant_id}

    found = rival.api.call("GET", f"/v1/tenant?tenant_id={bank.tenant_id}", None, named)

    assert found["id"] == rival.tenant_id


def test_one_claim_token_opens_no_other_sign_up(stack: Stack, bank: Institution, rival: Institution):
    guess = Client(stack.url, "a-token-of-ones-own")
    answers = {
        str(_answer(guess, "get", f"/v1/signup/{tenant_id}", None))
        for tenant_id in (bank.tenant_id, rival.tenant_id, "ten_" + "0" * 25 + "Z")
    }

    assert len(answers) == 1
    assert answers.pop().startswith("(404")


def test_a_tenants_session_reaches_nothing_of_anothers(stack: Stack, bank: Institution, rival: Institution):
    outcomes = as_function(stack, "api_handler", "reach", rival.tenant_id, bank.tenant_id)

    assert len(outcomes) >= 6
    assert set(outcomes.values()) == {"denied"}, outcomes


def test_no_functions_own_role_reaches_a_tenants_items_objects_or_data_key(stack: Stack, bank: Institution):
    functions = [
        each["FunctionName"]
        for page in client(stack, "lambda").get_paginator("list_functions").paginate()
        for each in page["Functions"]
    ]

    outcomes = {function: _reach_as(stack, function, bank.tenant_id) for function in functions}

    assert len(functions) >= 8
    for function, tried in outcomes.items():
        assert set(tried.values()) == {"denied"}, (function, tried)


def _reach_as(stack: Stack, function: str, tenant_id: str) -> dict[str, str]:
    """A function's own role tried on a tenant's resources: what was tried, and how it ended."""
    session = role_session(stack, function)
    dynamodb, s3, kms = (client(stack, service, session) for service in ("dynamodb", "s3", "kms"))
    record = items(stack, "tenants")[tenant_id, "tenant"]
    bucket, item = f"{PREFIX}-data-{ACCOUNT}", {"pk": {"S": "check"}, "sk": {"S": "check"}}
    tried: dict[str, str] = {}
    for kind in TABLES:
        table = {"TableName": f"{PREFIX}-t-{tenant_id}-{kind}"}
        tried[f"GetItem {kind}"] = outcome_of(partial(dynamodb.get_item, Key=item, **table))
        tried[f"PutItem {kind}"] = outcome_of(partial(dynamodb.put_item, Item=item, **table))
    place = {"Bucket": bucket, "Key": f"{tenant_id}/drop/check"}
    tried["GetObject"] = outcome_of(partial(s3.get_object, **place))
    tried["PutObject"] = outcome_of(partial(s3.put_object, Body=b"", **place))
    tried["ListObjects"] = outcome_of(partial(s3.list_objects_v2, Bucket=bucket, Prefix=f"{tenant_id}/"))
    data_key = {
        "CiphertextBlob": record["wrapped_data_key"]["B"],
        "KeyId": record["key_arn"]["S"],
        "EncryptionContext": encryption_context(tenant_id, DATA_KEY),
    }
    tried["Decrypt"] = outcome_of(partial(kms.decrypt, **data_key))
    return tried


def _never_made(ids: dict[str, str]) -> dict[str, str]:
    """For each id one of the same form that nobody has."""
    return {name: re.sub(r"_.*", "_" + "0" * 25 + "Z", id) for name, id in ids.items()}


def _body(operation: dict[str, Any]) -> Any:
    if "requestBody" not in operation:
        return None
    schema = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    return BODIES[schema.rpartition("/")[2]]


def _answer(api: Client, method: str, path: str, body: Any) -> tuple[int, Any]:
    try:
        return 200, api.call(method.upper(), path, body)
    except Refused as refusal:
        return refusal.status, refusal.problem


def _first(page: dict[str, Any]) -> dict[str, Any] | None:
    return page["items"][0] if page["items"] else None
