"""Where billing's suite runs: always on the local stack's Stripe, and on Stripe itself with the key of a sandbox.

No browser goes to Stripe's pages here, so what Checkout's page does is done by the API, alike in both places. What
comes of it is read and changed by the product's own code, which finds key and address where it always does.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

import boto3
import pytest
import stripe

from chalicelib.billing import find_plan, open_checkout, plans
from chalicelib.billing.checkout import close_page
from chalicelib.billing.follow import find_subscription, follow
from chalicelib.billing.stripe_client import stripe_client
from chalicelib.platform.aws import secret
from chalicelib.platform.clock import utc_now
from chalicelib.platform.settings import settings
from chalicelib.tenancy import TenantRecord, find_tenant
from infra.local.stripe.server import StripeServer
from infra.stripe_sync import sync
from tests.billing.subscribers import registered

KEY = "STRIPE_API_KEY"
STAND_IN, STRIPE = "stand-in", "stripe"

GOOD_CARD, DECLINING_CARD = "pm_card_visa", "pm_card_chargeCustomerFail"
"""Stripe's names for test cards; both can be attached, and what is charged to the second is declined."""

PATIENCE, PAUSE = 300.0, 3.0
"""For how many seconds something may become so at Stripe, which counts usage and moves its clocks in its own time, and
how many lie between two looks."""

_Found = TypeVar("_Found")


class WrongKey(Exception):
    """The key in the environment is not one that the suite may use."""


@dataclass(frozen=True)
class Place:
    """One of the two. `api_base` is empty for Stripe itself; `patience` is in seconds, and 0 has everything be so at
    once. The key is not shown with a place that a failing test prints."""

    name: str
    api_base: str
    patience: float
    api_key: str = field(repr=False)


def places(key: str | None) -> list[str]:
    """Where the suite is to run when the environment has this key. One that may not be used is refused there, not
    passed over in silence."""
    return [STAND_IN, STRIPE] if key else [STAND_IN]


def stripe_itself(key: str) -> Place:
    """Stripe's test mode. Raises WrongKey for any key but a secret one of a test mode or sandbox."""
    if not key.startswith("sk_test_"):
        what = "a live key" if "_live_" in key else "not a secret key of a sandbox"
        raise WrongKey(
            f"{KEY} is {what}, and the suite charges, changes and cancels; expected one that begins sk_test_"
        )
    return Place(STRIPE, "", PATIENCE, key)


def stand_in(server: StripeServer) -> Place:
    """The local stack's Stripe, at which nothing has to be waited for."""
    return Place(STAND_IN, server.url, 0.0, server.secret_key)


@dataclass
class Sandbox:
    """A place, with the tenants that subscribe there and the clocks that they live by."""

    place: Place
    tenants: list[str] = field(default_factory=list)

    @property
    def client(self) -> stripe.StripeClient:
        """The product's own client."""
        return stripe_client()

    def signed_up(self, plan: str, *, at: datetime | None = None) -> TenantRecord:
        """A tenant that has paid nothing yet. Its clock, once it has one, begins at that moment."""
        record = registered(plan=plan, currency="USD", created_at=(at or utc_now()).replace(microsecond=0))
        self.tenants.append(record.pk)
        return record

    def subscriber(self, plan: str, *, seats: int = 0, at: datetime | None = None) -> TenantRecord:
        """A tenant that subscribes by the month and is followed: with a card that is good, paid or in its trial."""
        record = self.signed_up(plan, at=at)
        follow(self._pay(record, seats))
        return find_tenant(record.pk)

    def followed(self, record: TenantRecord) -> TenantRecord:
        """The tenant as it is once its subscription was looked at again."""
        assert record.subscription_id is not None
        follow(record.subscription_id)
        return find_tenant(record.pk)

    def subscription(self, record: TenantRecord) -> stripe.Subscription:
        """The tenant's subscription, its latest invoice with it."""
        assert record.subscription_id is not None
        found = find_subscription(record.subscription_id)
        assert found is not None
        return found

    def latest_invoice(self, record: TenantRecord) -> stripe.Invoice:
        """The invoice that the subscription made last."""
        invoice = self.subscription(record).latest_invoice
        assert isinstance(invoice, stripe.Invoice)
        return invoice

    def replace_card(self, record: TenantRecord, card: str) -> None:
        """Has the tenant's subscription be paid by another card from now on."""
        own = self._attach(record.customer_id, card)
        self.client.v1.subscriptions.update(record.subscription_id, {"default_payment_method": own})

    def advance(self, record: TenantRecord, by: timedelta) -> None:
        """Moves the tenant's clock, and waits until everything that fell due by then has happened."""
        clocks = self.client.v1.test_helpers.test_clocks
        before = clocks.retrieve(record.test_clock_id).frozen_time
        clocks.advance(record.test_clock_id, {"frozen_time": before + int(by.total_seconds())})
        self._wait_for(record.test_clock_id)

    def until(self, read: Callable[[], _Found], holds: Callable[[_Found], bool]) -> _Found:
        """What `read` finds, once it holds; looked at again with patience where there is any, and else once."""
        end = time.monotonic() + self.place.patience
        found = read()
        while not holds(found):
            assert time.monotonic() < end, f"it never came true; the last that was found is {found!r}"
            time.sleep(PAUSE)
            found = read()
        return found

    def clean(self) -> None:
        """Deletes the clocks, and with them the customers and subscriptions; the catalogue stays."""
        clocks = self.client.v1.test_helpers.test_clocks
        for clock in list(clocks.list({"limit": 100}).auto_paging_iter()):
            if clock.name in self.tenants:
                self._wait_for(clock.id)
                clocks.delete(clock.id)

    def _pay(self, record: TenantRecord, seats: int) -> str:
        """What Checkout's page does with the session that the product opened: address, card, subscription. The page
        itself is closed, since it was not paid."""
        plan = find_plan(record.plan)
        page = open_checkout(record, plan, interval="month", seats=seats)
        session = self.client.v1.checkout.sessions.retrieve(page.session_id, {"expand": ["line_items"]})
        assert session.line_items is not None
        record = find_tenant(record.pk)
        close_page(record)
        address = {"line1": "1 Poultry", "city": "London", "postal_code": "EC2R 8EJ", "country": "GB"}
        self.client.v1.customers.update(record.customer_id, {"address": address})
        card = self._attach(record.customer_id, GOOD_CARD)
        trial = {
            "trial_period_days": plan.trial_days,
            "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
        }
        made = self.client.v1.subscriptions.create(
            {
                "customer": record.customer_id,
                "items": [_item(line) for line in session.line_items.data],
                "metadata": {"tenant_id": record.pk, "plan": plan.key},
                "default_payment_method": card,
                "payment_behavior": "error_if_incomplete",
                "billing_mode": {"type": "flexible"},
                "automatic_tax": {"enabled": True},
                **(trial if plan.trial_days else {}),
            }
        )
        return made.id

    def _attach(self, customer_id: str | None, card: str) -> str:
        assert customer_id is not None
        return self.client.v1.payment_methods.attach(card, {"customer": customer_id}).id

    def _wait_for(self, clock_id: str) -> None:
        clocks = self.client.v1.test_helpers.test_clocks
        status = self.until(lambda: clocks.retrieve(clock_id).status, lambda found: found != "advancing")
        assert status == "ready", f"Stripe's clock is {status}"


def _item(line: stripe.LineItem) -> dict[str, object]:
    """A line of a checkout page as an item of a subscription; what is metered has no quantity."""
    assert line.price is not None and line.price.recurring is not None
    metered = line.price.recurring.usage_type == "metered"
    return {"price": line.price.id} if metered else {"price": line.price.id, "quantity": line.quantity}


@contextmanager
def entered(place: Place) -> Iterator[None]:
    """The product's client at a place while the block runs, its key in a secret of its own, new customers on clocks."""
    secrets, name = boto3.client("secretsmanager"), f"{settings().prefix}/stripe-at-{place.name}"
    secrets.create_secret(Name=name, SecretString=json.dumps({"api_key": place.api_key, "webhook_secret": ""}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DUEBRIDGE_STRIPE_SECRET", name)
        patch.setenv("DUEBRIDGE_STRIPE_API_BASE", place.api_base)
        patch.setenv("DUEBRIDGE_STRIPE_TEST_CLOCKS", "true")
        _forget()
        try:
            yield
        finally:
            secrets.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    _forget()


def _stripe_itself() -> Place:
    try:
        return stripe_itself(os.environ[KEY])
    except WrongKey as refused:
        pytest.fail(str(refused), pytrace=False)  # a trace would show the key


def _forget() -> None:
    for known in (settings, stripe_client, secret):
        known.cache_clear()


@pytest.fixture(scope="module", params=places(os.environ.get(KEY)))
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """The suite's place, with the plans on sale there, left without tenants at the end."""
    # The key first: a wrong one is to begin nothing at all.
    place = _stripe_itself() if request.param == STRIPE else stand_in(request.getfixturevalue("stripe_server"))
    request.getfixturevalue("aws")
    with entered(place):
        sync(stripe_client(), plans())
        made = Sandbox(place)
        try:
            yield made
        finally:
            made.clean()
