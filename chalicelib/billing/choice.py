"""What a tenant subscribes to, and what a change of that makes of the subscription's items at Stripe. Pure.

Who keeps plan and interval keeps the prices that were agreed on, however prices have changed since; who changes either
gets today's. Prorations are Stripe's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from chalicelib.billing.plans import KINDS, Interval, Kind, Plan


@dataclass(frozen=True)
class Choice:
    """A plan by its key, how often it is paid for, and how many seats beyond the included ones."""

    plan: str
    interval: Interval
    extra_seats: int


@dataclass(frozen=True)
class Wish:
    """What of a choice is to be another; None leaves it as it is."""

    plan: str | None = None
    interval: Interval | None = None
    extra_seats: int | None = None

    def applied_to(self, present: Choice) -> Choice:
        """The choice that is wished for."""
        return Choice(
            plan=self.plan or present.plan,
            interval=self.interval or present.interval,
            extra_seats=present.extra_seats if self.extra_seats is None else self.extra_seats,
        )


@dataclass(frozen=True)
class Item:
    """An item of a subscription at Stripe; what is metered has no quantity."""

    id: str
    quantity: int | None


@dataclass(frozen=True)
class ItemChange:
    """What is to become of an item: `id` is None for a new one, `quantity` None for what is metered. `new_price` says
    that it takes today's price, `removed` that it goes away."""

    kind: Kind
    id: str | None
    new_price: bool = False
    quantity: int | None = None
    removed: bool = False


_METERED: Final[Kind] = "overage"


def item_changes(items: Mapping[Kind, Item], present: Choice, wished: Choice) -> list[ItemChange]:
    """What changes of a subscription's items when `wished` takes the place of `present`; empty when nothing does."""
    reprices = (present.plan, present.interval) != (wished.plan, wished.interval)
    changes = (_change(kind, items.get(kind), _quantity(kind, wished), reprices) for kind in KINDS)
    return [change for change in changes if change is not None]


def lookup_keys(plan: Plan, currency: str, interval: Interval, kinds: set[Kind]) -> dict[Kind, str]:
    """Under which keys Stripe has the prices of a plan. Raises Invalid for what the plan is not sold by."""
    prices = {
        "plan": plan.price(currency, interval),
        "seat": plan.seat_price(currency, interval),
        "overage": plan.overage_price(currency, interval),
    }
    return {kind: prices[kind].lookup_key for kind in KINDS if kind in kinds}


def _quantity(kind: Kind, choice: Choice) -> int | None:
    return {"plan": 1, "seat": choice.extra_seats, _METERED: None}[kind]


def _change(kind: Kind, item: Item | None, quantity: int | None, reprices: bool) -> ItemChange | None:
    if quantity == 0:
        return None if item is None else ItemChange(kind, item.id, removed=True)
    if item is None:
        # Who subscribed before overage was billed, and keeps the plan, is not made to pay for it.
        added_silently = kind == _METERED and not reprices
        return None if added_silently else ItemChange(kind, None, new_price=True, quantity=quantity)
    if not reprices and item.quantity == quantity:
        return None
    return ItemChange(kind, item.id, new_price=reprices, quantity=quantity)
