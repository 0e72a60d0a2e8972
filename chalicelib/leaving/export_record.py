"""An export's record as it moves on: who works on it, how far it is, and which files are its own.

Every change is made on the condition that nobody else changed the record since it was read. A worker that was taken for
dead and is not, finds at its next change that the export has gone on without it, and stops; the objects it wrote are
named by a part that nobody else ever writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal, cast

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from chalicelib.leaving.kinds import UNPROVED_LEAVES
from chalicelib.leaving.model import EXPORT, LOCK_SK, RUNNING, ExportLock, ExportPart, ExportRecord, part_sk
from chalicelib.platform.commit import Group, Put, Update, Write, commit_one
from chalicelib.platform.sealing import Vault
from chalicelib.platform.store import shared
from chalicelib.platform.tenant import Tenant

Stage = Literal["tables", "leaves", "manifest"]


@dataclass(frozen=True)
class Position:
    """How far an export has come: its stage; in the first, the table that is read and the key behind which to go on;
    in the second, the number of the next leaf."""

    stage: Stage = "tables"
    table: int = 0
    after: Mapping[str, Any] | None = None
    leaf: int = 0


@dataclass(frozen=True)
class StoredFile:
    """A file of an export in the object store: what it has, and the part that names its object."""

    part: int
    kind: str
    format: str
    rows: int
    bytes: int
    sha256: str

    @property
    def object_name(self) -> str:
        """The name of its object below the export's folder."""
        return f"{self.part:08d}-{self.kind}.{self.format}"


@dataclass(frozen=True)
class Progress:
    """What a part added: files, the position after it, and what else changes in the record."""

    position: Position
    files: list[StoredFile] = field(default_factory=list[StoredFile])
    changes: Mapping[str, Any] = field(default_factory=dict[str, Any])


def record_model() -> type[ExportRecord]:
    """The model of exports' records, bound to the shared table."""
    return shared().bind(ExportRecord)


def find_record(tenant_id: str, export_id: str) -> ExportRecord | None:
    """The record as it is now, or None."""
    return record_model().find(tenant_id, EXPORT + export_id)


def position_of(vault: Vault, record: ExportRecord) -> Position:
    """Where the export is to go on."""
    if record.position is None:
        return Position()
    return Position(**json.loads(vault.open(record.position, bound_to=record.id)["position"]))


def begin_part(record: ExportRecord, *, now: datetime) -> int | None:
    """Takes the next part's number for this worker alone; None when the export went on or ended without it."""
    number, model = record.begun, type(record)
    actions = [model.begun.add(1), model.touched_at.set(now), model.version.add(1)]
    return number if record.update_if(_unchanged(record), actions) else None


def commit_part(tenant: Tenant, record: ExportRecord, part: int, progress: Progress, *, now: datetime) -> bool:
    """Makes a part's files the export's own and moves it on, at once; False, and the files stay nobody's, when the
    export went on without this worker."""
    sealed = tenant.vault.seal({"position": json.dumps(asdict(progress.position))}, bound_to=record.id)
    rows = dict(cast("dict[str, int]", record.rows))
    for file in proper_files(progress.files):
        if file.format == "jsonl":
            rows[file.kind] = rows.get(file.kind, 0) + file.rows
    changes = {"position": sealed, "rows": rows, "touched_at": now, **progress.changes}
    writes: list[Write] = [_changed(record, changes)]
    if progress.files:
        stored = shared().bind(ExportPart)(
            record.pk, part_sk(record.id, part), files=[asdict(file) for file in progress.files]
        )
        writes.append(Put(stored))
    return commit_one(shared(), Group(record.id, writes))


def end(record: ExportRecord, changes: Mapping[str, Any]) -> bool:
    """Ends an export for good or for now; a running one lets another begin. False when somebody else changed it
    meanwhile."""
    writes: list[Write] = [_changed(record, {**changes, "position": None})]
    if record.state == RUNNING:
        lock = shared().bind(ExportLock)
        writes.append(Update(lock, record.pk, LOCK_SK, [lock.running.remove()], lock.running == record.id))
    return commit_one(shared(), Group(record.id, writes))


def stored_files(tenant_id: str, export_id: str) -> Iterator[StoredFile]:
    """All files that are the export's own, in the order in which they were made."""
    model = shared().bind(ExportPart)
    for part in model.query(tenant_id, model.sk.startswith(part_sk(export_id)), consistent_read=True):
        yield from (StoredFile(**file) for file in cast("list[dict[str, Any]]", part.files))


def forget_parts(record: ExportRecord) -> None:
    """Deletes what is kept of the export's parts."""
    model = shared().bind(ExportPart)
    for part in model.query(record.pk, model.sk.startswith(part_sk(record.id)), consistent_read=True):
        part.delete()


def proper_files(files: Iterable[StoredFile]) -> Iterator[StoredFile]:
    """The files that are handed out: without those that were only laid aside."""
    return (file for file in files if file.kind != UNPROVED_LEAVES)


def _changed(record: ExportRecord, changes: Mapping[str, Any]) -> Update:
    model = type(record)
    actions: list[Action] = [getattr(model, name).set(value) for name, value in changes.items() if value is not None]
    actions += [getattr(model, name).remove() for name, value in changes.items() if value is None]
    return Update(model, record.pk, record.sk, [*actions, model.version.add(1)], _unchanged(record))


def _unchanged(record: ExportRecord) -> Condition:
    return type(record).version == record.version
