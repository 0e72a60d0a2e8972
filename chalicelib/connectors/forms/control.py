"""What a document states of its own rows, outside of them."""

from __future__ import annotations

import re
from decimal import Decimal

from chalicelib.connectors.errors import FileRefused
from chalicelib.connectors.formats import TrailerLine
from chalicelib.connectors.forms.base import Control

_SHAPES = {"count": re.compile("[0-9]{1,18}"), "total": re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,10})?")}


def control_places(rule: Control[str] | None) -> dict[str, str]:
    """Where `count` and, if it is given, `total` stand."""
    if rule is None:
        return {}
    return {"count": rule.count} if rule.total is None else {"count": rule.count, "total": rule.total}


def stated_control(rule: Control[str] | None, stated: dict[str, str], line: int) -> TrailerLine | None:
    """What was found at those places, as a trailer on `line` would state it; None where there is no rule. Raises
    `FileRefused`."""
    if rule is None:
        return None
    for name, place in control_places(rule).items():
        if name not in stated:
            raise FileRefused("missing_trailer", f"The file has nothing at {place}, where it should state its {name}")
        if not _SHAPES[name].fullmatch(stated[name]):
            raise FileRefused("unreadable_trailer", f"What the file states at {place} is not a number")
    total = stated.get("total")
    return TrailerLine(line, int(stated["count"]), None if total is None else Decimal(total))
