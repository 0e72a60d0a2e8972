"""Stripe failing in the middle of a call, as a test arms it."""

from __future__ import annotations

import urllib.error

import pytest
import stripe

CUSTOMERS = "/v1/customers"


def arm(local, how: str, *, path: str = CUSTOMERS, **options) -> None:
    local.local("POST", "faults", {"path": path, "how": how, **options})


def customers(local) -> int:
    return len(local.client.v1.events.list(params={"type": "customer.created"}).data)


@pytest.mark.parametrize(
    ("how", "error"),
    [("timeout", stripe.APIConnectionError), ("500", stripe.APIError), ("409", stripe.APIError)],
)
@pytest.mark.parametrize(("when", "made"), [("before", 0), ("after", 1)])
def test_a_call_fails_before_or_after_its_work(local, how, error, when, made):
    arm(local, how, when=when)
    with pytest.raises(error):
        local.client.v1.customers.create(params={"name": "A"}, options={"idempotency_key": "signup-1"})
    assert customers(local) == made
    local.client.v1.customers.create(params={"name": "A"}, options={"idempotency_key": "signup-1"})
    assert customers(local) == 1


def test_the_sdk_repeats_a_call_under_the_same_key_by_itself(local):
    arm(local, "timeout", when="after")
    patient = stripe.StripeClient("sk_test_local", base_addresses={"api": local.server.url}, max_network_retries=1)
    assert patient.v1.customers.create(params={"name": "A"}).name == "A"
    assert customers(local) == 1


def test_a_fault_meets_the_calls_it_was_armed_for_and_no_other(local):
    arm(local, "500", path="/v1/customers/*", method="GET", times=2)
    made = local.client.v1.customers.create(params={"name": "A"})
    local.client.v1.customers.update(made.id, params={"name": "B"})
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            local.client.v1.customers.retrieve(made.id)
    assert local.client.v1.customers.retrieve(made.id).name == "B"
    assert local.local("GET", "faults") == {"data": []}


def test_faults_can_be_disarmed(local):
    arm(local, "timeout", times=1000)
    assert local.local("GET", "faults")["data"][0]["times"] == 1000
    assert local.local("DELETE", "faults") == {"data": []}
    assert local.client.v1.customers.create(params={"name": "A"}).name == "A"


def test_a_refusal_goes_unheard_when_the_answer_is_lost(local):
    arm(local, "timeout", when="after")
    with pytest.raises(stripe.APIConnectionError):
        local.client.v1.customers.create(params={"email": "nobody"})


@pytest.mark.parametrize(
    "body",
    [
        {"how": "500"},
        {"path": "/_local/health", "how": "500"},
        {"path": CUSTOMERS, "how": "418"},
        {"path": CUSTOMERS, "how": "500", "when": "meanwhile"},
        {"path": CUSTOMERS, "how": "500", "times": 0},
        {"path": CUSTOMERS, "how": "500", "times": True},
        {"path": CUSTOMERS, "how": "500", "method": "PUT"},
        {"path": CUSTOMERS, "how": "500", "colour": "red"},
    ],
)
def test_a_fault_that_is_not_understood_is_refused(local, body):
    with pytest.raises(urllib.error.HTTPError) as refused:
        local.local("POST", "faults", body)
    with refused.value as error:
        assert error.code == 400
    assert local.local("GET", "faults") == {"data": []}
