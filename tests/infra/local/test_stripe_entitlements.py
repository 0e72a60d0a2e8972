"""Features of products, and what a subscription entitles its customer to."""

from __future__ import annotations

import pytest
import stripe


@pytest.fixture
def feature(local):
    return local.client.v1.entitlements.features.create(params={"lookup_key": "insight", "name": "Insight"})


@pytest.fixture
def attached(local, price, feature):
    return local.client.v1.products.features.create(str(price.product), params={"entitlement_feature": feature.id})


def entitled(local, subscription) -> list[str]:
    found = local.client.v1.entitlements.active_entitlements.list(params={"customer": str(subscription.customer)})
    return sorted(entitlement.lookup_key for entitlement in found.auto_paging_iter())


def told(local) -> list[list[str]]:
    """The lookup keys in each summary that was told, oldest first."""
    kind = "entitlements.active_entitlement_summary.updated"
    events = local.client.v1.events.list(params={"type": kind}).data[::-1]
    return [[held["lookup_key"] for held in event.data.object["entitlements"]["data"]] for event in events]


def test_a_feature_is_made_listed_and_archived(local, feature, assert_shape):
    assert_shape(feature)
    features = local.client.v1.entitlements.features
    with pytest.raises(stripe.InvalidRequestError) as taken:
        features.create(params={"lookup_key": "insight", "name": "Again"})
    assert taken.value.param == "lookup_key"
    assert [found.id for found in features.list(params={"lookup_key": "insight"}).data] == [feature.id]
    assert features.list(params={"lookup_key": "other"}).data == []
    archived = features.update(feature.id, params={"active": False, "name": "Old insight", "metadata": {"a": "b"}})
    assert (archived.active, archived.name, archived.metadata["a"]) == (False, "Old insight", "b")
    assert features.list().data == []
    assert [found.id for found in features.list(params={"archived": True}).data] == [feature.id]
    assert features.retrieve(feature.id).name == "Old insight"


def test_a_product_has_a_feature_once(local, price, feature, attached, assert_shape):
    assert_shape(attached)
    assert_shape(attached.entitlement_feature)
    features, product = local.client.v1.products.features, str(price.product)
    with pytest.raises(stripe.InvalidRequestError, match="already"):
        features.create(product, params={"entitlement_feature": feature.id})
    local.client.v1.entitlements.features.update(feature.id, params={"name": "Insight 2"})
    assert [found.entitlement_feature.name for found in features.list(product).data] == ["Insight 2"]
    assert features.retrieve(product, attached.id).id == attached.id
    other = local.client.v1.products.create(params={"name": "Starter"})
    with pytest.raises(stripe.InvalidRequestError):
        features.retrieve(other.id, attached.id)
    assert_shape(features.delete(product, attached.id), "deleted_product_feature")
    assert features.list(product).data == []


def test_an_archived_feature_is_not_attached(local, price, feature):
    local.client.v1.entitlements.features.update(feature.id, params={"active": False})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        local.client.v1.products.features.create(str(price.product), params={"entitlement_feature": feature.id})
    assert refused.value.param == "entitlement_feature"


def test_a_subscription_entitles_until_it_ends(local, price, feature, attached, assert_shape):
    subscription = local.subscribe(price)
    assert entitled(local, subscription) == ["insight"]
    [held] = local.client.v1.entitlements.active_entitlements.list(
        params={"customer": str(subscription.customer), "expand": ["data.feature"]}
    ).data
    assert_shape(held)
    assert held.feature.id == feature.id
    assert local.client.v1.entitlements.active_entitlements.retrieve(held.id).lookup_key == "insight"

    local.client.v1.subscriptions.cancel(subscription.id)
    assert entitled(local, subscription) == []
    assert told(local) == [["insight"], []]
    kind = "entitlements.active_entitlement_summary.updated"
    event = local.client.v1.events.list(params={"type": kind}).data[0]
    assert_shape(event.data.object)
    assert event.data.object["customer"] == subscription.customer
    assert event.data.previous_attributes["entitlements"]["data"][0]["lookup_key"] == "insight"


def test_a_past_due_subscription_entitles_and_an_unpaid_one_does_not(local, price, attached):
    subscription = local.subscribe(price, subscription_data={"trial_period_days": 14})
    local.local("POST", f"customers/{subscription.customer}/card", {"declines": True})
    local.advance(days=14.1)
    assert entitled(local, subscription) == ["insight"]
    local.advance(days=15)
    assert entitled(local, subscription) == []
    local.local("POST", f"customers/{subscription.customer}/card", {"declines": False})
    latest = local.client.v1.subscriptions.retrieve(subscription.id).latest_invoice
    local.client.v1.invoices.pay(str(latest))
    assert entitled(local, subscription) == ["insight"]


def test_a_change_of_plan_changes_the_entitlements(local, price, attached):
    subscription = local.subscribe(price)
    plain = local.make_price()
    item = subscription["items"].data[0]
    local.client.v1.subscriptions.update(subscription.id, params={"items": [{"id": item.id, "price": plain.id}]})
    assert entitled(local, subscription) == []


def test_a_feature_given_to_a_product_reaches_subscribers_with_their_next_period(local, price, feature):
    subscription = local.subscribe(price)
    local.client.v1.products.features.create(str(price.product), params={"entitlement_feature": feature.id})
    assert entitled(local, subscription) == []
    local.advance(days=32)
    assert entitled(local, subscription) == ["insight"]
