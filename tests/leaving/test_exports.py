"""Exports are asked for one at a time, fetched by links, and gone when their time is over."""

from __future__ import annotations

from datetime import timedelta

import boto3
import pytest

from chalicelib.leaving import expire_exports, export, exports
from chalicelib.leaving.export_files import FOLDER
from chalicelib.leaving.model import EXPIRED, PART, ExportPart
from chalicelib.platform.clock import utc_now
from chalicelib.platform.errors import Conflict, Gone, NotFound
from chalicelib.platform.ids import new_id
from chalicelib.platform.store import shared
from chalicelib.tenancy import find_tenant, records
from tests.leaving.exporting import exported, fetch, furnish, messages, work


def begin(tenant, *, now=None):
    return exports.begin_export(tenant.id, requested_by="usr_TEST", now=now or utc_now())


def objects(tenant) -> int:
    """How many objects there are in the tenant's folder of exports."""
    prefix = tenant.object_key(FOLDER, "")
    return boto3.client("s3").list_objects_v2(Bucket=tenant.bucket, Prefix=prefix).get("KeyCount", 0)


def parts(tenant) -> int:
    model = shared().bind(ExportPart)
    return len(list(model.query(tenant.id, model.sk.startswith(PART))))


def sent(tenant) -> list[str]:
    """The exports that a worker was sent for."""
    found = list(messages(tenant))
    for _, done in found:
        done()
    return [message["export_id"] for message, _ in found]


def test_while_one_export_runs_a_second_one_is_refused_and_told_which_runs(tenant):
    running = begin(tenant)
    with pytest.raises(Conflict) as refused:
        begin(tenant)
    assert refused.value.extra == {"export_id": running.id}
    work(tenant)
    assert begin(tenant).id != running.id


def test_two_tenants_export_at_the_same_time(tenant, other_tenant):
    begin(tenant)
    begin(other_tenant)


def test_an_export_of_another_tenant_is_not_found(tenant, other_tenant):
    record = begin(tenant)
    for export_id in (record.id, new_id("exp")):
        with pytest.raises(NotFound, match="no such export"):
            exports.find_export(other_tenant.id, export_id, now=utc_now())


def test_once_the_tenants_erasure_has_begun_no_export_begins(tenant, monkeypatch):
    unsuspecting = find_tenant(tenant.id)
    records()(tenant.id, "tenant").update(actions=[records().erasure.set({"begun": {}})])
    with pytest.raises(Gone, match="being erased"):
        begin(tenant)
    monkeypatch.setattr(exports, "find_tenant", lambda _: unsuspecting)
    with pytest.raises(Conflict, match="ask again"):
        begin(tenant)
    assert exports.list_exports(tenant.id, limit=9, cursor=None) == ([], None)


def test_exports_are_listed_newest_first(tenant):
    ids = [exported(tenant).id for _ in range(3)]
    page, cursor = exports.list_exports(tenant.id, limit=2, cursor=None)
    rest, end = exports.list_exports(tenant.id, limit=2, cursor=cursor)
    assert [record.id for record in [*page, *rest]] == ids[::-1]
    assert end is None


def test_an_export_is_kept_for_as_long_as_the_plan_says_from_when_it_was_complete(tenant):
    record = exported(tenant)
    assert record.expires_at - record.finished_at == exports.kept_for(tenant.id)
    just_before = record.expires_at - timedelta(seconds=1)
    assert exports.find_export(tenant.id, record.id, now=just_before).id == record.id
    with pytest.raises(Gone, match="expired"):
        exports.find_export(tenant.id, record.id, now=record.expires_at)


def test_an_expired_export_leaves_its_record_and_nothing_else(tenant, now):
    furnish(tenant, now)
    old, fresh = exported(tenant), exported(tenant)
    before = objects(tenant)
    assert expire_exports(tenant.id, now=old.expires_at - timedelta(seconds=1)) == []
    assert objects(tenant) == before > 0
    assert expire_exports(tenant.id, now=old.expires_at) == [old.id]
    assert objects(tenant) == before / 2
    assert expire_exports(tenant.id, now=fresh.expires_at) == [fresh.id]
    assert (objects(tenant), parts(tenant)) == (0, 0)
    page, _ = exports.list_exports(tenant.id, limit=9, cursor=None)
    assert [(record.id, record.state) for record in page] == [(fresh.id, EXPIRED), (old.id, EXPIRED)]


def test_expiry_killed_while_it_deletes_is_finished_by_the_next_one(tenant, now, monkeypatch):
    furnish(tenant, now)
    record = exported(tenant)
    with monkeypatch.context() as patch:
        patch.setattr(exports, "delete_objects", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            expire_exports(tenant.id, now=record.expires_at)
    assert objects(tenant) > 0
    with pytest.raises(Gone):
        exports.find_export(tenant.id, record.id, now=utc_now())
    assert expire_exports(tenant.id, now=utc_now()) == [record.id]
    assert (objects(tenant), parts(tenant)) == (0, 0)


def test_an_export_that_never_ends_expires_too_and_lets_another_one_begin(tenant):
    record = begin(tenant)
    sent(tenant)
    assert expire_exports(tenant.id, now=record.expires_at) == [record.id]
    exports.ask_to_continue(tenant.id, record.id)
    work(tenant)
    with pytest.raises(Gone):
        exports.find_export(tenant.id, record.id, now=utc_now())
    assert begin(tenant).id != record.id


def test_what_a_live_worker_uploads_after_its_export_has_expired_is_deleted_too(tenant, now, monkeypatch):
    furnish(tenant, now)
    record = begin(tenant)
    expired_at, upload = record.expires_at, export.upload

    def overtaken(*arguments):
        if not expired:
            expired.extend(expire_exports(tenant.id, now=expired_at))
        upload(*arguments)

    expired: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(export, "upload", overtaken)
        work(tenant)
    assert (expired, objects(tenant) > 0, parts(tenant)) == ([record.id], True, 0)
    assert expire_exports(tenant.id, now=expired_at + timedelta(minutes=61)) == []
    assert objects(tenant) == 0


def test_an_export_whose_message_was_lost_is_woken(tenant):
    record = begin(tenant)
    assert sent(tenant) == [record.id]
    soon, later = record.touched_at + exports.STALLED / 2, record.touched_at + exports.STALLED
    for wake in (lambda at: expire_exports(tenant.id, now=at), lambda at: _refused(tenant, at)):
        wake(soon)
        assert sent(tenant) == []
        wake(later)
        assert sent(tenant) == [record.id]


def _refused(tenant, at) -> None:
    with pytest.raises(Conflict):
        begin(tenant, now=at)


def test_a_request_killed_before_its_message_was_sent_is_made_up_for(tenant, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(exports, "ask_to_continue", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            begin(tenant)
    expire_exports(tenant.id, now=utc_now() + exports.STALLED)
    work(tenant)
    [record], _ = exports.list_exports(tenant.id, limit=9, cursor=None)
    assert record.state == "completed"


def test_links_end_after_a_quarter_of_an_hour_and_reach_one_object_each(tenant, now, tmp_path):
    furnish(tenant, now)
    record = exported(tenant)
    found = exports.downloads(tenant, record, limit=200, cursor=None, now=now)
    assert found.links_expire_at == now + timedelta(minutes=15)
    assert all("X-Amz-Expires=900" in each.url for each in found.files)
    names = [file["name"] for file in fetch(tenant, record, tmp_path)["files"]]
    assert names == [each.named.name for each in found.files]
