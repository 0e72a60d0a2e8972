"""Finding cases: by status, by who works on them, and by an exact personal value without storing it readable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from chalicelib.cases.model import CASE, STANDING, Borrower, Case, Standing, position_of
from chalicelib.platform.batches import read_each
from chalicelib.platform.pages import Cursor, page_of
from chalicelib.platform.tenant import Tenant

Status = Literal["open", "closed"]
SearchField = Literal["name", "phone", "id_number"]


@dataclass(frozen=True)
class Cases:
    """One page of cases, and where the next one starts (None at the end)."""

    cases: Sequence[Case]
    cursor: Cursor | None


def list_cases(
    tenant: Tenant,
    *,
    status: Status = "open",
    assignee: str | None = None,
    limit: int,
    cursor: Cursor | None = None,
) -> Cases:
    """Cases of a status in the order in which they were opened, or an assignee's with the most days past due first.

    One round trip. Raises Invalid for a `cursor` that no earlier page gave.
    """
    model = tenant.bind(Case)
    if assignee is None:
        return Cases(*page_of(model.by_status, status, limit=limit, cursor=cursor))
    queue = f"{status}#"
    return Cases(*page_of(model.by_assignee, assignee, prefix=queue, limit=limit, cursor=cursor, newest_first=True))


def search_cases(tenant: Tenant, field: SearchField, value: str, *, limit: int, cursor: Cursor | None = None) -> Cases:
    """The cases, open and closed, of the borrowers whose `field` is exactly `value` (see `sealing.normalised`).

    `limit` counts borrowers. Three round trips: borrowers by blind index, their standings, their cases.
    """
    borrower = tenant.bind(Borrower)
    index = {"name": borrower.by_name, "phone": borrower.by_phone, "id_number": borrower.by_id_number}[field]
    people, after = page_of(index, tenant.vault.blind_index(field, value), limit=limit, cursor=cursor)
    standings = read_each(tenant.store, tenant.bind(Standing), (person.pk for person in people), STANDING)
    positions = [position_of(person.pk, standings.get(person.pk)) for person in people]
    ids = [id for p in positions for id in (p.case_id, *reversed(p.past_case_ids)) if id is not None]
    cases = read_each(tenant.store, tenant.bind(Case), ids, CASE)
    return Cases([cases[id] for id in ids if id in cases], after)
