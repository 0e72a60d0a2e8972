"""Items become rows: every attribute in its column, what nobody knows beside them, and nothing lost on the way."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from pynamodb.attributes import BinaryAttribute, JSONAttribute, MapAttribute, UnicodeAttribute, UTCDateTimeAttribute

from chalicelib.platform.attributes import DateAttribute, IntegerAttribute, StringsAttribute
from chalicelib.platform.exports import ExportedKind, after, an_id, begins, fixed, plain
from chalicelib.platform.sealing import SealBroken, Vault
from chalicelib.platform.store import TenantModel


class Note(TenantModel):
    class Meta:
        table_kind = "cases"

    text = UnicodeAttribute(null=True)
    count = IntegerAttribute(null=True)
    day = DateAttribute(null=True)
    at = UTCDateTimeAttribute(null=True)
    tags = StringsAttribute(null=True)
    detail = JSONAttribute(null=True)
    mark = BinaryAttribute(legacy_encoding=False, null=True)
    sealed = BinaryAttribute(legacy_encoding=False, null=True)


VAULT = Vault("ten_1", bytes(32), bytes(32))
NOTES = ExportedKind("notes", Note, pk=an_id("note"), sk=after("page#", "page", "integer"))
SEALED = ExportedKind(
    "sealed_notes",
    Note,
    pk=an_id("note"),
    sk=begins("page#"),
    hidden=frozenset({"sealed"}),
    personal=("name", "phone"),
    opens=lambda vault, stored: vault.open(stored.sealed, bound_to=stored.pk),
)
EMPTY = {"pk": {"S": "note_1"}, "sk": {"S": "page#0007"}}


def stored(**attributes: object) -> dict:
    """An item as DynamoDB has it."""
    return dict(Note("note_1", "page#0007", **attributes).serialize())


def test_every_attribute_has_its_column_and_is_written_as_json_has_it():
    item = stored(
        text="说",
        count=2**63 - 1,
        day=date(2005, 9, 30),
        at=datetime(2005, 9, 30, 16, 0, 0, 1, tzinfo=UTC),
        tags=["b", "a"],
        detail={"n": [1, None]},
        mark=b"\x00\xff",
    )
    assert NOTES.row(VAULT, item) == {
        "id": "note_1",
        "page": 7,
        "text": "说",
        "count": 2**63 - 1,
        "day": "2005-09-30",
        "at": "2005-09-30T16:00:00.000001Z",
        "tags": ["b", "a"],
        "detail": {"n": [1, None]},
        "mark": "00ff",
        "sealed": None,
        "other_attributes": None,
    }


def test_the_row_of_an_item_without_attributes_has_every_column_all_the_same():
    row = NOTES.row(VAULT, EMPTY)
    assert list(row) == list(NOTES.columns)
    assert {name for name, value in row.items() if value is not None} == {"id", "page"}


def test_personal_fields_are_opened_and_those_that_no_column_has_are_kept_beside():
    sealed = VAULT.seal({"name": "王", "nickname": "W"}, bound_to="note_1")
    row = SEALED.row(VAULT, stored(sealed=sealed))
    assert (row["name"], row["phone"], row["other_attributes"]) == ("王", None, {"nickname": "W"})
    assert "sealed" not in row


def test_a_seal_of_another_item_is_not_opened():
    with pytest.raises(SealBroken):
        SEALED.row(VAULT, stored(sealed=VAULT.seal({"name": "王"}, bound_to="note_2")))


def test_attributes_that_the_model_does_not_know_are_kept_beside():
    row = NOTES.row(VAULT, {**EMPTY, "colour": {"S": "red"}, "sizes": {"NS": ["3", "12"]}})
    assert row["other_attributes"] == {"colour": "red", "sizes": [12, 3]}


@pytest.mark.parametrize(
    "attribute",
    [
        {"count": {"N": str(2**63)}},
        {"count": {"N": "1.5"}},
        {"count": {"S": "1"}},
        {"day": {"S": "yesterday"}},
        {"detail": {"S": "{"}},
        {"sk": {"S": "page#last"}},
    ],
)
def test_what_has_no_place_in_its_column_is_an_error(attribute):
    with pytest.raises((ValueError, TypeError)):
        NOTES.row(VAULT, {**EMPTY, **attribute})


@pytest.mark.parametrize(
    ("table", "pk", "sk", "fits"),
    [
        ("cases", "note_1", "page#1", True),
        ("feed", "note_1", "page#1", False),
        ("cases", "notes", "page#1", False),
        ("cases", "note_1", "pages", False),
    ],
)
def test_a_kind_is_known_by_its_table_and_keys(table, pk, sk, fits):
    assert NOTES.fits(table, {"pk": {"S": pk}, "sk": {"S": sk}}) is fits


def test_a_fixed_key_fits_itself_only():
    assert [fixed("case").fits(text) for text in ("case", "cases", "cas")] == [True, False, False]


def test_an_attribute_of_a_type_that_has_no_column_is_noticed_where_the_kind_is_declared():
    class Odd(TenantModel):
        class Meta:
            table_kind = "cases"

        place = MapAttribute()

    with pytest.raises(TypeError, match="place"):
        _ = ExportedKind("odd", Odd, pk=fixed("odd"), sk=fixed("odd")).columns


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"S": "s"}, "s"),
        ({"N": "-12"}, -12),
        ({"N": "0.10"}, "0.10"),
        ({"B": b"\x01"}, "01"),
        ({"BOOL": False}, False),
        ({"NULL": True}, None),
        ({"L": [{"N": "1"}, {"L": []}]}, [1, []]),
        ({"M": {"a": {"M": {}}}}, {"a": {}}),
        ({"SS": ["b", "a"]}, ["a", "b"]),
        ({"NS": ["2"]}, [2]),
        ({"BS": [b"\x02", b"\x01"]}, ["01", "02"]),
    ],
)
def test_raw_values_are_written_without_losing_anything(value, written):
    assert plain(value) == written
