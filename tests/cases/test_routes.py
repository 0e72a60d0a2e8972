"""The routes of cases and rules, through Chalice's own client and the real authorizer."""

from __future__ import annotations

import json

import pytest
from chalice.test import Client

from chalicelib.cases import apply_rows
from chalicelib.identity import api_keys
from chalicelib.platform.clock import utc_now
from tests.cases.bank import Bank


@pytest.fixture
def call(tenant):
    """Calls the API as the tenant, and returns status and document."""
    scopes = ["cases:read", "rules:read", "rules:write"]
    text, _ = api_keys.create(tenant.id, name="test", scopes=scopes, now=utc_now())
    # A blueprint can be registered only once in a process, so this is the one app there is.
    from app import app

    with Client(app, stage_name="unit") as client:

        def send(method: str, path: str, body: object = None, **headers: str):
            raw = b"" if body is None else json.dumps(body).encode()
            sent = {"Authorization": f"Bearer {text}", "Content-Type": "application/json", **headers}
            answer = client.http.request(method, path, headers=sent, body=raw)
            return answer.status_code, json.loads(answer.body)

        yield send


@pytest.fixture
def bank(tenant, now) -> Bank:
    bank = Bank()
    rows = [bank.row(str(n), 700 + n, 50 + n, op="new", name=f"Client {n}") for n in range(3)]
    apply_rows(tenant, rows, bank.source(), now=now)
    return bank


def test_from_the_list_to_the_case_its_account_and_its_borrower(call, bank):
    status, page = call("GET", "/v1/cases?assignee=team&limit=1")
    assert (status, page["items"][0]["overdue_amount"], page["items"][0]["trigger"]["rule"]) == (
        200,
        702,
        "thirty_days",
    )
    assert call("GET", f"/v1/cases?assignee=team&cursor={page['cursor']}")[1]["items"][0]["days_past_due"] == 51
    status, case = call("GET", f"/v1/cases/{page['items'][0]['id']}")
    assert (status, case["borrower"]["name"], case["accounts"][0]["key"]) == (200, "Client 2", "2")
    status, account = call("GET", f"/v1/accounts/{case['account_ids'][0]}")
    assert (status, account) == (200, case["accounts"][0])
    status, borrower = call("GET", f"/v1/borrowers/{case['borrower_id']}")
    assert (status, borrower["open_case_id"]) == (200, case["id"])


def test_a_person_is_searched_for_in_the_body_never_in_the_url(call, bank):
    status, page = call("POST", "/v1/cases/search", {"name": "client 1"})
    assert (status, [case["overdue_amount"] for case in page["items"]]) == (200, [701])
    assert call("GET", "/v1/cases?name=client%201")[1]["cursor"] is None
    assert len(call("GET", "/v1/cases?name=client%201")[1]["items"]) == 3


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/cases?status=ajar", None, 422),
        ("GET", "/v1/cases?limit=0", None, 422),
        ("GET", "/v1/cases?cursor=nonsense", None, 422),
        ("GET", "/v1/cases?cursor=eyJwayI6MX0", None, 422),
        ("GET", "/v1/cases/case_01J9ZK3T8Q5V7W2X4Y6Z8A0B1C", None, 404),
        ("GET", "/v1/accounts/none", None, 404),
        ("GET", "/v1/borrowers/none", None, 404),
        ("POST", "/v1/cases/search", {}, 422),
        ("POST", "/v1/cases/search", {"name": "a", "phone": "1"}, 422),
        ("POST", "/v1/cases/search", {"email": "a"}, 422),
        ("PUT", "/v1/rules/triggers", {"rules": []}, 422),
        ("PUT", "/v1/rules/assignment", {"collectors": [{"id": "a", "capacity": "many"}]}, 422),
    ],
)
def test_what_cannot_be_answered_says_why(call, bank, method, path, body, status):
    answered, problem = call(method, path, body)
    assert (answered, problem["status"]) == (status, status)
    assert problem["detail"]


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("triggers", {"rules": [{"id": "r", "products": ["CC-*"], "days_past_due": 31, "least_overdue": {"TWD": 5}}]}),
        ("assignment", {"collectors": [{"id": "a", "capacity": 5}, {"id": "b", "capacity": 7}]}),
    ],
)
def test_rules_are_read_and_replaced_by_version(call, tenant, name, document):
    path = f"/v1/rules/{name}"
    status, first = call("GET", path)
    assert (status, first["version"], first["made_by"]) == (200, 1, "duebridge")
    status, second = call("PUT", path, document, **{"If-Match": '"1"'})
    assert (status, second["version"], second["document"]) == (200, 2, document)
    assert call("GET", path)[1] == second
    assert call("PUT", path, document, **{"If-Match": "1"})[0] == 409
    assert call("PUT", path, document, **{"If-Match": "one"})[0] == 422
    assert call("PUT", path, document)[1]["version"] == 3


def test_a_key_without_the_scope_is_refused(tenant, bank):
    text, _ = api_keys.create(tenant.id, name="test", scopes=["feed:read"], now=utc_now())
    from app import app

    with Client(app, stage_name="unit") as client:
        headers = {"Authorization": f"Bearer {text}"}
        assert client.http.get("/v1/cases", headers=headers).status_code == 403
