"""Groups commit whole or not at all, share transactions, and never take each other down."""

import threading

import pytest
from pynamodb.exceptions import TransactWriteError

from chalicelib.platform.attributes import IntegerAttribute
from chalicelib.platform.commit import Check, Delete, Group, Put, Update, commit, commit_one
from chalicelib.platform.requests import counted
from chalicelib.platform.store import TenantModel


class Item(TenantModel):
    class Meta:
        table_kind = "cases"

    number = IntegerAttribute(default=0)


class Leaf(TenantModel):
    class Meta:
        table_kind = "ledger"

    number = IntegerAttribute(default=0)


def _group(tenant, name: str) -> Group:
    item, leaf = tenant.bind(Item), tenant.bind(Leaf)
    return Group(name, [Put(item(name, "i"), item.pk.does_not_exist()), Put(leaf(name, "l"))])


def test_fifty_groups_of_two_share_one_transaction(tenant) -> None:
    with counted() as requests:
        assert commit(tenant.store, [_group(tenant, f"g{i}") for i in range(50)]) == []
    assert dict(requests) == {"TransactWriteItems": 1}


def test_a_group_that_does_not_fit_opens_the_next_transaction(tenant) -> None:
    with counted() as requests:
        commit(tenant.store, [_group(tenant, f"g{i}") for i in range(51)])
    assert requests["TransactWriteItems"] == 2


def test_a_refused_group_writes_nothing_and_leaves_the_others(tenant) -> None:
    item, leaf = tenant.bind(Item), tenant.bind(Leaf)
    item("g1", "i", number=7).save()

    rejected = commit(tenant.store, [_group(tenant, f"g{i}") for i in range(3)])

    assert [group.key for group in rejected] == ["g1"]
    assert item.get("g1", "i").number == 7
    assert {entry.pk for entry in leaf.batch_get([(f"g{i}", "l") for i in range(3)])} == {"g0", "g2"}


def test_two_groups_on_one_item_stand_in_different_transactions(tenant) -> None:
    item = tenant.bind(Item)
    groups = [Group(str(i), [Update(item, "counter", "c", [item.number.add(1)])]) for i in range(3)]
    with counted() as requests:
        assert commit(tenant.store, groups) == []
    assert requests["TransactWriteItems"] == 3
    assert item.get("counter", "c").number == 3


def test_a_check_that_does_not_hold_refuses_its_group(tenant) -> None:
    item = tenant.bind(Item)
    group = Group("g", [Check(item, "absent", "c", item.pk.exists()), Put(item("made", "i"))])
    assert commit_one(tenant.store, group) is False
    assert list(item.query("made")) == []


def test_a_deletion_takes_part_in_its_group(tenant) -> None:
    item = tenant.bind(Item)
    item("g", "i", number=7).save()
    replaced = Put(item("g", "j"), item.pk.does_not_exist())

    assert commit_one(tenant.store, Group("g", [Delete(item, "g", "i", item.number == 8), replaced])) is False
    assert [entry.sk for entry in item.query("g")] == ["i"]

    assert commit_one(tenant.store, Group("g", [Delete(item, "g", "i", item.number == 7), replaced]))
    assert [entry.sk for entry in item.query("g")] == ["j"]
    assert commit_one(tenant.store, Group("g", [Delete(item, "g", "absent")]))


def test_groups_of_several_writers_on_one_counter_all_commit(tenant) -> None:
    item = tenant.bind(Item)
    failures: list[BaseException] = []

    def work(worker: int) -> None:
        try:
            for i in range(5):
                group = Group(f"{worker}-{i}", [Update(item, "counter", "c", [item.number.add(1)])])
                assert commit_one(tenant.store, group)
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    assert item.get("counter", "c").number == 20


def test_an_error_that_is_no_condition_is_raised(tenant) -> None:
    item = tenant.bind(Item)
    with pytest.raises(TransactWriteError):
        commit_one(tenant.store, Group("g", [Put(item("x" * 3000, "i"))]))
