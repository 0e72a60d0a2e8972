"""Group commit: many small all-or-nothing changes in as few DynamoDB transactions as they fit in.

A change to a case, its event and its ledger leaf must commit together; ten cases need not. Ten such groups that
share one transaction cost one request. When DynamoDB cancels a transaction, its groups are tried again one by one, so
one group's failed condition never takes another group down.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pynamodb.exceptions import TransactWriteError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.transactions import TransactWrite

from chalicelib.platform.store import Store, StoredModel

MAX_ITEMS = 100
"""What one DynamoDB transaction may hold."""

_CONFLICT_TRIES = 8


@dataclass(frozen=True)
class Put:
    """Write the whole item, if `condition` holds of what is stored under its key."""

    item: StoredModel
    condition: Condition | None = None


@dataclass(frozen=True)
class Update:
    """Change some attributes of the item with that key, if `condition` holds."""

    model: type[StoredModel]
    pk: str
    sk: str
    actions: Sequence[Action]
    condition: Condition | None = None


@dataclass(frozen=True)
class Delete:
    """Delete the item with that key, if `condition` holds; without one, deleting what is not there is no error."""

    model: type[StoredModel]
    pk: str
    sk: str
    condition: Condition | None = None


@dataclass(frozen=True)
class Check:
    """Change nothing, but let the group commit only if `condition` holds of the item with that key."""

    model: type[StoredModel]
    pk: str
    sk: str
    condition: Condition


Write = Put | Update | Delete | Check


@dataclass
class Group:
    """Writes that commit together or not at all, and a name for it (`key`) that the caller understands."""

    key: str
    writes: list[Write] = field(default_factory=list)


def commit(
    store: Store,
    groups: Sequence[Group],
    *,
    max_items: int = MAX_ITEMS,
    pause: Callable[[float], None] = time.sleep,
) -> list[Group]:
    """Commits the groups and returns those whose conditions did not hold (nothing of these was written).

    A group that met another writer (TransactionConflict) is tried again with growing pauses. Raises the store's error
    when a transaction fails for any other reason; groups before it stay committed, and repeating the call is the
    caller's right to do because every group carries its own conditions.
    """
    rejected: list[Group] = []
    for batch in _packed(groups, max_items):
        if _try(store, batch) is None:
            continue
        # Somebody in the batch was refused; alone, each group shows whether it was the one.
        rejected += [group for group in batch if not _commit_alone(store, group, pause)]
    return rejected


def commit_one(store: Store, group: Group, *, pause: Callable[[float], None] = time.sleep) -> bool:
    """Commits a single group; False when one of its conditions did not hold and nothing was written."""
    return _commit_alone(store, group, pause)


def _commit_alone(store: Store, group: Group, pause: Callable[[float], None]) -> bool:
    last: TransactWriteError | None = None
    for attempt in range(_CONFLICT_TRIES):
        last = _try(store, [group])
        if last is None:
            return True
        if "ConditionalCheckFailed" in _codes(last):
            return False
        pause(random.uniform(0, min(2.0, 0.02 * 2**attempt)))  # noqa: S311 - jitter, not a secret
    assert last is not None
    raise last


def _try(store: Store, groups: Sequence[Group]) -> TransactWriteError | None:
    """Sends one transaction; returns the error when it was cancelled for a condition or a conflict."""
    try:
        with TransactWrite(connection=store.connection) as transaction:
            for write in (w for group in groups for w in group.writes):
                _add(transaction, write)
    except TransactWriteError as error:
        if _codes(error) & {"ConditionalCheckFailed", "TransactionConflict"}:
            return error
        raise
    return None


def _codes(error: TransactWriteError) -> set[str]:
    return {reason.code for reason in error.cancellation_reasons if reason is not None}


def _add(transaction: TransactWrite, write: Write) -> None:
    options: dict[str, Any] = {} if write.condition is None else {"condition": write.condition}
    match write:
        case Put(item):
            transaction.save(item, **options)
        case Update(model, pk, sk, actions):
            transaction.update(model(pk, sk), actions=list(actions), **options)
        case Delete(model, pk, sk):
            transaction.delete(model(pk, sk), **options)
        case Check(model, pk, sk):
            transaction.condition_check(model, pk, sk, **options)


def _packed(groups: Sequence[Group], max_items: int) -> list[list[Group]]:
    """Groups in order, as many to a batch as its items allow; groups that touch one item stay apart."""
    batches: list[list[Group]] = []
    used, keys = max_items, set[tuple[str, str, str]]()
    for group in groups:
        own = {_key(w) for w in group.writes}
        if used + len(group.writes) > max_items or own & keys:
            batches.append([])
            used, keys = 0, set()
        batches[-1].append(group)
        used += len(group.writes)
        keys |= own
    return batches


def _key(write: Write) -> tuple[str, str, str]:
    """Table, partition and sort key: DynamoDB refuses a transaction that names one item twice."""
    if isinstance(write, Put):
        return type(write.item).Meta.table_name, write.item.pk, write.item.sk
    return write.model.Meta.table_name, write.pk, write.sk
