"""Makes one change at Stripe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from chalicelib.billing.plans import METER_EVENT
from infra.stripe_sync.catalogue import (
    METER_CUSTOMER_KEY,
    METER_NAME,
    METER_VALUE_KEY,
    PORTAL_FEATURES,
    PORTAL_MARK,
    Offer,
    Product,
)
from infra.stripe_sync.changes import (
    ArchivePrice,
    AttachFeature,
    Change,
    DetachFeature,
    LabelPrice,
    MakeFeature,
    MakeMeter,
    MakePrice,
    PutPortal,
    PutProduct,
    RetireProduct,
)
from infra.stripe_sync.live import Live

if TYPE_CHECKING:
    from stripe import StripeClient
    from stripe.params import PriceCreateParams, ProductUpdateParams
    from stripe.params.billing_portal import ConfigurationUpdateParamsFeatures


@dataclass
class Applier:
    """Makes changes in their order; knows the ids that Stripe gave to what earlier ones made."""

    client: StripeClient
    meter_id: str | None = None
    features: dict[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def on(cls, client: StripeClient, live: Live) -> Applier:
        """One that knows what was there before."""
        return cls(client, live.meter_id, dict(live.features))

    def apply(self, change: Change) -> None:
        """Makes one change. Raises stripe.StripeError; running the command again continues."""
        v1 = self.client.v1
        match change:
            case MakeMeter():
                self.meter_id = self._make_meter()
            case MakeFeature(lookup_key):
                name = lookup_key.replace("_", " ").capitalize()
                made = v1.entitlements.features.create({"lookup_key": lookup_key, "name": name})
                self.features[lookup_key] = made.id
            case PutProduct(product, exists):
                self._put_product(product, exists=exists)
            case MakePrice(offer):
                v1.prices.create(self._price_parameters(offer))
            case LabelPrice(price_id, offer):
                v1.prices.update(price_id, {"metadata": dict(offer.metadata)})
            case AttachFeature(product_id, lookup_key):
                v1.products.features.create(product_id, {"entitlement_feature": self.features[lookup_key]})
            case DetachFeature(product_id, _, attachment_id):
                v1.products.features.delete(product_id, attachment_id)
            case ArchivePrice(price):
                v1.prices.update(price.id, {"active": False})
            case RetireProduct(product):
                v1.products.update(product.id, {"active": False})
            case PutPortal(portal_id):
                self._put_portal(portal_id)

    def _put_portal(self, portal_id: str | None) -> None:
        configurations = self.client.v1.billing_portal.configurations
        if portal_id is None:
            configurations.create({"features": PORTAL_FEATURES, "metadata": PORTAL_MARK})
        else:
            # The SDK declares the same members once for each call.
            features = cast("ConfigurationUpdateParamsFeatures", PORTAL_FEATURES)
            configurations.update(portal_id, {"features": features})

    def _make_meter(self) -> str:
        meter = self.client.v1.billing.meters.create(
            {
                "display_name": METER_NAME,
                "event_name": METER_EVENT,
                "default_aggregation": {"formula": "sum"},
                "customer_mapping": {"type": "by_id", "event_payload_key": METER_CUSTOMER_KEY},
                "value_settings": {"event_payload_key": METER_VALUE_KEY},
            }
        )
        return meter.id

    def _put_product(self, product: Product, *, exists: bool) -> None:
        metadata = dict(product.metadata)
        if exists:
            # Written as "", a unit is removed.
            update: ProductUpdateParams = {
                "name": product.name,
                "unit_label": product.unit or "",
                "metadata": metadata,
                "active": True,
            }
            self.client.v1.products.update(product.id, update)
        elif product.unit is None:
            self.client.v1.products.create({"id": product.id, "name": product.name, "metadata": metadata})
        else:
            self.client.v1.products.create(
                {"id": product.id, "name": product.name, "unit_label": product.unit, "metadata": metadata}
            )

    def _price_parameters(self, offer: Offer) -> PriceCreateParams:
        cost = offer.cost
        parameters: PriceCreateParams = {
            "product": offer.product_id,
            "lookup_key": offer.lookup_key,
            "transfer_lookup_key": True,
            "currency": cost.currency,
            "tax_behavior": "exclusive",
            "metadata": dict(offer.metadata),
        }
        if cost.usage == "licensed":
            parameters["unit_amount"] = int(cost.amount)
            parameters["recurring"] = {"interval": cost.interval}
        else:
            assert self.meter_id is not None, "the meter is made before the prices that it counts for"
            parameters["unit_amount_decimal"] = cost.amount
            parameters["recurring"] = {"interval": cost.interval, "usage_type": "metered", "meter": self.meter_id}
        return parameters
