"""What to do at Stripe, as values that read as sentences; and which of them bring it to what is wanted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from chalicelib.billing.plans import FEATURES, METER_EVENT, Plan, product_of, what_is
from infra.stripe_sync.catalogue import PORTAL_FEATURES, Cost, Offer, Product, wanted_offers, wanted_products
from infra.stripe_sync.live import Live, LivePrice


@dataclass(frozen=True)
class MakeMeter:
    """Make the meter that sums up case-hours."""

    def __str__(self) -> str:
        return f"create meter {METER_EVENT}: the sum of case-hours per customer"


@dataclass(frozen=True)
class MakeFeature:
    """Make an entitlement known to Stripe."""

    lookup_key: str

    def __str__(self) -> str:
        return f"create feature {self.lookup_key}"


@dataclass(frozen=True)
class PutProduct:
    """Make a product, or bring the one that is there up to date."""

    product: Product
    exists: bool

    def __str__(self) -> str:
        return f"{'update' if self.exists else 'create'} product {self.product.id} ({self.product.name})"


@dataclass(frozen=True)
class MakePrice:
    """Make a price; whichever price has its lookup key until then loses it."""

    offer: Offer
    replaces: Cost | None

    def __str__(self) -> str:
        before = f" (until now {self.replaces})" if self.replaces else ""
        return f"create price {self.offer.lookup_key}: {self.offer.cost}{before}"


@dataclass(frozen=True)
class LabelPrice:
    """Write a price's metadata, on which nobody's bill depends."""

    price_id: str
    offer: Offer

    def __str__(self) -> str:
        labels = ", ".join(f"{name}={value}" for name, value in self.offer.metadata.items())
        return f"label price {self.offer.lookup_key}: {labels}"


@dataclass(frozen=True)
class AttachFeature:
    """Grant a feature to whoever subscribes, or has subscribed, to a product."""

    product_id: str
    lookup_key: str

    def __str__(self) -> str:
        return f"attach feature {self.lookup_key} to {self.product_id}"


@dataclass(frozen=True)
class DetachFeature:
    """Grant a feature with a product no longer."""

    product_id: str
    lookup_key: str
    attachment_id: str

    def __str__(self) -> str:
        return f"detach feature {self.lookup_key} from {self.product_id}"


@dataclass(frozen=True)
class ArchivePrice:
    """Sell a price no longer; its subscribers keep it."""

    price: LivePrice

    def __str__(self) -> str:
        return f"archive price {self.price.id} of {self.price.product_id}: {self.price.cost}"


@dataclass(frozen=True)
class RetireProduct:
    """Sell a product no longer; its subscribers keep it, with its features."""

    product: Product

    def __str__(self) -> str:
        return f"retire product {self.product.id} ({self.product.name}): its plan is sold no longer"


@dataclass(frozen=True)
class PutPortal:
    """Make our configuration of the portal, or bring the one that is there up to date."""

    portal_id: str | None

    def __str__(self) -> str:
        allowed = "payment method, invoices, address and tax id; no change of plan, no cancellation"
        return f"{'update' if self.portal_id else 'create'} portal configuration: {allowed}"


Change = (
    MakeMeter
    | MakeFeature
    | PutProduct
    | MakePrice
    | LabelPrice
    | AttachFeature
    | DetachFeature
    | ArchivePrice
    | RetireProduct
    | PutPortal
)


def differences(wanted: Sequence[Plan], live: Live) -> list[Change]:
    """What to do, in order, so that Stripe sells the plans that are wanted and nothing else of ours.

    Each change needs only those before it. What is new comes before what is given up: a plan can be bought at every
    moment in between.
    """
    kept = _kept([offer for plan in wanted for offer in wanted_offers(plan)], live.prices)
    making: list[Change] = [] if live.meter_id else [MakeMeter()]
    making += [MakeFeature(feature) for feature in FEATURES if feature not in live.features]
    for plan in wanted:
        making += _product_changes(plan, live)
        making += _price_changes(plan, live, kept)
        making += _feature_changes(plan, live)
    if live.portal is None or not _agrees(PORTAL_FEATURES, live.portal.features):
        making.append(PutPortal(live.portal.id if live.portal else None))
    staying = {price.id for price in kept.values()}
    archiving = [ArchivePrice(price) for price in live.prices if what_is(price.product_id) and price.id not in staying]
    return [*making, *archiving, *_retiring(wanted, live)]


def _kept(offers: Iterable[Offer], prices: Iterable[LivePrice]) -> dict[str, LivePrice]:
    """The prices that already are what is offered under their lookup keys."""
    wanted = {offer.lookup_key: (offer.product_id, offer.cost) for offer in offers}
    return {
        price.lookup_key: price
        for price in prices
        if price.lookup_key and wanted.get(price.lookup_key) == (price.product_id, price.cost)
    }


def _product_changes(plan: Plan, live: Live) -> list[Change]:
    return [
        PutProduct(product, exists=product.id in live.products)
        for product in wanted_products(plan)
        if live.products.get(product.id) != product
    ]


def _price_changes(plan: Plan, live: Live, kept: Mapping[str, LivePrice]) -> list[Change]:
    before = {price.lookup_key: price.cost for price in live.prices}
    changes: list[Change] = []
    for offer in wanted_offers(plan):
        price = kept.get(offer.lookup_key)
        if price is None:
            changes.append(MakePrice(offer, replaces=before.get(offer.lookup_key)))
        elif price.metadata != offer.metadata:
            changes.append(LabelPrice(price.id, offer))
    return changes


def _feature_changes(plan: Plan, live: Live) -> list[Change]:
    product_id = product_of(plan.key, "plan")
    attached = live.attached.get(product_id, {})
    attaching = [AttachFeature(product_id, feature) for feature in plan.features if feature not in attached]
    detaching = [
        DetachFeature(product_id, feature, attachment_id)
        for feature, attachment_id in attached.items()
        if feature not in plan.features
    ]
    return [*attaching, *detaching]


def _retiring(wanted: Sequence[Plan], live: Live) -> list[Change]:
    selling = {product.id for plan in wanted for product in wanted_products(plan)}
    return [
        RetireProduct(product) for product in live.products.values() if product.active and product.id not in selling
    ]


def _agrees(wanted: object, found: object) -> bool:
    """Whether everything that is wanted is there: Stripe answers with more members, and with lists in its own order."""
    if isinstance(wanted, Mapping):
        members = cast("Mapping[str, object]", wanted)
        others = cast("Mapping[str, object]", found) if isinstance(found, Mapping) else {}
        return all(name in others and _agrees(value, others[name]) for name, value in members.items())
    if isinstance(wanted, list) and isinstance(found, list):
        return sorted(cast("list[str]", wanted)) == sorted(cast("list[str]", found))
    return wanted == found
