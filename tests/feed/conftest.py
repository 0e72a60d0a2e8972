"""A webhook receiver as a tenant would run one, and the events that wake Lambda functions, as AWS shapes them."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from standardwebhooks import Webhook

from chalicelib.feed import event_put
from chalicelib.feed.catalogue import event_type
from chalicelib.feed.messages import Message
from chalicelib.platform import aws as platform_aws
from chalicelib.platform.clock import utc_now
from chalicelib.platform.commit import Group, commit_one
from chalicelib.platform.settings import settings


@dataclass(frozen=True)
class Received:
    """One request as it came in."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> dict[str, Any]:
        """The body, if the published library accepts its signature by that secret."""
        return Webhook(secret).verify(self.body, self.headers)


@dataclass
class Receiver:
    """An HTTP server on this machine. `answers` maps a path to a status (200 otherwise) or a function to call."""

    server: ThreadingHTTPServer
    received: list[Received] = field(default_factory=list)
    answers: dict[str, int | Callable[[], int]] = field(default_factory=dict)
    answer_headers: dict[str, dict[str, str]] = field(default_factory=dict)

    def url(self, path: str = "/hooks") -> str:
        return f"http://127.0.0.1:{self.server.server_port}{path}"

    def at(self, path: str = "/hooks") -> list[Received]:
        return [each for each in self.received if each.path == path]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            known.received.append(Received(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            answer = known.answers.get(self.path, 200)
            self.send_response(answer if isinstance(answer, int) else answer())
            for name, value in {"content-length": "0", **known.answer_headers.get(self.path, {})}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return None

    known = Receiver(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
    thread = threading.Thread(target=known.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield known
    known.server.shutdown()
    known.server.server_close()


@pytest.fixture
def emit() -> Callable[..., str]:
    """Commits an event of a type (with the catalogue's example as data) and returns its id."""

    def commit_event(tenant: Any, type: str = "case.opened") -> str:
        put = event_put(tenant, type, event_type(type).example, now=utc_now())
        assert commit_one(tenant.store, Group("event", [put]))
        return put.item.pk

    return commit_event


@pytest.fixture
def stream() -> Callable[..., dict[str, Any]]:
    """What the stream of a tenant's feed wakes the dispatcher with."""
    numbers = itertools.count(100)

    def records(tenant: Any, keys: Sequence[str | tuple[str, str]], *, name: str = "INSERT") -> dict[str, Any]:
        table = settings().tenant_table(tenant.id, "feed")
        return {
            "Records": [
                {
                    "eventID": f"{number:032x}",
                    "eventName": name,
                    "eventSource": "aws:dynamodb",
                    "awsRegion": settings().region,
                    "dynamodb": {
                        "Keys": {"pk": {"S": pk}, "sk": {"S": sk}},
                        "SequenceNumber": str(number),
                        "StreamViewType": "KEYS_ONLY",
                    },
                    "eventSourceARN": settings().arn("dynamodb", f"table/{table}/stream/2026-01-01T00:00:00.000"),
                }
                for number, (pk, sk) in zip(
                    numbers, [(k, "event") if isinstance(k, str) else k for k in keys], strict=False
                )
            ]
        }

    return records


@dataclass
class Queue:
    """The queue `deliveries`, kept in memory: what was sent with which delay, and it as a batch for the function."""

    sent: list[tuple[dict[str, Any], int]] = field(default_factory=list)
    refuse: Callable[[dict[str, Any]], bool] = lambda _: False

    def send(self, queue: str, tenant_id: str, messages: list[dict[str, Any]], *, delay_seconds: int = 0) -> None:
        assert queue == "deliveries"
        assert all(message["tenant_id"] == tenant_id for message in messages)
        if any(self.refuse(message) for message in messages):
            raise platform_aws.Unsent("refused by the test")
        self.sent += [(message, delay_seconds) for message in messages]

    def take(self) -> dict[str, Any]:
        """All messages as the batch that wakes the function; the queue is empty then."""
        taken, self.sent = self.sent, []
        return self.batch(message for message, _ in taken)

    @staticmethod
    def batch(messages: Any) -> dict[str, Any]:
        return {
            "Records": [
                {"messageId": f"m{i}", "body": json.dumps(m.document() if isinstance(m, Message) else m)}
                for i, m in enumerate(messages)
            ]
        }


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    queue = Queue()
    monkeypatch.setattr(platform_aws, "send", queue.send)
    return queue


@dataclass
class Context:
    """What Lambda tells a function of itself."""

    remaining: int = 300_000

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining


@pytest.fixture
def context() -> Context:
    return Context()
