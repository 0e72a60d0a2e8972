"""The routes of subscription, usage and invoices, through Chalice's own client and the real authorizer."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from chalice.test import Client

from chalicelib.billing import find_plan
from chalicelib.billing.follow import follow
from chalicelib.billing.reconcile import reconcile
from chalicelib.billing.usage import count_hour
from chalicelib.identity import api_keys
from chalicelib.platform.clock import parse_rfc3339, utc_now
from chalicelib.tenancy import State, find_tenant, forget_access, records
from tests.billing.subscribers import INCLUDED, counted_requests, registered, take_seats

BILLING = ("billing:read", "billing:write")
SUBSCRIPTION = "/v1/billing/subscription"


@pytest.fixture
def caller_of(aws):
    """Makes a function that calls the API as a tenant, and answers status and document."""
    # A blueprint can be registered only once in a process, so this is the one app there is.
    from app import app

    with Client(app, stage_name="unit") as client:

        def as_tenant(record, *scopes: str):
            key, _ = api_keys.create(record.pk, name="test", scopes=list(scopes or BILLING), now=utc_now())

            def call(method: str, path: str, body: object = None, **headers: str):
                sent = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", **headers}
                raw = b"" if body is None else json.dumps(body).encode()
                answer = client.http.request(method, path, headers=sent, body=raw)
                return answer.status_code, json.loads(answer.body or "null")

            return call

        yield as_tenant


def in_state(record, state: State):
    record.update(actions=[records().state.set(state.value)])
    forget_access(record.pk)
    return record


def test_from_what_there_is_over_what_it_would_cost_to_another_plan(subscribe, caller_of):
    record = subscribe("starter", seats=1)
    call = caller_of(record)
    status, seen = call("GET", SUBSCRIPTION)
    assert (status, seen["plan"], seen["extra_seats"], seen["status"], seen["state"]) == (
        200,
        "starter",
        1,
        "active",
        "active",
    )
    assert seen["seats"] == find_plan("starter").entitlements.seats + 1
    status, preview = call("POST", f"{SUBSCRIPTION}/preview", {"plan": "growth"})
    assert (status, preview["currency"]) == (200, "CNY")
    assert preview["total"] == sum(line["amount"] for line in preview["lines"]) > 0
    version = str(seen["version"])
    status, changed = call("PATCH", SUBSCRIPTION, {"plan": "growth"}, **{"If-Match": f'"{version}"'})
    assert (status, changed["plan"], changed["extra_seats"]) == (200, "growth", 1)
    assert call("GET", SUBSCRIPTION) == (200, changed)
    status, problem = call("PATCH", SUBSCRIPTION, {"plan": "enterprise"}, **{"If-Match": version})
    assert (status, problem["version"]) == (409, changed["version"])


def test_cancelled_and_taken_back(subscribe, caller_of):
    call = caller_of(subscribe("starter"))
    status, ending = call("POST", "/v1/billing/cancellation")
    assert (status, ending["cancel_at"], ending["state"]) == (200, ending["period_end"], "active")
    status, going_on = call("DELETE", "/v1/billing/cancellation")
    assert (status, going_on["cancel_at"]) == (200, None)


def test_invoices_are_shown_by_page(subscribe, caller_of):
    call = caller_of(subscribe("starter"))
    call("PATCH", SUBSCRIPTION, {"extra_seats": 1})
    status, page = call("GET", "/v1/billing/invoices?limit=1")
    assert (status, len(page["items"]), page["items"][0]["status"]) == (200, 1, "paid")
    status, rest = call("GET", f"/v1/billing/invoices?limit=50&cursor={page['cursor']}")
    assert status == 200
    assert page["items"][0]["id"] not in {invoice["id"] for invoice in rest["items"]}
    assert rest["cursor"] is None


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"plan": ""}, "/plan"),
        ({"plan": "platinum"}, "/plan"),
        ({"plan": "x" * 300}, "/plan"),
        ({"interval": "week"}, "/interval"),
        ({"extra_seats": -1}, "/extra_seats"),
        ({"extra_seats": 10_001}, "/extra_seats"),
        ({"extra_seats": "3"}, "/extra_seats"),
        ({"extra_seats": 1.5}, "/extra_seats"),
        ({"currency": "USD"}, "/currency"),
    ],
)
def test_a_wish_that_cannot_be_is_refused_at_its_place(subscribe, caller_of, body, pointer):
    call = caller_of(subscribe("starter"))
    for method, path in (("PATCH", SUBSCRIPTION), ("POST", f"{SUBSCRIPTION}/preview")):
        status, problem = call(method, path, body)
        assert (status, problem["pointer"]) == (422, pointer)


def test_a_change_of_nothing_changes_nothing(subscribe, caller_of):
    call = caller_of(subscribe("starter"))
    before = call("GET", SUBSCRIPTION)
    assert call("PATCH", SUBSCRIPTION, {}) == before
    assert call("PATCH", SUBSCRIPTION) == before


def test_seats_in_use_stand_in_the_refusal(subscribe, caller_of):
    record = subscribe("growth")
    five = find_plan("starter").entitlements.seats
    take_seats(record.pk, five + 2)
    status, problem = caller_of(record)("PATCH", SUBSCRIPTION, {"plan": "starter"})
    assert (status, problem["seats_used"], problem["seats"], problem["pointer"]) == (
        409,
        five + 2,
        five,
        "/extra_seats",
    )


def test_a_tenant_that_closed_comes_back_by_checkout(subscribe, caller_of, payments):
    record = subscribe("starter")
    payments.client.v1.subscriptions.cancel(record.subscription_id)
    follow(record.subscription_id)
    assert find_tenant(record.pk).state == State.CLOSING
    forget_access(record.pk)
    call = caller_of(record)
    take_seats(record.pk, find_plan("starter").entitlements.seats + 1)
    status, problem = call("POST", "/v1/billing/checkout")
    assert (status, problem["rule"]) == (409, "seats")
    status, page = call("POST", "/v1/billing/checkout", {"plan": "growth", "interval": "year"})
    assert status == 201
    assert call("POST", "/v1/billing/checkout", {"plan": "growth", "interval": "year"}) == (201, page)
    payments.pay(page["url"])
    [subscription] = payments.client.v1.subscriptions.list({"customer": record.customer_id}).data
    follow(subscription.id)
    status, seen = call("GET", SUBSCRIPTION)
    assert (status, seen["state"], seen["plan"], seen["interval"]) == (200, "active", "growth", "year")


def test_who_subscribes_needs_no_checkout(subscribe, caller_of):
    status, problem = caller_of(subscribe("starter"))("POST", "/v1/billing/checkout")
    assert (status, problem["title"]) == (409, "The current state does not allow that")


@pytest.mark.parametrize("state", [State.PAST_DUE, State.LIMITED, State.SUSPENDED])
def test_who_is_behind_with_payment_can_still_pay(subscribe, caller_of, payments, state):
    call = caller_of(in_state(subscribe("starter"), state))
    status, portal = call("POST", "/v1/billing/portal")
    assert (status, portal["url"].startswith(payments.url)) == (201, True)


def test_reading_is_not_changing(subscribe, caller_of):
    call = caller_of(subscribe("starter"), "billing:read")
    for method, path in (
        ("PATCH", SUBSCRIPTION),
        ("POST", "/v1/billing/cancellation"),
        ("DELETE", "/v1/billing/cancellation"),
        ("POST", "/v1/billing/portal"),
        ("POST", "/v1/billing/checkout"),
    ):
        status, problem = call(method, path, {})
        assert (status, problem["scope"]) == (403, "billing:write")


def test_entitlements_usage_and_subscription_are_read_without_asking_stripe(subscribe, caller_of, monkeypatch):
    record = subscribe("starter", seats=2)
    take_seats(record.pk, 3)
    call = caller_of(record)
    with counted_requests(monkeypatch) as sent:
        status, entitlements = call("GET", "/v1/billing/entitlements")
        assert call("GET", "/v1/billing/usage")[0] == call("GET", SUBSCRIPTION)[0] == 200
    assert sent == []
    agreed = find_plan("starter").entitlements
    assert status == 200
    assert entitlements == agreed.model_dump() | {
        "plan": "starter",
        "state": "active",
        "seats": agreed.seats + 2,
        "seats_used": 3,
        "features": sorted(find_plan("starter").features),
    }


def test_with_stripe_down_a_paying_tenant_notices_nothing(no_stripe, caller_of):
    record = registered(
        state=State.ACTIVE, terms=find_plan("growth").terms.model_dump(mode="json"), customer_id="cus_1"
    )
    call = caller_of(record)
    for path in (SUBSCRIPTION, "/v1/billing/entitlements", "/v1/billing/usage"):
        assert call("GET", path)[0] == 200
    status, problem = call("GET", "/v1/billing/invoices")
    assert (status, problem["type"]) == (503, "https://duebridge.dev/problems/payments-unavailable")


def test_usage_is_shown_by_the_hour_with_the_comparison_of_the_days(metered, open_cases_are, caller_of):
    record = metered()
    yesterday = utc_now().replace(hour=12, minute=5, second=0, microsecond=0) - timedelta(days=1)
    for number in range(3):
        open_cases_are(INCLUDED + number)
        count_hour(None, record, now=yesterday + timedelta(hours=number))
    reconcile(record, now=yesterday + timedelta(days=1))
    call = caller_of(record)
    status, first = call("GET", "/v1/billing/usage?limit=2")
    assert (status, [hour["case_hours"] for hour in first["items"]]) == (200, [2, 1])
    assert parse_rfc3339(first["items"][0]["hour"]) == yesterday.replace(minute=0) + timedelta(hours=2)
    [day] = first["reconciliation"]
    assert (day["day"], day["counted"], day["reported"], day["difference"]) == (str(yesterday.date()), 3, 3, 0)
    status, second = call("GET", f"/v1/billing/usage?cursor={first['cursor']}")
    assert (len(second["items"]), second["cursor"]) == (1, None)
    assert call("GET", "/v1/billing/usage?cursor=eyJzayI6InR1cm4ifQ")[0] == 422
