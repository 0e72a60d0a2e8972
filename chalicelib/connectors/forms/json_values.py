"""Values of JSON as text, exactly: digits as they were written, not as a float that lies near them.

Python's own scanner takes the text apart. It is strict where JSON is (no trailing comma, no control inside a string),
and what it does leniently is made good here: NaN and a member given twice are no values, and come out unreadable.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from chalicelib.connectors.formats import UNREADABLE

MAX_EXPONENT = 400
"""Beyond what any number format holds: more would let a few characters become millions of digits."""
_POSITION = re.compile("0|[1-9][0-9]{0,9}")

Tokens = tuple[str, ...]


def plain_number(text: str) -> str:
    """A number's digits without exponent, without zeros behind the last decimal and without a negative zero.

    `text` is a number as JSON has it, or as Python prints a float; unreadable where its exponent has no end.
    """
    if "e" in text or "E" in text:
        exponent = text.lower().partition("e")[2]
        if len(exponent) > 5 or abs(int(exponent)) > MAX_EXPONENT:
            return UNREADABLE + text
        text = format(Decimal(text), "f")
    if "." in text:
        text = text.rstrip("0").removesuffix(".")
    return "0" if text == "-0" else text


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; of what is given twice the last, as unreadable."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names: set[str] = set()
        for name, _ in pairs:
            if name in names:
                found[name] = _unreadable(found[name])
            names.add(name)
    return found


_DECODER: Any = json.JSONDecoder(
    object_pairs_hook=_members,
    parse_float=plain_number,
    parse_int=plain_number,
    parse_constant=lambda name: UNREADABLE + name,
)
decode: Callable[[str, int], tuple[Any, int]] = _DECODER.scan_once
"""The value that begins at a position, with text for numbers, and where it ends. Raises StopIteration and ValueError
where there is none, RecursionError where it nests too deeply."""


def _unreadable(value: Any) -> str:
    text = text_of(value)
    return text if text.startswith(UNREADABLE) else UNREADABLE + text


def text_of(value: Any) -> str:
    """A value as the text of a column: null is blank; an object or an array cannot be one, and is unreadable."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return UNREADABLE + json.dumps(value, ensure_ascii=False)


def tokens_of(pointer: str) -> Tokens:
    """The steps of a JSON pointer."""
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:])


def pointed(value: Any, tokens: Iterable[str]) -> Iterator[Any]:
    """The value to which the steps lead from another; none where there is nothing, unreadable where a step leads into
    what has no members."""
    for token in tokens:
        if isinstance(value, dict):
            if token not in value:
                return
            value = value[token]
        elif isinstance(value, list):
            if not _POSITION.fullmatch(token) or int(token) >= len(value):
                return
            value = value[int(token)]
        elif value is None:
            return
        else:
            yield _unreadable(value)
            return
    yield value


def columns_reader(pointers: Sequence[Tokens]) -> Callable[[Any], list[str] | None]:
    """A function from a row to the texts at the pointers; None where the row has no members at all and should."""
    names = [tokens[0] if len(tokens) == 1 else "" for tokens in pointers]
    is_flat = all(len(tokens) == 1 for tokens in pointers)
    is_value = () in pointers

    def read(row: Any) -> list[str] | None:
        if is_flat and row.__class__ is dict:
            get = row.get
            return [value if (value := get(name)).__class__ is str else text_of(value) for name in names]
        if row.__class__ not in (dict, list) and not is_value:
            return None
        return ["".join(map(text_of, pointed(row, tokens))) for tokens in pointers]

    return read
