"""The mapping document: what a business system's file looks like and what each of its columns means.

A mapping is data, written in TOML or sent as JSON, validated strictly (an unknown member is an error). It names the
file (`source`), its form (`format`), the fields of the canonical record and the column each comes from (`fields`), and
what must hold between fields (`checks`). `compile` turns it into SQL; nothing here reads a row.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator

from chalicelib.connectors.errors import MappingInvalid, UnknownPreset
from chalicelib.connectors.forms.model import Form
from chalicelib.connectors.problems import Faults, Problem, problems_in
from chalicelib.connectors.vocabulary import (
    TARGETS,
    CurrencyTarget,
    DateTarget,
    Heading,
    MoneyTarget,
    Strict,
    Target,
    TextTarget,
)
from chalicelib.platform.money import EXPONENTS

PRESETS = Path(__file__).parents[2] / "tenants" / "presets"

MUST_BE_MAPPED: tuple[Target, ...] = ("account.key", "borrower.key", "account.overdue_amount")

Pattern = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00]+$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Share = Annotated[float, Field(ge=0, le=1)]
MAX_REPEATS, MAX_NAME = 3, 255
"""Of a pattern for file names, and of a name: so that matching takes no time worth naming."""


class Title(Strict):
    """What people call the preset, in the languages of the console."""

    en: str
    zh: str


class ObjectStoreSource(Strict):
    """Files dropped into an object store. `file_pattern` must match the whole name (without folders)."""

    kind: Literal["object-store"]
    file_pattern: str = Field(max_length=300)

    @field_validator("file_pattern")
    @classmethod
    def _names_the_business_date(cls, pattern: str) -> str:
        try:
            compiled = re.compile(pattern)
        except re.error as problem:
            raise ValueError(f"is not a regular expression: {problem}") from None
        if "business_date" not in compiled.groupindex:
            raise ValueError(r"must hold the group (?P<business_date>\d{8}): the day, YYYYMMDD, that the file is of")
        # A pattern that tries many ways of matching could keep the worker busy for as long as it lives.
        plain = re.sub(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", "x", pattern)
        if re.search(r"\)[*+{]", plain) or len(re.findall(r"[*+]|\{\d*,\d*\}", plain)) > MAX_REPEATS:
            raise ValueError(f"must repeat nothing more than {MAX_REPEATS} times with * or +, and no group")
        return pattern

    def business_date(self, file_name: str) -> date | None:
        """The business date in a file's name (its last path segment), or None where the file is not one of ours."""
        name = file_name.rsplit("/", 1)[-1]
        match = re.fullmatch(self.file_pattern, name) if len(name) <= MAX_NAME else None
        digits = match["business_date"] if match else None
        if digits is None or not re.fullmatch("[0-9]{8}", digits):
            return None
        try:
            return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
        except ValueError:
            return None


class _Field(Strict):
    """`required`: the column must be in the file. `empty`: what a blank value does to its row. `severity`: whether a
    value that is not accepted rejects the row, or is left out (null) and counted as a warning."""

    source: Heading
    required: bool = True
    trim: bool = True
    full_width_to_half: bool = False
    empty: Literal["null", "reject"] = "null"
    severity: Literal["reject", "warn"] = "reject"


class TextField(_Field):
    """Text as it stands. `pattern` (RE2) must match the whole value; `max_length` counts characters."""

    type: Literal["text"]
    target: TextTarget
    pattern: Pattern | None = None
    max_length: int = Field(default=500, ge=1, le=10_000)


class MoneyField(_Field):
    """An amount: `-?digits[.digits]`, in major units (or whole minor units). No rounding: more decimals than the
    currency has is a reason. `min` and `max` are in major units, inclusive."""

    type: Literal["money"]
    target: MoneyTarget
    thousands_separator: Literal[","] | None = None
    unit: Literal["major", "minor"] = "major"
    min: Decimal | None = Field(default=None, allow_inf_nan=False, max_digits=18)
    max: Decimal | None = Field(default=None, allow_inf_nan=False, max_digits=18)


class DateField(_Field):
    """A day. `date_format` holds %Y, %m and %d once each, with nothing but - / . or nothing between."""

    type: Literal["date"]
    target: DateTarget
    date_format: str = "%Y%m%d"

    @field_validator("date_format")
    @classmethod
    def _is_a_plain_date(cls, value: str) -> str:
        parts = re.fullmatch(r"%([Ymd])([-/.]?)%([Ymd])([-/.]?)%([Ymd])", value)
        if not parts or {parts[1], parts[3], parts[5]} != {"Y", "m", "d"}:
            raise ValueError("must hold %Y, %m and %d once each, with only - / . between, such as %Y%m%d or %d/%m/%Y")
        return value


class CurrencyField(_Field):
    """An ISO 4217 code, or another word for one (`codes = {"156" = "CNY"}`)."""

    type: Literal["currency"]
    target: CurrencyTarget
    codes: dict[Heading, str] | None = None

    @field_validator("codes")
    @classmethod
    def _are_currencies(cls, codes: dict[str, str] | None) -> dict[str, str] | None:
        unknown = sorted(set((codes or {}).values()) - EXPONENTS.keys())
        if unknown:
            raise ValueError(f"are not currency codes of ISO 4217: {', '.join(unknown)}")
        return codes


class CodeField(_Field):
    """One of the keys of `codes`, stored as what it stands for."""

    type: Literal["code"]
    target: TextTarget
    codes: dict[Heading, Heading] = Field(min_length=1, max_length=1000)


FieldMapping = Annotated[TextField | MoneyField | DateField | CurrencyField | CodeField, Field(discriminator="type")]


class RequiredTogether(Strict):
    """Where `when` has a value (an amount: more than zero), each of `requires` must have one too."""

    kind: Literal["required_together"]
    when: Target
    requires: list[Target] = Field(min_length=1, max_length=len(TARGETS))


class NotAfterBusinessDate(Strict):
    """None of the dates lies after the file's business date."""

    kind: Literal["not_after_business_date"]
    fields: list[DateTarget] = Field(min_length=1, max_length=len(TARGETS))


Check = Annotated[RequiredTogether | NotAfterBusinessDate, Field(discriminator="kind")]


class Mapping(Strict):
    """A whole mapping document.

    `preset` is what it is called, and `title` what people call it. `currency` stands in where the file has no column
    for it. A file is refused of whose rows more than `max_quarantine_share` are not accepted, or that no longer holds
    more than `max_removed_share` of the accounts that the last one held. A row that is quarantined can be repaired and
    replayed for `quarantine_days` days.
    """

    preset: Name = "own"
    version: int = Field(default=1, ge=1, le=1_000_000_000)
    title: Title | None = None
    source: ObjectStoreSource
    format: Form
    fields: list[FieldMapping]
    checks: list[Check] = Field(default_factory=list[Check], max_length=8)
    currency: str | None = None
    max_quarantine_share: Share = 0.05
    max_removed_share: Share = 0.20
    quarantine_days: int = Field(default=90, ge=1, le=3650)

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if faults := [*self._targets(), *self._currency(), *self._keys(), *self._named(), *self._columns()]:
            raise Faults(faults)
        return self

    def _targets(self) -> Iterator[Problem]:
        """Each target filled once, and those without which nothing can be applied."""
        targets = [field.target for field in self.fields]
        for at, target in enumerate(targets):
            if target in targets[:at]:
                yield f"/fields/{at}/target", f"fields fill the same target twice: {target}"
        missing = [target for target in MUST_BE_MAPPED if target not in targets]
        if missing:
            yield "/fields", f"fields leave out: {', '.join(missing)}"

    def _currency(self) -> Iterator[Problem]:
        is_mapped = any(field.target == "account.currency" for field in self.fields)
        if is_mapped == (self.currency is not None):
            yield "/currency", "either a field fills account.currency or currency names one for all rows"
        if self.currency is not None and self.currency not in EXPONENTS:
            yield "/currency", f"currency {self.currency!r} is not a code of ISO 4217"

    def _keys(self) -> Iterator[Problem]:
        """What a row cannot do without is not left to chance."""
        for at, field in enumerate(self.fields):
            if field.target in ("account.key", "borrower.key") and (
                field.empty != "reject" or field.severity != "reject" or not field.required
            ):
                must = 'required = true, empty = "reject", severity = "reject"'
                yield f"/fields/{at}", f"{field.target} must have {must}"
            if field.target == "account.currency" and (field.empty, field.severity) != ("reject", "reject"):
                yield f"/fields/{at}", 'account.currency must have empty = "reject" and severity = "reject"'

    def _named(self) -> Iterator[Problem]:
        """What checks and the file's own sum are about."""
        mapped = {field.target for field in self.fields}
        named: dict[str, Target] = {}
        for at, check in enumerate(self.checks):
            if isinstance(check, RequiredTogether):
                named[f"/checks/{at}/when"] = check.when
                named |= {f"/checks/{at}/requires/{n}": target for n, target in enumerate(check.requires)}
            else:
                named |= {f"/checks/{at}/fields/{n}": target for n, target in enumerate(check.fields)}
        if self.format.total_field:
            named["/format"] = self.format.total_field
        for pointer, target in named.items():
            if target not in mapped:
                yield pointer, f"names a field that is not mapped: {target}"

    def _columns(self) -> Iterator[Problem]:
        known = self.format.known_headings
        for at, field in enumerate(self.fields):
            if known is not None and field.required and field.source not in known:
                yield f"/fields/{at}/source", self.format.lacks(field.source)

    def headings(self, *, required: bool = False) -> list[str]:
        """The headings that the fields read, each once, in the document's order; only the required ones if asked."""
        return list(dict.fromkeys(field.source for field in self.fields if field.required or not required))


def from_dict(document: object) -> Mapping:
    """The mapping in a document already parsed; raises `MappingInvalid` naming every problem and its place."""
    try:
        return Mapping.model_validate(document)
    except ValidationError as invalid:
        raise MappingInvalid.of(problems_in(document, invalid)) from None


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of mapping documents. What the parts must be together it cannot say."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Mapping.model_json_schema()


def from_toml(text: str) -> Mapping:
    """The mapping in a TOML document; raises `MappingInvalid` where it is not TOML or not a mapping."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise MappingInvalid(f"The document is not TOML: {problem}") from None
    return from_dict(document)


def preset_names(root: Path = PRESETS) -> list[str]:
    """The names of the presets shipped under `root`, sorted."""
    return sorted(path.stem for path in root.glob("*.toml"))


def load_preset(name: str, root: Path = PRESETS) -> Mapping:
    """The shipped preset of that name; raises `UnknownPreset` listing those there are."""
    known = preset_names(root)
    if name not in known:
        sentence = f"There is no preset {name!r}; the presets are {', '.join(known)}"
        raise UnknownPreset(sentence, pointer="/preset", presets=known)
    return from_toml((root / f"{name}.toml").read_text(encoding="utf-8"))
