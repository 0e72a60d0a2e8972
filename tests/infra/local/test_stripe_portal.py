"""The customer portal: what a configuration offers, and what a customer does on the page."""

from __future__ import annotations

import pytest
import stripe

OURS = {
    "payment_method_update": {"enabled": True},
    "invoice_history": {"enabled": True},
    "customer_update": {"enabled": True, "allowed_updates": ["address", "tax_id"]},
}


@pytest.fixture
def ours(local):
    """A portal that changes cards and shows invoices; subscriptions are changed elsewhere."""
    return local.client.v1.billing_portal.configurations.create(
        params={
            "features": OURS,
            "metadata": {"duebridge": "portal"},
            "default_return_url": "http://127.0.0.1:9/console",
            "business_profile": {"headline": "Duebridge"},
        }
    )


@pytest.fixture
def subscription(local, price):
    return local.subscribe(price)


def open_portal(local, subscription, **params):
    return local.client.v1.billing_portal.sessions.create(params={"customer": str(subscription.customer), **params})


def test_a_configuration_is_made_listed_and_changed(local, ours, assert_shape):
    assert_shape(ours)
    configurations = local.client.v1.billing_portal.configurations
    assert ours.features.customer_update.allowed_updates == ["address", "tax_id"]
    assert not ours.features.subscription_cancel.enabled
    features = {"subscription_cancel": {"enabled": True, "mode": "at_period_end"}}
    changed = configurations.update(ours.id, params={"features": features, "name": "Ours", "metadata": {"v": "2"}})
    assert changed.features.subscription_cancel.enabled
    assert changed.features.invoice_history.enabled
    assert (changed.name, changed.metadata.to_dict()) == ("Ours", {"duebridge": "portal", "v": "2"})
    assert [found.id for found in configurations.list(params={"active": True, "is_default": False}).data] == [ours.id]
    assert not configurations.update(ours.id, params={"active": False}).active
    assert configurations.list(params={"active": True}).data == []
    assert configurations.retrieve(ours.id).business_profile.headline == "Duebridge"


def test_a_portal_offers_what_its_configuration_says(local, ours, subscription):
    session = open_portal(local, subscription, configuration=ours.id)
    assert (session.configuration, session.return_url) == (ours.id, "http://127.0.0.1:9/console")
    _, page, _ = local.visit(session.url)
    assert "Save card" in page
    assert 'href="http://127.0.0.1:9/console"' in page
    assert "Cancel at the end" not in page
    assert local.visit(session.url, f"action=cancel&subscription={subscription.id}")[0] == 403
    assert not local.client.v1.subscriptions.retrieve(subscription.id).cancel_at_period_end


def test_without_a_configuration_the_default_one_counts(local, subscription):
    first, second = open_portal(local, subscription), open_portal(local, subscription)
    assert first.configuration == second.configuration
    configurations = local.client.v1.billing_portal.configurations
    assert configurations.retrieve(str(first.configuration)).is_default
    with pytest.raises(stripe.InvalidRequestError) as refused:
        configurations.update(str(first.configuration), params={"active": False})
    assert refused.value.param == "active"


def test_a_portal_needs_a_configuration_in_use(local, ours, subscription):
    local.client.v1.billing_portal.configurations.update(ours.id, params={"active": False})
    for configuration in (ours.id, "bpc_none"):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            open_portal(local, subscription, configuration=configuration)
        assert refused.value.param == "configuration"


def test_a_customer_replaces_the_card_and_pays_what_is_open(local, ours, price):
    subscription = local.subscribe(price, subscription_data={"trial_period_days": 14})
    session = open_portal(local, subscription, configuration=ours.id)
    assert local.visit(session.url, "action=card&card=declined")[0] == 303
    local.advance(days=14 + 15.1)
    unpaid = local.client.v1.subscriptions.retrieve(subscription.id)
    assert unpaid.status == "unpaid"

    pay = f"action=pay&invoice={unpaid.latest_invoice}"
    status, page, _ = local.visit(session.url, pay)
    assert (status, 'role="alert"' in page) == (402, True)
    assert local.visit(session.url, "action=card&card=accepted")[0] == 303
    assert 'value="pay"' in local.visit(session.url)[1]
    assert local.visit(session.url, pay)[0] == 303
    assert local.client.v1.subscriptions.retrieve(subscription.id).status == "active"
    _, page, _ = local.visit(session.url)
    assert 'value="pay"' not in page
    assert page.count("<td>paid</td>") == 2


def test_a_customer_pays_its_own_invoices_only(local, subscription, price):
    other = local.subscribe(price, subscription_data={"trial_period_days": 14})
    local.local("POST", f"customers/{other.customer}/card", {"declines": True})
    local.advance(days=14.1)
    owed = local.client.v1.subscriptions.retrieve(other.id).latest_invoice
    session = open_portal(local, subscription)
    assert local.visit(session.url, f"action=pay&invoice={owed}")[0] == 404
    assert local.visit(session.url, "action=dance")[0] == 400
    assert local.visit(session.url, f"action=pay&invoice={subscription.latest_invoice}")[0] == 400


def test_a_customer_changes_the_address_but_not_a_name_that_may_not_be_changed(local, ours, subscription):
    session = open_portal(local, subscription, configuration=ours.id)
    assert 'name="postal_code"' in local.visit(session.url)[1]
    form = "action=details&line1=1+Quay&city=London&country=GB&name=Other"
    assert local.visit(session.url, form)[0] == 303
    customer = local.client.v1.customers.retrieve(str(subscription.customer))
    assert (customer.address.city, customer.address.country, customer.name) == ("London", "GB", None)
    assert 'value="1 Quay"' in local.visit(session.url)[1]
    plain = open_portal(local, subscription)
    assert "Billing details" not in local.visit(plain.url)[1]
    assert local.visit(plain.url, form)[0] == 403


def test_a_portal_that_changes_subscriptions_is_not_covered(local):
    with pytest.raises(stripe.InvalidRequestError) as refused:
        local.client.v1.billing_portal.configurations.create(
            params={"features": {"subscription_update": {"enabled": True}}}
        )
    assert refused.value.param == "features[subscription_update][enabled]"
