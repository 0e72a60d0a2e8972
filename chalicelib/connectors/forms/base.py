"""What the documents of all forms have."""

from __future__ import annotations

from collections.abc import Collection
from typing import Generic, Literal, Self, TypeVar

from pydantic import Field, model_validator

from chalicelib.connectors.vocabulary import MoneyTarget, Strict

MAX_COLUMNS = 2_000
"""How many columns a document may describe."""
MIB = 1 << 20
Where = TypeVar("Where")


def each_once(names: Collection[str], what: str) -> None:
    """Raises ValueError naming what is among the names more than once."""
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise ValueError(f"{what} has more than one {', '.join(twice)}")


class FormDocument(Strict):
    """What every form has.

    `container` is what the file is packed in. A zip holds one file, or `member` says which: a pattern with `*`, `?` and
    `[…]` for the file's own name, without folders. A zip in a zip is opened once more; `outer.zip/inner*.txt` says
    which file is meant in each of the two. `max_unpacked_bytes` bounds what is unpacked.
    """

    container: Literal["none", "gzip", "zip"] = "none"
    member: str | None = Field(default=None, min_length=1, max_length=200, pattern=r"^[^/\\\x00]+(/[^/\\\x00]+)?$")
    max_unpacked_bytes: int = Field(default=2048 * MIB, ge=1024, le=3072 * MIB)

    @model_validator(mode="after")
    def _a_member_is_in_a_zip(self) -> Self:
        if self.member is not None and self.container != "zip":
            raise ValueError('member has a meaning only beside container = "zip"')
        return self

    @property
    def total_field(self) -> MoneyTarget | None:
        """The field whose sum the file itself states, if it does."""
        return None

    @property
    def known_headings(self) -> tuple[str, ...] | None:
        """The headings, where the document says them all; None where each file does."""
        return None

    def lacks(self, heading: str) -> str:
        """What is wrong with reading a heading that is none of `known_headings`."""
        return f"is a column that the format does not have: {heading}"


class Control(Strict, Generic[Where]):
    """Where a file states at `count` how many rows it holds and, if it does, at `total` the sum of `total_field` over
    all of them that have every column, in the unit of that field."""

    count: Where
    total: Where | None = None
    total_field: MoneyTarget | None = None

    @model_validator(mode="after")
    def _total_has_its_field(self) -> Self:
        if (self.total is None) != (self.total_field is None):
            raise ValueError("total and total_field are given together or not at all")
        return self
