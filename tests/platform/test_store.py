"""Models reach a table only when bound, and each binding keeps to its own tenant and credentials."""

import botocore.session
import pytest
from pynamodb.attributes import UnicodeAttribute
from pynamodb.exceptions import PutError
from pynamodb.indexes import AllProjection, GlobalSecondaryIndex

from chalicelib.platform.requests import counted
from chalicelib.platform.store import SharedModel, TenantModel, TenantStore, UnboundModel, shared


class ByAssignee(GlobalSecondaryIndex["Note"]):
    class Meta:
        index_name = "by_assignee"
        projection = AllProjection()

    assignee = UnicodeAttribute(hash_key=True)
    queue_key = UnicodeAttribute(range_key=True)


class Note(TenantModel):
    class Meta:
        table_kind = "cases"

    text = UnicodeAttribute(null=True)
    assignee = UnicodeAttribute(null=True)
    queue_key = UnicodeAttribute(null=True)
    by_assignee = ByAssignee()


class Entry(SharedModel):
    class Meta:
        table_kind = "tenants"


class Nowhere(TenantModel):
    pass


@pytest.mark.parametrize(
    "use",
    [
        lambda: Note.get("a", "b"),
        lambda: Note("a", "b").save(),
        lambda: list(Note.query("a")),
        lambda: list(Note.by_assignee.query("a")),
        lambda: list(Note.batch_get([("a", "b")])),
        lambda: Entry.get("a", "b"),
    ],
)
def test_an_unbound_model_cannot_be_used(use) -> None:
    with pytest.raises(UnboundModel):
        use()


def test_a_shared_model_does_not_bind_to_a_tenant_nor_a_tenants_model_to_the_shared_tables(aws: None) -> None:
    store = TenantStore("ten_X", botocore.session.get_session(), "eu-central-1", None)
    with pytest.raises(UnboundModel):
        store.bind(Entry)
    with pytest.raises(UnboundModel):
        shared().bind(Note)


def test_a_model_that_names_no_table_does_not_bind(aws: None) -> None:
    store = TenantStore("ten_X", botocore.session.get_session(), "eu-central-1", None)
    with pytest.raises(UnboundModel, match="Nowhere"):
        store.bind(Nowhere)


def test_two_tenants_bindings_do_not_meet(tenant, other_tenant) -> None:
    mine, theirs = tenant.bind(Note), other_tenant.bind(Note)
    mine("n", "1", text="mine", assignee="a", queue_key="1").save()
    theirs("n", "1", text="theirs", assignee="a", queue_key="1").save()

    assert mine.get("n", "1").text == "mine"
    assert [n.text for n in mine.by_assignee.query("a")] == ["mine"]
    assert [n.text for n in theirs.by_assignee.query("a")] == ["theirs"]
    assert not hasattr(Note.Meta, "table_name")


def test_binding_twice_gives_the_same_class(tenant) -> None:
    assert tenant.bind(Note) is tenant.bind(Note)


def test_requests_are_counted_by_operation_also_in_nested_blocks(tenant) -> None:
    note = tenant.bind(Note)
    with counted() as outer:
        note("n", "1").save()
        with counted() as inner:
            list(note.query("n"))
    assert dict(outer) == {"PutItem": 1, "Query": 1}
    assert dict(inner) == {"Query": 1}


def test_an_item_is_found_or_not_without_an_exception(tenant) -> None:
    note = tenant.bind(Note)
    assert note.find("n", "1") is None
    note("n", "1", text="here").save()
    found = note.find("n", "1")
    assert found is not None
    assert found.text == "here"


def test_an_item_of_which_a_condition_does_not_hold_is_found_no_more_than_one_that_is_not_there(tenant) -> None:
    note = tenant.bind(Note)
    note("n", "1", text="mine").save()
    note("n", "12", text="beside it").save()
    found = note.find_if("n", "1", note.text == "mine")
    assert found is not None
    assert (found.sk, found.text) == ("1", "mine")
    for sk, text in (("1", "another's"), ("2", "mine")):
        with counted() as requests:
            assert note.find_if("n", sk, note.text == text) is None
        assert requests == {"Query": 1}


def test_a_new_item_never_replaces_one_that_is_there(tenant) -> None:
    note = tenant.bind(Note)
    assert note("n", "1", text="first").put_new()
    assert not note("n", "1", text="second").put_new()
    assert note.get("n", "1").text == "first"


def test_an_item_changes_and_goes_only_where_a_condition_holds(tenant) -> None:
    note = tenant.bind(Note)
    absent, stored = note("n", "0"), note("n", "1", text="first")
    stored.save()
    assert not absent.update_if(note.pk.exists(), [note.text.set("second")])
    assert stored.update_if(note.text == "first", [note.text.set("second")])
    assert stored.text == "second"
    assert not stored.delete_if(note.text == "first")
    assert stored.delete_if(note.text == "second")
    assert note.find("n", "1") is None


def test_a_write_that_fails_for_another_reason_than_its_condition_raises(tenant) -> None:
    with pytest.raises(PutError):
        tenant.bind(Note)("n" * 3000, "1").put_new()
