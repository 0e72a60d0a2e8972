"""Connectors, and the places where their files are dropped."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from chalicelib.connectors.connectors import all_connectors, create_connector, find_connector, mapping_of
from chalicelib.connectors.drop import upload, waiting
from chalicelib.connectors.errors import UnknownPreset
from chalicelib.connectors.views import connector_detail
from chalicelib.platform.errors import Conflict, Invalid, NotFound
from tests.connectors.institution import PRESET, Institution, file_name


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
