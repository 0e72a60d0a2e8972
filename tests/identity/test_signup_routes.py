"""The public door over HTTP: the whole way, and what each route answers to whom."""

from __future__ import annotations

import json
import time

import pytest
import stripe
from chalice.test import Client

from chalicelib.identity import api_keys, signup_routes
from chalicelib.platform.clock import utc_now
from chalicelib.platform.ids import new_id
from chalicelib.tenancy import find_tenant, records
from tests.billing.payments import WEBHOOK_SECRET, payments, stripe_server  # noqa: F401 - fixtures
from tests.identity.applicants import FORM, address, code_for, other_code


@pytest.fixture
def api(payments):  # noqa: F811
    """The app over HTTP. Chalice registers a blueprint properly only once, so there is one app for all tests."""
    from app import app

    with Client(app) as client:
        yield client.http


@pytest.fixture
def call(api):
    """A call with a claim token, or without; answers status, document and headers."""

    def made(method: str, path: str, token: str | None = None, body: object = None):
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        raw = b"" if body is None else json.dumps(body).encode()
        answer = api.request(method, path, headers=headers, body=raw)
        return answer.status_code, json.loads(answer.body) if answer.body else None, answer.headers

    return made


@pytest.fixture
def signed_up(call) -> tuple[str, str, str]:
    """A sign-up over HTTP: its path, its claim token and its address."""
    form = FORM | {"email": address()}
    status, made, headers = call("POST", "/v1/signup", body=form)
    assert (status, set(made), headers["Cache-Control"]) == (201, {"tenant_id", "claim_token"}, "no-store")
    return f"/v1/signup/{made['tenant_id']}", made["claim_token"], form["email"]


def test_an_institution_signs_up_proves_its_mailbox_leaves_the_checkout_goes_on_and_claims(call, signed_up):
    path, token, email = signed_up
    seen = call("GET", path, token)[1]
    assert (seen["email_verified"], seen["state"], seen["ready"]) == (False, "pending", False)
    assert call("POST", f"{path}/checkout", token)[0] == 409

    status, wrong, _ = call("POST", f"{path}/verify", token, {"code": other_code(code_for(email))})
    assert (status, wrong["pointer"], wrong["tries_left"]) == (422, "/code", 4)
    assert call("POST", f"{path}/code", token)[:2] == (202, None)
    status, opened, headers = call("POST", f"{path}/verify", token, {"code": code_for(email)})
    assert (status, set(opened), headers["Cache-Control"]) == (200, {"checkout_url"}, "no-store")
    assert call("GET", path, token)[1]["email_verified"]
    assert call("POST", f"{path}/checkout", token)[1] == opened
    assert call("POST", f"{path}/code", token)[0] == 409

    assert call("POST", f"{path}/claim", token)[0] == 409
    tenant_id = path.rpartition("/")[2]
    find_tenant(tenant_id).update(actions=[records().ready.set(True)])
    status, key, headers = call("POST", f"{path}/claim", token)
    assert (status, headers["Cache-Control"]) == (200, "no-store")
    assert api_keys.verify(key["api_key"], now=utc_now()).tenant_id == tenant_id
    assert call("POST", f"{path}/claim", token)[0] == 410


ROUTES = [
    ("GET", "", None),
    ("POST", "/code", None),
    ("POST", "/verify", {"code": "000000"}),
    ("POST", "/checkout", None),
    ("POST", "/claim", None),
]


@pytest.mark.parametrize(("method", "end", "body"), ROUTES, ids=[end or "/" for _, end, _ in ROUTES])
def test_without_the_claim_token_nothing_is_told_and_an_unknown_sign_up_is_answered_alike(
    call, signed_up, method, end, body
):
    path, token, _ = signed_up
    assert call(method, path + end, None, body)[0] == 401
    wrong = call(method, path + end, "wrong", body)
    unknown = call(method, f"/v1/signup/{new_id('ten')}{end}", token, body)
    assert wrong[0] == unknown[0] == 404
    assert wrong[1] == unknown[1]


@pytest.mark.parametrize(
    "code", ["", "12345", "1234567", "12345a", "１２３４５６", " 123456 7", 123456, None, ["123456"], "123456\n7"]
)
def test_what_is_no_code_is_refused_and_costs_no_try(call, signed_up, code):
    path, token, email = signed_up
    status, problem, _ = call("POST", f"{path}/verify", token, {"code": code})
    assert (status, problem["pointer"]) == (422, "/code")
    record = find_tenant(path.rpartition("/")[2])
    assert record.verification["tries_left"] == 5
    assert call("POST", f"{path}/verify", token, {"code": f" {code_for(email)} "})[0] == 200


def test_who_asks_too_often_is_told_when_to_ask_again(call, signed_up):
    path, token, _ = signed_up
    statuses = [call("POST", f"{path}/code", token)[0] for _ in range(4)]
    status, problem, headers = call("POST", f"{path}/code", token)
    assert (statuses, status) == ([202] * 4, 429)
    assert headers["Retry-After"] == str(problem["retry_after"])
    assert 1 <= problem["retry_after"] <= 3600


def test_a_sign_up_is_counted_where_the_gateway_saw_it_come_from_and_not_where_a_header_says(api, monkeypatch):
    seen = []
    monkeypatch.setattr(signup_routes.signup, "sign_up", lambda form, *, source, now: seen.append(source) or _Made())
    headers = {"Content-Type": "application/json", "X-Forwarded-For": "203.0.113.7"}
    api.post("/v1/signup", headers=headers, body=json.dumps(FORM | {"email": address()}).encode())
    assert seen == ["127.0.0.1"]


class _Made:
    tenant_id, claim_token = "ten_", "token"


def test_a_forged_webhook_is_a_problem_and_a_signed_one_is_received(call, api):
    body = json.dumps({"id": new_id("evt"), "type": "a.b", "created": 1, "data": {"object": {"id": "x"}}})
    path, form = "/v1/billing/stripe/webhook", stripe.WebhookSignature.generate_signature_header
    json_type = {"Content-Type": "application/json"}
    for secret, age in [("whsec_forged", 0), (WEBHOOK_SECRET, 400)]:
        signature = {"Stripe-Signature": form(body, secret, int(time.time()) - age)}
        refused = api.post(path, headers=json_type | signature, body=body.encode())
        assert (refused.status_code, refused.json_body["type"]) == (
            400,
            "https://duebridge.dev/problems/untrusted-event",
        )
    headers = json_type | {"Stripe-Signature": form(body, WEBHOOK_SECRET)}
    assert api.post(path, headers=headers, body=body.encode()).json_body == {"received": True}


def test_the_plans_are_listed_in_their_order(call):
    items = call("GET", "/v1/plans")[1]["items"]
    assert [plan["key"] for plan in items] == ["starter", "growth", "enterprise"]
    assert items[0]["prices"][1] == {"currency": "USD", "interval": "month", "amount": 29000}
