"""Connections to receivers: one deadline over everything said on them, and a pool that keeps a few of them warm.

A socket's own timeout starts anew with every read, so a server that sends a byte a second would hold a worker for
hours. Here each exchange has one moment at which it ends, however its bytes arrive, and a limit on how many it takes.
"""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BufferedReader, RawIOBase


class Connection:
    """A connected socket, TLS included, whose exchanges end at a deadline (in `time.monotonic()` seconds)."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._deadline = 0.0
        self._allowance = 0
        self.received = 0
        self.ended = False

    def begin(self, *, deadline: float, allowance: int) -> None:
        """Start an exchange that ends at `deadline` and in which at most `allowance` bytes may arrive."""
        self._deadline, self._allowance, self.received = deadline, allowance, 0

    def send(self, data: bytes) -> None:
        """Send all of `data`. Raises TimeoutError at the deadline, OSError when the other side is gone."""
        rest = memoryview(data)
        while rest:
            self._socket.settimeout(_remaining(self._deadline))
            rest = rest[self._socket.send(rest) :]

    def receive_into(self, buffer: memoryview) -> int:
        """Receive what there is, 0 at the end of the stream. Raises TimeoutError at the deadline, HTTPException when
        more arrives than the exchange allows."""
        self._socket.settimeout(_remaining(self._deadline))
        count = self._socket.recv_into(buffer)
        self.received += count
        self.ended = count == 0
        if self.received > self._allowance:
            raise http.client.HTTPException("the response is larger than accepted")
        return count

    def makefile(self, mode: str) -> BufferedReader:
        """A reader for one response, as `http.client` asks it of a socket. Closing it leaves the connection open."""
        assert mode == "rb"
        return BufferedReader(_Reader(self))

    def usable(self) -> bool:
        """Whether an idle connection can carry another request: nobody closed it, and nothing unasked-for waits on it,
        which would be taken for the answer to the next request."""
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return False
        waiting = select.poll()
        waiting.register(self._socket, select.POLLIN)
        return not waiting.poll(0)

    def close(self) -> None:
        """Close without a farewell; a receiver that is slow to say goodbye is not waited for."""
        self._socket.close()


class _Reader(RawIOBase):
    """The receiving half of a connection as a raw stream."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]  # Buffer is Python 3.12's
        return self._connection.receive_into(memoryview(buffer))


@dataclass(frozen=True)
class Destination:
    """Where to connect, and what two requests must have in common to share a connection."""

    scheme: str
    host: str
    ip: str
    port: int
    tls: ssl.SSLContext
    """How https is checked. Counts by identity: what one context accepted, another may not."""


def connect(destination: Destination, *, deadline: float) -> Connection:
    """Connect to the destination's address and, for https, prove that the other side is its host.

    Raises TimeoutError at the deadline, ssl.SSLError when the proof fails, OSError when nobody answers.
    """
    family = socket.AF_INET6 if ":" in destination.ip else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(_remaining(deadline))
        sock.connect((destination.ip, destination.port))
        # A request is sent at once; waiting to fill a packet would only delay it.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if destination.scheme == "https":
            sock.settimeout(_remaining(deadline))
            sock = destination.tls.wrap_socket(sock, server_hostname=destination.host)
    except BaseException:
        sock.close()
        raise
    return Connection(sock)


def _remaining(deadline: float) -> float:
    """Seconds until the deadline, which are always more than none."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("the deadline has passed")
    return seconds


@dataclass(frozen=True)
class _Idle:
    destination: Destination
    since: float
    connection: Connection


class Pool:
    """Idle connections that a process keeps for its next deliveries. Safe to share between threads.

    At most `size` connections are kept, each for at most `idle_seconds`: less than the minute or so after which servers
    and network address translators forget a silent connection. A connection belongs to one exchange at a time.
    """

    def __init__(
        self, *, size: int = 64, idle_seconds: float = 20.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._size = size
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._idle: list[_Idle] = []

    def take(self, destination: Destination) -> Connection | None:
        """The connection to `destination` that was used last, if one is still usable; it leaves the pool."""
        while (idle := self._pop(destination)) is not None:
            if self._clock() - idle.since <= self._idle_seconds and idle.connection.usable():
                return idle.connection
            idle.connection.close()
        return None

    def give(self, destination: Destination, connection: Connection) -> None:
        """Keep a connection whose exchange ended well. A full pool lets the one go that has been idle the longest."""
        with self._lock:
            self._idle.append(_Idle(destination, self._clock(), connection))
            surplus = self._idle[: -self._size] if self._size else self._idle[:]
            del self._idle[: len(surplus)]
        for idle in surplus:
            idle.connection.close()

    def close(self) -> None:
        """Close every idle connection."""
        with self._lock:
            idles, self._idle = self._idle, []
        for idle in idles:
            idle.connection.close()

    def _pop(self, destination: Destination) -> _Idle | None:
        with self._lock:
            for index in reversed(range(len(self._idle))):
                if self._idle[index].destination == destination:
                    return self._idle.pop(index)
        return None
