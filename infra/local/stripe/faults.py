"""Faults that a test arms: the next calls of a path fail, before they are carried out or after.

A fault is gone once it has failed the calls it was armed for; it is kept in memory only, so a restart clears all.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from .errors import StripeError
from .shapes import Object

How = Literal["timeout", "500", "409"]
When = Literal["before", "after"]

_HOW = ("timeout", "500", "409")
_WHEN = ("before", "after")
MAX_TIMES = 1000


class NoAnswer(Exception):
    """The connection is to be closed without a word, which a client sees as it sees a timeout, only sooner."""


@dataclass
class Fault:
    """Calls of ``path`` (``*`` stands for anything) fail ``times`` more times; ``method`` "" means any."""

    path: str
    method: str
    times: int
    how: How
    when: When

    def meets(self, method: str, path: str) -> bool:
        """Whether a call is one that is to fail."""
        return self.method in ("", method) and fnmatchcase(path, self.path)

    def failure(self) -> Exception:
        """What the call ends in."""
        if self.how == "timeout":
            return NoAnswer()
        if self.how == "409":
            message = "This object cannot be accessed right now because another API request is accessing it."
            return StripeError(message, status=409, code="lock_timeout")
        return StripeError("An error occurred on Stripe's side.", status=500, kind="api_error")


class Faults:
    """What is armed, oldest first. Not for several threads at once: hold the state's lock."""

    def __init__(self) -> None:
        self._armed: list[Fault] = []

    def arm(self, body: Object) -> Object:
        """Arm a fault given as JSON, ``{"path", "how", "times"?, "when"?, "method"?}``; answers what is armed now."""
        path, times, method = body.get("path"), body.get("times", 1), body.get("method", "")
        if not isinstance(path, str) or not path.startswith("/v1/"):
            raise StripeError('Expected the "path" of calls, like "/v1/invoices/*"', param="path")
        if not isinstance(times, int) or isinstance(times, bool) or not 1 <= times <= MAX_TIMES:
            raise StripeError(f'Expected "times" from 1 to {MAX_TIMES}', param="times")
        if method not in ("", "GET", "POST", "DELETE"):
            raise StripeError('Expected "method" GET, POST or DELETE', param="method")
        how, when = body.get("how"), body.get("when", "before")
        if how not in _HOW:
            raise StripeError(f'Expected "how" to be one of {", ".join(_HOW)}', param="how")
        if when not in _WHEN:
            raise StripeError(f'Expected "when" to be one of {", ".join(_WHEN)}', param="when")
        if unknown := body.keys() - {"path", "times", "method", "how", "when"}:
            raise StripeError(f"Unknown: {', '.join(sorted(unknown))}", param=min(unknown))
        self._armed.append(Fault(path, method, times, how, when))
        return self.armed()

    def clear(self) -> Object:
        """Disarm everything."""
        self._armed.clear()
        return self.armed()

    def armed(self) -> Object:
        """What is armed."""
        return {"data": [vars(fault) for fault in self._armed]}

    @contextmanager
    def around(self, method: str, path: str) -> Generator[None]:
        """Carry out a call inside the block, or make it fail as armed; after it, its own refusal goes unheard too."""
        fault = self._take(method, path)
        if fault is None:
            yield
            return
        if fault.when == "after":
            with suppress(StripeError):
                yield
        raise fault.failure()

    def _take(self, method: str, path: str) -> Fault | None:
        fault = next((fault for fault in self._armed if fault.meets(method, path)), None)
        if fault is not None:
            fault.times -= 1
            if not fault.times:
                self._armed.remove(fault)
        return fault
