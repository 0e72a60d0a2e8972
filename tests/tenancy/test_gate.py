"""The gate: what a state allows, and how often one may call, for one credential and for the whole tenant."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from chalicelib.platform import requests
from chalicelib.platform.errors import TooManyRequests
from chalicelib.platform.http import Caller, Endpoint
from chalicelib.platform.ids import new_id
from chalicelib.tenancy import NotInThisState, State, find_tenant, forget_access, records
from chalicelib.tenancy import gate as gates
from chalicelib.tenancy.gate import gate

NOW = datetime(2026, 11, 25, 10, 20, 15, tzinfo=UTC)
LOOK = Endpoint("GET", "/v1/cases", "list_cases", "", None, None, 200, "cases:read")
CHANGE = replace(LOOK, method="POST", need="work")
BRING_IN = replace(LOOK, method="POST", need="connect")
PAY = replace(LOOK, method="POST", need="bill")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that has drawn nothing, at a fixed moment."""
    monkeypatch.setattr(gates, "_purses", {})
    monkeypatch.setattr(gates, "utc_now", lambda: NOW)


def caller(tenant, subject: str | None = None) -> Caller:
    return Caller(tenant.id, subject or new_id("key"), frozenset({"cases:read"}))


def put_in(tenant, state: State, **entitlements: int) -> None:
    record = find_tenant(tenant.id)
    terms = {**record.terms, "entitlements": {**record.terms["entitlements"], **entitlements}}
    record.update(actions=[records().state.set(state.value), records().terms.set(terms)])
    forget_access(tenant.id)


@pytest.mark.parametrize(
    ("state", "open_to"),
    [
        (State.ACTIVE, ["read", "work", "connect", "bill"]),
        (State.PAST_DUE, ["read", "work", "connect", "bill"]),
        (State.LIMITED, ["read", "work", "bill"]),
        (State.SUSPENDED, ["read", "bill"]),
        (State.CLOSING, ["read", "bill"]),
        (State.ERASED, []),
    ],
)
def test_each_state_lets_through_what_it_allows_and_says_what_it_does_not(tenant, state: State, open_to: list[str]):
    put_in(tenant, state)
    for endpoint in (LOOK, CHANGE, BRING_IN, PAY):
        if endpoint.need in open_to:
            assert gate(endpoint, caller(tenant))["RateLimit-Limit"] == ("60" if endpoint is PAY else "300")
            continue
        with pytest.raises(NotInThisState) as refused:
            gate(endpoint, caller(tenant))
        assert refused.value.problem()["state"] == state
        assert refused.value.problem()["need"] == endpoint.need


def test_a_payment_opens_what_was_closed(tenant):
    put_in(tenant, State.SUSPENDED)
    with pytest.raises(NotInThisState):
        gate(CHANGE, caller(tenant))
    put_in(tenant, State.ACTIVE)
    assert gate(CHANGE, caller(tenant))


def test_a_credential_has_its_rate_and_no_more(tenant):
    put_in(tenant, State.ACTIVE, requests_per_minute_per_key=3, requests_per_minute=100)
    one = caller(tenant)
    left = [gate(LOOK, one)["RateLimit-Remaining"] for _ in range(3)]
    assert left == ["2", "1", "0"]
    with pytest.raises(TooManyRequests, match="this credential may call 3 times") as refused:
        gate(LOOK, one)
    assert refused.value.headers == {
        "Retry-After": "45",
        "RateLimit-Limit": "3",
        "RateLimit-Remaining": "0",
        "RateLimit-Reset": "45",
    }
    assert gate(LOOK, caller(tenant)), "another credential of the tenant is not held up"
    assert gate(PAY, one), "whoever calls too often can still pay"


def test_a_tenant_has_its_rate_over_all_credentials_and_takes_nothing_from_another(tenant, other_tenant):
    put_in(tenant, State.ACTIVE, requests_per_minute_per_key=100, requests_per_minute=4)
    for _ in range(4):
        gate(LOOK, caller(tenant))
    with pytest.raises(TooManyRequests, match="the tenant may call 4 times"):
        gate(LOOK, caller(tenant))
    put_in(other_tenant, State.ACTIVE)
    assert gate(LOOK, caller(other_tenant))


def test_a_credential_past_its_rate_takes_nothing_from_the_others(tenant):
    put_in(tenant, State.ACTIVE, requests_per_minute_per_key=2, requests_per_minute=4)
    stolen = caller(tenant)
    for _ in range(2):
        gate(LOOK, stolen)
    for _ in range(10):
        with pytest.raises(TooManyRequests, match="this credential"):
            gate(LOOK, stolen)
    other = caller(tenant)
    assert [gate(LOOK, other)["RateLimit-Remaining"] for _ in range(2)] == ["1", "0"]


def test_access_is_taken_away_whatever_the_rate(tenant):
    put_in(tenant, State.ACTIVE, requests_per_minute_per_key=1, requests_per_minute=1)
    one = caller(tenant)
    assert [gate(replace(PAY, need="secure"), one)["RateLimit-Remaining"] for _ in range(3)] == ["0", "0", "0"]
    with pytest.raises(TooManyRequests):
        gate(LOOK, caller(tenant))


def test_paying_has_a_rate_of_its_own_so_that_one_tenant_does_not_use_up_stripes(tenant, other_tenant):
    put_in(tenant, State.ACTIVE, requests_per_minute_per_key=1, requests_per_minute=1)
    for _ in range(60):
        gate(PAY, caller(tenant))
    with pytest.raises(TooManyRequests, match="for payments the tenant may call 60 times a minute"):
        gate(PAY, caller(tenant))
    assert gate(LOOK, caller(tenant)), "paying takes nothing from the rest"
    put_in(other_tenant, State.ACTIVE)
    assert gate(PAY, caller(other_tenant))


def test_containers_share_a_rate_and_never_let_more_through(tenant, monkeypatch: pytest.MonkeyPatch):
    put_in(tenant, State.ACTIVE, requests_per_minute_per_key=1000, requests_per_minute=60)
    containers = [{}, {}, {}]
    passed = 0
    for turn in range(120):
        monkeypatch.setattr(gates, "_purses", containers[turn % 3])
        try:
            gate(LOOK, caller(tenant, "key_shared"))
            passed += 1
        except TooManyRequests:
            pass
    assert passed == 60


def test_counting_costs_a_write_for_many_calls(tenant):
    put_in(tenant, State.ACTIVE)
    one = caller(tenant)
    with requests.counted() as counter:
        for _ in range(60):
            gate(LOOK, one)
    assert counter.total() <= 1 + 4 + 2, "one look at the registry; 15 and 30 calls to a draw"
