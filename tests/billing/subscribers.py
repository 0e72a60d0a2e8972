"""Tenants that subscribe, for tests of what comes after: registered, paid at the local Stripe, and followed."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import botocore.client
import pytest
import stripe

from chalicelib.billing import find_plan, open_checkout
from chalicelib.billing.follow import follow
from chalicelib.identity import add_owner
from chalicelib.platform.clock import utc_now
from chalicelib.platform.ids import new_id
from chalicelib.platform.settings import settings
from chalicelib.tenancy import State, TenantRecord, find_tenant, records
from tests.billing.payments import Payments

INCLUDED = 10

Subscribe = Callable[..., TenantRecord]


@pytest.fixture
def subscribe(payments: Payments) -> Subscribe:
    """Makes a tenant that pays for a plan (its trial is over), by the month in CNY unless said."""

    def make(plan: str = "starter", *, interval: str = "month", seats: int = 0, trial: bool = False) -> TenantRecord:
        record = registered()
        page = open_checkout(record, find_plan(plan), interval=interval, seats=seats)
        payments.pay(page.url)
        session = payments.client.v1.checkout.sessions.retrieve(page.session_id)
        if not trial and find_plan(plan).trial_days:
            payments.client.v1.subscriptions.update(session.subscription, {"trial_end": "now"})
        follow(session.subscription)
        return find_tenant(record.pk)

    return make


@pytest.fixture
def metered(payments: Payments) -> Callable[..., TenantRecord]:
    """Makes a tenant that is a customer at Stripe, with terms that include ten open cases."""

    def make(state: State = State.ACTIVE) -> TenantRecord:
        terms = find_plan("starter").terms.model_dump(mode="json")
        terms["entitlements"]["active_cases"] = INCLUDED
        made = payments.client.v1.customers.create({"email": "owner@harbour.example"})
        return registered(state=state, customer_id=made.id, terms=terms)

    return make


@pytest.fixture
def open_cases_are(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets how many cases are open (none at first), for tests of what follows from the count."""

    def are(number: int) -> None:
        monkeypatch.setattr("chalicelib.billing.usage.open_cases", lambda _: number)

    are(0)
    return are


def registered(**members: Any) -> TenantRecord:
    """A tenant that has signed up and not paid yet."""
    tenant_id = new_id("ten")
    record = records()(
        tenant_id,
        "tenant",
        **{
            "name": "Harbour Bank",
            "jurisdiction": "CN",
            "region": settings().region,
            "locale": "en",
            "currency": "CNY",
            "owner_email": f"owner@{tenant_id.lower().replace('_', '-')}.example",
            "plan": "starter",
            "created_at": utc_now(),
        }
        | members,
    )
    record.save()
    return record


def take_seats(tenant_id: str, count: int) -> None:
    """Has that many people take a seat."""
    for number in range(count):
        add_owner(tenant_id, f"person{number}@{tenant_id.lower().replace('_', '-')}.example")


def control(payments: Payments, path: str, body: dict[str, Any]) -> None:
    """Asks the local Stripe for what Stripe does not have: a fault, a card that declines."""
    request = urllib.request.Request(
        f"{payments.url}/_local/{path}", data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=20).close()


class Killed(BaseException):
    """What a killed worker sees of it: nothing that `except Exception` could catch."""


class Saboteur:
    """Kills the worker after AWS or Stripe has carried out its n-th request and before it hears of it, which is the
    same as before the next one. `requests` counts them."""

    def __init__(self, at: int | None) -> None:
        self.at, self.requests = at, 0

    @contextmanager
    def lurking(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        aws, payments = botocore.client.BaseClient._make_api_call, stripe.RequestsClient.request

        def counted(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **named: Any) -> Any:
                answer = real(*arguments, **named)
                self.requests += 1
                if self.requests == self.at:
                    raise Killed
                return answer

            return call

        with monkeypatch.context() as patch:
            patch.setattr(botocore.client.BaseClient, "_make_api_call", counted(aws))
            patch.setattr(stripe.RequestsClient, "request", counted(payments))
            yield


@contextmanager
def counted_requests(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The requests that are sent to Stripe inside the block, as method and address."""
    sent: list[str] = []
    real = stripe.RequestsClient.request

    def request(self: Any, method: str, url: str, *arguments: Any, **named: Any) -> Any:
        sent.append(f"{method} {url}")
        return real(self, method, url, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(stripe.RequestsClient, "request", request)
        yield sent
