"""The ways in which an attempt ends without an answer, under names that are stable and safe to store and show."""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Literal

from chalicelib.platform import errors

FailureKind = Literal[
    "dns",
    "connect-refused",
    "connect-timeout",
    "unreachable",
    "tls-certificate",
    "tls",
    "timeout",
    "connection-closed",
    "bad-response",
]

_FAILURES: dict[FailureKind, str] = {
    "dns": "The host's name could not be resolved.",
    "connect-refused": "The host refused the connection.",
    "connect-timeout": "The host did not accept the connection in time.",
    "unreachable": "The host could not be reached.",
    "tls-certificate": "The host's certificate is not valid for its name.",
    "tls": "No secure connection could be agreed with the host.",
    "timeout": "The host did not answer in time.",
    "connection-closed": "The host closed the connection before it had answered.",
    "bad-response": "The host's answer is not HTTP, or its headers are too large.",
}


class DeliveryFailed(errors.Unavailable):
    """An attempt ended without an HTTP answer. `kind` says how, `seconds` how long it took."""

    type, title = "delivery-failed", "The message could not be delivered"

    def __init__(self, kind: FailureKind, seconds: float) -> None:
        super().__init__(_FAILURES[kind], kind=kind)
        self.kind: FailureKind = kind
        self.seconds = seconds


_KINDS: tuple[tuple[type[Exception], FailureKind], ...] = (
    (ConnectionRefusedError, "connect-refused"),
    (ConnectionError, "connection-closed"),
    (ssl.SSLCertVerificationError, "tls-certificate"),
    (ssl.SSLError, "tls"),
    (OSError, "unreachable"),
)
"""The kind of each exception but a timeout, whose kind depends on the stage; the first that fits counts."""


@contextmanager
def reported(started: float, *, on_timeout: FailureKind) -> Generator[None]:
    """Turn what goes wrong on a connection into DeliveryFailed. Its cause is cut off: it may quote the receiver."""
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DeliveryFailed(_kind(error, on_timeout), time.monotonic() - started) from None


def _kind(error: Exception, on_timeout: FailureKind) -> FailureKind:
    if isinstance(error, TimeoutError):
        return on_timeout
    for cause, kind in _KINDS:
        if isinstance(error, cause):
            return kind
    return "bad-response"
