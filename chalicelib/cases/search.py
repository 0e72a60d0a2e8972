"""Finding cases: by status, by who works on them, and by an exact personal value without storing it readable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

from pynamodb.exceptions import QueryError
from pynamodb.expressions.operand import Path
from pynamodb.pagination import ResultIterator

from chalicelib.cases.model import CASE, STANDING, Borrower, Case, Standing, position_of
from chalicelib.platform.batches import read_each
from chalicelib.platform.errors import Invalid
from chalicelib.platform.tenant import Tenant

Status = Literal["open", "closed"]
SearchField = Literal["name", "phone", "id_number"]
M = TypeVar("M", Borrower, Case)
Position = Mapping[str, Any]
"""Where a list goes on: the last key that DynamoDB evaluated, as it gave it."""


@dataclass(frozen=True)
class Cases:
    """One page of cases, and where the next one starts (None at the end)."""

    cases: Sequence[Case]
    position: Position | None


def list_cases(
    tenant: Tenant,
    *,
    status: Status = "open",
    assignee: str | None = None,
    limit: int,
    start: Position | None = None,
) -> Cases:
    """Cases of a status in the order in which they were opened, or an assignee's with the most days past due first.

    One round trip. Raises Invalid for a `start` that no earlier page gave.
    """
    model = tenant.bind(Case)
    position = _start(start)
    if assignee is None:
        found = model.by_status.query(status, limit=limit, page_size=limit, last_evaluated_key=position)
    else:
        found = model.by_assignee.query(
            assignee,
            Path("queue_key").startswith(f"{status}#"),
            scan_index_forward=False,
            limit=limit,
            page_size=limit,
            last_evaluated_key=position,
        )
    return Cases(_page(found), found.last_evaluated_key)


def search_cases(tenant: Tenant, field: SearchField, value: str, *, limit: int, start: Position | None = None) -> Cases:
    """The cases, open and closed, of the borrowers whose `field` is exactly `value` (see `sealing.normalised`).

    `limit` counts borrowers. Three round trips: borrowers by blind index, their standings, their cases.
    """
    borrower = tenant.bind(Borrower)
    index = {"name": borrower.by_name, "phone": borrower.by_phone, "id_number": borrower.by_id_number}[field]
    found = index.query(
        tenant.vault.blind_index(field, value),
        limit=limit,
        page_size=limit,
        last_evaluated_key=_start(start),
    )
    people = _page(found)
    standings = read_each(tenant.store, tenant.bind(Standing), (person.pk for person in people), STANDING)
    positions = [position_of(person.pk, standings.get(person.pk)) for person in people]
    ids = [id for p in positions for id in (p.case_id, *reversed(p.past_case_ids)) if id is not None]
    cases = read_each(tenant.store, tenant.bind(Case), ids, CASE)
    return Cases([cases[id] for id in ids if id in cases], found.last_evaluated_key)


def _start(position: Position | None) -> dict[str, dict[str, str]] | None:
    """The key that a query starts behind. Raises Invalid for what cannot be a key."""
    if position is None:
        return None
    key = {str(name): cast("object", value) for name, value in position.items()}
    if not all(isinstance(v, dict) and list(v) == ["S"] and isinstance(v["S"], str) for v in key.values()):
        raise _foreign_cursor()
    return cast("dict[str, dict[str, str]]", key)


def _foreign_cursor() -> Invalid:
    return Invalid("the cursor is not one that an earlier page of this list gave", pointer="/cursor")


def _page(found: ResultIterator[M]) -> list[M]:
    """The items of a query. Raises Invalid when DynamoDB does not accept where it was to start."""
    try:
        return list(found)
    except QueryError as error:
        if error.cause_response_code == "ValidationException":
            raise _foreign_cursor() from None
        raise
