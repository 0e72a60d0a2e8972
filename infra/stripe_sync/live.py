"""What Stripe has of ours: everything that carries our ids, lookup keys and marks, and nothing else of the account."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from chalicelib.billing.plans import FEATURES, METER_EVENT, what_is
from infra.stripe_sync.catalogue import LABELS, METER_CUSTOMER_KEY, METER_VALUE_KEY, PORTAL_MARK, Cost, Product, Usage

if TYPE_CHECKING:
    import stripe
    from stripe import StripeClient
    from stripe.billing import Meter

PAGE = 100


class UnfitMeter(Exception):
    """The active meter of our events counts otherwise than we need, which Stripe cannot change."""


@dataclass(frozen=True)
class LivePrice:
    """An active price; `lookup_key` is None for one that another price took it from."""

    id: str
    product_id: str
    lookup_key: str | None
    cost: Cost
    metadata: Mapping[str, str] = field(hash=False)


@dataclass(frozen=True)
class LivePortal:
    """Our configuration of the portal; `features` are as Stripe spells them out."""

    id: str
    features: Mapping[str, object]


@dataclass(frozen=True)
class Live:
    """What Stripe has.

    `products` are ours by their id, sold still or no longer. `prices` are all active ones that are ours or hold a
    lookup key. `features` maps lookup keys to ids; `attached` maps a product's id to the attachments of features to
    it, by the feature's lookup key.
    """

    products: Mapping[str, Product] = field(default_factory=dict[str, Product])
    prices: tuple[LivePrice, ...] = ()
    meter_id: str | None = None
    features: Mapping[str, str] = field(default_factory=dict[str, str])
    attached: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    portal: LivePortal | None = None


def read_live(client: StripeClient) -> Live:
    """Everything of ours at Stripe. Raises stripe.StripeError, and UnfitMeter for a meter that cannot be used."""
    products = {
        product.id: Product(
            product.id, product.name, product.unit_label, _labels(product.metadata), active=product.active
        )
        for product in client.v1.products.list({"limit": PAGE}).auto_paging_iter()
        if what_is(product.id) is not None
    }
    meter_id = _meter_id(client)
    features = client.v1.entitlements.features.list({"limit": PAGE}).auto_paging_iter()
    return Live(
        products=products,
        prices=tuple(_prices(client, meter_id)),
        meter_id=meter_id,
        features={feature.lookup_key: feature.id for feature in features if feature.lookup_key in FEATURES},
        attached={
            product_id: {
                attachment.entitlement_feature.lookup_key: attachment.id
                for attachment in client.v1.products.features.list(product_id, {"limit": PAGE}).auto_paging_iter()
            }
            for product_id in products
            if (what := what_is(product_id)) and what[1] == "plan"
        },
        portal=_portal(client),
    )


def _prices(client: StripeClient, meter_id: str | None) -> Iterable[LivePrice]:
    for price in client.v1.prices.list({"active": True, "limit": PAGE}).auto_paging_iter():
        product_id = price.product if isinstance(price.product, str) else price.product.id
        if price.lookup_key or what_is(product_id):
            cost = _cost(price, meter_id)
            yield LivePrice(price.id, product_id, price.lookup_key, cost, _labels(price.metadata))


def _cost(price: stripe.Price, meter_id: str | None) -> Cost:
    amount = price.unit_amount_decimal
    recurring = price.recurring
    usage: Usage = "licensed"
    if recurring is not None and recurring.usage_type == "metered":
        usage = "metered" if meter_id is not None and recurring.meter == meter_id else "metered elsewhere"
    # Somebody else's price may be paid once, every third month, or by tiers without one amount: none of ours ever is.
    interval = "once" if recurring is None else recurring.interval
    if recurring is not None and recurring.interval_count != 1:
        interval = f"{recurring.interval_count} {interval}s"
    return Cost(price.currency, interval, Decimal(0) if amount is None else amount, usage, price.tax_behavior)


def _meter_id(client: StripeClient) -> str | None:
    for meter in client.v1.billing.meters.list({"status": "active", "limit": PAGE}).auto_paging_iter():
        if meter.event_name == METER_EVENT:
            _check(meter)
            return meter.id
    return None


def _check(meter: Meter) -> None:
    """Only a person may give up a meter: what it counted and nobody was billed for yet goes with it."""
    counts = (
        meter.default_aggregation.formula,
        meter.customer_mapping.event_payload_key,
        meter.value_settings.event_payload_key,
    )
    if counts != ("sum", METER_CUSTOMER_KEY, METER_VALUE_KEY):
        raise UnfitMeter(
            f"the meter {meter.id} of {METER_EVENT} takes the {counts[0]} of {counts[2]!r} by {counts[1]!r}, and must"
            f" take the sum of {METER_VALUE_KEY!r} by {METER_CUSTOMER_KEY!r}. Deactivate it once its usage is billed,"
            " and run this again"
        )


def _portal(client: StripeClient) -> LivePortal | None:
    for found in client.v1.billing_portal.configurations.list({"active": True, "limit": PAGE}).auto_paging_iter():
        if found.metadata is not None and PORTAL_MARK.items() <= found.metadata.to_dict().items():
            return LivePortal(found.id, found.features.to_dict())
    return None


def _labels(metadata: stripe.StripeObject) -> dict[str, str]:
    return {name: value for name, value in metadata.to_dict().items() if name in LABELS}
