"""The versions of a connector's mapping, and what a new one does to the next run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from chalicelib.connectors import mappings, runs
from chalicelib.connectors.advance import advance
from chalicelib.connectors.connectors import create_connector, delete_connector, find_connector, mapping_of
from chalicelib.connectors.drop import waiting
from chalicelib.connectors.errors import MappingInvalid
from chalicelib.connectors.mapping import Mapping, from_dict
from chalicelib.connectors.mappings import checked, find_version, list_versions, replace_mapping
from chalicelib.platform.errors import Conflict, NotFound, TooLarge
from tests.connectors.delivery import document, with_field
from tests.connectors.institution import Institution, Loan, extract
from tests.connectors.tables import items

PLAIN, HIDDEN = "13800000000", "13900000000"


@pytest.fixture
def bank(tenant, now) -> Institution:
    return Institution(tenant, now)


def changed(mapping: Mapping, target: str, **members: Any) -> Mapping:
    """The mapping with one of its fields made anew."""
    written = mapping.model_dump(mode="json")
    written["fields"] = [
        {"target": target, "source": field["source"], **members} if field["target"] == target else field
        for field in written["fields"]
    ]
    return from_dict(written)


def put(bank: Institution, mapping: Mapping, **options: Any):
    connector = find_connector(bank.tenant, bank.connector_id)
    return replace_mapping(bank.tenant, connector, mapping, made_by="user_1", now=bank.clock, **options)


def without_one_phone(bank: Institution) -> Mapping:
    """The mapping in force, with one telephone number made another one."""
    in_force = mapping_of(find_connector(bank.tenant, bank.connector_id))
    return changed(in_force, "borrower.phone", type="code", codes={PLAIN: PLAIN, HIDDEN: "unlisted"})


def test_a_mapping_of_ones_own_begins_at_version_one_and_every_version_stays(tenant, now):
    own = from_dict(document(version=7))
    connector = create_connector(tenant, "own", own, now=now, made_by="user_1")
    assert (connector.mapping_version, connector.preset) == (1, "test")
    stricter = from_dict(document(max_removed_share=0.1))
    made = replace_mapping(tenant, connector, stricter, made_by="user_2", now=now)
    assert (made.version, made.document["version"], made.document["max_removed_share"]) == (2, 2, 0.1)
    found, after = list_versions(tenant, connector.sk, limit=10, cursor=None)
    assert [(each.version, each.made_by) for each in found] == [(2, "user_2"), (1, "user_1")]
    assert after is None
    assert find_version(tenant, connector.sk, 1).document["max_removed_share"] == 1
    assert mapping_of(find_connector(tenant, connector.sk)).max_removed_share == 0.1
    with pytest.raises(NotFound):
        find_version(tenant, connector.sk, 3)
    assert sum(item.get("action") == {"S": "connector.mapping_replaced"} for item in items(tenant, "ledger")) == 1


def test_the_document_in_force_put_again_makes_no_version(bank):
    wanted = without_one_phone(bank)
    first = put(bank, wanted, expected=1)
    # The answer was lost, and the caller, who has still read version 1, sends the same again.
    assert put(bank, wanted, expected=1).version == first.version == 2
    assert put(bank, wanted).version == 2


def test_a_mapping_replaced_by_somebody_else_is_a_conflict(bank):
    stale = find_connector(bank.tenant, bank.connector_id)
    wanted = without_one_phone(bank)
    put(bank, wanted)
    other = changed(wanted, "account.branch", type="text", max_length=10)
    with pytest.raises(Conflict, match="version 2 of the mapping is in force, not 1"):
        put(bank, other, expected=1)
    with pytest.raises(Conflict, match="meanwhile"):
        replace_mapping(bank.tenant, stale, other, made_by="user_1", now=bank.clock)
    assert find_connector(bank.tenant, bank.connector_id).mapping_version == 2


def test_a_deleted_connector_takes_no_mapping(bank):
    stale = find_connector(bank.tenant, bank.connector_id)
    wanted = without_one_phone(bank)
    delete_connector(bank.tenant, bank.connector_id, made_by="user_1", now=bank.clock)
    with pytest.raises(Conflict):
        replace_mapping(bank.tenant, stale, wanted, made_by="user_1", now=bank.clock)


def test_a_mapping_that_no_item_could_hold_is_too_large(tenant, now):
    codes = {f"汉字{n:060d}": "汉" * 200 for n in range(1000)}
    fields = with_field("borrower.name", type="code", codes=codes)
    with pytest.raises(TooLarge, match="300000"):
        create_connector(tenant, "own", from_dict(document(fields=fields)), now=now)


def test_what_is_wrong_is_told_where_it_stands_in_the_request():
    with pytest.raises(MappingInvalid) as invalid:
        checked(document(fields=with_field("borrower.phone", pattern="(?=1)[0-9]+")), pointer="/mapping")
    assert invalid.value.pointer == "/mapping/fields/3/pattern"
    with pytest.raises(MappingInvalid) as invalid:
        checked(document(colour="red", version=0), pointer="/mapping")
    assert {each["pointer"] for each in invalid.value.extra["problems"]} == {"/mapping/colour", "/mapping/version"}


def test_a_new_mapping_changes_on_the_next_run_just_what_it_maps_differently(bank):
    loans = [Loan(n, phone=HIDDEN if n % 7 == 0 else PLAIN) for n in range(1, 41)]
    assert bank.deliver("20050430", loans).counts["new"] == 40
    put(bank, without_one_phone(bank), expected=1)
    run = bank.deliver("20050531", loans)
    assert (run.status, run.mapping_version, run.reconciled) == ("completed", 2, True)
    assert run.counts == {"read": 40, "new": 0, "changed": 5, "unchanged": 35, "removed": 0, "quarantined": 0}
    # From then on the lines are known again.
    again = bank.deliver("20050630", loans)
    assert (again.counts["changed"], again.counts["unchanged"]) == (0, 40)


def test_a_mapping_that_means_the_same_changes_nothing(bank):
    loans = [Loan(n) for n in range(1, 11)]
    bank.deliver("20050430", loans)
    in_force = mapping_of(find_connector(bank.tenant, bank.connector_id))
    put(bank, in_force.model_copy(update={"max_removed_share": 0.5}))
    run = bank.deliver("20050531", loans)
    assert (run.mapping_version, run.counts["changed"], run.counts["unchanged"]) == (2, 0, 10)


def test_a_run_ends_under_the_mapping_that_it_began_with(bank):
    loans = [Loan(n, phone=HIDDEN if n == 1 else PLAIN) for n in range(1, 11)]
    bank.deliver("20050430", loans)
    bank.drop("20050531", extract(loans))
    connector = find_connector(bank.tenant, bank.connector_id)
    [file] = waiting(bank.tenant, bank.connector_id, mapping_of(connector))
    # The worker that claims the run dies; the mapping is replaced before another one takes it over.
    run = runs.claim(bank.tenant, connector, file, now=bank.clock)
    put(bank, without_one_phone(bank))
    bank.clock += runs.CLAIM_TIME + timedelta(seconds=1)
    advance(bank.tenant, bank.connector_id, now=bank.clock)
    bank.work()
    ended = runs.find_run(bank.tenant, bank.connector_id, run.id)
    assert (ended.status, ended.mapping_version, ended.counts["changed"]) == ("completed", 1, 0)
    assert bank.deliver("20050630", loans).counts["changed"] == 1


def test_a_version_that_was_replaced_can_still_be_read_as_a_mapping(bank):
    put(bank, without_one_phone(bank))
    connector = find_connector(bank.tenant, bank.connector_id)
    old, new = (mappings.mapping_at(bank.tenant, connector, version) for version in (1, 2))
    assert [field.type for field in old.fields if field.target == "borrower.phone"] == ["text"]
    assert [field.type for field in new.fields if field.target == "borrower.phone"] == ["code"]
