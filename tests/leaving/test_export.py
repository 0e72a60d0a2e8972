"""An export holds everything of a tenant, as it is, in both formats, whoever worked on it and however often."""

from __future__ import annotations

from datetime import timedelta

import boto3
import pytest

from chalicelib.cases.model import Account
from chalicelib.leaving import export, exports
from chalicelib.leaving.export import continue_export
from chalicelib.leaving.export_files import FOLDER
from chalicelib.leaving.export_record import position_of
from chalicelib.leaving.kinds import EXPORTED_KINDS, OTHER, TABLES
from chalicelib.leaving.manifest import store_manifest
from chalicelib.platform.clock import utc_now
from chalicelib.platform.settings import settings
from infra.verify_export import verify
from tests.connectors.institution import late
from tests.leaving.exporting import (
    BROKEN,
    exported,
    fetch,
    furnish,
    items,
    messages,
    put_raw,
    rows,
    stored,
    told,
    work,
)


@pytest.fixture
def small_parts(monkeypatch) -> None:
    """A part for every page of five items, and for every leaf."""
    monkeypatch.setattr(export, "PAGE_ITEMS", 5)
    monkeypatch.setattr(export, "PART_BYTES", 1)


def objects(tenant) -> list[str]:
    """The names of the tenant's objects in its folder of exports."""
    answer = tenant.s3.list_objects_v2(Bucket=tenant.bucket, Prefix=tenant.object_key(FOLDER, ""))
    return [found["Key"] for found in answer.get("Contents", [])]


def test_everything_of_a_tenant_is_in_its_export(tenant, now, tmp_path):
    bank = furnish(tenant, now)
    manifest = fetch(tenant, exported(tenant), tmp_path)
    assert verify(tmp_path).differences == []

    assert told(tmp_path) == stored(tenant)
    assert [kind for kind in EXPORTED_KINDS if not manifest["counts"][kind]] == []
    [quarantined] = rows(tmp_path, "quarantined_rows")
    assert quarantined["raw"] == BROKEN.line
    assert {row["name"] for row in rows(tmp_path, "borrowers")} == {"张伟"}
    numbers = {row["key"]: row["id"] for row in rows(tmp_path, "accounts")}
    [repayment] = rows(tmp_path, "repayments")
    assert repayment["account_id"] == numbers[late(39).key]
    assert {row["account_ids"][0] for row in rows(tmp_path, "cases")} == {numbers[late(n).key] for n in (39, 40)}
    assert [row["id"] for row in rows(tmp_path, "connectors")] == [bank.connector_id]
    assert [row["role"] for row in rows(tmp_path, "users")] == ["owner"]
    assert [row["scopes"] for row in rows(tmp_path, "api_keys")] == [["connectors:write"]]
    assert rows(tmp_path, OTHER) == [
        {
            "table": "cases",
            "pk": "from-the-future",
            "sk": "1",
            "attributes": {
                "text": "said",
                "count": 12,
                "rate": "0.25",
                "bytes": "00ff",
                "nested": {"list": [None, True], "set": ["a", "b"]},
            },
        }
    ]
    assert (manifest["tenant"], manifest["tenant_name"]) == (tenant.id, tenant.name)
    moments = [times[name] for times in manifest["tables"].values() for name in ("begun_at", "finished_at")]
    assert (len(moments), moments) == (10, sorted(moments))


def test_no_secret_and_nothing_sealed_leaves_with_an_export(tenant, now, tmp_path):
    furnish(tenant, now)
    [endpoint] = [item for item in items(tenant, "feed") if item["pk"]["S"] == "endpoints"]
    secret = tenant.vault.open(endpoint["sealed_secrets"]["B"], bound_to=endpoint["sk"]["S"])["current"]
    [key] = [
        each
        for each in boto3.client("dynamodb").scan(TableName=settings().shared_table("credentials"))["Items"]
        if each["sk"]["S"] == "api-key" and each.get("tenant_id") == {"S": tenant.id}
    ]
    fetch(tenant, exported(tenant), tmp_path)
    text = "".join(path.read_text("utf-8") for path in tmp_path.glob("*.jsonl"))
    assert secret not in text
    assert endpoint["sealed_secrets"]["B"].hex() not in text
    assert key["secret_hash"]["S"] not in text
    assert "sealed" not in text
    assert "hash" not in text.replace("leaf_hash", "")


def test_in_many_parts_by_many_workers_it_is_the_same_export(tenant, now, tmp_path, monkeypatch, small_parts):
    furnish(tenant, now)
    monkeypatch.setattr(export, "WORK_SECONDS", 0.0)
    record = exports.begin_export(tenant.id, requested_by="usr_TEST", now=utc_now())
    assert work(tenant) > len(TABLES)
    manifest = fetch(tenant, exports.find_export(tenant.id, record.id, now=utc_now()), tmp_path)
    assert verify(tmp_path).differences == []
    assert told(tmp_path) == stored(tenant)
    names = [file["name"] for file in manifest["files"] if file["kind"] == "leaves" and file["format"] == "jsonl"]
    assert names == [f"leaves-{number:05d}.jsonl" for number in range(manifest["ledger"]["tree_size"])]


def test_a_worker_that_was_overtaken_at_the_manifest_takes_nothing_from_who_completed_it(
    tenant, now, tmp_path, monkeypatch
):
    furnish(tenant, now)
    record = exports.begin_export(tenant.id, requested_by="usr_TEST", now=utc_now())

    def overtaken(*arguments):
        monkeypatch.setattr(export, "store_manifest", store_manifest)
        stored_by_this_one = store_manifest(*arguments)
        continue_export(tenant.id, record.id)
        return stored_by_this_one

    monkeypatch.setattr(export, "store_manifest", overtaken)
    work(tenant)
    fetch(tenant, exports.find_export(tenant.id, record.id, now=utc_now()), tmp_path)
    assert verify(tmp_path).differences == []


def test_what_cannot_be_read_as_its_model_says_gives_away_no_secret(tenant, now, tmp_path):
    furnish(tenant, now)
    [endpoint] = [item for item in items(tenant, "feed") if item["pk"]["S"] == "endpoints"]
    put_raw(tenant, "feed", {**endpoint, "version": {"S": "latest"}})
    fetch(tenant, exported(tenant), tmp_path)
    [other] = [row for row in rows(tmp_path, OTHER) if row["table"] == "feed"]
    assert other["attributes"].keys() == endpoint.keys() - {"pk", "sk", "sealed_secrets", "wish_digest"}


def test_what_cannot_be_read_as_its_model_says_is_exported_as_it_is_stored(tenant, now, tmp_path):
    furnish(tenant, now)
    [one, other, *_] = [item for item in items(tenant, "cases") if item["sk"]["S"] == "account"]
    put_raw(tenant, "cases", {**one, "sealed": other["sealed"]})
    put_raw(tenant, "cases", {**other, "balance": {"S": "much"}})
    fetch(tenant, exported(tenant), tmp_path)
    assert verify(tmp_path).differences == []
    assert told(tmp_path) == stored(tenant)
    kept = {row["pk"]: row["attributes"] for row in rows(tmp_path, OTHER) if row["sk"] == "account"}
    assert kept.keys() == {one["pk"]["S"], other["pk"]["S"]}
    assert kept[other["pk"]["S"]]["balance"] == "much"


def test_an_attribute_that_a_model_does_not_know_stands_beside_those_that_it_knows(tenant, now, tmp_path):
    furnish(tenant, now)
    account = next(item for item in items(tenant, "cases") if item["sk"]["S"] == "account")
    put_raw(tenant, "cases", {**account, "colour": {"S": "red"}})
    fetch(tenant, exported(tenant), tmp_path)
    found = {row["id"]: row["other_attributes"] for row in rows(tmp_path, "accounts")}
    assert found.pop(account["pk"]["S"]) == {"colour": "red"}
    assert set(found.values()) == {None}


def test_a_tenant_without_anything_takes_its_owner_along(tenant, tmp_path):
    manifest = fetch(tenant, exported(tenant), tmp_path)
    assert {kind: rows for kind, rows in manifest["counts"].items() if rows} == {"users": 1}
    assert manifest["ledger"]["tree_size"] == 0
    assert verify(tmp_path).differences == []


def test_a_worker_that_was_taken_for_dead_spoils_nothing(tenant, now, tmp_path, monkeypatch, small_parts):
    furnish(tenant, now)
    record = exports.begin_export(tenant.id, requested_by="usr_TEST", now=utc_now())
    real, slept = export.upload, []

    def upload_after_a_long_sleep(*arguments):
        if not slept:
            slept.append(True)
            continue_export(tenant.id, record.id)
        real(*arguments)

    monkeypatch.setattr(export, "upload", upload_after_a_long_sleep)
    continue_export(tenant.id, record.id)
    fetch(tenant, exports.find_export(tenant.id, record.id, now=utc_now()), tmp_path)
    assert verify(tmp_path).differences == []
    assert told(tmp_path) == stored(tenant)


def test_what_is_written_meanwhile_is_in_the_export_or_not_and_its_ledger_is_sound(
    tenant, now, tmp_path, monkeypatch, small_parts
):
    bank = furnish(tenant, now)
    before = stored(tenant)
    real = export.commit_part

    def and_the_bank_goes_on(*arguments, **options):
        if not bank.clock > now + timedelta(days=1):
            bank.clock += timedelta(days=2)
            bank.deliver("20050531", [late(n) for n in range(1, 41)])
        return real(*arguments, **options)

    monkeypatch.setattr(export, "commit_part", and_the_bank_goes_on)
    fetch(tenant, exported(tenant), tmp_path)
    assert verify(tmp_path).differences == []
    assert before["events"] < told(tmp_path)["events"] <= stored(tenant)["events"]
    leaves = {row["subject"] for row in rows(tmp_path, "leaves")}
    assert {row["id"] for row in rows(tmp_path, "cases")} <= leaves


def test_nothing_is_left_in_the_folder_but_what_the_manifest_lists(tenant, now, tmp_path, small_parts):
    furnish(tenant, now)
    manifest = fetch(tenant, exported(tenant), tmp_path)
    assert len(objects(tenant)) == len(manifest["files"]) + 1


def test_an_export_that_has_ended_is_left_alone(tenant):
    record = exported(tenant)
    continue_export(tenant.id, record.id)
    continue_export(tenant.id, "exp_01ARZ3NDEKTSV4RRFFQ69G5FAV")
    assert exports.find_export(tenant.id, record.id, now=utc_now()).version == record.version
    assert list(messages(tenant)) == []


def test_where_an_export_stands_is_told_to_nobody_without_the_tenants_key(tenant, now, monkeypatch, small_parts):
    monkeypatch.setattr(export, "PAGE_ITEMS", 1)
    monkeypatch.setattr(export, "WORK_SECONDS", 0.0)
    bank = furnish(tenant, now)
    record = exports.begin_export(tenant.id, requested_by="usr_TEST", now=utc_now())
    for _ in ("people and keys", "the first page of connectors"):
        continue_export(tenant.id, record.id)
    record = exports.find_export(tenant.id, record.id, now=utc_now())
    behind = position_of(tenant.vault, record).after
    assert behind is not None
    assert bank.connector_id in str(behind)
    assert record.position is not None
    assert bank.connector_id.encode() not in record.position


def test_an_account_is_found_by_the_key_that_its_business_system_gave_it(tenant, now, tmp_path):
    furnish(tenant, now)
    fetch(tenant, exported(tenant), tmp_path)
    model = tenant.bind(Account)
    for row in rows(tmp_path, "accounts"):
        account = model.get(row["id"], "account")
        assert row["key"] == tenant.vault.open(account.sealed, bound_to=account.pk)["key"]
        assert (row["balance"], row["as_of"]) == (account.balance, account.as_of.isoformat())
