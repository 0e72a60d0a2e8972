"""A server that goes on from its journal: nothing said before the restart is forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import stripe

from infra.local.stripe.state import State
from tests.infra.local.conftest import LocalStripe, serving

START = 1_800_000_000
DAY = 86_400


@pytest.fixture
def restarted(tmp_path) -> Callable[[], AbstractContextManager[LocalStripe]]:
    """Each use is a server of its own on the one journal."""

    @contextmanager
    def begin() -> Iterator[LocalStripe]:
        with serving(State(tmp_path / "stripe.jsonl")) as server:
            yield server

    return begin


def report(server: LocalStripe, customer: str, identifier: str, value: int) -> None:
    payload = {"stripe_customer_id": customer, "value": str(value)}
    server.client.v1.billing.meter_events.create(
        params={"event_name": "case_hours", "identifier": identifier, "payload": payload}
    )


def test_clocks_usage_features_and_portals_go_on_after_a_restart(restarted):
    with restarted() as first:
        v1 = first.client.v1
        clock = v1.test_helpers.test_clocks.create(params={"frozen_time": START})
        customer = v1.customers.create(params={"test_clock": clock.id, "email": "owner@bank.example"})
        summed = {"formula": "sum"}
        meter = v1.billing.meters.create(
            params={"display_name": "Case hours", "event_name": "case_hours", "default_aggregation": summed}
        )
        recurring = {"interval": "month", "usage_type": "metered", "meter": meter.id}
        price, use = first.make_price(), first.make_price(unit_amount=3, recurring=recurring)
        feature = v1.entitlements.features.create(params={"lookup_key": "insight", "name": "Insight"})
        v1.products.features.create(str(price.product), params={"entitlement_feature": feature.id})
        lines = [{"price": price.id, "quantity": 1}, {"price": use.id}]
        subscription = first.subscribe(price, customer=customer.id, line_items=lines)
        report(first, customer.id, "hour-1", 7)
        portal = v1.billing_portal.sessions.create(params={"customer": customer.id})
        v1.test_helpers.test_clocks.advance(clock.id, params={"frozen_time": START + 31 * DAY})

    with restarted() as second:
        v1 = second.client.v1
        v1.entitlements.features.update(feature.id, params={"name": "Insight 2"})
        attached = v1.products.features.list(str(price.product)).data
        assert [found.entitlement_feature.name for found in attached] == ["Insight 2"]
        assert v1.test_helpers.test_clocks.retrieve(clock.id).frozen_time == START + 31 * DAY
        with pytest.raises(stripe.InvalidRequestError, match="already exists with identifier hour-1"):
            report(second, customer.id, "hour-1", 7)
        assert second.visit(portal.url.replace(first.server.url, second.server.url))[0] == 200
        v1.test_helpers.test_clocks.advance(clock.id, params={"frozen_time": START + 32 * DAY})
        now = v1.subscriptions.retrieve(subscription.id, params={"expand": ["latest_invoice"]})
        assert (now.status, now.latest_invoice.status, now.latest_invoice.total) == ("active", "paid", 2021)
        held = v1.entitlements.active_entitlements.list(params={"customer": customer.id}).data
        assert [entitlement.lookup_key for entitlement in held] == ["insight"]

    with restarted() as third:
        third.client.v1.test_helpers.test_clocks.delete(clock.id)
    with restarted() as fourth:
        assert fourth.client.v1.customers.retrieve(customer.id).deleted
        assert fourth.client.v1.test_helpers.test_clocks.list().data == []
        fourth.advance(days=40)
