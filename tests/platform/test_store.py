"""Models reach a table only when bound, and each binding keeps to its own tenant and credentials."""

import botocore.session
import pytest
from pynamodb.attributes import UnicodeAttribute
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
