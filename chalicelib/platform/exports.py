"""How stored items stand in an export: every domain declares it of its models, and `leaving` writes the rows.

A row has a column for each attribute of its model, whether an item has the attribute or not, so that the columns of a
kind follow from the code and never from the data. What a model gains is exported without anybody thinking of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, cast

from pynamodb.attributes import (
    Attribute,
    BinaryAttribute,
    BooleanAttribute,
    JSONAttribute,
    UnicodeAttribute,
    UnicodeSetAttribute,
    UTCDateTimeAttribute,
)

from chalicelib.platform.attributes import DateAttribute, IntegerAttribute, StringsAttribute
from chalicelib.platform.store import StoredModel

if TYPE_CHECKING:
    # Who declares kinds need not load the ciphers: the authorizer's domain does, and must start fast.
    from chalicelib.platform.sealing import Vault

Column = Literal["text", "integer", "boolean", "date", "timestamp", "json"]
"""What a column holds: `timestamp` is a moment in UTC, `json` any JSON value; each may be null."""
Row = dict[str, Any]
"""Values that JSON can hold, by column."""
RawItem = Mapping[str, Any]
"""An item as DynamoDB's own API gives it: each attribute by its type, such as {"S": "open"}."""

UNKNOWN = "other_attributes"
"""The column of what an item has beyond the attributes that its model knows; null where there is nothing."""

_COLUMNS: dict[type[Attribute[Any]], Column] = {
    BinaryAttribute: "text",
    BooleanAttribute: "boolean",
    DateAttribute: "date",
    IntegerAttribute: "integer",
    JSONAttribute: "json",
    StringsAttribute: "json",
    UnicodeAttribute: "text",
    UnicodeSetAttribute: "json",
    UTCDateTimeAttribute: "timestamp",
}
_LARGEST_INTEGER = 2**63 - 1


@dataclass(frozen=True)
class Key:
    """What one of the two keys of an item is: it begins with `prefix` (`exact`: it is nothing else), and what column it
    becomes, if any: without the prefix, or `whole`."""

    prefix: str
    column: str | None = None
    type: Column = "text"
    exact: bool = False
    whole: bool = False

    def fits(self, text: str) -> bool:
        """Whether a key can be that of an item of this kind."""
        return text == self.prefix if self.exact else text.startswith(self.prefix)

    def value(self, text: str) -> str | int:
        """What stands in the column. Raises ValueError for a number that is none."""
        bare = text if self.whole else text.removeprefix(self.prefix)
        return int(bare) if self.type == "integer" else bare


def an_id(prefix: str, column: str = "id") -> Key:
    """A key that is an id of that prefix, such as `case`."""
    return Key(f"{prefix}_", column, whole=True)


def after(prefix: str, column: str, type: Column = "text") -> Key:
    """A key of which all that follows `prefix` is kept."""
    return Key(prefix, column, type)


def begins(prefix: str) -> Key:
    """A key that says nothing that the attributes do not say."""
    return Key(prefix)


def fixed(text: str) -> Key:
    """A key that is the same for every item of the kind."""
    return Key(text, exact=True)


@dataclass(frozen=True)
class ExportedKind:
    """How the items of one model are exported, under `name`.

    `hidden` are attributes that are left out: what is sealed, and what is derived from fields that are there. `opens`
    gives the personal fields of an item, which become the columns `personal`.
    """

    name: str
    model: type[StoredModel]
    pk: Key
    sk: Key
    hidden: frozenset[str] = frozenset()
    personal: tuple[str, ...] = ()
    opens: Callable[[Vault, Any], Mapping[str, str]] | None = None

    @property
    def table(self) -> str:
        """The kind of table that the items live in."""
        return self.model.Meta.table_kind  # pyright: ignore[reportAttributeAccessIssue] - every model of ours says it

    @cached_property
    def columns(self) -> dict[str, Column]:
        """The columns, in the order in which they are written. Raises TypeError for a model with an attribute of a type
        that this module does not know."""
        keys: dict[str, Column] = {key.column: key.type for _, key in self._keys if key.column}
        personal: dict[str, Column] = dict.fromkeys(self.personal, "text")
        stored: dict[str, Column] = {name: _column(attribute) for name, attribute in self._attributes.items()}
        unknown: dict[str, Column] = {UNKNOWN: "json"}
        return keys | personal | stored | unknown

    def fits(self, table: str, raw: RawItem) -> bool:
        """Whether an item of a table is of this kind, by its keys."""
        return table == self.table and self.pk.fits(raw["pk"]["S"]) and self.sk.fits(raw["sk"]["S"])

    def row(self, vault: Vault, raw: RawItem) -> Row:
        """The row of an item. Raises ValueError, TypeError or KeyError for one that is not as its model says, and
        SealBroken for one whose personal fields cannot be opened."""
        stored = self.model.from_raw_data(dict(raw))
        opened = dict(self.opens(vault, stored)) if self.opens else {}
        row: Row = {key.column: key.value(raw[name]["S"]) for name, key in self._keys if key.column}
        row |= {name: opened.pop(name, None) for name in self.personal}
        row |= {name: _written(getattr(stored, name)) for name in self._attributes}
        unknown = {name: plain(value) for name, value in raw.items() if name not in self._known}
        row[UNKNOWN] = (unknown | opened) or None
        return row

    @cached_property
    def _attributes(self) -> dict[str, Attribute[Any]]:
        without = {"pk", "sk", *self.hidden}
        return {name: each for name, each in self.model.get_attributes().items() if name not in without}

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.model.get_attributes())

    @property
    def _keys(self) -> tuple[tuple[str, Key], tuple[str, Key]]:
        return ("pk", self.pk), ("sk", self.sk)


def plain(value: Mapping[str, Any]) -> Any:
    """An attribute's value as DynamoDB gives it, as JSON has it: bytes in hexadecimal, sets as sorted lists, numbers
    that are not whole as their text, so that no digit is lost."""
    [(kind, inner)] = value.items()
    match kind:
        case "N":
            return _number(inner)
        case "B":
            return bytes(inner).hex()
        case "NULL":
            return None
        case "L":
            return [plain(each) for each in inner]
        case "M":
            return {name: plain(each) for name, each in inner.items()}
        case "NS":
            return [_number(each) for each in sorted(inner)]
        case "BS":
            return sorted(bytes(each).hex() for each in inner)
        case "SS":
            return sorted(inner)
        case _:
            return inner


def _number(text: str) -> int | str:
    try:
        return int(text)
    except ValueError:
        return text


def _column(attribute: Attribute[Any]) -> Column:
    for kind, column in _COLUMNS.items():
        if isinstance(attribute, kind):
            return column
    raise TypeError(f"no column is known for the attribute {attribute.attr_name} ({type(attribute).__name__})")


def _written(value: Any) -> Any:
    """An attribute's value as its column has it."""
    match value:
        case bytes():
            return value.hex()
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case set():
            return sorted(cast("set[str]", value))
        case bool():
            return value
        case int() if abs(value) > _LARGEST_INTEGER:
            raise ValueError("a whole number beyond 64 bits has no place in a column")
        case _:
            return value
