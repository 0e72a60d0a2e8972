"""Writing an export: the tenant's tables are read page by page, and every item becomes a row of some file.

    tables ──► leaves ──► manifest ──► completed

The work goes in parts of bounded size. A part's files are the export's own from the moment its record moves on, in one
transaction; a worker killed before leaves objects that nobody names, and the next one reads the same items again. The
leaves of the ledger are laid aside first, because a proof needs all of them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from chalicelib.identity import stored_credentials
from chalicelib.leaving.export_files import delete_objects, download, named, upload
from chalicelib.leaving.export_record import (
    Position,
    Progress,
    StoredFile,
    begin_part,
    commit_part,
    end,
    find_record,
    position_of,
    proper_files,
    stored_files,
)
from chalicelib.leaving.exports import ask_to_continue, kept_for
from chalicelib.leaving.kinds import CREDENTIALS, LEAVES, TABLES, UNPROVED_LEAVES, row_of
from chalicelib.leaving.manifest import manifest_of, store_manifest
from chalicelib.leaving.model import COMPLETED, RUNNING, ExportRecord
from chalicelib.platform.aws import client_of
from chalicelib.platform.clock import rfc3339, utc_now
from chalicelib.platform.exports import RawItem
from chalicelib.platform.settings import settings
from chalicelib.platform.telemetry import logger
from chalicelib.platform.tenant import Tenant
from chalicelib.tenancy import open_tenant

if TYPE_CHECKING:
    # DuckDB is loaded where files are written, and not by every function that can send for a worker.
    from chalicelib.leaving.files import PartWriter, WrittenFile
    from chalicelib.leaving.leaves import SortedLeaves

WORK_SECONDS = 240.0
"""How long a worker goes on before it sends for the next one. It adds a part at least, and finishes what it began."""
PART_SECONDS, PART_BYTES = 45.0, 64 << 20
"""Where a part ends: after so long, or with so much text. It takes about twice that on the disk."""
PAGE_ITEMS = 10_000
"""How many items a page may have; DynamoDB ends it after 1 MB at the latest."""

Page = tuple[Sequence[RawItem], Mapping[str, Any] | None]
"""Items of a table, and the key behind which the next page begins (None at the table's end)."""


def continue_export(tenant_id: str, export_id: str, *, clock: Callable[[], datetime] = utc_now) -> None:
    """Works on an export until it is complete, or for `WORK_SECONDS` and then sends for the next worker. An export that
    has ended, or that another worker took further meanwhile, is left alone.

    Raises TenantErased for a tenant that was erased, and AWS's own errors; calling again continues.
    """
    tenant = open_tenant(tenant_id, purpose="export")
    until, worked = time.monotonic() + WORK_SECONDS, False
    with tempfile.TemporaryDirectory(prefix="export-") as folder:
        desk = _Desk(tenant, export_id, Path(folder), clock)
        while (record := find_record(tenant_id, export_id)) is not None and record.state == RUNNING:
            if worked and time.monotonic() >= until:
                ask_to_continue(tenant_id, export_id)
                return
            if not _add_part(desk, record):
                logger.info("an export goes on without this worker", extra=desk.ids)
                return
            worked = True


@dataclass(frozen=True)
class _Desk:
    """Where one worker works: the tenant, the export, a folder that goes with it, and what takes long to make."""

    tenant: Tenant
    export_id: str
    folder: Path
    clock: Callable[[], datetime]

    @property
    def ids(self) -> dict[str, str]:
        """What a log line carries."""
        return {"tenant_id": self.tenant.id, "export_id": self.export_id}

    @cached_property
    def dynamodb(self) -> Any:
        """DynamoDB with the tenant's credentials for exports, item by item as it is stored."""
        return client_of(self.tenant.session, "dynamodb")

    @cached_property
    def leaves(self) -> SortedLeaves:
        """The leaves that were laid aside, fetched and sorted: once for each worker."""
        from chalicelib.leaving.leaves import SortedLeaves

        folder = self.folder / "leaves"
        folder.mkdir()
        aside = [each for each in stored_files(self.tenant.id, self.export_id) if each.kind == UNPROVED_LEAVES]
        paths = [folder / each.object_name for each in aside]
        for file, path in zip(aside, paths, strict=True):
            download(self.tenant, self.export_id, file, path)
        return SortedLeaves(folder, paths)

    @contextmanager
    def part(self) -> Generator[PartWriter]:
        """A writer in a folder of its own."""
        from chalicelib.leaving.files import PartWriter

        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            yield PartWriter(Path(folder))


def _add_part(desk: _Desk, record: ExportRecord) -> bool:
    """Takes the export one part further; False when somebody else did so first."""
    position = position_of(desk.tenant.vault, record)
    part = begin_part(record, now=desk.clock())
    if part is None:
        return False
    match position.stage:
        case "tables":
            progress = _read_table(desk, record, part, position)
        case "leaves":
            progress = _prove_leaves(desk, part, position)
        case "manifest":
            return _complete(desk, record, part)
    return commit_part(desk.tenant, record, part, progress, now=desk.clock())


def _read_table(desk: _Desk, record: ExportRecord, part: int, position: Position) -> Progress:
    """Writes the items of one table, page by page, until the part is full or the table at its end."""
    table = TABLES[position.table]
    times = cast("dict[str, dict[str, str]]", record.tables)
    read = times.get(table) or {"begun_at": rfc3339(desk.clock())}
    after = position.after
    with desk.part() as writer:
        full = _until_full(writer)
        for items, last in _pages(desk, table, position.after):
            after = last
            for raw in items:
                kind, row = row_of(desk.tenant, table, raw)
                writer.add(UNPROVED_LEAVES if kind == LEAVES else kind, row)
            if full():
                break
        files = _store(desk, part, writer.finish())
    if after is not None:
        return Progress(replace(position, after=after), files, {"tables": times | {table: read}})
    read = read | {"finished_at": rfc3339(desk.clock())}
    following = Position(table=position.table + 1) if table != TABLES[-1] else Position("leaves")
    return Progress(following, files, {"tables": times | {table: read}})


def _prove_leaves(desk: _Desk, part: int, position: Position) -> Progress:
    """Writes the next leaves with their proofs until the part is full or there are no more."""
    leaves, done = desk.leaves, position.leaf
    with desk.part() as writer:
        full = _until_full(writer)
        for row in leaves.rows(position.leaf):
            writer.add(LEAVES, row)
            done += 1
            if full():
                break
        files = _store(desk, part, writer.finish())
    following = Position("manifest") if done == leaves.tree.size else replace(position, leaf=done)
    ledger = {"tree_size": leaves.tree.size, "root_hash": leaves.tree.root.hex()}
    return Progress(following, files, {"ledger": ledger})


def _complete(desk: _Desk, record: ExportRecord, part: int) -> bool:
    """Writes the manifest, deletes what was laid aside and what dead workers left, and lets the files be fetched."""
    now, files = desk.clock(), list(stored_files(record.pk, record.id))
    document = manifest_of(record, desk.tenant.name, named(files), now=now)
    manifest = store_manifest(desk.tenant, record.id, part, document)
    # A worker that has taken over meanwhile writes under a later number, and what it wrote is not this one's to delete.
    kept = [file.object_name for file in proper_files(files)]
    delete_objects(desk.tenant, record.id, keep=kept, before=part)
    expires_at = now + kept_for(desk.tenant.id)
    changes = {"state": COMPLETED, "manifest": manifest, "finished_at": now, "expires_at": expires_at}
    if not end(record, changes):
        return False
    logger.info("an export is complete", extra=desk.ids | {"rows": sum(document["counts"].values())})
    return True


def _pages(desk: _Desk, table: str, after: Mapping[str, Any] | None) -> Iterator[Page]:
    """The pages of a table behind a key, read consistently. What is the tenant's in a shared table is one page."""
    if table == CREDENTIALS:
        yield list(stored_credentials(desk.tenant.id)), None
        return
    name = settings().tenant_table(desk.tenant.id, table)
    while True:
        start = {} if after is None else {"ExclusiveStartKey": after}
        answer = desk.dynamodb.scan(TableName=name, ConsistentRead=True, Limit=PAGE_ITEMS, **start)
        after = answer.get("LastEvaluatedKey")
        yield answer["Items"], after
        if after is None:
            return


def _until_full(writer: PartWriter) -> Callable[[], bool]:
    """Says whether a part that begins now is full."""
    until = time.monotonic() + PART_SECONDS
    return lambda: writer.bytes >= PART_BYTES or time.monotonic() >= until


def _store(desk: _Desk, part: int, written: Sequence[WrittenFile]) -> list[StoredFile]:
    """Uploads the files of a part. Of leaves that are laid aside, the Parquet file is enough."""
    stored: list[StoredFile] = []
    for each in written:
        if (each.kind, each.format) != (UNPROVED_LEAVES, "jsonl"):
            file = StoredFile(part, each.kind, each.format, each.rows, each.bytes, each.sha256)
            upload(desk.tenant, desk.export_id, file, each.path)
            stored.append(file)
    return stored
