"""What stands in a column, told without repeating it: its type, and the shapes of its values.

A shape is a value with every run of digits, letters and Han characters masked: `138-1234` is `9{3}-9{4}`, `王伟` is
`汉{2}`. Only punctuation is left as it stands, and the words of currencies are told, which are nobody's.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from chalicelib.connectors.synonyms import Synonyms

Kind = Literal["empty", "text", "digits", "integer", "money", "date", "currency"]
"""`digits` are numbers that nobody counts with: long, or with leading zeros."""

SHAPES = 5
"""How many shapes are told of a column."""
LONGEST_SHAPE = 60
DATE_FORMATS = (
    "%Y%m%d", "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y",
)  # fmt: skip
YEARS = range(1900, 2100)
"""Of which a number of eight digits may be a day."""

_AMOUNT = re.compile(r"-?([0-9]+|[0-9]{1,3}(,[0-9]{3})+)(\.[0-9]+)?")
_DIGITS = re.compile(r"[0-9]+")
_PHONE = re.compile(r"(\+?86[- ]?)?1[3-9][0-9]{9}|\+[0-9][0-9 ()./-]{5,24}|\(?0[0-9]{2,4}\)?[- ]?[0-9]{6,8}")
_IDENTITY = re.compile(r"[1-9][0-9]{5}(18|19|20)[0-9]{2}(0[1-9]|1[0-2])[0-3][0-9]{4}[0-9Xx]")
_WIDE = re.compile("[\uff01-\uff5e]")


@dataclass(frozen=True, slots=True)
class Profile:
    """A column of a sample. `rows` were looked at, `filled` had a value, of `distinct` different ones. `date_formats`
    are those that every value fits; `codes` the words for currencies that stand there."""

    name: str
    kind: Kind
    rows: int
    filled: int
    distinct: int
    longest: int
    shapes: tuple[tuple[str, int], ...]
    date_formats: tuple[str, ...]
    codes: tuple[str, ...]
    decimals: int
    thousands: bool
    negative: bool
    full_width: bool
    phones: float
    identities: float
    han: float
    """The shares of values that look like a telephone number, a Chinese identity number, or hold Han characters."""


def profile(name: str, values: Sequence[str], words: Synonyms) -> Profile:
    """The profile of a column with these values, one a row, blanks around them taken off."""
    filled = [value for value in values if value]
    narrow = [unicodedata.normalize("NFKC", value) if _WIDE.search(value) else value for value in filled]
    formats = _date_formats(narrow)
    codes = tuple(sorted(set(narrow))) if narrow and all(words.currency(value) for value in set(narrow)) else ()
    kind = _kind(narrow, formats, codes)
    return Profile(
        name=name,
        kind=kind,
        rows=len(values),
        filled=len(filled),
        distinct=len(set(filled)),
        longest=max(map(len, filled), default=0),
        shapes=tuple(Counter(shape_of(value) for value in filled).most_common(SHAPES)),
        date_formats=formats if kind == "date" else (),
        codes=codes if kind == "currency" else (),
        decimals=max((len(value.partition(".")[2]) for value in narrow), default=0) if kind == "money" else 0,
        thousands=kind in ("money", "integer") and any("," in value for value in narrow),
        negative=kind in ("money", "integer") and any(value.startswith("-") for value in narrow),
        full_width=any(_WIDE.search(value) for value in filled),
        phones=_share(narrow, _PHONE),
        identities=_share(narrow, _IDENTITY),
        han=sum(any("\u4e00" <= c <= "\u9fff" for c in value) for value in filled) / max(1, len(filled)),
    )


def shape_of(value: str) -> str:
    """The value with what it says masked."""
    masked = "".join(map(_mask, value[:500]))
    shape = re.sub(r"(.)\1+", lambda run: f"{run[1]}{{{len(run[0])}}}", masked)
    return shape if len(shape) <= LONGEST_SHAPE else shape[: LONGEST_SHAPE - 1] + "…"


def _mask(character: str) -> str:
    if "\u3400" <= character <= "\u9fff" or "\U00020000" <= character <= "\U0003ffff":
        return "汉"
    match unicodedata.category(character):
        case "Nd" | "Nl" | "No":
            return "9"
        case "Lu" | "Lt":
            return "A"
        case "Ll" | "Lo" | "Lm" | "Mn" | "Mc" | "Me":
            return "a"
        case "Cc" | "Cf" | "Co" | "Cs" | "Cn":
            return "?"
        case _:
            return character


def _kind(values: Sequence[str], formats: Iterable[str], codes: Sequence[str]) -> Kind:
    if not values:
        return "empty"
    if codes:
        return "currency"
    if formats:
        return "date"
    if all(_DIGITS.fullmatch(value) for value in values):
        counted = all(len(value) <= 12 and (value == "0" or value[0] != "0") for value in values)
        return "integer" if counted else "digits"
    if all(_AMOUNT.fullmatch(value) for value in values):
        return "money"
    return "text"


def _date_formats(values: Sequence[str]) -> tuple[str, ...]:
    different = set(values)
    if not different or max(map(len, different)) > 10:
        return ()
    return tuple(form for form in DATE_FORMATS if all(_is_day(value, form) for value in different))


def _is_day(value: str, form: str) -> bool:
    if len(value) != (8 if form == "%Y%m%d" else 10):
        return False
    try:
        return datetime.strptime(value, form).year in YEARS
    except ValueError:
        return False


def _share(values: Sequence[str], pattern: re.Pattern[str]) -> float:
    return sum(pattern.fullmatch(value) is not None for value in values) / max(1, len(values))
