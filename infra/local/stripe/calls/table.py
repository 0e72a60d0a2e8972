"""What a line of the table of calls is made of: method and path, what may be sent, and the function that answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ..expansion import listing
from ..forms import Reader, array, fields, integer, text
from ..shapes import Object
from ..state import State

PAGE: dict[str, Reader] = {"limit": integer, "starting_after": text}
"""What every list takes."""

_ID = r"[A-Za-z0-9_.-]+"


@dataclass(frozen=True)
class Call:
    """One API call, its parameters read and checked.

    ``id`` is the path's identifier and ``part_id`` the one of a thing inside it; each is empty where there is none.
    """

    state: State
    path: str
    id: str
    part_id: str
    params: Object
    base_url: str


Answer = Callable[[Call], Object]


@dataclass(frozen=True)
class Route:
    """A line of the table."""

    method: str
    pattern: re.Pattern[str]
    read: Reader
    answer: Answer


def route(method: str, path: str, accepted: dict[str, Reader], answer: Answer, required: tuple[str, ...] = ()) -> Route:
    """A line for a path below ``/v1``, in which ``{id}`` and ``{part_id}`` stand for identifiers."""
    pattern = re.sub(r"\{(\w+)\}", rf"(?P<\1>{_ID})", path)
    return Route(method, re.compile("/v1/" + pattern), fields({**accepted, "expand": array(text)}, required), answer)


def retrieve(kind: str) -> Answer:
    """Answers with the object of a kind that has the path's identifier."""
    return lambda call: call.state.find(kind, call.id)


def listed(kind: str, keeps: Callable[[Object, Object], bool]) -> Answer:
    """Lists the objects of a kind for which ``keeps(object, params)``; deleted ones are gone from every list."""

    def answer(call: Call) -> Object:
        found = [element for element in call.state.all(kind) if not element.get("deleted")]
        return listing([element for element in found if keeps(element, call.params)], call.path, call.params)

    return answer


def equal(*names: str) -> Callable[[Object, Object], bool]:
    """Keeps objects whose fields equal the parameters given for them."""
    return lambda element, params: all(element[name] == params[name] for name in names if name in params)
