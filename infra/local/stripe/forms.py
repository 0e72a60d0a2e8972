"""Form-encoded parameters: nested brackets to values, checked against what a route accepts.

A *reader* turns the raw value of one parameter into a typed one, or raises a StripeError that names the parameter.
Readers compose: ``fields({"items": array(fields({"price": text}))})``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .errors import StripeError

Reader = Callable[[Any, str], Any]

_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_DECIMAL = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
_INTEGER = re.compile(r"-?[0-9]{1,15}")


def parse_form(encoded: str) -> dict[str, Any]:
    """Nested dictionaries of strings from a query string or form body.

    Lists stay dictionaries keyed by index (``a[0]=x``, ``a[]=x``), because only the reader knows which was meant.
    """
    tree: dict[str, Any] = {}
    for name, value in parse_qsl(encoded, keep_blank_values=True):
        match = _NAME.fullmatch(name)
        if match is None:
            raise StripeError(f"Invalid parameter name: {name}", param=name)
        _place(tree, [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])], value, name)
    return tree


def _place(tree: dict[str, Any], path: list[str], value: str, name: str) -> None:
    branch = tree
    for key in path[:-1]:
        branch = branch.setdefault(key or str(len(branch)), {})
        if not isinstance(branch, dict):
            raise StripeError(f"{name} is given both as a value and as a hash", param=name)
    leaf = path[-1] or str(len(branch))
    if isinstance(branch.get(leaf), dict):
        raise StripeError(f"{name} is given both as a value and as a hash", param=name)
    branch[leaf] = value


def text(raw: Any, name: str) -> str:
    """A string of at most 5,000 characters."""
    if not isinstance(raw, str):
        raise StripeError(f"Invalid string: {name}", param=name)
    if len(raw) > 5000:
        raise StripeError(f"Invalid string: {name} must be at most 5000 characters", param=name)
    return raw


def optional_text(raw: Any, name: str) -> str | None:
    """A string, where the empty string clears the field."""
    return text(raw, name) or None


def integer(raw: Any, name: str) -> int:
    """A whole number."""
    if not isinstance(raw, str) or not _INTEGER.fullmatch(raw):
        raise StripeError(f"Invalid integer: {raw}", param=name, code="parameter_invalid_integer")
    return int(raw)


def natural(raw: Any, name: str) -> int:
    """A whole number of zero or more."""
    value = integer(raw, name)
    if value < 0:
        raise StripeError("This value must be greater than or equal to 0.", param=name)
    return value


def positive(raw: Any, name: str) -> int:
    """A whole number of one or more."""
    value = integer(raw, name)
    if value < 1:
        raise StripeError("This value must be greater than or equal to 1.", param=name)
    return value


def amount(raw: Any, name: str) -> Decimal:
    """A decimal number of zero or more with at most twelve decimals, as Stripe takes for a unit's price."""
    if not isinstance(raw, str) or not _DECIMAL.fullmatch(raw):
        raise StripeError(f"Invalid decimal: {raw}", param=name, code="parameter_invalid_decimal")
    return Decimal(raw)


def boolean(raw: Any, name: str) -> bool:
    """``true`` or ``false``."""
    if raw not in ("true", "false"):
        raise StripeError(f"Invalid boolean: {raw}", param=name)
    return raw == "true"


def web_address(raw: Any, name: str) -> str:
    """An absolute http or https URL in printable ASCII, as fits a Location header."""
    value = text(raw, name)
    parts = urlsplit(value)
    if not re.fullmatch(r"[!-~]+", value) or parts.scheme not in ("http", "https") or not parts.netloc:
        raise StripeError("Not a valid URL", param=name, code="url_invalid")
    return value


def email(raw: Any, name: str) -> str:
    """An e-mail address, judged by its shape only."""
    value = text(raw, name)
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", value):
        raise StripeError("Invalid email address", param=name, code="email_invalid")
    return value


def currency(raw: Any, name: str) -> str:
    """A three-letter ISO 4217 code; Stripe writes it in lower case."""
    value = text(raw, name).lower()
    if not re.fullmatch(r"[a-z]{3}", value):
        raise StripeError(f"Invalid currency: {value}", param=name)
    return value


def choice(*accepted: str) -> Reader:
    """One of the words given."""

    def read(raw: Any, name: str) -> str:
        if raw not in accepted:
            raise StripeError(f"Invalid {name}: must be one of {', '.join(accepted)}", param=name)
        return raw

    return read


def array(of: Reader) -> Reader:
    """A list whose elements are each read by ``of``."""

    def read(raw: Any, name: str) -> list[Any]:
        if not isinstance(raw, dict) or not all(key.isdecimal() for key in raw):
            raise StripeError(f"Invalid array: {name}", param=name)
        return [of(raw[key], f"{name}[{key}]") for key in sorted(raw, key=int)]

    return read


def mapping(of: Reader) -> Reader:
    """A hash with free keys whose values are each read by ``of``."""

    def read(raw: Any, name: str) -> dict[str, Any]:
        if not isinstance(raw, dict):
            raise StripeError(f"Invalid object: {name}", param=name)
        return {key: of(value, f"{name}[{key}]") for key, value in raw.items()}

    return read


def metadata(raw: Any, name: str) -> dict[str, str] | None:
    """Key-value pairs; the empty string (read as None) clears all of them, an empty value clears its key."""
    return None if raw == "" else mapping(text)(raw, name)


def fields(readers: dict[str, Reader], required: Iterable[str] = ()) -> Reader:
    """A hash with exactly the named members; anything else is refused as unknown."""

    def read(raw: Any, name: str) -> dict[str, Any]:
        if not isinstance(raw, dict):
            raise StripeError(f"Invalid object: {name}", param=name)
        paths = {key: f"{name}[{key}]" if name else key for key in [*raw, *required]}
        for key in raw:
            if key not in readers:
                raise StripeError(
                    f"Received unknown parameter: {paths[key]}", param=paths[key], code="parameter_unknown"
                )
        for key in required:
            if key not in raw:
                raise StripeError(f"Missing required param: {paths[key]}.", param=paths[key], code="parameter_missing")
        return {key: readers[key](value, paths[key]) for key, value in raw.items()}

    return read


def merge_metadata(current: dict[str, str], update: dict[str, str] | None) -> dict[str, str]:
    """The metadata after an update, by the rules of ``metadata``."""
    if update is None:
        return {}
    return {key: value for key, value in {**current, **update}.items() if value != ""}
