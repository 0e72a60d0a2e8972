"""What the cells of a worksheet mean as text: numbers without the traces of floats, days instead of their numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal

from chalicelib.connectors.formats import UNREADABLE
from chalicelib.connectors.forms.json_values import plain_number

MAX_DIGITS = 15
"""How many digits a number in a cell keeps: what is longer, such as the number of an identity card, has lost some."""
FormatKind = Literal["number", "day", "time"]
_SECONDS = 86_400
_DAY_ZERO, _DAY_ZERO_1904 = datetime(1899, 12, 30), datetime(1904, 1, 1)
_NO_SUCH_DAY = 60
"""29 February 1900, which the spreadsheet of old held for a day, and which files count with ever since."""
_LAST_DAY = datetime(9999, 12, 31)
_MOST_DAYS = 10_000_000
_BUILT_IN_DAYS = {*range(14, 18), 22, *range(27, 32), 36, *range(50, 55), 57, 58}
_BUILT_IN_TIMES = {*range(18, 22), *range(32, 36), 45, 47, 55, 56}
_NOT_MEANT = re.compile(r'"[^"]*"|\\.|_.|\*.|\[[^\]]*\]|AM/PM|A/P', re.IGNORECASE)
_ELAPSED = re.compile(r"\[(h+|m+|s+)\]", re.IGNORECASE)
_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")
_MIDNIGHT = re.compile(r"T00:00(:00(\.0+)?)?Z?$")


def format_kind(number: int, code: str | None) -> FormatKind:
    """What a number format, given by its number and, where the workbook defines it, its code, makes of a number."""
    if code is None:
        return "day" if number in _BUILT_IN_DAYS else "time" if number in _BUILT_IN_TIMES else "number"
    if _ELAPSED.search(code):
        return "number"
    letters = set(_NOT_MEANT.sub("", code).partition(";")[0].lower())
    if letters & {"y", "d"}:
        return "day"
    if letters & {"h", "s"}:
        return "time"
    return "day" if "m" in letters and "general" not in code.lower() else "number"


def number_text(text: str) -> str:
    """The number that a cell shows: of a float, the decimal of fifteen digits that it was typed or meant as.

    A whole number of more digits is unreadable: which of them were lost is not known. Where no such decimal lies within
    a few of the smallest steps that a float can take, all its digits are given.
    """
    if text.isdigit() and text.isascii() and len(text) <= MAX_DIGITS:
        return text.lstrip("0") or "0"
    try:
        value = float(text)
    except ValueError:
        return UNREADABLE + text
    if not math.isfinite(value) or (value.is_integer() and abs(value) >= 10**MAX_DIGITS):
        return UNREADABLE + text
    meant = f"{value:.{MAX_DIGITS}g}"
    return plain_number(meant if abs(float(meant) - value) <= 4 * math.ulp(value) else repr(value))


def moment_text(text: str, kind: FormatKind, *, from_1904: bool) -> str:
    """The day, or the day and time, that a number stands for; the time alone for less than a day shown as a time."""
    try:
        value = float(text)
    except ValueError:
        return UNREADABLE + text
    if not 0 <= value < _MOST_DAYS:
        return UNREADABLE + text
    days, seconds = divmod(round(value * _SECONDS), _SECONDS)
    if kind == "time" and days == 0:
        return str((_DAY_ZERO + timedelta(seconds=seconds)).time())
    if not from_1904 and days in (0, _NO_SUCH_DAY):
        return UNREADABLE + text
    if not from_1904 and days < _NO_SUCH_DAY:
        days += 1
    start = _DAY_ZERO_1904 if from_1904 else _DAY_ZERO
    if days > (_LAST_DAY - start).days:
        return UNREADABLE + text
    moment = start + timedelta(days=days, seconds=seconds)
    return f"{moment:%Y-%m-%d}" if seconds == 0 else f"{moment:%Y-%m-%d %H:%M:%S}"


def iso_moment_text(text: str) -> str:
    """The same of a day and time written as ISO 8601 has them."""
    return _MIDNIGHT.sub("", text).replace("T", " ").removesuffix("Z")


def plain_string(parts: Iterable[str | None]) -> str:
    """A text that a workbook holds in parts, with what is escaped in it as what it stands for."""
    text = "".join(part or "" for part in parts)
    return _ESCAPED.sub(lambda code: chr(int(code[1], 16)), text) if "_x" in text else text
