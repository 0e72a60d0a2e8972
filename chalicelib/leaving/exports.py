"""Asking for exports, finding them, fetching their files, and what becomes of them when their time is over."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from chalicelib.leaving.export_files import (
    LINK_SECONDS,
    MANIFEST_NAME,
    NamedFile,
    delete_objects,
    link,
    named,
)
from chalicelib.leaving.export_record import end, find_record, forget_parts, record_model, stored_files
from chalicelib.leaving.model import EXPIRED, EXPORT, LOCK_SK, RUNNING, ExportLock, ExportRecord
from chalicelib.platform import aws
from chalicelib.platform.commit import Check, Group, Put, Update, Write, commit_one
from chalicelib.platform.errors import Conflict, Gone, Invalid, NotFound
from chalicelib.platform.ids import new_id
from chalicelib.platform.pages import Cursor, page_of
from chalicelib.platform.store import shared
from chalicelib.platform.telemetry import logger
from chalicelib.platform.tenant import Tenant
from chalicelib.tenancy import find_tenant, open_tenant, records, terms_of

STALLED = timedelta(minutes=30)
"""After so long without a sign of life an export's message counts as lost. A worker is heard of at every part."""
EMPTIED_AGAIN = timedelta(hours=2)
"""For so long an expired export's folder is emptied at every look, which is once an hour: a worker that was amid a part
when its export expired uploads it all the same, and stops within minutes."""


@dataclass(frozen=True)
class Download:
    """A file as it can be fetched: its name, what it has, and a link that works until `links_expire_at`."""

    named: NamedFile
    url: str


@dataclass(frozen=True)
class Downloads:
    """What there is to fetch of an export: a page of its files, where the next one begins (None: it is the last), and
    the manifest, which lists them all."""

    files: list[Download]
    cursor: Cursor | None
    manifest_name: str
    manifest_url: str
    links_expire_at: datetime


def begin_export(tenant_id: str, *, requested_by: str, now: datetime) -> ExportRecord:
    """Begins an export of everything; a worker does it.

    Raises Conflict, naming the one, while another is running, and Gone once the tenant's erasure has begun: nothing new
    is made of what is being erased.
    """
    if find_tenant(tenant_id).erasure:
        raise Gone("the tenant is being erased; no export can be begun any more")
    export_id = new_id("exp", at=now)
    record = record_model()(
        tenant_id,
        EXPORT + export_id,
        state=RUNNING,
        requested_by=requested_by,
        requested_at=now,
        touched_at=now,
        expires_at=now + kept_for(tenant_id),
    )
    lock, tenant = shared().bind(ExportLock), records()
    writes: list[Write] = [
        Check(tenant, tenant_id, "tenant", tenant.erasure.does_not_exist() | (tenant.erasure == {})),
        Update(lock, tenant_id, LOCK_SK, [lock.running.set(export_id)], lock.running.does_not_exist()),
        Put(record, type(record).pk.does_not_exist()),
    ]
    if not commit_one(shared(), Group(export_id, writes)):
        raise _one_at_a_time(tenant_id, now)
    ask_to_continue(tenant_id, export_id)
    logger.info("an export begins", extra={"tenant_id": tenant_id, "export_id": export_id})
    return record


def ask_to_continue(tenant_id: str, export_id: str) -> None:
    """Sends the message that makes a worker go on with an export."""
    message = {"tenant_id": tenant_id, "action": "export", "export_id": export_id}
    aws.send("leaving", tenant_id, [message])


def list_exports(tenant_id: str, *, limit: int, cursor: Cursor | None) -> tuple[list[ExportRecord], Cursor | None]:
    """A page of the tenant's exports, the newest first, and the next page's cursor."""
    return page_of(record_model(), tenant_id, prefix=EXPORT, limit=limit, cursor=cursor, newest_first=True)


def find_export(tenant_id: str, export_id: str, *, now: datetime) -> ExportRecord:
    """An export as it is now. Raises NotFound, and Gone for one that has expired."""
    record = find_record(tenant_id, export_id)
    if record is None:
        raise NotFound("no such export")
    if record.state_at(now) == EXPIRED:
        raise Gone("the export has expired and its files are deleted; ask for another one", export_id=export_id)
    return record


def downloads(tenant: Tenant, record: ExportRecord, *, limit: int, cursor: Cursor | None, now: datetime) -> Downloads:
    """At most `limit` files of a completed export, each with its link: the links of all may be more than one answer can
    hold. Raises Invalid for a cursor that no page gave."""
    assert record.manifest is not None, "only a completed export has files to fetch"
    first = _file_number(cursor)
    found = list(islice(named(stored_files(record.pk, record.id)), first, first + limit + 1))
    files = [Download(each, link(tenant, record.id, each.file.object_name, each.name)) for each in found[:limit]]
    following = {"file": first + limit} if len(found) > limit else None
    manifest = link(tenant, record.id, record.manifest["object_name"], MANIFEST_NAME)
    return Downloads(files, following, MANIFEST_NAME, manifest, now + timedelta(seconds=LINK_SECONDS))


def kept_for(tenant_id: str) -> timedelta:
    """How long the tenant's plan keeps an export's files."""
    return timedelta(days=terms_of(find_tenant(tenant_id)).delays.export_kept)


def expire_exports(tenant_id: str, *, now: datetime) -> list[str]:
    """Deletes the files of exports whose time is over, complete or not, and returns those exports' ids. Wakes one that
    nobody seems to work on, and looks again into folders that were emptied a moment ago. Repeating it is harmless;
    killed anywhere, the next call finishes.

    Raises what `open_tenant` raises when there is something to delete and the tenant is gone.
    """
    expired: list[str] = []
    model = record_model()
    for record in model.query(tenant_id, model.sk.startswith(EXPORT), consistent_read=True):
        if record.emptied_at is not None:
            if now - record.emptied_at < EMPTIED_AGAIN:
                delete_objects(open_tenant(tenant_id), record.id)
            continue
        if record.state != EXPIRED and now < record.expires_at:
            _wake_if_stalled(record, now)
            continue
        # Recorded first, so that nobody is given a link to what is being deleted.
        if record.state != EXPIRED and not end(record, {"state": EXPIRED}):
            continue
        delete_objects(open_tenant(tenant_id), record.id)
        forget_parts(record)
        model(tenant_id, record.sk).update_if(model.pk.exists(), [model.emptied_at.set(now)])
        logger.info("an export has expired", extra={"tenant_id": tenant_id, "export_id": record.id})
        expired.append(record.id)
    return expired


def _file_number(cursor: Cursor | None) -> int:
    """The number, from 0, of the file that a page begins with."""
    number = 0 if cursor is None else cursor.get("file")
    if type(number) is not int or not 0 <= number <= sys.maxsize // 2:
        raise Invalid("the cursor is not one that an earlier page gave", pointer="/cursor")
    return number


def _one_at_a_time(tenant_id: str, now: datetime) -> Conflict:
    """What is said to whoever asks for an export while one is running, after a look at whether somebody works on it."""
    lock = shared().bind(ExportLock).find(tenant_id, LOCK_SK)
    running = None if lock is None or lock.running is None else find_record(tenant_id, lock.running)
    if running is None:
        return Conflict("the tenant changed at this moment; ask again")
    _wake_if_stalled(running, now)
    return Conflict(f"the export {running.id} is running; one can run at a time", export_id=running.id)


def _wake_if_stalled(record: ExportRecord, now: datetime) -> None:
    if record.state == RUNNING and now - record.touched_at >= STALLED:
        logger.warning("an export is woken", extra={"tenant_id": record.pk, "export_id": record.id})
        ask_to_continue(record.pk, record.id)
