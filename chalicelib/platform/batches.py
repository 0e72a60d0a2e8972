"""Reading and writing many items of one table at once, whatever their models, in full batches."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from itertools import islice
from typing import Any, TypeVar, cast

from chalicelib.platform.errors import Unavailable
from chalicelib.platform.store import Store, StoredModel

READ_BATCH, WRITE_BATCH = 100, 25
"""What one BatchGetItem and one BatchWriteItem may hold."""

_TRIES = 8
_AHEAD = 2

M = TypeVar("M", bound=StoredModel)
Key = tuple[type[StoredModel], str, str]
Found = dict[tuple[str, str], StoredModel]


def read_items(store: Store, keys: Iterable[Key], *, pause: Callable[[float], None] = time.sleep) -> Found:
    """The stored items among `keys` (bound model, pk, sk), by pk and sk, read consistently.

    The models must live in one table. Raises Unavailable when DynamoDB keeps putting some off.
    """
    models = {(pk, sk): model for model, pk, sk in keys}
    found: Found = {}
    for raw in read_raw(store, _table(models.values()), models, pause=pause):
        key = raw["pk"]["S"], raw["sk"]["S"]
        found[key] = models[key].from_raw_data(raw)
    return found


def read_raw(
    store: Store, table: str, keys: Iterable[tuple[str, str]], *, pause: Callable[[float], None] = time.sleep
) -> Iterator[dict[str, Any]]:
    """The items of a table that exist among `keys` (pk, sk), in no order, as DynamoDB has them and whatever a model
    would say of them; otherwise as `read_items`."""
    waiting: list[dict[str, Any]] = [{"pk": {"S": pk}, "sk": {"S": sk}} for pk, sk in keys]
    put_off = 0
    while waiting:
        answer = store.connection.batch_get_item(table, cast("Any", waiting[:READ_BATCH]), consistent_read=True)
        yield from answer["Responses"].get(table, [])
        left = answer.get("UnprocessedKeys", {}).get(table, {}).get("Keys", [])
        put_off = _wait(put_off, pause) if left else 0
        waiting = left + waiting[READ_BATCH:]


def read_each(store: Store, model: type[M], pks: Iterable[str], sk: str) -> dict[str, M]:
    """The items of one bound model and one `sk` that exist among `pks`, by pk; otherwise as `read_items`."""
    found = read_items(store, [(model, pk, sk) for pk in pks])
    return {pk: cast("M", stored) for (pk, _), stored in found.items()}


def item(found: Found, model: type[M], pk: str, sk: str) -> M | None:
    """One of the items that `read_items` found, as its model, or None."""
    stored = found.get((pk, sk))
    assert stored is None or isinstance(stored, model)
    return stored


def read_partition(store: Store, pk: str, models: Mapping[str, type[StoredModel]]) -> list[StoredModel]:
    """Every item of one partition as its model, read consistently in order of `sk`.

    `models` are bound, of one table, by the part of `sk` before the first "#"; items of other kinds are left out.
    """
    table = _table(models.values())
    items: list[StoredModel] = []
    start: dict[str, Any] | None = None
    while True:
        answer = store.connection.query(table, pk, consistent_read=True, exclusive_start_key=cast("Any", start))
        for raw in answer["Items"]:
            model = models.get(raw["sk"]["S"].split("#", 1)[0])
            if model is not None:
                items.append(model.from_raw_data(raw))
        start = answer.get("LastEvaluatedKey")
        if not start:
            return items


def write_items(store: Store, items: Iterable[StoredModel], *, pause: Callable[[float], None] = time.sleep) -> None:
    """Writes whole items without conditions, each over what is stored. No two may have one key.

    `items` are best made lazily: while DynamoDB takes one batch, the next one is made and serialised. What was written
    when it raises stays written; writing the same items again is harmless. Raises Unavailable when DynamoDB keeps
    putting some off.
    """
    # The context goes along, so that requests sent by the other thread are counted as this one's.
    context = copy_context()
    with ThreadPoolExecutor(max_workers=1) as sender:
        under_way = deque[Future[None]]()
        remaining = iter(items)
        while batch := list(islice(remaining, WRITE_BATCH)):
            table, requests = _table(type(each) for each in batch), [each.serialize() for each in batch]
            # One batch is on its way and one lies ready: the sender never waits for this thread to let it run.
            if len(under_way) == _AHEAD:
                under_way.popleft().result()
            under_way.append(sender.submit(context.run, _send, store, table, requests, pause))
        for sent in under_way:
            sent.result()


def _send(store: Store, table: str, waiting: list[dict[str, Any]], pause: Callable[[float], None]) -> None:
    put_off = 0
    while waiting:
        answer = store.connection.batch_write_item(table, put_items=waiting)
        waiting = [r["PutRequest"]["Item"] for r in answer.get("UnprocessedItems", {}).get(table, [])]
        put_off = _wait(put_off, pause) if waiting else 0


def _table(models: Iterable[type[StoredModel]]) -> str:
    names = {model.Meta.table_name for model in models}
    assert len(names) <= 1, "a batch of these functions stays in one table"
    return names.pop() if names else ""


def _wait(put_off: int, pause: Callable[[float], None]) -> int:
    """Pauses before what was put off is tried again; returns how often that has happened in a row."""
    if put_off >= _TRIES:
        raise Unavailable("DynamoDB puts off what it is asked; the table is busier than it can serve")
    pause(random.uniform(0, min(2.0, 0.05 * 2**put_off)))  # noqa: S311 - jitter, not a secret
    return put_off + 1
