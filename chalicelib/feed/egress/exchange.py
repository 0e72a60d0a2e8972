"""One request to a checked address, and its answer."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import cast

from chalicelib.feed.egress.connections import Connection, Destination, Pool, connect
from chalicelib.feed.egress.failures import reported
from chalicelib.feed.egress.targets import Address, Target
from chalicelib.feed.schedule import retry_after_seconds
from chalicelib.platform.clock import utc_now

_HEADER_ROOM = 64 * 1024
"""Bytes that a response may take beyond its body: status line, headers, chunk sizes, what a buffer reads ahead."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
_OWN_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect"})


@dataclass(frozen=True)
class Response:
    """A receiver's answer: header names in lower case, the start of the body, seconds from start to end, and the
    seconds its Retry-After asks for (None without one)."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float
    retry_after: int | None


def post(
    target: Target,
    address: Address,
    headers: Mapping[str, str],
    body: bytes,
    *,
    connect_timeout: float = 5.0,
    total_timeout: float = 15.0,
    max_response_bytes: int = 4096,
    pool: Pool | None = None,
    tls: ssl.SSLContext | None = None,
) -> Response:
    """Post `body` to the target at the checked address and return its answer, whatever its status.

    Timeouts are seconds: `connect_timeout` bounds connecting and the TLS handshake, `total_timeout` the whole exchange.
    The verdict of an answer is its status, so a body that is cut off or does not arrive in time is no failure: what can
    be had of its first `max_response_bytes` is returned. With a `pool`, connections are reused; a request that meets a
    connection which the receiver had just closed is sent once more on a fresh one. `tls` replaces the system's
    certificate authorities, which are always checked, as is the name in the certificate.

    Raises DeliveryFailed when there is no HTTP answer, ValueError for a header that cannot be sent.
    """
    started = time.monotonic()
    deadline = started + total_timeout
    request = _request(target, headers, body, keep_alive=pool is not None)
    destination = Destination(target.scheme, target.host, address.ip, target.port, tls or _system_authorities())

    connection = pool.take(destination) if pool is not None else None
    with reported(started, on_timeout="timeout"):
        answer = None if connection is None else _exchange_again(connection, request, deadline, max_response_bytes)
    if answer is None:
        with reported(started, on_timeout="connect-timeout"):
            connection = connect(destination, deadline=min(started + connect_timeout, deadline))
        with reported(started, on_timeout="timeout"):
            answer = _exchange(connection, request, deadline, max_response_bytes)

    if answer.connection is not None:
        if pool is not None:
            pool.give(destination, answer.connection)
        else:
            answer.connection.close()
    retry_after = retry_after_seconds(answer.headers.get("retry-after"), now=utc_now())
    return Response(answer.status, answer.headers, answer.body, time.monotonic() - started, retry_after)


@dataclass(frozen=True)
class _Answer:
    """What came back, and the connection if it can carry another exchange (else it is closed)."""

    status: int
    headers: dict[str, str]
    body: bytes
    connection: Connection | None


def _exchange_again(connection: Connection, request: bytes, deadline: float, max_response_bytes: int) -> _Answer | None:
    """As `_exchange`, or None when a connection from the pool turns out to have been closed while it was idle: as long
    as nothing came back the request is known to be unanswered, and its id lets a receiver see it twice unharmed."""
    try:
        return _exchange(connection, request, deadline, max_response_bytes)
    except (ConnectionError, ssl.SSLEOFError):
        if connection.received:
            raise
        return None


def _exchange(connection: Connection, request: bytes, deadline: float, max_response_bytes: int) -> _Answer:
    """Send the request and read its answer. A connection that cannot be used again is closed."""
    reusable = False
    try:
        connection.begin(deadline=deadline, allowance=max_response_bytes + _HEADER_ROOM)
        connection.send(request)
        # HTTPResponse asks nothing of its socket but a reader, which Connection has.
        response = http.client.HTTPResponse(cast(socket.socket, connection), method="POST")
        response.begin()
        if connection.ended:
            # http.client takes headers that break off for headers that end.
            raise ConnectionResetError("closed within the headers")
        body = _start_of_body(response, max_response_bytes)
        # Only an answer that was read to its end leaves nothing behind that the next request would take for its own.
        reusable = response.isclosed() and not response.will_close and response.status >= 200
        headers = {name.lower(): value for name, value in response.getheaders()}
        return _Answer(response.status, headers, body, connection if reusable else None)
    finally:
        if not reusable:
            connection.close()


def _start_of_body(response: http.client.HTTPResponse, limit: int) -> bytes:
    """The first `limit` bytes of the body; fewer when it breaks off, none when it cannot be read in time."""
    try:
        return response.read(limit)
    except http.client.IncompleteRead as error:
        return error.partial
    except (OSError, http.client.HTTPException, ValueError):
        return b""


def _request(target: Target, headers: Mapping[str, str], body: bytes, *, keep_alive: bool) -> bytes:
    """The bytes of the request, in one piece so that they leave in one packet where they fit."""
    lines = [f"POST {target.path} HTTP/1.1", f"Host: {target.authority}", f"Content-Length: {len(body)}"]
    if not keep_alive:
        lines.append("Connection: close")
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _OWN_HEADERS:
            raise ValueError(f"header name {name!r} cannot be sent")
        if not _HEADER_VALUE.fullmatch(value):
            raise ValueError(f"the value of header {name!r} holds a character that cannot be sent")
        lines.append(f"{name}: {value}")
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


@cache
def _system_authorities() -> ssl.SSLContext:
    """The system's certificate authorities, read once for the process."""
    return ssl.create_default_context()
