"""HTTP in front of the issuer."""

from __future__ import annotations

import html
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

from .provider import Issuer, Refused, check_authorization

_MAX_BODY = 64 * 1024


@dataclass(frozen=True)
class Reply:
    """What goes back: a JSON object, a page, or the address that the browser is sent to."""

    status: int
    content: Mapping[str, Any] | str = ""
    location: str | None = None


class IssuerServer(ThreadingHTTPServer):
    """Listens on the loopback address only; port 0 takes a free one, told by `url`."""

    daemon_threads = True

    def __init__(self, port: int, clock: Callable[[], float] = time.time) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.issuer = Issuer(self.url, clock)

    def answer(self, method: str, target: str, body: bytes) -> Reply:
        """The reply to a request. Raises Refused."""
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query))
        match method, parts.path:
            case "GET", "/.well-known/openid-configuration":
                return Reply(200, self.issuer.discovery())
            case "GET", "/jwks.json":
                return Reply(200, self.issuer.key_set())
            case "GET", "/authorize":
                check_authorization(query)
                return Reply(200, _sign_in_page(query))
            case "POST", "/authorize":
                return Reply(302, location=self.issuer.authorize(query, dict(parse_qsl(body.decode()))))
            case "POST", "/token":
                return Reply(200, self.issuer.exchange(dict(parse_qsl(body.decode()))))
            case "POST", "/_local/people":
                wish = _wish(body, {"email": str, "password": str}, {"email_verified": bool, "totp": bool})
                person = self.issuer.add_person(**wish)
                return Reply(200, {"subject": person.subject, "totp_secret": person.totp_secret})
            case "POST", "/_local/rotate":
                return Reply(200, {"kid": self.issuer.rotate(**_wish(body, {}, {"kind": str}))})
            case _:
                raise Refused("not_found", "nothing is there", 404)


def _wish(body: bytes, needed: Mapping[str, type], optional: Mapping[str, type]) -> dict[str, Any]:
    """The members of a JSON body, each of its type."""
    try:
        wish = json.loads(body or b"{}")
    except ValueError:
        raise Refused("invalid_request", "the body is not JSON") from None
    if not isinstance(wish, dict):
        raise Refused("invalid_request", "the body is no JSON object")
    members, types = cast("dict[str, Any]", wish), {**needed, **optional}
    if needed.keys() - members or any(not isinstance(value, types.get(name, ())) for name, value in members.items()):
        raise Refused("invalid_request", f"members are {', '.join(f'{n} ({t.__name__})' for n, t in types.items())}")
    return members


def _sign_in_page(request: Mapping[str, str]) -> str:
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Sign in</title>
<form method="post" action="/authorize?{html.escape(urlencode(request))}">
<label>E-mail <input name="email" type="email" autocomplete="username" required></label>
<label>Password <input name="password" type="password" autocomplete="current-password" required></label>
<label>Code, if you have an authenticator <input name="code" inputmode="numeric" autocomplete="one-time-code"></label>
<button>Sign in</button></form></html>"""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged: their addresses hold codes."""

    def _answer(self) -> None:
        try:
            reply = cast(IssuerServer, self.server).answer(self.command, self.path, self._body())
        except Refused as refusal:
            reply = Reply(refusal.status, {"error": refusal.error, "error_description": refusal.description})
        page = isinstance(reply.content, str)
        body = (reply.content if isinstance(reply.content, str) else json.dumps(reply.content)).encode()
        self.send_response(reply.status)
        self.send_header("Content-Type", "text/html; charset=utf-8" if page else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if reply.location is not None:
            self.send_header("Location", reply.location)
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "0")
        if not length.isascii() or not length.isdigit() or int(length) > _MAX_BODY:
            self.close_connection = True
            raise Refused("invalid_request", f"Content-Length is a number up to {_MAX_BODY}", 413)
        body = self.rfile.read(int(length))
        if not body.isascii():
            raise Refused("invalid_request", "the body is not ASCII")
        return body
