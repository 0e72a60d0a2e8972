"""Full batches, also when DynamoDB puts a part of them off."""

from __future__ import annotations

import pytest

from chalicelib.platform import requests
from chalicelib.platform.attributes import IntegerAttribute
from chalicelib.platform.batches import read_each, read_items, read_partition, write_items
from chalicelib.platform.errors import Unavailable
from chalicelib.platform.store import TenantModel


class Note(TenantModel):
    class Meta:
        table_kind = "cases"

    number = IntegerAttribute()


def notes(tenant, count: int) -> list[Note]:
    model = tenant.bind(Note)
    return [model("notes", f"n{n:03d}", number=n) for n in range(count)]


def keys(tenant, count: int):
    return [(tenant.bind(Note), "notes", f"n{n:03d}") for n in range(count)]


def puts_off_half(monkeypatch, tenant, *, name: str, times: int):
    """Makes a store answer that it left half of each batch undone, so many times, and really leave it undone."""
    real, left = getattr(tenant.store.connection, name), [times]

    def batch_write_item(table, put_items):
        if not left[0]:
            return real(table, put_items=put_items)
        left[0] -= 1
        half = len(put_items) // 2
        if half:
            real(table, put_items=put_items[:half])
        return {"UnprocessedItems": {table: [{"PutRequest": {"Item": item}} for item in put_items[half:]]}}

    def batch_get_item(table, wanted, **options):
        if not left[0]:
            return real(table, wanted, **options)
        left[0] -= 1
        half = len(wanted) // 2
        answer = real(table, wanted[:half], **options) if half else {"Responses": {}}
        return answer | {"UnprocessedKeys": {table: {"Keys": wanted[half:]}}}

    monkeypatch.setattr(tenant.store.connection, name, locals()[name])


def test_items_go_out_in_full_batches_and_come_back_in_full_batches(tenant):
    with requests.counted() as sent:
        write_items(tenant.store, notes(tenant, 130))
        found = read_items(tenant.store, keys(tenant, 140))
    assert sent == {"BatchWriteItem": 6, "BatchGetItem": 2}
    assert len(found) == 130


def test_nothing_to_write_or_read_sends_nothing(tenant):
    with requests.counted() as sent:
        write_items(tenant.store, [])
        assert read_items(tenant.store, []) == {}
    assert sent == {}


def test_what_is_put_off_is_written_and_read_in_the_end(tenant, monkeypatch):
    pauses: list[float] = []
    puts_off_half(monkeypatch, tenant, name="batch_write_item", times=5)
    puts_off_half(monkeypatch, tenant, name="batch_get_item", times=3)
    write_items(tenant.store, notes(tenant, 60), pause=pauses.append)
    found = read_items(tenant.store, keys(tenant, 60), pause=pauses.append)
    assert {sk: item.number for (_, sk), item in found.items()} == {f"n{n:03d}": n for n in range(60)}
    assert len(pauses) == 8


@pytest.mark.parametrize("name", ["batch_write_item", "batch_get_item"])
def test_a_store_that_puts_everything_off_for_good_is_unavailable(tenant, monkeypatch, name):
    puts_off_half(monkeypatch, tenant, name=name, times=1000)
    with pytest.raises(Unavailable):
        if name == "batch_write_item":
            write_items(tenant.store, notes(tenant, 1), pause=lambda _: None)
        else:
            read_items(tenant.store, keys(tenant, 1), pause=lambda _: None)


def test_a_failure_while_the_next_batch_is_made_is_not_lost(tenant, monkeypatch):
    def fails(*_args, **_options):
        raise ConnectionError

    monkeypatch.setattr(tenant.store.connection, "batch_write_item", fails)
    with pytest.raises(ConnectionError):
        write_items(tenant.store, notes(tenant, 30))


def test_a_partition_is_read_by_kind_and_in_order(tenant):
    write_items(tenant.store, notes(tenant, 3))
    items = read_partition(tenant.store, "notes", {"n001": tenant.bind(Note)})
    assert [item.sk for item in items] == ["n001"]


def test_items_of_one_kind_are_read_by_their_partition(tenant):
    model = tenant.bind(Note)
    write_items(tenant.store, [model(pk, "note", number=n) for n, pk in enumerate("ab")])
    found = read_each(tenant.store, model, ["b", "a", "nobody", "b"], "note")
    assert {pk: stored.number for pk, stored in found.items()} == {"a": 0, "b": 1}
