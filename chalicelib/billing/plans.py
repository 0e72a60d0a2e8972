"""The plans that Duebridge sells, read from `tenants/plans.toml` once per container."""

from __future__ import annotations

import tomllib
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from chalicelib.platform.errors import Invalid

PLANS_FILE = Path(__file__).parents[2] / "tenants" / "plans.toml"

Key = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,60}$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Price(_Frozen):
    """What a plan costs per interval in one currency; `amount` is in the currency's minor units."""

    lookup_key: Key
    interval: Literal["month", "year"]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    amount: Annotated[int, Field(gt=0)]


class PlanName(_Frozen):
    """A plan's name in each language of the product."""

    en: Annotated[str, Field(min_length=1)]
    zh: Annotated[str, Field(min_length=1)]


class Plan(_Frozen):
    """One plan: `seats` people, `active_cases` open cases included, `trial_days` before the first payment."""

    key: Key
    name: PlanName
    trial_days: Annotated[int, Field(ge=0, le=730)]
    seats: Annotated[int, Field(gt=0)]
    active_cases: Annotated[int, Field(gt=0)]
    prices: Annotated[tuple[Price, ...], Field(min_length=1)]

    def price(self, currency: str, interval: str = "month") -> Price:
        """The price in a currency. Raises Invalid naming the currencies that the plan is sold in."""
        for price in self.prices:
            if (price.currency, price.interval) == (currency, interval):
                return price
        accepted = ", ".join(p.currency for p in self.prices if p.interval == interval)
        raise Invalid(f"the plan {self.key} is not sold in that currency; {accepted} are accepted", pointer="/currency")


class _Catalogue(_Frozen):
    plan: Annotated[tuple[Plan, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _nothing_stands_twice(self) -> Self:
        names = [plan.key for plan in self.plan]
        names += [price.lookup_key for plan in self.plan for price in plan.prices]
        names += [f"{plan.key} in {p.currency} by {p.interval}" for plan in self.plan for p in plan.prices]
        if twice := sorted(name for name, times in Counter(names).items() if times > 1):
            raise ValueError(f"these stand more than once: {', '.join(twice)}")
        return self


def read_plans(path: Path = PLANS_FILE) -> tuple[Plan, ...]:
    """The plans of a file, in its order. Raises pydantic's ValidationError where the file is wrong."""
    return _Catalogue.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).plan


@cache
def plans() -> tuple[Plan, ...]:
    """The plans on sale."""
    return read_plans()


def find_plan(key: str) -> Plan:
    """The plan of that key. Raises Invalid naming the plans there are."""
    for plan in plans():
        if plan.key == key:
            return plan
    raise Invalid(f"no such plan; {', '.join(p.key for p in plans())} are accepted", pointer="/plan")
