"""The log of events that is polled: pages in the order in which the feed's stream delivered the events.

An event's id is made before its change commits, so an order by id could place an event behind a reader's position. The
log is ordered by when dispatch saw the event, and a page is never placed before one that somebody may have read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from chalicelib.feed.events import body, find_events
from chalicelib.feed.model import LOG_PK, LogPage
from chalicelib.platform.errors import Unavailable
from chalicelib.platform.tenant import Tenant

RECENT_PAGES = 8
"""How many of the last pages are looked through for events that an interrupted dispatch had already written."""

_APPEND_TRIES = 20
_PAGES_A_READ = 50


@dataclass(frozen=True)
class Position:
    """A place in the log: after the first `taken` events of page `page`. `Position(1, 0)` is the beginning."""

    page: int = 1
    taken: int = 0


@dataclass(frozen=True)
class Logged:
    """One event of the log: its id and its body as webhooks carry it."""

    event_id: str
    body: bytes


@dataclass(frozen=True)
class Slice:
    """Some events of the log, the position after them, and whether more were there when it was read."""

    events: Sequence[Logged]
    position: Position
    more: bool


def append(tenant: Tenant, event_ids: Sequence[str]) -> None:
    """Writes the events as the next page, each once; those that one of the last pages holds already are left out.

    Writers may race: the page's number is taken by whoever writes first, and the other looks again. Raises Unavailable
    when somebody else is faster every time.
    """
    model = tenant.bind(LogPage)
    for _ in range(_APPEND_TRIES):
        last, known = _recent(model)
        fresh = [event_id for event_id in dict.fromkeys(event_ids) if event_id not in known]
        if not fresh:
            return
        if model(LOG_PK, _sk(last + 1), event_ids=fresh).put_new():
            return
    raise Unavailable("the log of events is written to by too many at once")


def read(tenant: Tenant, after: Position, *, limit: int) -> Slice:
    """The next events after a position, at most `limit`, in the order of the log.

    An event that stands in the log twice is told once if both places are read together: at the first of them.
    """
    ids: list[str] = []
    position, more = after, False
    model = tenant.bind(LogPage)
    pages = model.query(LOG_PK, model.sk >= _sk(after.page), consistent_read=True, page_size=_PAGES_A_READ)
    for number, page in enumerate(pages, start=after.page):
        if page.sk != _sk(number):
            # A query is no snapshot: this page was written after the query had passed the place of the one before it.
            break
        page_ids = cast("list[str]", page.event_ids)
        start = position.taken if number == after.page else 0
        taken = page_ids[start : start + limit - len(ids)]
        ids += taken
        complete = start + len(taken) >= len(page_ids)
        position = Position(number + 1) if complete else Position(number, start + len(taken))
        if len(ids) == limit:
            more = not complete or next(pages, None) is not None
            break
    events = find_events(tenant, ids)
    return Slice([Logged(i, body(events[i])) for i in dict.fromkeys(ids) if i in events], position, more)


def _recent(model: type[LogPage]) -> tuple[int, set[str]]:
    """The number of the last page (0 when there is none), and the events of the last few."""
    pages = list(
        model.query(
            LOG_PK, model.sk.startswith("page#"), consistent_read=True, scan_index_forward=False, limit=RECENT_PAGES
        )
    )
    known = {event_id for page in pages for event_id in cast("list[str]", page.event_ids)}
    return (int(pages[0].sk.removeprefix("page#")) if pages else 0), known


def _sk(page: int) -> str:
    return f"page#{page:012d}"
