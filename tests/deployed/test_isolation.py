"""One institution's credentials and ids are of no use against another, through the API and behind it."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from chalicelib.platform.tenant import DATA_KEY, encryption_context
from chalicelib.tenancy.tables import TENANT_TABLES
from infra.demo.client import Client, Refused, wait_for
from infra.demo.isolation import outcome_of
from infra.demo.scenario import Institution
from infra.local.ministack import ACCOUNT
from infra.local.stack import Stack
from tests.deployed.backstage import PREFIX, as_function, client, items, role_session
from tests.strangers import QUERIES, UNMADE, body_of, ids_of, never_made

pytestmark = pytest.mark.deployed

MAY_OPEN_TENANTS = ("api_handler", "sync_plan", "sync_apply", "feed_dispatch", "feed_deliver", "bill", "leave")
"""The functions that work for a tenant."""


@pytest.fixture(scope="module")
def ids(bank: Institution, core_banking: str, may: dict[str, Any]) -> dict[str, str]:
    """Something of the bank's for each parameter of a path."""
    endpoint = bank.api.get("/v1/webhook-endpoints")["items"][0]["id"]
    wait_for("a delivery", lambda: _first(bank.api.get(f"/v1/deliveries?endpoint_id={endpoint}&limit=1")))
    return ids_of(bank.api, connector=core_banking)


@pytest.fixture(scope="module")
def own_connector(rival: Institution) -> str:
    """A connector of the rival's."""
    return rival.api.post("/v1/connectors", {"name": "Of my own", "preset": "cn-core-banking-delimited"})["id"]


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
            of_bank, of_nobody = path.format(**ids), path.format(**never_made(ids))
            body = body_of(_schema(operation))
            theirs, nobodys = (_answer(rival.api, method, each, body) for each in (of_bank, of_nobody))
            if theirs[0] != 404 or theirs != nobodys:
                told_apart.append(f"{method} {path}: {theirs}, and for an id of nobody's {nobodys}")
            if method == "get" and UNMADE not in path:
                assert bank.api.get(of_bank)

    assert not told_apart
    assert tried >= 20


@pytest.mark.parametrize("query", QUERIES)
def test_anothers_id_in_a_query_finds_what_an_id_of_nobodys_finds(
    rival: Institution, own_connector: str, ids: dict[str, str], query: str
):
    path = query.replace("{own_connector}", own_connector)

    theirs, nobodys = (_answer(rival.api, "get", path.format(**each), None) for each in (ids, never_made(ids)))

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


def test_a_token_of_ones_own_invention_opens_no_sign_up_and_no_certificate(
    stack: Stack, bank: Institution, rival: Institution
):
    guess = Client(stack.url, "a-token-of-ones-own")
    document = guess.get("/v1/openapi.json")
    tried = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if not any("claim_token" in way for way in operation.get("security", [])):
                continue
            tried += 1
            body = body_of(_schema(operation))
            answers = [
                _answer(guess, method, path.format(tenant_id=tenant_id), body)
                for tenant_id in (bank.tenant_id, rival.tenant_id, "ten_" + "0" * 25 + "Z")
            ]
            assert answers[0][0] == 404
            assert answers == [answers[0]] * len(answers), f"{method} {path}"

    assert tried >= 6


@pytest.mark.parametrize("function", MAY_OPEN_TENANTS)
def test_a_tenants_session_reaches_nothing_of_anothers(
    stack: Stack, bank: Institution, rival: Institution, function: str
):
    outcomes = as_function(stack, function, "reach", rival.tenant_id, bank.tenant_id)

    assert len(outcomes) >= 400
    assert {what: outcome for what, outcome in outcomes.items() if outcome != "denied"} == {}


def test_no_other_function_gets_a_tenants_session(stack: Stack):
    role = {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/{PREFIX}-tenant-data", "RoleSessionName": "check"}
    outcomes = {
        function.removeprefix(f"{PREFIX}-"): outcome_of(
            partial(client(stack, "sts", role_session(stack, function)).assume_role, **role)
        )
        for function in _functions(stack)
    }

    assert {function for function, outcome in outcomes.items() if outcome == "allowed"} == set(MAY_OPEN_TENANTS)
    assert set(outcomes.values()) == {"allowed", "denied"}


def test_no_functions_own_role_reaches_a_tenants_items_objects_or_data_key(stack: Stack, bank: Institution):
    functions = _functions(stack)

    outcomes = {function: _reach_as(stack, function, bank.tenant_id) for function in functions}

    assert len(functions) >= 8
    for function, tried in outcomes.items():
        assert set(tried.values()) == {"denied"}, (function, tried)


def _functions(stack: Stack) -> list[str]:
    """The names of all deployed functions."""
    pages = client(stack, "lambda").get_paginator("list_functions").paginate()
    return [each["FunctionName"] for page in pages for each in page["Functions"]]


def _reach_as(stack: Stack, function: str, tenant_id: str) -> dict[str, str]:
    """A function's own role tried on a tenant's resources: what was tried, and how it ended."""
    session = role_session(stack, function)
    dynamodb, s3, kms = (client(stack, service, session) for service in ("dynamodb", "s3", "kms"))
    record = items(stack, "tenants")[tenant_id, "tenant"]
    bucket, item = f"{PREFIX}-data-{ACCOUNT}", {"pk": {"S": "check"}, "sk": {"S": "check"}}
    tried: dict[str, str] = {}
    for kind in (spec.kind for spec in TENANT_TABLES):
        table = {"TableName": f"{PREFIX}-t-{tenant_id}-{kind}"}
        tried[f"GetItem {kind}"] = outcome_of(partial(dynamodb.get_item, Key=item, **table))
        tried[f"PutItem {kind}"] = outcome_of(partial(dynamodb.put_item, Item=item, **table))
        tried[f"Scan {kind}"] = outcome_of(partial(dynamodb.scan, Limit=1, **table))
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


def _schema(operation: dict[str, Any]) -> str | None:
    """The name of the schema of an operation's body, if it takes one."""
    if "requestBody" not in operation:
        return None
    return operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]


def _answer(api: Client, method: str, path: str, body: Any) -> tuple[int, Any]:
    try:
        return 200, api.call(method.upper(), path, body)
    except Refused as refusal:
        return refusal.status, refusal.problem


def _first(page: dict[str, Any]) -> dict[str, Any] | None:
    return page["items"][0] if page["items"] else None
