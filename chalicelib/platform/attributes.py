"""Attributes that PynamoDB has none or only a loose one for: whole numbers, calendar dates, lists of strings."""

from __future__ import annotations

from datetime import date

from pynamodb.attributes import Attribute
from pynamodb.constants import LIST, NUMBER, STRING


class IntegerAttribute(Attribute[int]):
    """A whole number: money in minor units, a count, a version. Raises ValueError for a stored number with decimals."""

    attr_type = NUMBER

    def serialize(self, value: int) -> str:
        return str(value)

    def deserialize(self, value: str) -> int:
        return int(value)


class DateAttribute(Attribute[date]):
    """A calendar date, stored as ISO 8601 so that it sorts."""

    attr_type = STRING

    def serialize(self, value: date) -> str:
        return value.isoformat()

    def deserialize(self, value: str) -> date:
        return date.fromisoformat(value)


class StringsAttribute(Attribute[list[str]]):
    """A list of strings, such as ids, in their order."""

    attr_type = LIST

    def serialize(self, value: list[str]) -> list[dict[str, str]]:
        return [{STRING: each} for each in value]

    def deserialize(self, value: list[dict[str, str]]) -> list[str]:
        return [each[STRING] for each in value]
