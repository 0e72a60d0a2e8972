"""A Stripe of one's own for each test, spoken to through the official SDK, and a receiver of its webhooks."""

from __future__ import annotations

import json
import queue
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import stripe

from infra.local.stripe.deliveries import Courier
from infra.local.stripe.server import StripeServer
from infra.local.stripe.state import State

SECRET_KEY = "sk_test_local"
WEBHOOK_SECRET = "whsec_test"


@dataclass
class Receiver:
    """An endpoint that verifies every webhook and answers with ``statuses`` in turn, then 200."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    events: queue.Queue[stripe.Event] = field(default_factory=queue.Queue)

    def next(self, count: int) -> list[stripe.Event]:
        """The next events that arrived, waiting for them."""
        return [self.events.get(timeout=20) for _ in range(count)]


class _Unfollowed(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object) -> None:
        return None


@dataclass
class LocalStripe:
    """The server under test, the official client for it, and the steps that many tests share."""

    server: StripeServer
    client: stripe.StripeClient

    def local(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """A call below /_local."""
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(f"{self.server.url}/_local/{path}", data=data, method=method)
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return json.load(answer)

    def advance(self, *, days: float) -> list[str]:
        """Move the clock; the types of the events that came of it."""
        return self.local("POST", "advance", {"seconds": int(days * 86_400)})["events"]

    def visit(self, url: str, form: str | None = None) -> tuple[int, str, str]:
        """A page as a browser gets it: status, HTML, and where it redirects to."""
        opener = urllib.request.build_opener(_Unfollowed)
        try:
            with opener.open(url, data=None if form is None else form.encode(), timeout=20) as answer:
                return answer.status, answer.read().decode(), ""
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode(), error.headers.get("Location", "")

    def make_price(self, **params: Any) -> stripe.Price:
        """USD 20.00 per month and seat, unless ``params`` says otherwise."""
        product = params.pop("product", None) or self.client.v1.products.create(params={"name": "Growth"}).id
        amount = {} if "unit_amount_decimal" in params else {"unit_amount": 2000}
        usual: Any = {"currency": "usd", **amount, "recurring": {"interval": "month"}}
        return self.client.v1.prices.create(params={**usual, "product": product, **params})

    def open_session(self, price: stripe.Price, **params: Any) -> stripe.checkout.Session:
        """An open checkout for two seats."""
        usual: Any = {
            "mode": "subscription",
            "line_items": [{"price": price.id, "quantity": 2}],
            "success_url": "http://127.0.0.1:9/done?session={CHECKOUT_SESSION_ID}",
            "cancel_url": "http://127.0.0.1:9/cancelled",
        }
        return self.client.v1.checkout.sessions.create(params={**usual, **params})

    def subscribe(self, price: stripe.Price, **params: Any) -> stripe.Subscription:
        """Check out and pay; the subscription that came of it."""
        buyer = {} if "customer" in params else {"customer_email": "owner@bank.example"}
        session = self.open_session(price, **buyer, **params)
        status, _, _ = self.visit(str(session.url), "card=accepted")
        assert status == 303
        paid = self.client.v1.checkout.sessions.retrieve(session.id)
        return self.client.v1.subscriptions.retrieve(str(paid.subscription))


@pytest.fixture(scope="session")
def assert_shape() -> Callable[..., None]:
    """Checks that an object has every field of Stripe's published one at its top level, and no other."""
    names = json.loads((Path(__file__).parent / "stripe_fields.json").read_text(encoding="utf-8"))

    def check(shown: stripe.StripeObject, kind: str | None = None) -> None:
        assert sorted(shown.to_dict()) == names[kind or shown["object"]]

    return check


@contextmanager
def _listening(server: ThreadingHTTPServer) -> Iterator[None]:
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield
    server.shutdown()
    server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            event = stripe.Webhook.construct_event(body, self.headers["Stripe-Signature"], WEBHOOK_SECRET)
            made.events.put(event)
            self.send_response(made.statuses.pop(0) if made.statuses else 200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_address[1]}/hooks?from=stripe"
    with _listening(server):
        yield made


@contextmanager
def serving(state: State) -> Iterator[LocalStripe]:
    server = StripeServer(0, state, SECRET_KEY)
    with _listening(server):
        yield LocalStripe(
            server, stripe.StripeClient(SECRET_KEY, base_addresses={"api": server.url}, max_network_retries=0)
        )


@pytest.fixture
def local() -> Iterator[LocalStripe]:
    """A server without webhooks."""
    with serving(State()) as made:
        yield made


@pytest.fixture
def hooked(receiver: Receiver) -> Iterator[LocalStripe]:
    """A server whose webhooks go to ``receiver``; a refused one is tried again at once, five times in all."""
    state = State()
    courier = Courier(state, receiver.url, WEBHOOK_SECRET, lambda attempts: 0.0 if attempts < 5 else None)
    courier.start()
    with serving(state) as made:
        yield made
    courier.stop()


@pytest.fixture
def price(local: LocalStripe) -> stripe.Price:
    """USD 20.00 per month and seat."""
    return local.make_price()
