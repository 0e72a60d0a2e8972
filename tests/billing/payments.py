"""The local stack's Stripe for tests of billing and sign-up: served in this process, spoken to as the product does."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import boto3
import pytest
import stripe

from chalicelib.billing.plans import plans
from chalicelib.billing.receive import Snapshot
from chalicelib.billing.stripe_client import stripe_client
from chalicelib.platform.aws import queue_url
from chalicelib.platform.settings import settings
from infra.local.stripe.server import StripeServer
from infra.local.stripe.state import State
from infra.stripe_sync import sync

SECRET_KEY = "sk_test_local"
WEBHOOK_SECRET = "whsec_local_unit_tests"


@dataclass
class Payments:
    """Stripe as a customer and Stripe's own webhooks see it."""

    url: str
    client: stripe.StripeClient

    def pay(self, page: str, *, card: str = "accepted") -> None:
        """Pays on a checkout page, without following it back to the shop."""
        urllib.request.build_opener(_Stay()).open(page, data=f"card={card}".encode(), timeout=20)

    def completed(self, session_id: str) -> Snapshot:
        """The event that Stripe made when a session was completed."""
        events = self.client.v1.events.list({"type": "checkout.session.completed"}).data
        found = next(event for event in events if event.data.object["id"] == session_id)
        return Snapshot.model_validate(found.to_dict())

    def events(self, *types: str) -> list[Snapshot]:
        """The events that Stripe made, of these types if any are named, oldest first."""
        asked = {"limit": 100, **({"types": list(types)} if types else {})}
        found = list(self.client.v1.events.list(asked).auto_paging_iter())
        return [Snapshot.model_validate(event.to_dict()) for event in reversed(found)]

    def card(self, customer_id: str, *, declines: bool) -> None:
        """Has the customer's card be declined, or accepted again."""
        self._control("POST", f"/_local/customers/{customer_id}/card", {"declines": declines})

    def advance(self, clock_id: str, by: timedelta) -> None:
        """Moves a test clock forward, a month at a time, and with it everything that lives by it."""
        clocks = self.client.v1.test_helpers.test_clocks
        now = clocks.retrieve(clock_id).frozen_time
        end = now + int(by.total_seconds())
        while now < end:
            now = min(end, now + 28 * 24 * 3600)
            clocks.advance(clock_id, {"frozen_time": now})

    def fail(self, path: str, how: str = "timeout", *, when: str = "before", method: str = "", times: int = 1) -> None:
        """Has the next calls of a path fail: before they are carried out, or after, so that only the answer is lost."""
        body = {"path": path, "how": how, "when": when, "method": method, "times": times}
        self._control("POST", "/_local/faults", body)

    def mend(self) -> None:
        """Takes back every fault that is still armed."""
        self._control("DELETE", "/_local/faults", {})

    def _control(self, method: str, path: str, body: dict) -> None:
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), method=method)
        urllib.request.urlopen(request, timeout=20).close()


class _Stay(urllib.request.HTTPErrorProcessor):
    """Redirects and refusals are answers like any other."""

    def http_response(self, request, response):
        return response


@pytest.fixture(scope="session")
def stripe_server() -> Iterator[StripeServer]:
    server = StripeServer(0, State(), SECRET_KEY)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def payments(aws: None, stripe_server: StripeServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Payments]:
    """The product's own client on the local Stripe, with the plans on sale there."""
    with _stripe_at(stripe_server.url, monkeypatch):
        sync(stripe_client(), plans())
        made = Payments(stripe_server.url, stripe_client())
        yield made
        made.mend()


@pytest.fixture
def no_stripe(aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Stripe that does not answer: nothing listens there."""
    with _stripe_at("http://127.0.0.1:9", monkeypatch):
        yield


class _stripe_at:
    """The product's client on an address, while the block runs."""

    def __init__(self, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._address, self._monkeypatch = address, monkeypatch

    def __enter__(self) -> None:
        self._monkeypatch.setenv("DUEBRIDGE_STRIPE_API_BASE", self._address)
        # A retry waits half a second before it fails again; the tests have nothing to gain from it.
        self._monkeypatch.setattr("chalicelib.billing.stripe_client.MAX_RETRIES", 0)
        self._forget()

    def __exit__(self, *_: object) -> None:
        self._monkeypatch.undo()
        self._forget()

    def _forget(self) -> None:
        settings.cache_clear()
        stripe_client.cache_clear()


def messages(queue: str) -> list[dict]:
    """Takes every message out of a queue."""
    sqs, url, taken = boto3.client("sqs"), queue_url(queue), []
    while found := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0).get("Messages"):
        for message in found:
            taken.append(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return taken
