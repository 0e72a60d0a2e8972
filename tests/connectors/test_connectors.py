"""Connectors, and the places where their files are dropped."""

from __future__ import annotations

import urllib.request

import pytest

from chalicelib.connectors.connectors import create_connector, find_connector, mapping_of
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
    request = urllib.request.Request(elsewhere, data=b"x", method="PUT", headers={"Content-Type": ""})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    assert caught.value.code == 403
