"""Kills a worker after any of its requests to AWS."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import botocore.client
import pytest


class Killed(BaseException):
    """What a killed worker sees of it: nothing that `except Exception` could catch."""


class Saboteur:
    """Kills the worker after AWS has carried out its n-th request and before it hears of it; the same as before the
    next request. `requests` counts them."""

    def __init__(self, at: int | None) -> None:
        self.at, self.requests = at, 0

    @contextlib.contextmanager
    def lurking(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        real = botocore.client.BaseClient._make_api_call

        def call(client: Any, operation: str, arguments: Any) -> Any:
            answer = real(client, operation, arguments)
            self.requests += 1
            if self.requests == self.at:
                raise Killed
            return answer

        with monkeypatch.context() as patch:
            patch.setattr(botocore.client.BaseClient, "_make_api_call", call)
            yield
