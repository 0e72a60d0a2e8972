"""After an erasure nothing is left of a tenant but its billing records, and nothing begins that may not."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest

from chalicelib.leaving import destroy, erasure, export_record, holds
from chalicelib.leaving.certificate import Certificate
from chalicelib.leaving.erasure import NotEmpty, erase
from chalicelib.leaving.residue import SYSTEM_BACKUPS, residue, system_backups
from chalicelib.platform.errors import Conflict, Gone, NotFound
from chalicelib.platform.ids import new_id
from chalicelib.platform.settings import settings
from chalicelib.platform.store import shared
from chalicelib.tenancy import State, find_tenant, open_tenant, records, steps
from tests.leaving.departing import (
    UsageItem,
    departing,
    erase_with_billing,
    expect_nothing,
    forgotten_by_billing,
    letters_to,
    person,
    traces,
    versioned_bucket,
)

NOW = datetime(2005, 9, 30, 16, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _versions(aws: None):
    with versioned_bucket():
        yield


def test_nothing_is_left_where_everything_was() -> None:
    tenant_id = departing()
    address = find_tenant(tenant_id).owner_email
    before = traces(tenant_id, address=address)
    assert all(before.values()), before
    assert erase_with_billing(tenant_id) == State.ERASED
    expect_nothing(tenant_id, address)


def test_another_tenant_keeps_everything(other_tenant) -> None:
    tenant_id = departing()
    address = find_tenant(other_tenant.id).owner_email
    before = traces(other_tenant.id, address=address)
    erase_with_billing(tenant_id)
    assert traces(other_tenant.id, address=address) == before
    assert find_tenant(other_tenant.id).name == "Meridian Credit"


def test_the_record_says_nothing_of_people_and_unlocks_nothing() -> None:
    tenant_id = departing()
    was = find_tenant(tenant_id)
    erase_with_billing(tenant_id)
    record = find_tenant(tenant_id)
    raw = boto3.client("dynamodb").get_item(
        TableName=settings().shared_table("tenants"), Key={"pk": {"S": tenant_id}, "sk": {"S": "tenant"}}
    )["Item"]
    assert was.owner_email not in str(raw)
    assert was.name not in str(raw)
    assert not {"wrapped_data_key", "wrapped_index_key", "claim_hash", "verification", "announcements"} & raw.keys()
    assert (record.state, record.name, record.ready) == (State.ERASED, "erased", False)
    assert record.erased_at is not None


def test_billing_records_are_kept() -> None:
    tenant_id = departing()
    erase_with_billing(tenant_id)
    record = find_tenant(tenant_id)
    assert (record.plan, record.currency, record.customer_id) == ("starter", "TWD", "cus_of_the_unit_tests")
    kept = shared().bind(UsageItem).query(tenant_id)
    assert [item.sk for item in kept] == ["reconciliation#2005-08-01", "usage#2005-08-01T10"]


def test_the_key_is_doomed_and_the_record_says_until_when() -> None:
    tenant_id = departing()
    key = find_tenant(tenant_id).key_arn
    erase_with_billing(tenant_id)
    described = boto3.client("kms").describe_key(KeyId=key)["KeyMetadata"]
    assert described["KeyState"] == "PendingDeletion"
    days = (described["DeletionDate"] - datetime.now(UTC)) / timedelta(days=1)
    assert 6 < days <= destroy.KEY_WAITS_DAYS
    assert list(find_tenant(tenant_id).erasure["key"]["deleted_on"]) == [key]


def test_an_erased_tenant_cannot_be_opened_and_erasing_it_again_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tenant_id = departing()
    erase_with_billing(tenant_id)
    version = find_tenant(tenant_id).version
    assert erase(tenant_id) == State.ERASED
    assert find_tenant(tenant_id).version == version
    monkeypatch.setattr("chalicelib.tenancy.credentials._open", OrderedDict())  # as in any other container
    with pytest.raises(Gone):
        open_tenant(tenant_id)


def test_more_versions_than_one_request_deletes_are_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    tenant_id = departing()
    s3 = boto3.client("s3")
    for n in range(1100):
        s3.put_object(Bucket=settings().bucket, Key=f"{tenant_id}/many/{n % 300:04d}", Body=b"")
    requests: list[int] = []
    real = destroy.client("s3").delete_objects
    monkeypatch.setattr(
        destroy.client("s3"),
        "delete_objects",
        lambda **given: (requests.append(len(given["Delete"]["Objects"])), real(**given))[1],
    )
    erase_with_billing(tenant_id)
    assert requests == [1000, sum(requests) - 1000]
    assert sum(requests) > 1100
    assert {place.found for place in residue(tenant_id)} == {0}


@pytest.mark.parametrize("state", [state for state in State if state not in (State.CLOSING, State.ERASED)])
def test_a_tenant_that_is_not_closing_is_left_alone(state: State) -> None:
    tenant_id = departing(state=state)
    assert erase(tenant_id) == state
    assert find_tenant(tenant_id).erasure == {}


def test_before_its_time_nothing_is_erased() -> None:
    tenant_id = departing()
    model = records()
    model(tenant_id, "tenant").update(actions=[model.erase_after.set(datetime.now(UTC) + timedelta(minutes=1))])
    assert erase(tenant_id) == State.CLOSING
    assert find_tenant(tenant_id).erasure == {}


def test_a_legal_hold_stops_the_erasure_and_its_end_lets_it_begin() -> None:
    tenant_id = departing()
    holds.set_hold(person(tenant_id, "usr_1"), reason="court order 7", now=NOW)
    assert erase(tenant_id) == State.CLOSING
    assert find_tenant(tenant_id).erasure == {}
    holds.release_hold(person(tenant_id, "usr_1"), now=NOW)
    assert erase_with_billing(tenant_id) == State.ERASED


def test_an_unknown_tenant_is_an_error(aws: None) -> None:
    with pytest.raises(NotFound):
        erase(new_id("ten"))


def test_a_hold_that_is_set_while_the_erasure_is_decided_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    tenant_id = departing()
    real = erasure.is_due_for_erasure

    def due(record, now):
        answer = real(record, now)
        holds.set_hold(person(tenant_id, "usr_1"), reason="court order 7", now=NOW)
        return answer

    monkeypatch.setattr(erasure, "is_due_for_erasure", due)
    assert erase(tenant_id) == State.CLOSING
    assert find_tenant(tenant_id).erasure == {}
    assert find_tenant(tenant_id).legal_hold is not None


def test_a_hold_that_comes_after_the_erasure_began_is_refused_whole() -> None:
    tenant_id = departing()
    assert erase(tenant_id) == State.CLOSING  # it waits for billing
    with pytest.raises(Conflict):
        holds.set_hold(person(tenant_id, "usr_1"), reason="court order 7", now=NOW)
    assert find_tenant(tenant_id).legal_hold is None


def test_a_tenant_that_returned_while_the_erasure_was_decided_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    tenant_id = departing()
    model = records()
    real = erasure.is_due_for_erasure

    def due(record, now):
        answer = real(record, now)
        returned = [model.state.set(State.ACTIVE), model.erase_after.remove(), model.version.add(1)]
        model(tenant_id, "tenant").update(actions=returned)
        return answer

    monkeypatch.setattr(erasure, "is_due_for_erasure", due)
    assert erase(tenant_id) == State.ACTIVE
    assert find_tenant(tenant_id).erasure == {}


def test_it_waits_until_stripes_customer_is_forgotten() -> None:
    tenant_id = departing()
    address = find_tenant(tenant_id).owner_email
    assert erase(tenant_id) == State.CLOSING
    assert erase(tenant_id) == State.CLOSING
    assert letters_to(address) == []
    forgotten_by_billing(tenant_id)
    assert erase(tenant_id) == State.ERASED


def test_what_comes_back_behind_the_erasure_is_found_and_erased() -> None:
    tenant_id = departing()
    address = find_tenant(tenant_id).owner_email
    assert erase(tenant_id) == State.CLOSING  # all is removed, and it waits for billing
    boto3.client("s3").put_object(Bucket=settings().bucket, Key=f"{tenant_id}/late", Body=b"late")
    forgotten_by_billing(tenant_id)
    with pytest.raises(NotEmpty, match="objects: 1"):
        erase(tenant_id)
    assert find_tenant(tenant_id).state == State.CLOSING
    assert erase(tenant_id) == State.ERASED
    expect_nothing(tenant_id, address)


def test_no_export_goes_on_once_the_objects_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    tenant_id = departing()
    tenant, real, begun = open_tenant(tenant_id), destroy.remove_objects, []
    record = export_record.record_model()(
        tenant_id,
        "export#exp_running",
        state="running",
        requested_by="key_1",
        requested_at=NOW,
        touched_at=NOW,
        expires_at=NOW,
    )
    record.save()

    def worker_goes_on(erased):
        outcome = real(erased)
        begun.append(export_record.begin_part(record, now=NOW))
        return outcome

    monkeypatch.setattr(destroy, "remove_objects", worker_goes_on)
    erase(tenant_id)
    assert begun == [None]
    # One that had begun its part before uploads it all the same.
    boto3.client("s3").put_object(Bucket=settings().bucket, Key=tenant.object_key("exports", "part"), Body=b"late")
    forgotten_by_billing(tenant_id)
    with pytest.raises(NotEmpty, match="objects: 1"):
        erase(tenant_id)
    assert erase(tenant_id) == State.ERASED
    assert {place.found for place in residue(tenant_id)} == {0}


def test_a_backup_that_only_time_deletes_stops_no_erasure_and_is_told_with_its_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tenant_id = departing()
    expires, table = datetime(2026, 12, 24, 8, 0, tzinfo=UTC), settings().tenant_table(tenant_id, "cases")
    kept = {
        "BackupArn": f"arn:aws:dynamodb:eu-central-1:000000000000:table/{table}/backup/01",
        "TableName": table,
        "BackupType": "SYSTEM",
        "BackupStatus": "AVAILABLE",
        "BackupExpiryDateTime": expires,
    }
    events = destroy.client("dynamodb").meta.events
    tried: list[str] = []

    def also_its_own(parsed: dict, **_: object) -> None:
        parsed["BackupSummaries"].append(kept)

    def refused(params: dict, **_: object) -> None:
        if params["BackupArn"] == kept["BackupArn"]:
            tried.append(params["BackupArn"])

    events.register("after-call.dynamodb.ListBackups", also_its_own)
    events.register("provide-client-params.dynamodb.DeleteBackup", refused)
    try:
        assert erase_with_billing(tenant_id) == State.ERASED
        assert [(place.where, place.found) for place in residue(tenant_id) if place.found] == [(SYSTEM_BACKUPS, 1)]
        assert [each["BackupExpiryDateTime"] for each in system_backups(tenant_id)] == [expires]
    finally:
        events.unregister("after-call.dynamodb.ListBackups", also_its_own)
        events.unregister("provide-client-params.dynamodb.DeleteBackup", refused)
    assert tried == []
    document = json.loads(shared().bind(Certificate).find(tenant_id, "certificate").document)
    assert SYSTEM_BACKUPS not in {each["place"] for each in document["erased"]}
    (told,) = [each for each in document["remains"] if table in each["what"]]
    assert told["until"] == "2026-12-24"
    assert document["remains"][0] == told


def test_what_is_written_to_the_record_behind_the_erasure_is_scrubbed_again() -> None:
    tenant_id = departing()
    forgotten_by_billing(tenant_id)
    real = destroy.scrub

    def raced(record):
        outcome = real(record)
        record.update(actions=[type(record).checkout_session_id.set("cs_late")])
        return outcome

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(destroy, "scrub", raced)
        with pytest.raises(NotEmpty, match="registry: 2"):
            erase(tenant_id)
    assert erase(tenant_id) == State.ERASED
    assert find_tenant(tenant_id).checkout_session_id is None


def test_whatever_provisioning_makes_a_step_of_the_erasure_empties(aws: None) -> None:
    tenant_id = departing()
    emptied = [place for step in erasure.steps() for place in step.empties]
    assert sorted([*emptied, SYSTEM_BACKUPS]) == sorted(place.where for place in residue(tenant_id))
    made = {name for name, _ in steps()}
    assert {name for name in made if name.startswith("table:")} <= set(emptied)


def test_the_page_on_erasure_names_the_steps_in_their_order(repository: Path) -> None:
    page = (repository / "docs" / "erasure.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    assert re.findall(r"`(.+?)`", " ".join(rows)) == [step.name for step in erasure.steps()]


def test_the_certificate_goes_to_the_owners_last_addresses() -> None:
    tenant_id = departing()
    address = find_tenant(tenant_id).owner_email
    erase_with_billing(tenant_id)
    (letter,) = letters_to(address)
    assert tenant_id in letter
    assert "BEGIN PUBLIC KEY" in letter
