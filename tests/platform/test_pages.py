"""Pages of a table's or an index's partition: every item once, and no cursor that leads elsewhere."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from pynamodb.attributes import UnicodeAttribute
from pynamodb.exceptions import QueryError
from pynamodb.indexes import AllProjection, GlobalSecondaryIndex

from chalicelib.platform.batches import write_items
from chalicelib.platform.errors import Invalid
from chalicelib.platform.pages import page_of
from chalicelib.platform.requests import counted
from chalicelib.platform.store import TenantModel


class ByAssignee(GlobalSecondaryIndex["Note"]):
    class Meta:
        index_name, projection = "by_assignee", AllProjection()

    assignee = UnicodeAttribute(hash_key=True)
    queue_key = UnicodeAttribute(range_key=True)


class ByName(GlobalSecondaryIndex["Note"]):
    class Meta:
        index_name, projection = "by_name", AllProjection()

    name_index = UnicodeAttribute(hash_key=True)


class Note(TenantModel):
    class Meta:
        table_kind = "cases"

    assignee = UnicodeAttribute()
    queue_key = UnicodeAttribute()
    name_index = UnicodeAttribute()
    by_assignee = ByAssignee()
    by_name = ByName()


@pytest.fixture
def notes(tenant):
    """Seven notes of one partition, assignee and name, and one that is apart in every respect."""
    model = tenant.bind(Note)
    made = [
        model("list", f"note#{n}", assignee="ann", queue_key=f"open#{9 - n}", name_index="secret") for n in range(7)
    ]
    apart = model("other", "paper#1", assignee="bob", queue_key="closed#1", name_index="other")
    write_items(
        tenant.store, [*made, apart, model("list", "paper#1", assignee="ann", queue_key="done", name_index="x")]
    )
    return model


def walked(source, partition: str, **options) -> list[str]:
    """All items by pages of three, each page in one request."""
    seen, cursor = [], None
    while True:
        with counted() as requests:
            items, cursor = page_of(source, partition, limit=3, cursor=cursor, **options)
        assert requests == {"Query": 1}
        seen += [item.sk for item in items]
        if cursor is None:
            return seen
        assert partition not in cursor.values()


def test_pages_of_a_table_or_an_index_hold_every_item_once_in_order(notes):
    expected = [f"note#{n}" for n in range(7)]
    assert walked(notes, "list", prefix="note#") == expected
    assert walked(notes, "list", prefix="note#", newest_first=True) == expected[::-1]
    assert walked(notes.by_assignee, "ann", prefix="open#") == expected[::-1]
    assert walked(notes.by_assignee, "ann") == ["paper#1", *expected[::-1]]
    assert sorted(walked(notes.by_name, "secret")) == expected
    assert walked(notes, "nothing") == []


@pytest.mark.parametrize(
    "cursor",
    [
        {},
        {"after": "note#1"},
        {"sk": "paper#1"},
        {"sk": ""},
        {"sk": 5},
        {"sk": ["note#1"]},
        {"sk": "note#1", "pk": "other"},
    ],
)
def test_a_cursor_of_another_list_is_refused(notes, cursor):
    with pytest.raises(Invalid, match="cursor") as refused:
        page_of(notes, "list", prefix="note#", limit=3, cursor=cursor)
    assert refused.value.pointer == "/cursor"


@pytest.mark.parametrize(("code", "error"), [("ValidationException", Invalid), ("ThrottlingException", QueryError)])
def test_where_dynamodb_does_not_accept_the_start_the_cursor_is_at_fault(tenant, notes, monkeypatch, code, error):
    def refuse(*_, **__):
        raise QueryError("refused", cause=ClientError({"Error": {"Code": code}}, "Query"))

    monkeypatch.setattr(tenant.store.connection, "query", refuse)
    with pytest.raises(error):
        page_of(notes, "list", limit=3, cursor={"sk": "note#1"})
    with pytest.raises(QueryError):
        page_of(notes, "list", limit=3, cursor=None)


def test_a_cursor_of_the_table_does_not_fit_its_index(notes):
    _, cursor = page_of(notes, "list", limit=3, cursor=None)
    with pytest.raises(Invalid):
        page_of(notes.by_assignee, "ann", limit=3, cursor=cursor)
