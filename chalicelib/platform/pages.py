"""Pages of a partition: items in order of their sort keys, with a cursor that names a place in that partition only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from chalicelib.platform.errors import Invalid
from chalicelib.platform.store import StoredModel

M = TypeVar("M", bound=StoredModel)
Cursor = Mapping[str, Any]


def page_of(
    model: type[M], pk: str, prefix: str, *, limit: int, cursor: Cursor | None, newest_first: bool = False
) -> tuple[list[M], Cursor | None]:
    """At most `limit` items whose sort key starts with `prefix`, and the cursor of the next page (None at the end).

    Raises Invalid for a cursor that no page of these items gave.
    """
    after = None
    if cursor is not None:
        sk = cursor.get("after")
        if not isinstance(sk, str) or not sk.startswith(prefix):
            raise Invalid("the cursor is not one that an earlier page of this list gave", pointer="/cursor")
        after = {"pk": {"S": pk}, "sk": {"S": sk}}
    found = model.query(
        pk, model.sk.startswith(prefix), scan_index_forward=not newest_first, limit=limit, last_evaluated_key=after
    )
    items = list(found)
    more = found.last_evaluated_key is not None and len(items) == limit
    return items, {"after": items[-1].sk} if more else None
