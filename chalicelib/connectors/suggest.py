"""A mapping proposed from what columns are called and what stands in them, with how sure that is.

A proposal is where a person begins: what is missing is named, what is doubtful has a low confidence, and `preview`
shows what a file would become under it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from chalicelib.connectors.mapping import MUST_BE_MAPPED
from chalicelib.connectors.profile import Profile
from chalicelib.connectors.synonyms import Synonyms
from chalicelib.connectors.vocabulary import MONEY_TARGETS, TARGETS, DateTarget, Target

LEAST = 0.4
"""The confidence below which nothing is proposed."""
_NAME, _VALUES = 0.65, 0.35
"""How much the heading and the values have to say."""
_BY_VALUES: dict[Target, float] = {"account.currency": 0.6, "borrower.id_number": 0.55, "borrower.phone": 0.55}
"""Targets that are known by their values alone, and how sure that is."""
_KEYS: tuple[Target, ...] = ("account.key", "borrower.key")
_NARROWED: tuple[Target, ...] = (*_KEYS, "account.number", "borrower.id_number", "borrower.phone")
DATE_TARGETS: tuple[DateTarget, ...] = get_args(DateTarget)


@dataclass(frozen=True)
class Proposed:
    """A field as the mapping document has it, how sure it is (0 to 1), and why, or what is doubtful."""

    document: dict[str, Any]
    confidence: float
    notes: tuple[str, ...]

    @property
    def target(self) -> Target:
        """The field of the canonical record that it fills."""
        return self.document["target"]


@dataclass(frozen=True)
class Missing:
    """Something that a mapping needs and that was not found: where it belongs, what it is, and the columns that could
    be it by their values. What is not `required` can be done without, at a price that the sentence tells."""

    pointer: str
    target: str
    sentence: str
    candidates: tuple[str, ...]
    required: bool = True


@dataclass(frozen=True)
class Suggestion:
    """The proposed `fields` and `checks`, what is `missing`, and the columns that no field reads."""

    fields: tuple[Proposed, ...]
    checks: tuple[dict[str, Any], ...]
    missing: tuple[Missing, ...] = ()
    unused: tuple[str, ...] = field(default=())


def suggest(columns: Sequence[Profile], words: Synonyms) -> Suggestion:
    """The fields that these columns seem to be. A column fills one field, but that of the account's key also fills its
    number where no other does."""
    chosen = _chosen(columns, words)
    proposed = [_proposed(target, *chosen[target], words) for target in TARGETS if target in chosen]
    if "account.number" not in chosen and "account.key" in chosen:
        proposed.insert(1, _as_number(proposed[0]))
    targets: list[Target] = [each.target for each in proposed]
    read = {each.document["source"] for each in proposed}
    return Suggestion(
        fields=tuple(proposed),
        checks=tuple(_checks(targets)),
        missing=tuple(_missing(columns, targets, words)),
        unused=tuple(column.name for column in columns if column.name not in read),
    )


def confidence_of(target: Target, column: Profile, words: Synonyms) -> float:
    """How sure it is that a column is the target's, 0 to 1; 0 where its values cannot be."""
    likeness, fit = words.likeness(target, column.name), _fit(target, column, words)
    if fit == 0:
        return 0.0
    if likeness == 0:
        return round(_BY_VALUES.get(target, 0.0) * (fit if fit > 0.8 else 0), 2)
    return round(_NAME * likeness + _VALUES * fit, 2)


def _chosen(columns: Sequence[Profile], words: Synonyms) -> dict[Target, tuple[Profile, float]]:
    """The surest pairs of target and column first, each column once."""
    order = {target: place for place, target in enumerate(TARGETS)}
    pairs: list[tuple[float, int, int, Target]] = [
        (confidence, -order[target], -place, target)
        for place, column in enumerate(columns)
        for target in TARGETS
        if (confidence := confidence_of(target, column, words)) >= LEAST
    ]
    chosen: dict[Target, tuple[Profile, float]] = {}
    taken: set[int] = set()
    for confidence, _, place, target in sorted(pairs, reverse=True):
        if target not in chosen and -place not in taken:
            chosen[target] = columns[-place], confidence
            taken.add(-place)
    return chosen


def _fit(target: Target, column: Profile, words: Synonyms) -> float:
    """How well the values are what the target takes: 0 where they cannot be, 0.5 where there are none to tell."""
    if target in MONEY_TARGETS:
        if words.unit(column.name) == "large" or column.phones > 0.8:
            return 0.0
        return _among(column, money=1.0, integer=0.9, empty=0.5)
    match target:
        case "account.oldest_due_date":
            return _among(column, date=1.0, empty=0.5)
        case "account.currency":
            return _among(column, currency=1.0, empty=0.5)
        case "account.key":
            return 1.0 if column.filled == column.distinct == column.rows else 0.0
        case "borrower.key":
            return _among(column, text=0.9, digits=1.0, integer=1.0) if column.filled == column.rows else 0.0
        case "account.number":
            return _among(column, text=0.7, digits=1.0, integer=0.9, empty=0.5)
        case "borrower.phone":
            return column.phones or _among(column, text=0.3, digits=0.3, integer=0.3, empty=0.5)
        case "borrower.id_number":
            return column.identities or _among(column, text=0.5, digits=0.5, integer=0.4, empty=0.5)
        case "borrower.name" | "borrower.address":
            return max(column.han, 0.7) if column.kind == "text" else _among(column, empty=0.5)
        case _:
            repeats = column.filled > 2 * column.distinct
            return _among(column, text=0.7, integer=0.7, digits=0.7, empty=0.5, currency=0.3) + (0.3 if repeats else 0)


def _among(column: Profile, **fits: float) -> float:
    return fits.get(column.kind, 0.0)


def _proposed(target: Target, column: Profile, confidence: float, words: Synonyms) -> Proposed:
    notes = [_why(target, column, words)]
    document: dict[str, Any] = {"target": target, "source": column.name}
    if target in MONEY_TARGETS:
        document |= {"type": "money"}
        if column.thousands:
            document["thousands_separator"] = ","
        if words.unit(column.name) == "minor" and not column.decimals:
            document["unit"] = "minor"
            notes.append("the heading says that amounts are in minor units")
    elif target in DATE_TARGETS:
        document |= {"type": "date", "date_format": next(iter(column.date_formats), "%Y%m%d")}
        if len(column.date_formats) > 1:
            notes.append(f"the days fit {' and '.join(column.date_formats)} alike: which it is must be known")
            confidence = min(confidence, 0.5)
    elif target == "account.currency":
        codes = {word: code for word in column.codes if (code := words.currency(word)) and word != code}
        document |= {"type": "currency", "empty": "reject"} | ({"codes": codes} if codes else {})
    else:
        document["type"] = "text"
        if target in _KEYS:
            document["empty"] = "reject"
        if target in _NARROWED and column.full_width:
            document["full_width_to_half"] = True
    if column.kind == "empty":
        notes.append("the sample has no value in this column")
    return Proposed(document, confidence, tuple(notes))


def _as_number(key: Proposed) -> Proposed:
    """The account's number read from the column of its key."""
    document = key.document | {"target": "account.number"}
    return Proposed(document, round(key.confidence * 0.9, 2), ("the account's key, as no other column is its number",))


def _why(target: Target, column: Profile, words: Synonyms) -> str:
    likeness = words.likeness(target, column.name)
    if likeness == 1:
        return "the heading is one of its names"
    return "one of its names is part of the heading" if likeness else "the values look like it"


def _checks(targets: Sequence[Target]) -> list[dict[str, Any]]:
    if "account.oldest_due_date" not in targets:
        return []
    checks: list[dict[str, Any]] = [{"kind": "not_after_business_date", "fields": ["account.oldest_due_date"]}]
    if "account.overdue_amount" in targets:
        together = {"when": "account.overdue_amount", "requires": ["account.oldest_due_date"]}
        checks.insert(0, {"kind": "required_together", **together})
    return checks


def _missing(columns: Sequence[Profile], targets: Sequence[Target], words: Synonyms) -> list[Missing]:
    missing = [
        Missing("/fields", target, f"no column was found for {target}", _candidates(target, columns, words))
        for target in MUST_BE_MAPPED
        if target not in targets
    ]
    due: Target = "account.oldest_due_date"
    if due not in targets:
        sentence = "without the oldest due date nobody knows for how long an account is overdue"
        missing.append(Missing("/fields", due, sentence, _candidates(due, columns, words), required=False))
    if "account.currency" not in targets:
        sentence = "no column holds currencies: either a field fills account.currency or currency names one for all"
        missing.append(Missing("/currency", "account.currency", sentence, ()))
    return missing


def _candidates(target: Target, columns: Sequence[Profile], words: Synonyms) -> tuple[str, ...]:
    return tuple(column.name for column in columns if column.filled and _fit(target, column, words) > 0.5)


def file_pattern(name: str) -> str | None:
    """The pattern for names like this one, which holds a day as YYYYMMDD; None where it holds none."""
    days = list(re.finditer(r"(?<![0-9])(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?![0-9])", name))
    if not days:
        return None
    day = days[-1]
    return re.escape(name[: day.start()]) + r"(?P<business_date>\d{8})" + re.escape(name[day.end() :])
