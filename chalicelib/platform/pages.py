"""Pages of a list: the items of one partition, of a table or of an index, and a cursor that names a place in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from pynamodb.exceptions import QueryError
from pynamodb.expressions.operand import Path
from pynamodb.indexes import GlobalSecondaryIndex

from chalicelib.platform.errors import Invalid
from chalicelib.platform.store import StoredModel

M = TypeVar("M", bound=StoredModel)
Cursor = Mapping[str, Any]


def page_of(
    source: type[M] | GlobalSecondaryIndex[M],
    partition: str,
    *,
    prefix: str = "",
    limit: int,
    cursor: Cursor | None,
    newest_first: bool = False,
) -> tuple[list[M], Cursor | None]:
    """At most `limit` items of a partition whose range key starts with `prefix`, in the order of the range key (from
    the last one with `newest_first`), and the cursor of the next page (None at the end). One request.

    `source` is a bound model or an index of one. A cursor names a place and not the partition, so it leads nowhere that
    the caller did not name, and a partition that must not be seen (a blind index) does not leave in it. Raises Invalid
    for a cursor that no page of this list gave.
    """
    hash_key, range_key = _keys(source)
    others = {"pk", "sk", range_key} - {hash_key, None}
    start = None if cursor is None else _start(cursor, cast("set[str]", others), range_key, prefix)
    found = source.query(
        partition,
        Path(range_key).startswith(prefix) if range_key and prefix else None,
        scan_index_forward=not newest_first,
        limit=limit,
        page_size=limit,
        last_evaluated_key=None if start is None else start | {hash_key: {"S": partition}},
    )
    try:
        items = list(found)
    except QueryError as error:
        # Whatever DynamoDB finds wrong with such a query can only come from the place where it was to start.
        if start is not None and error.cause_response_code == "ValidationException":
            raise _foreign() from None
        raise
    last = found.last_evaluated_key
    return items, None if last is None else {name: last[name]["S"] for name in sorted(cast("set[str]", others))}


def _keys(source: type[StoredModel] | GlobalSecondaryIndex[Any]) -> tuple[str, str | None]:
    """The names of the hash key and of the range key, if there is one, of a table or an index."""
    if isinstance(source, type):
        return "pk", "sk"
    schema = source._get_schema()["key_schema"]  # pyright: ignore[reportPrivateUsage] - PynamoDB has no public way
    names = {key["KeyType"]: key["AttributeName"] for key in schema}
    return names["HASH"], names.get("RANGE")


def _start(cursor: Cursor, names: set[str], range_key: str | None, prefix: str) -> dict[str, dict[str, str]]:
    """The key behind which a page starts, without its hash key."""
    if cursor.keys() != names or not all(isinstance(value, str) and value for value in cursor.values()):
        raise _foreign()
    if range_key is not None and not cursor[range_key].startswith(prefix):
        raise _foreign()
    return {name: {"S": cursor[name]} for name in names}


def _foreign() -> Invalid:
    return Invalid("the cursor is not one that an earlier page of this list gave", pointer="/cursor")
