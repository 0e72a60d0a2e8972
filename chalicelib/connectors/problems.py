"""What is wrong with a document, each problem at its own place: a JSON pointer (RFC 6901) and a sentence.

pydantic tells the place of a wrong value by the way that its validation took, in which the kind of a part stands as a
step; here that becomes the way through the document. What only the parts together can show is raised as `Faults`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from pydantic import ValidationError

MAX_PROBLEMS = 100
"""How many are told at once."""
KINDS = ("kind", "type")
"""The members by whose value pydantic chooses what a part of a document must look like."""

Problem = tuple[str, str]
"""A JSON pointer, from where the document or its part begins, and a sentence."""


class Faults(ValueError):
    """Problems that a document's parts have only together, raised by the validator that sees them all."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("; ".join(sentence for _, sentence in self.problems))


def problems_in(document: object, invalid: ValidationError) -> list[dict[str, str]]:
    """Every problem (the first `MAX_PROBLEMS`) as `pointer` and `problem`; no value of the document is repeated."""
    found: list[dict[str, str]] = []
    for error in invalid.errors(include_input=False, include_url=False):
        at = pointer_of(document, error["loc"])
        fault = error.get("ctx", {}).get("error")
        problems = fault.problems if isinstance(fault, Faults) else [("", error["msg"].removeprefix("Value error, "))]
        found += [{"pointer": at + place, "problem": sentence} for place, sentence in problems]
    return found[:MAX_PROBLEMS]


def pointer_of(document: object, loc: Iterable[int | str]) -> str:
    """Where in the document pydantic's location lies. A step that is the kind of the part it comes to is left out, and
    so is the one that says that not a member's value is at fault but its name."""
    pointer, part = "", document
    for step in loc:
        if step == "[key]":
            break
        if isinstance(part, dict):
            members = cast("dict[Any, Any]", part)
            if step not in members and step in [members.get(kind) for kind in KINDS]:
                continue
            part = members.get(step)
        elif isinstance(part, list):
            items = cast("list[Any]", part)
            part = items[step] if isinstance(step, int) and step < len(items) else None
        pointer += "/" + str(step).replace("~", "~0").replace("/", "~1")
    return pointer
