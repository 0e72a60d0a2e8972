"""Which accounts open a case: a versioned document of rules, and the decision with its evidence. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from chalicelib.cases.position import AccountPosition
from chalicelib.platform.http import Strict

RuleId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
ProductPattern = Annotated[str, StringConstraints(pattern=r"^[^*]{0,64}\*?$", min_length=1)]
CurrencyCode = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]


class TriggerRule(Strict):
    """Opens a case when an account of these products is so late with so much.

    `products` are product codes; a `*` at the end stands for any ending. `least_overdue` is the materiality threshold
    by currency, in minor units; in a currency that it does not name, any overdue amount counts.
    """

    id: RuleId
    products: list[ProductPattern] = Field(min_length=1, max_length=200)
    days_past_due: int = Field(ge=1, le=3650)
    least_overdue: dict[CurrencyCode, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)


class Triggers(Strict):
    """The document. The first rule whose products match an account is the one that judges it; the others do not."""

    rules: list[TriggerRule] = Field(min_length=1, max_length=100)

    @model_validator(mode="after")
    def _rule_ids_differ(self) -> Self:
        require_distinct("rule", (rule.id for rule in self.rules))
        return self


@dataclass(frozen=True)
class Evidence:
    """Why a case was opened: the rule, the version of the document it stands in, and the account that met it."""

    document_version: int
    rule: str
    account_id: str
    days_past_due: int


def rule_for(document: Triggers, product: str) -> TriggerRule | None:
    """The rule that judges accounts of a product, or None when no rule names it."""
    return next((r for r in document.rules if any(_matches(p, product) for p in r.products)), None)


def decide(accounts: Iterable[AccountPosition], document: Triggers, document_version: int, on: date) -> Evidence | None:
    """The evidence for opening a case on a date, or None when no account meets its rule.

    Of several accounts that do, the latest one is the evidence; of equally late ones, that with the lowest id.
    """
    met = [
        Evidence(document_version, rule.id, account.account_id, days)
        for account in accounts
        if (rule := rule_for(document, account.product)) is not None
        and (days := account.days_past_due(on)) >= rule.days_past_due
        and account.overdue >= rule.least_overdue.get(account.currency, 1)
    ]
    return min(met, key=lambda e: (-e.days_past_due, e.account_id), default=None)


def _matches(pattern: str, product: str) -> bool:
    return product.startswith(pattern[:-1]) if pattern.endswith("*") else product == pattern


def require_distinct(noun: str, ids: Iterable[str]) -> None:
    """Raises ValueError naming the first id that stands twice."""
    seen = set[str]()
    for each in ids:
        if each in seen:
            raise ValueError(f"the {noun} {each!r} stands in the document twice")
        seen.add(each)
