"""HTTP in front of the state: authentication, idempotency, one call at a time, errors in Stripe's shape."""

from __future__ import annotations

import hmac
import json
import logging
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast
from urllib.parse import urlsplit

from . import idempotency, timeline
from .calls import dispatch
from .control import control
from .errors import StripeError
from .faults import Faults, NoAnswer
from .forms import parse_form
from .shapes import API_VERSION, Object, new_id
from .state import State
from .visits import Page, visit

_LOG = logging.getLogger(__name__)
_MAX_BODY = 1 << 20


@dataclass(frozen=True)
class Reply:
    """What goes back: a JSON object or a page, and headers besides the usual."""

    status: int
    content: Object | str
    headers: tuple[tuple[str, str], ...] = ()


class StripeServer(ThreadingHTTPServer):
    """Listens on the loopback address only; port 0 takes a free one, told by ``url``."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, state: State, secret_key: str) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.state = state
        self.secret_key = secret_key
        self.keys_in_use = idempotency.KeysInUse()
        self.faults = Faults()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def answer_api(self, request: Request) -> Reply:
        """A call of Stripe's API."""
        self._authenticate(request.headers.get("Authorization", ""))
        sent = parse_form(request.body if request.method == "POST" else request.query)
        key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
        if not key:
            with self.state.changed, self.faults.around(request.method, request.path):
                return Reply(200, self._perform(request, sent, None))
        mark = idempotency.fingerprint(request.method, request.path, sent)
        self.keys_in_use.enter(key)
        try:
            with self.state.changed, self.faults.around(request.method, request.path):
                kept = idempotency.recall(self.state, key, mark)
                if kept is not None:
                    return Reply(
                        kept["status"], kept["answer"], (("Idempotency-Key", key), ("Idempotent-Replayed", "true"))
                    )
                return Reply(200, self._perform(request, sent, (key, mark)), (("Idempotency-Key", key),))
        finally:
            self.keys_in_use.leave(key)

    def answer_control(self, request: Request) -> Reply:
        """A call below ``/_local``."""
        try:
            body = json.loads(request.body or "{}")
        except ValueError as error:
            raise StripeError(f"The body is not JSON: {error}") from error
        if not isinstance(body, dict):
            raise StripeError("The body must be a JSON object")
        with self.state.changed:
            self._settle()
            answer = control(self.state, self.faults, request.method, request.path, body, self.url)
            self.state.commit()
            return Reply(200, json.loads(json.dumps(answer)))

    def answer_page(self, request: Request) -> Reply:
        """A visit of one of the pages."""
        with self.state.changed:
            self._settle()
            page: Page = visit(self.state, request.method, request.path, parse_form(request.body), self.url)
            self.state.commit()
        return Reply(page.status, page.html, (("Location", page.location),) if page.location else ())

    def _perform(self, request: Request, sent: Object, kept_as: tuple[str, str] | None) -> Object:
        """Carry out one call whole: its changes and its answer's remembrance are committed together."""
        self._settle()
        self.state.cause = (request.id, kept_as[0] if kept_as else None)
        try:
            answer = dispatch(self.state, request.method, request.path, sent, self.url)
        except StripeError as refusal:
            if refusal.status == 402 and kept_as:
                # A card's refusal is the outcome of a call that was carried out: repeating the call repeats it.
                idempotency.remember(self.state, *kept_as, refusal.body(), status=402)
            self.state.commit()
            raise
        finally:
            self.state.cause = (None, None)
        if kept_as:
            idempotency.remember(self.state, *kept_as, answer)
        self.state.commit()
        return answer

    def _settle(self) -> None:
        """Let time do its part first, and keep it whatever becomes of the call."""
        timeline.settle(self.state, self.url)
        self.state.commit()

    def _authenticate(self, authorization: str) -> None:
        scheme, _, key = authorization.partition(" ")
        if scheme != "Bearer" or not key:
            raise StripeError("You did not provide an API key in the Authorization header.", status=401)
        if not hmac.compare_digest(key.encode(), self.secret_key.encode()):
            raise StripeError(f"Invalid API Key provided: {key[:8]}****", status=401)


@dataclass(frozen=True)
class Request:
    """One HTTP request, read."""

    id: str
    method: str
    path: str
    query: str
    body: str
    headers: dict[str, str]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave in one packet

    @property
    def _stripe(self) -> StripeServer:
        return cast(StripeServer, self.server)

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged: their paths and bodies hold customers' ids and addresses."""

    def _answer(self) -> None:
        request_id = new_id("req_")
        try:
            request = self._read(request_id)
            if request.path.startswith("/v1/"):
                reply = self._stripe.answer_api(request)
            elif request.path.startswith("/_local/"):
                reply = self._stripe.answer_control(request)
            else:
                reply = self._stripe.answer_page(request)
        except NoAnswer:
            self.close_connection = True
            return
        except StripeError as problem:
            reply = Reply(problem.status, problem.body())
        except Exception:
            _LOG.exception("request %s failed", request_id)
            message = f"The local Stripe failed; its log tells why under {request_id}"
            reply = Reply(500, StripeError(message, kind="api_error").body())
        self._send(reply, request_id)

    def _read(self, request_id: str) -> Request:
        if "Transfer-Encoding" in self.headers:
            self.close_connection = True
            raise StripeError("Send the body with a Content-Length", status=411)
        length = self.headers.get("Content-Length", "0")
        if not length.isascii() or not length.isdigit() or int(length) > _MAX_BODY:
            self.close_connection = True
            raise StripeError(f"Content-Length must be a number up to {_MAX_BODY}", status=413)
        try:
            body = self.rfile.read(int(length)).decode("utf-8")
        except UnicodeDecodeError as error:
            raise StripeError("The body is not UTF-8") from error
        parts = urlsplit(self.path)
        headers = {name.title(): value for name, value in self.headers.items()}
        return Request(request_id, self.command, parts.path, parts.query, body, headers)

    def _send(self, reply: Reply, request_id: str) -> None:
        is_page = isinstance(reply.content, str)
        body = (reply.content if isinstance(reply.content, str) else json.dumps(reply.content, indent=2)).encode()
        self.send_response(reply.status)
        self.send_header("Content-Type", "text/html; charset=utf-8" if is_page else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Request-Id", request_id)
        if is_page:
            self.send_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
        else:
            self.send_header("Stripe-Version", self.headers.get("Stripe-Version", API_VERSION))
        for name, value in reply.headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
