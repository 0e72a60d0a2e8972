"""The plans that Duebridge sells, read from `tenants/plans.toml` once per container, and their names at Stripe."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Annotated, Final, Literal, Self, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from chalicelib.platform.errors import Invalid
from chalicelib.tenancy import Delays, Entitlements, Terms

PLANS_FILE = Path(__file__).parents[2] / "tenants" / "plans.toml"

Currency = Literal["CNY", "USD", "GBP", "EUR"]
CURRENCIES: tuple[Currency, ...] = get_args(Currency)

Interval = Literal["month", "year"]
INTERVALS: tuple[Interval, ...] = get_args(Interval)

Kind = Literal["plan", "seat", "overage"]
"""What a price is for: the plan itself, one further seat, or an hour of a case beyond the included ones."""

KINDS: tuple[Kind, ...] = get_args(Kind)

Feature = Literal["insight", "parallel_run", "passkeys_required"]
"""An entitlement that is either granted or not; Stripe knows it as a feature under this lookup key."""

FEATURES: tuple[Feature, ...] = get_args(Feature)

METER_EVENT: Final = "duebridge_case_hours"
"""What Stripe's meter sums: one is one open case beyond the included ones at an hour's count."""


@dataclass(frozen=True)
class Price:
    """What a plan or a seat costs per interval in one currency; `amount` is in the currency's minor units."""

    lookup_key: str
    interval: Interval
    currency: Currency
    amount: int


@dataclass(frozen=True)
class OveragePrice:
    """What a case beyond the included ones costs per hour; `amount` is in minor units, with up to 12 decimals.

    The interval is that of the plan it is billed with, once at its end.
    """

    lookup_key: str
    interval: Interval
    currency: Currency
    amount: Decimal


_Offer = TypeVar("_Offer", Price, OveragePrice)
_Amount = TypeVar("_Amount", int, Decimal)
_Amounts = dict[Currency, dict[Interval, _Amount]]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PlanName(_Frozen):
    """A plan's name in each language of the product."""

    en: Annotated[str, Field(min_length=1)]
    zh: Annotated[str, Field(min_length=1)]


@dataclass(frozen=True)
class Plan:
    """One plan: what it costs by currency and interval, and what it entitles to.

    `trial_days` is the time before the first payment; the seats and open cases that the price includes are among the
    entitlements.
    """

    key: str
    name: PlanName
    trial_days: int
    prices: tuple[Price, ...]
    seat_prices: tuple[Price, ...]
    overage_prices: tuple[OveragePrice, ...]
    entitlements: Entitlements
    delays: Delays

    @property
    def terms(self) -> Terms:
        """What one who subscribes today agrees to."""
        return Terms(entitlements=self.entitlements, delays=self.delays)

    @property
    def features(self) -> tuple[Feature, ...]:
        """The features that the plan grants, in the order of `FEATURES`."""
        return tuple(feature for feature in FEATURES if getattr(self.entitlements, feature))

    def price(self, currency: str, interval: str = "month") -> Price:
        """What the plan costs. Raises Invalid naming the currencies or intervals that it is sold in."""
        return self._sold(self.prices, currency, interval)

    def seat_price(self, currency: str, interval: str = "month") -> Price:
        """What each seat beyond the included ones costs. Raises Invalid as `price` does."""
        return self._sold(self.seat_prices, currency, interval)

    def overage_price(self, currency: str, interval: str = "month") -> OveragePrice:
        """What an hour of each case beyond the included ones costs. Raises Invalid as `price` does."""
        return self._sold(self.overage_prices, currency, interval)

    def _sold(self, offers: tuple[_Offer, ...], currency: str, interval: str) -> _Offer:
        for offer in offers:
            if (offer.currency, offer.interval) == (currency, interval):
                return offer
        if interval not in INTERVALS:
            raise Invalid(f"no such interval; {', '.join(INTERVALS)} are accepted", pointer="/interval")
        raise Invalid(
            f"the plan is not sold in that currency; {', '.join(CURRENCIES)} are accepted", pointer="/currency"
        )


def product_of(plan_key: str, kind: Kind) -> str:
    """The id of a product at Stripe, chosen by us so that it is made once only."""
    return f"duebridge_{_stem(plan_key, kind)}"


def what_is(product_id: str) -> tuple[str, Kind] | None:
    """The plan's key and what of it a product at Stripe is for, whether it is sold or was; None for no product of ours.

    The opposite of `product_of`.
    """
    named = re.match(r"duebridge_([a-z][a-z0-9]*)", product_id)
    if named is None:
        return None
    return next(((named[1], kind) for kind in KINDS if product_of(named[1], kind) == product_id), None)


def read_plans(path: Path = PLANS_FILE) -> tuple[Plan, ...]:
    """The plans of a file, in its order. Raises pydantic's ValidationError where the file is wrong."""
    file = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    return tuple(_plan(written) for written in file.plan)


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


def _sold_everywhere(amounts: _Amounts[_Amount]) -> _Amounts[_Amount]:
    missing = [f"{c} by the {i}" for c in CURRENCIES for i in INTERVALS if i not in amounts.get(c, {})]
    if missing:
        raise ValueError(f"there is no amount in {', '.join(missing)}")
    return amounts


def _written_out(amount: object) -> object:
    """TOML's own numbers with a point are binary fractions, which hold no exact tenth of a cent."""
    if isinstance(amount, str) and re.fullmatch(r"\d{1,9}(\.\d{1,12})?", amount):
        return amount
    raise ValueError('write the decimal out, as text: "0.1"')


_WholeAmount = Annotated[int, Field(gt=0, strict=True)]
_DecimalAmount = Annotated[Decimal, Field(ge=Decimal("0.000001")), BeforeValidator(_written_out)]
"""Not less than a millionth: Stripe's SDK writes smaller numbers with an exponent, which Stripe does not read."""
_WholeAmounts = Annotated[dict[Currency, dict[Interval, _WholeAmount]], AfterValidator(_sold_everywhere)]
_DecimalAmounts = Annotated[dict[Currency, dict[Interval, _DecimalAmount]], AfterValidator(_sold_everywhere)]


class _WrittenPlan(_Frozen):
    """A plan as the file has it."""

    key: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{0,29}$")]
    """Without underscores: these stand between the parts of a product's id."""

    name: PlanName
    trial_days: Annotated[int, Field(ge=0, le=730)]
    prices: _WholeAmounts
    seat_prices: _WholeAmounts
    overage_prices: _DecimalAmounts
    entitlements: Entitlements
    delays: Delays


class _File(_Frozen):
    plan: Annotated[tuple[_WrittenPlan, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _no_plan_stands_twice(self) -> Self:
        times = Counter(plan.key for plan in self.plan)
        if twice := sorted(key for key, count in times.items() if count > 1):
            raise ValueError(f"these plans stand more than once: {', '.join(twice)}")
        return self


def _plan(written: _WrittenPlan) -> Plan:
    key = written.key
    return Plan(
        key=key,
        name=written.name,
        trial_days=written.trial_days,
        prices=tuple(Price(*offer) for offer in _offers(key, "plan", written.prices)),
        seat_prices=tuple(Price(*offer) for offer in _offers(key, "seat", written.seat_prices)),
        overage_prices=tuple(OveragePrice(*offer) for offer in _offers(key, "overage", written.overage_prices)),
        entitlements=written.entitlements,
        delays=written.delays,
    )


def _offers(plan_key: str, kind: Kind, amounts: _Amounts[_Amount]) -> Iterator[tuple[str, Interval, Currency, _Amount]]:
    """Every amount with its lookup key, those by the month first."""
    for interval in INTERVALS:
        for currency in CURRENCIES:
            lookup_key = f"{_stem(plan_key, kind)}_{interval}_{currency.lower()}"
            yield lookup_key, interval, currency, amounts[currency][interval]


def _stem(plan_key: str, kind: Kind) -> str:
    return plan_key if kind == "plan" else f"{plan_key}_{kind}"
