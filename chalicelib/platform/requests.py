"""Counts the requests that code makes to DynamoDB, so that a run can say what it cost and a test can hold a budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

_counters: ContextVar[tuple[Counter[str], ...]] = ContextVar("dynamodb_request_counters", default=())


class _Events(Protocol):
    def register(self, event_name: str, handler: object) -> None: ...


@contextmanager
def counted() -> Generator[Counter[str]]:
    """Counts, by operation name (`BatchWriteItem`, `Query`, …), every DynamoDB request sent inside the block.

    Blocks nest: an outer one counts what an inner one counts. A retry by the SDK counts as a request, as it does on
    the bill.
    """
    counter: Counter[str] = Counter()
    token = _counters.set((*_counters.get(), counter))
    try:
        yield counter
    finally:
        _counters.reset(token)


def watch(events: _Events) -> None:
    """Makes a botocore client's requests countable; `events` is the client's `meta.events`."""
    events.register("before-send.dynamodb", _note)


def _note(event_name: str, **_: object) -> None:
    operation = event_name.rsplit(".", 1)[-1]
    for counter in _counters.get():
        counter[operation] += 1
