"""Connectors, and the places where their files are dropped."""

from __future__ import annotations

import urllib.error
import urllib.request
from datetime import timedelta

import pytest

from chalicelib.connectors import watch
from chalicelib.connectors.connectors import (
    all_connectors,
    change_connector,
    create_connector,
    delete_connector,
    find_connector,
    mapping_of,
)
from chalicelib.connectors.drop import upload, waiting
from chalicelib.connectors.errors import UnknownPreset
from chalicelib.connectors.model import QUARANTINE
from chalicelib.connectors.push import PushedRow, push
from chalicelib.connectors.runs import CLAIM_TIME, claim, request_run, wake
from chalicelib.connectors.views import connector_detail
from chalicelib.platform.errors import Conflict, Gone, Invalid, NotFound
from tests.connectors.institution import PRESET, Institution, Loan, extract, file_name, late
from tests.connectors.tables import items


def test_a_connector_carries_its_own_copy_of_the_preset(tenant, now):
    made = create_connector(tenant, "core banking", PRESET, now=now)
    found = find_connector(tenant, made.sk)
    assert mapping_of(found).preset == PRESET
    assert connector_detail(found).mapping["version"] == found.mapping_version
    with pytest.raises(NotFound):
        find_connector(tenant, "con_01J00000000000000000000000")


def test_an_unknown_preset_is_answered_with_those_there_are(tenant, now):
    with pytest.raises(UnknownPreset) as caught:
        create_connector(tenant, "core banking", "cobol-tape", now=now)
    assert caught.value.status == 422
    assert PRESET in caught.value.detail
    assert "cobol-tape" in caught.value.detail


def test_the_same_idempotency_key_makes_one_connector(tenant, now):
    first = create_connector(tenant, "core banking", PRESET, now=now, key="a")
    again = create_connector(tenant, "core banking", PRESET, now=now, key="a")
    other = create_connector(tenant, "core banking", PRESET, now=now, key="b")
    assert first.sk == again.sk != other.sk
    with pytest.raises(Conflict):
        create_connector(tenant, "another", PRESET, now=now, key="a")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "loans.txt",
        "CORE_LOAN_20051301.txt",
        "../CORE_LOAN_20050430.txt",
        "a/CORE_LOAN_20050430.txt",
        "a\\CORE_LOAN_20050430.txt",
        "CORE_LOAN_20050430.txt\n",
        "CORE_LOAN_20050430.txt" + "x" * 200,
    ],
)
def test_a_file_name_that_is_not_expected_gets_no_place(tenant, now, name):
    connector = create_connector(tenant, "core banking", PRESET, now=now)
    with pytest.raises(Invalid) as caught:
        upload(tenant, connector.sk, mapping_of(connector), name, now=now)
    assert caught.value.pointer == "/file_name"


def test_files_wait_in_order_of_their_business_dates(tenant, now):
    bank = Institution(tenant, now)
    for day in ("20050630", "20050430", "20050531"):
        bank.drop(day, b"x")
    mapping = mapping_of(find_connector(tenant, bank.connector_id))
    assert [f.name for f in waiting(tenant, bank.connector_id, mapping)] == [
        file_name(day) for day in ("20050430", "20050531", "20050630")
    ]


def test_a_place_takes_nothing_but_its_own_file(tenant, now):
    connector = create_connector(tenant, "core banking", PRESET, now=now)
    place = upload(tenant, connector.sk, mapping_of(connector), file_name("20050430"), now=now)
    elsewhere = place.url.replace("20050430", "20050531", 1)
    assert status_of_put(elsewhere, place.headers) == 403
    assert status_of_put(place.url, place.headers) == 200


def test_a_dropped_file_lies_under_the_tenants_key(tenant, now):
    bank = Institution(tenant, now)
    bank.drop("20050430", b"x")
    key = tenant.object_key("drop", bank.connector_id, "incoming", file_name("20050430"))
    head = tenant.s3.head_object(Bucket=tenant.bucket, Key=key)
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", tenant.key_arn)


def test_a_file_that_would_lie_under_another_key_is_refused_by_the_signature(tenant, other_tenant, now):
    connector = create_connector(tenant, "core banking", PRESET, now=now)
    place = upload(tenant, connector.sk, mapping_of(connector), file_name("20050430"), now=now)
    algorithm, key_id = place.headers
    refused: list[dict[str, str]] = [
        {},
        {algorithm: place.headers[algorithm]},
        {key_id: place.headers[key_id]},
        place.headers | {algorithm: "AES256"},
        place.headers | {key_id: other_tenant.key_arn},
    ]
    assert [status_of_put(place.url, headers) for headers in refused] == [403] * len(refused)
    assert not waiting(tenant, connector.sk, mapping_of(connector))


def status_of_put(url: str, headers: dict[str, str]) -> int:
    request = urllib.request.Request(url, data=b"x", method="PUT", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as refusal:
        return refusal.code


def test_a_plan_gives_so_many_connectors_and_the_same_wish_is_still_answered(tenant, now):
    there = len(list(all_connectors(tenant)))
    first = create_connector(tenant, "core banking", PRESET, now=now, key="the last one", at_most=there + 1)
    again = create_connector(tenant, "core banking", PRESET, now=now, key="the last one", at_most=there + 1)
    assert again.sk == first.sk
    with pytest.raises(Conflict, match=f"the plan gives {there + 1}"):
        create_connector(tenant, "core banking", PRESET, now=now, at_most=there + 1)


def test_a_paused_connector_starts_no_run_until_it_goes_on(tenant, now):
    bank = Institution(tenant, now)
    change(bank, paused=True)
    bank.drop("20050430", extract([Loan(1)]))
    with pytest.raises(Conflict, match="paused"):
        request_run(tenant, bank.connector_id)
    assert watch.wake_tenant(tenant, now=bank.clock) == 0
    wake(tenant, bank.connector_id)
    bank.work()
    assert bank.runs() == []
    change(bank, paused=False)
    assert [run.status for run in [bank.run()]] == ["completed"]


def test_a_worker_that_read_the_connector_before_it_was_paused_claims_nothing(tenant, now):
    bank = Institution(tenant, now)
    bank.drop("20050430", extract([Loan(1)]))
    stale = find_connector(tenant, bank.connector_id)
    [file] = waiting(tenant, bank.connector_id, mapping_of(stale))
    change(bank, paused=True)
    assert claim(tenant, stale, file, now=bank.clock) is None


def test_a_change_that_changes_nothing_is_no_change(tenant, now):
    bank = Institution(tenant, now)
    change(bank, name="core", paused=True)
    found = find_connector(tenant, bank.connector_id)
    assert (found.name, found.paused, found.version) == ("core", True, 2)
    change(bank, name="core", paused=True)
    change(bank)
    assert find_connector(tenant, bank.connector_id).version == 2
    changes = [item for item in items(tenant, "ledger") if item.get("action") == {"S": "connector.changed"}]
    assert len(changes) == 1


def test_a_deleted_connector_leaves_what_it_brought_and_takes_nothing_more(tenant, now):
    bank = Institution(tenant, now)
    run = bank.deliver("20050430", [*(Loan(n) for n in range(1, 39)), Loan(39, balance="-"), late(40)])
    accounts = items(tenant, "cases")
    delete_connector(tenant, bank.connector_id, made_by="user_1", now=now)
    delete_connector(tenant, bank.connector_id, made_by="user_1", now=now)
    assert list(all_connectors(tenant)) == []
    assert find_connector(tenant, bank.connector_id).deleted_at == now
    assert [each.id for each in bank.runs()] == [run.id]
    assert [i["line"] for i in items(tenant, "connector") if i["sk"]["S"].startswith(QUARANTINE)] == [{"N": "40"}]
    assert items(tenant, "cases") == accounts
    for refused in (
        lambda: request_run(tenant, bank.connector_id),
        lambda: change(bank, paused=False),
        lambda: push(tenant, bank.connector_id, [PushedRow("1", "R1", 1, "CNY", now.date())], now=now),
    ):
        with pytest.raises(Gone):
            refused()
    wake(tenant, bank.connector_id)
    bank.work()
    assert len(bank.runs()) == 1


def test_a_connector_at_work_is_not_deleted(tenant, now):
    bank = Institution(tenant, now)
    bank.drop("20050430", extract([Loan(1)]))
    connector = find_connector(tenant, bank.connector_id)
    [file] = waiting(tenant, bank.connector_id, mapping_of(connector))
    run = claim(tenant, connector, file, now=bank.clock)
    with pytest.raises(Conflict, match="run is at work") as caught:
        delete_connector(tenant, bank.connector_id, made_by="user_1", now=now)
    assert caught.value.extra == {"active_run": run.id}
    bank.clock += CLAIM_TIME + timedelta(seconds=1)
    bank.run()
    delete_connector(tenant, bank.connector_id, made_by="user_1", now=now)
    # A worker that read the connector before can claim nothing either.
    assert claim(tenant, connector, file, now=bank.clock) is None


def test_a_deleted_connector_frees_its_place_and_its_key_stays_used(tenant, now):
    made = create_connector(tenant, "core banking", PRESET, now=now, key="a", at_most=1)
    with pytest.raises(Conflict, match="the plan gives 1"):
        create_connector(tenant, "another", PRESET, now=now, at_most=1)
    delete_connector(tenant, made.sk, made_by="user_1", now=now)
    create_connector(tenant, "another", PRESET, now=now, at_most=2)
    with pytest.raises(Conflict, match="deleted"):
        create_connector(tenant, "core banking", PRESET, now=now, key="a")


def change(bank: Institution, **changes):
    return change_connector(bank.tenant, bank.connector_id, made_by="user_1", now=bank.clock, **changes)
