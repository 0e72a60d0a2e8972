"""Who gets a new case: a versioned document of collectors, and the choice by workload. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from chalicelib.cases.triggers import require_distinct
from chalicelib.platform.http import Strict

CollectorId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class Collector(Strict):
    """One who works cases: an identifier (never a name) and the number of open cases that make a full load."""

    id: CollectorId
    capacity: int = Field(ge=1, le=100_000)


class Assignment(Strict):
    """The document. Capacity weighs, it does not cap: a case is never left without anybody because all are full."""

    collectors: list[Collector] = Field(min_length=1, max_length=500)

    @model_validator(mode="after")
    def _collectors_differ(self) -> Self:
        require_distinct("collector", (collector.id for collector in self.collectors))
        return self


@dataclass(frozen=True)
class Choice:
    """Who was chosen, and why: open cases and capacity at that moment, by which version of the document."""

    document_version: int
    assignee: str
    open_cases: int
    capacity: int


def choose(document: Assignment, document_version: int, loads: Mapping[str, int]) -> Choice:
    """The collector with the lowest ratio of open cases to capacity; of equal ones, the first in the document.

    `loads` are the open cases by collector; one that it does not name has none.
    """
    chosen = min(document.collectors, key=lambda c: loads.get(c.id, 0) / c.capacity)
    return Choice(document_version, chosen.id, loads.get(chosen.id, 0), chosen.capacity)
