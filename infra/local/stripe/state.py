"""Everything the server knows: tables of objects, the clock, and a journal that survives a restart."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from .errors import missing_object
from .shapes import API_VERSION, LABELS, Object, new_object, public

Cause = tuple[str | None, str | None]
"""The request id and idempotency key that caused an event; both None when time did."""


class State:
    """Tables of objects by kind and id, in order of creation.

    ``now`` is the present, by this server's clock or inside ``living_by`` by a test clock.

    Hold ``changed`` (a lock with a condition) around every use. Changes go through ``add``, ``put`` and ``changing``,
    which note what is to be written; ``commit`` writes the noted objects as one line of the journal, so that a
    process killed at any moment restarts with whole calls only.
    """

    def __init__(self, journal: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        self.changed = threading.Condition()
        self.now = 0
        self.cause: Cause = (None, None)
        self.deliver = False
        self._clock = clock
        self._tables: dict[str, dict[str, Object]] = {}
        self._noted: dict[tuple[str, str], None] = {}
        self._journal = journal
        if journal is not None:
            self._load(journal)
        self.now = self.target()

    def all(self, kind: str) -> list[Object]:
        """The objects of a kind, oldest first."""
        return list(self._tables.get(kind, {}).values())

    def get(self, kind: str, identifier: str) -> Object | None:
        """One object, or None."""
        return self._tables.get(kind, {}).get(identifier)

    def find(self, kind: str, identifier: str, param: str = "id") -> Object:
        """One object, or the 404 that names ``param``. A deleted customer is found only by ``get``."""
        found = self.get(kind, identifier)
        if found is None or found.get("deleted"):
            raise missing_object(LABELS.get(kind, kind), identifier, param)
        return found

    def target(self) -> int:
        """The present moment by this server's clock, in seconds: the wall clock moved forward by the offset."""
        offset = self.get("clock", "offset")
        return int(self._clock()) + (offset["seconds"] if offset else 0)

    def reach(self, clock: str | None) -> int:
        """The moment up to which a test clock's things may happen, or this server's own for None.

        A clock that was deleted reaches nothing.
        """
        if clock is None:
            return self.target()
        return self._tables["test_helpers.test_clock"][clock].get("_target", 0)

    @contextmanager
    def living_by(self, clock: str | None) -> Generator[None]:
        """Make ``now`` a test clock's frozen time inside the block; None and a deleted clock leave it as it is."""
        held = self.get("test_helpers.test_clock", clock) if clock is not None else None
        outer = self.now
        if held is not None and not held.get("deleted"):
            self.now = held["frozen_time"]
        try:
            yield
        finally:
            self.now = outer

    def wall_clock(self) -> float:
        """Real time in seconds, which deliveries go by whatever the offset."""
        return self._clock()

    def put(self, kind: str, identifier: str, record: Object) -> None:
        """Store a record under a key, replacing what was there."""
        self._tables.setdefault(kind, {})[identifier] = record
        self._noted[kind, identifier] = None

    def add(self, made: Object, event_type: str | None = None) -> Object:
        """Store a new object, and emit the event that says so."""
        self.put(made["object"], made["id"], made)
        if event_type is not None:
            self.emit(event_type, made)
        return made

    @contextmanager
    def changing(self, changed: Object, event_type: str | None = None) -> Generator[Object]:
        """Change a stored object inside the block; emit ``event_type`` with the previous values if any field moved."""
        before = public(changed)
        yield changed
        self.put(changed["object"], changed["id"], changed)
        after = public(changed)
        previous = {name: before.get(name) for name in after if before.get(name) != after[name]}
        if event_type is not None and previous:
            self.emit(event_type, changed, previous if event_type.endswith(".updated") else None)

    def emit(self, event_type: str, subject: Object, previous: Object | None = None) -> None:
        """Record an event with a snapshot of its subject, and queue its delivery."""
        data: Object = {"object": public(subject)}
        if previous is not None:
            data["previous_attributes"] = previous
        request_id, key = self.cause
        event = new_object(
            "event",
            api_version=API_VERSION,
            created=self.now,
            data=data,
            pending_webhooks=1 if self.deliver else 0,
            request={"id": request_id, "idempotency_key": key},
            type=event_type,
        )
        self.add(event)
        if self.deliver:
            self.queue_delivery(event)

    def queue_delivery(self, event: Object) -> Object:
        """Queue an event for its first (or once more for a first) attempt at delivery."""
        delivery = {
            "event": event["id"],
            "type": event["type"],
            "state": "pending",
            "attempts": 0,
            "last_status": None,
            "last_error": None,
            "next_attempt_at": self.wall_clock(),
        }
        self.put("delivery", event["id"], delivery)
        return delivery

    def move_clock(self, seconds: int) -> None:
        """Move the clock forward; what falls due is made so by ``timeline.settle``."""
        offset = self.get("clock", "offset") or {"seconds": 0}
        self.put("clock", "offset", {"seconds": offset["seconds"] + seconds})

    def commit(self) -> None:
        """Write the noted changes and wake whoever waits for them.

        The line is handed to the operating system, not forced to the disk: it survives the end of this process,
        which is what a restart of the local stack needs.
        """
        if not self._noted:
            return
        if self._journal is not None:
            changes = [[kind, identifier, self._tables[kind][identifier]] for kind, identifier in self._noted]
            with self._journal.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(changes) + "\n")
        self._noted.clear()
        self.changed.notify_all()

    def _load(self, journal: Path) -> None:
        """Replay the journal, then rewrite it with one line for each object.

        A last line cut short by a kill belongs to a call that was never answered, and is dropped.
        """
        if not journal.exists():
            journal.parent.mkdir(parents=True, exist_ok=True)
            return
        for line in journal.read_text(encoding="utf-8").splitlines(keepends=True):
            if not line.endswith("\n"):
                break
            for kind, identifier, record in json.loads(line):
                self._tables.setdefault(kind, {})[identifier] = record
        self._share_prices()
        compact = journal.with_suffix(journal.suffix + ".new")
        with compact.open("w", encoding="utf-8") as lines:
            for kind, table in self._tables.items():
                for identifier, record in table.items():
                    lines.write(json.dumps([[kind, identifier, record]]) + "\n")
        compact.replace(journal)

    def _share_prices(self) -> None:
        """Let items show their price as it is, not as it was when they were written: they share the one object."""
        items = [item for session in self.all("checkout.session") for item in session["_line_items"]]
        items += [item for subscription in self.all("subscription") for item in subscription["items"]["data"]]
        for item in items:
            item["price"] = self._tables["price"][item["price"]["id"]]
