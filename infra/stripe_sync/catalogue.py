"""What Stripe shall have, in shapes that compare with what it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from chalicelib.billing.plans import KINDS, Kind, OveragePrice, Plan, Price, product_of

if TYPE_CHECKING:
    from stripe.params.billing_portal import ConfigurationCreateParamsFeatures

Usage = Literal["licensed", "metered", "metered elsewhere"]
"""Whether a price is paid per unit bought, by our meter's sum, or by that of another meter."""

PORTAL_MARK = {"duebridge": "portal"}
"""The metadata by which our configuration of the portal is found."""

PORTAL_FEATURES: ConfigurationCreateParamsFeatures = {
    "customer_update": {"enabled": True, "allowed_updates": ["address", "tax_id"]},
    "invoice_history": {"enabled": True},
    "payment_method_update": {"enabled": True},
    "subscription_cancel": {"enabled": False},
    "subscription_update": {"enabled": False},
}
"""What a customer may do in the portal. Plans are changed and cancelled by our API, which checks seats and states."""

METER_NAME = "Duebridge case-hours"
METER_CUSTOMER_KEY = "stripe_customer_id"
METER_VALUE_KEY = "value"
"""The members of a meter event's payload that say whose it is and how much."""

LABELS = ("kind", "plan", "name_zh")
"""The metadata that we write on products and prices; whatever else stands there is left alone."""

_SUFFIX: dict[Kind, tuple[str, str]] = {
    "plan": ("", ""),
    "seat": (", further seat", "，额外席位"),
    "overage": (", case-hours beyond the included cases", "，超出所含案件的案件小时"),
}
_UNIT: dict[Kind, str | None] = {"plan": None, "seat": "seat", "overage": "case-hour"}


@dataclass(frozen=True)
class Product:
    """A product: its name is what invoices show; `unit` is what one of it is called there."""

    id: str
    name: str
    unit: str | None
    metadata: Mapping[str, str] = field(hash=False)
    active: bool = True


@dataclass(frozen=True)
class Cost:
    """What a price takes: minor units of the currency per unit and interval, taxes left out."""

    currency: str
    interval: str
    amount: Decimal
    usage: Usage = "licensed"
    tax_behavior: str | None = "exclusive"

    def __str__(self) -> str:
        per = f"per {self.interval}" if self.usage == "licensed" else f"per case-hour, billed by the {self.interval}"
        return f"{self.amount:f} minor units of {self.currency.upper()} {per}"


@dataclass(frozen=True)
class Offer:
    """A price that is on sale under its lookup key."""

    lookup_key: str
    product_id: str
    cost: Cost
    metadata: Mapping[str, str] = field(hash=False)


def wanted_products(plan: Plan) -> list[Product]:
    """The three products that a plan is sold as: itself, further seats, cases beyond the included ones."""
    return [
        Product(
            product_of(plan.key, kind),
            plan.name.en + _SUFFIX[kind][0],
            _UNIT[kind],
            {"kind": kind, "plan": plan.key, "name_zh": plan.name.zh + _SUFFIX[kind][1]},
        )
        for kind in KINDS
    ]


def wanted_offers(plan: Plan) -> list[Offer]:
    """All prices of a plan, in the order of its file."""
    priced: dict[Kind, Sequence[Price | OveragePrice]] = {
        "plan": plan.prices,
        "seat": plan.seat_prices,
        "overage": plan.overage_prices,
    }
    return [offer for kind, prices in priced.items() for offer in _offers(plan, kind, prices)]


def _offers(plan: Plan, kind: Kind, prices: Iterable[Price | OveragePrice]) -> Iterable[Offer]:
    usage: Usage = "metered" if kind == "overage" else "licensed"
    for price in prices:
        cost = Cost(price.currency.lower(), price.interval, Decimal(price.amount), usage)
        yield Offer(price.lookup_key, product_of(plan.key, kind), cost, {"kind": kind, "plan": plan.key})
