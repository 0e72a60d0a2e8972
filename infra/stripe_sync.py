"""``python -m infra.stripe_sync``: carries ``tenants/plans.toml`` to Stripe.

Prints what differs, then makes it so; run again, it finds nothing to do. Products are found by their id, prices by
their lookup key. A price is never edited: an amount that changed becomes a new price that takes the lookup key over,
and the old one is archived, so that those who subscribed to it keep it.

The API key comes from the environment (``STRIPE_API_KEY``), never from the command line, where others could read it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import stripe

from chalicelib.billing.plans import Plan, Price, plans
from chalicelib.billing.stripe_client import make_client

if TYPE_CHECKING:
    from stripe import StripeClient


@dataclass(frozen=True)
class LiveProduct:
    """A product as Stripe has it."""

    id: str
    name: str
    metadata: Mapping[str, str]
    active: bool


@dataclass(frozen=True)
class LivePrice:
    """An active price as Stripe has it; ``terms`` are currency, interval and amount in minor units."""

    id: str
    product_id: str
    lookup_key: str | None
    terms: tuple[str, str, int]


@dataclass(frozen=True)
class PutProduct:
    """Make a plan's product, or bring the one that is there up to date."""

    plan: Plan
    exists: bool

    def __str__(self) -> str:
        return f"{'update' if self.exists else 'create'} product {product_id(self.plan)} ({self.plan.name.en})"


@dataclass(frozen=True)
class MakePrice:
    """Make a price; whichever price has its lookup key until then loses it."""

    plan: Plan
    price: Price
    replaces: tuple[str, str, int] | None

    def __str__(self) -> str:
        new, old = _spoken(_terms(self.price)), self.replaces
        return f"create price {self.price.lookup_key}: {new}" + (f" (until now {_spoken(old)})" if old else "")


@dataclass(frozen=True)
class ArchivePrice:
    """Sell a price no longer; its subscribers keep it."""

    price: LivePrice

    def __str__(self) -> str:
        return f"archive price {self.price.id} of {self.price.product_id}: {_spoken(self.price.terms)}"


Change = PutProduct | MakePrice | ArchivePrice


def product_id(plan: Plan) -> str:
    """The id of a plan's product in Stripe, chosen by us so that it is made once only."""
    return f"duebridge_{plan.key}"


def differences(wanted: Sequence[Plan], products: Iterable[LiveProduct], prices: Iterable[LivePrice]) -> list[Change]:
    """What to do, in order, so that Stripe sells the plans that are wanted and no other price of theirs.

    New prices come before the archiving of old ones: a plan can be bought at every moment in between.
    """
    live = {product.id: product for product in products}
    making: list[Change] = []
    archiving: list[Change] = []
    on_sale = list(prices)
    for plan in wanted:
        product = live.get(product_id(plan))
        if product != LiveProduct(product_id(plan), plan.name.en, _metadata(plan), active=True):
            making.append(PutProduct(plan, exists=product is not None))
        holders = {p.lookup_key: p for p in on_sale if p.lookup_key}
        kept: set[str] = set()
        for price in plan.prices:
            holder = holders.get(price.lookup_key)
            if holder and (holder.product_id, holder.terms) == (product_id(plan), _terms(price)):
                kept.add(holder.id)
            else:
                making.append(MakePrice(plan, price, replaces=holder.terms if holder else None))
        archiving += [ArchivePrice(p) for p in on_sale if p.product_id == product_id(plan) and p.id not in kept]
    return making + archiving


def read_stripe(client: StripeClient, wanted: Sequence[Plan]) -> tuple[list[LiveProduct], list[LivePrice]]:
    """The products of the plans, and the active prices of these products, as Stripe has them."""
    ids = [product_id(plan) for plan in wanted]
    products = client.v1.products.list({"ids": ids, "limit": 100}).auto_paging_iter()
    found = [LiveProduct(p.id, p.name, dict(p.metadata.to_dict()), p.active) for p in products]
    prices = [
        LivePrice(
            price.id,
            product.id,
            price.lookup_key,
            (price.currency, price.recurring.interval if price.recurring else "once", price.unit_amount or 0),
        )
        for product in found
        for price in client.v1.prices.list({"product": product.id, "active": True, "limit": 100}).auto_paging_iter()
    ]
    return found, prices


def apply(client: StripeClient, change: Change) -> None:
    """Makes one change. Raises stripe.StripeError; running the command again continues."""
    match change:
        case PutProduct(plan, exists=False):
            client.v1.products.create({"id": product_id(plan), "name": plan.name.en, "metadata": _metadata(plan)})
        case PutProduct(plan):
            client.v1.products.update(
                product_id(plan), {"name": plan.name.en, "metadata": _metadata(plan), "active": True}
            )
        case MakePrice(plan, price):
            client.v1.prices.create(
                {
                    "product": product_id(plan),
                    "lookup_key": price.lookup_key,
                    "transfer_lookup_key": True,
                    "currency": price.currency.lower(),
                    "recurring": {"interval": price.interval},
                    "unit_amount": price.amount,
                }
            )
        case ArchivePrice(price):
            client.v1.prices.update(price.id, {"active": False})


def sync(client: StripeClient, wanted: Sequence[Plan], *, dry_run: bool = False) -> list[Change]:
    """Prints the differences, then makes them so unless it is a dry run; returns them."""
    changes = differences(wanted, *read_stripe(client, wanted))
    for change in changes:
        print(f"  {change}")
    if not changes:
        print("Stripe has every plan and price already.")
    elif dry_run:
        print(f"{len(changes)} changes to make; nothing was changed.")
    else:
        for change in changes:
            apply(client, change)
        print(f"{len(changes)} changes made.")
    return changes


def main(arguments: Sequence[str]) -> int:
    """The command; 0 when Stripe sells the plans (or would, after a dry run), 1 when it refused or did not answer."""
    parser = argparse.ArgumentParser(prog="python -m infra.stripe_sync", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--api-base", default="", help="another address than Stripe's own, such as the local stack's")
    parser.add_argument("--dry-run", action="store_true", help="print what differs and change nothing")
    chosen = parser.parse_args(arguments)
    key = os.environ.get("STRIPE_API_KEY", "")
    if not key:
        print("STRIPE_API_KEY is not set: it holds the secret key of the Stripe account to change", file=sys.stderr)
        return 1
    try:
        sync(make_client(key, chosen.api_base), plans(), dry_run=chosen.dry_run)
    except stripe.StripeError as error:
        print(f"Stripe did not take it: {error.user_message or type(error).__name__}", file=sys.stderr)
        return 1
    return 0


def _metadata(plan: Plan) -> dict[str, str]:
    return {"plan": plan.key, "name_zh": plan.name.zh}


def _terms(price: Price) -> tuple[str, str, int]:
    return price.currency.lower(), price.interval, price.amount


def _spoken(terms: tuple[str, str, int]) -> str:
    currency, interval, amount = terms
    return f"{amount} minor units of {currency.upper()} per {interval}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
