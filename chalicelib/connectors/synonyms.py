"""What business systems call the fields of the canonical record: the words of `tenants/synonyms.toml`."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from dataclasses import dataclass
from functools import cache

from chalicelib.connectors.vocabulary import TARGETS, Target
from chalicelib.platform import documents
from chalicelib.platform.http import Strict
from chalicelib.platform.money import EXPONENTS

_BESIDE = re.compile(r"[(\[{【（].*?[)\]}】）]")
"""What stands in brackets behind a heading, such as a unit."""
_FILLING = re.compile(r"[\W_]+")
_SHORTEST_PART = {True: 2, False: 4}
"""How long a word must be to count where it is only part of a heading: Han characters say more than letters."""


class Words(Strict):
    """The document: names of each target, words for currencies, and endings of headings that tell what a number is."""

    fields: dict[Target, list[str]]
    currencies: dict[str, str]
    minor_units: list[str]
    large_units: list[str]
    counts: list[str]


@dataclass(frozen=True)
class Synonyms:
    """The words, ready to be looked up: names are `plain`."""

    fields: dict[Target, frozenset[str]]
    currencies: dict[str, str]
    minor_units: frozenset[str]
    large_units: frozenset[str]
    counts: tuple[str, ...]

    def likeness(self, target: Target, heading: str) -> float:
        """How well a heading says that its column is the target's: 1 where it is one of its names, more than 0.5 where
        a name is part of it, and 0 where it says nothing of the kind."""
        said = plain(heading)
        names = self.fields[target]
        if said in names:
            return 1.0
        if said.startswith(self.counts) or said.endswith(self.counts):
            return 0.0
        parts = [name for name in names if name in said and len(name) >= _SHORTEST_PART[not name.isascii()]]
        return max((0.5 + 0.4 * len(part) / len(said) for part in parts), default=0.0)

    def is_known(self, heading: str) -> bool:
        """Whether the heading is a name of any field."""
        return any(plain(heading) in names for names in self.fields.values())

    def currency(self, word: str) -> str | None:
        """The ISO 4217 code that a word stands for, or None."""
        return word if word in EXPONENTS else self.currencies.get(word)

    def unit(self, heading: str) -> str | None:
        """`minor` or `large` (thousands and more) where the heading says so of its amounts."""
        beside = {plain(found.strip("()[]{}【】（）")) for found in _BESIDE.findall(heading)}
        last = plain(heading.replace("_", " ").split(" ")[-1])
        if (beside | {last}) & self.large_units:
            return "large"
        return "minor" if (beside | {last}) & self.minor_units else None


def plain(heading: str) -> str:
    """A heading without what tells two writings of one name apart: width, case, brackets, blanks and marks."""
    narrow = unicodedata.normalize("NFKC", heading).casefold()
    return _FILLING.sub("", _BESIDE.sub("", narrow)) or _FILLING.sub("", narrow)


@cache
def synonyms() -> Synonyms:
    """The words as they are shipped; read once."""
    text = documents.path("synonyms.toml").read_text("utf-8")
    words = Words.model_validate(tomllib.loads(text))
    missing = [target for target in TARGETS if target not in words.fields]
    if missing:
        raise ValueError(f"tenants/synonyms.toml has no names for {', '.join(missing)}")
    return Synonyms(
        fields={target: frozenset(map(plain, names)) for target, names in words.fields.items()},
        currencies=words.currencies,
        minor_units=frozenset(map(plain, words.minor_units)),
        large_units=frozenset(map(plain, words.large_units)),
        counts=tuple(map(plain, words.counts)),
    )
