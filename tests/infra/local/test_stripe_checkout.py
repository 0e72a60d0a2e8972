"""Checkout and the customer's portal: what the API answers, and what a person finds on the pages."""

from __future__ import annotations

import pytest
import stripe


def types(local) -> list[str]:
    """The types of all events, oldest first."""
    return [event.type for event in local.client.v1.events.list(params={"limit": 100}).data][::-1]


def test_paying_makes_customer_subscription_and_a_paid_invoice(local, price, assert_shape):
    session = local.open_session(
        price,
        client_reference_id="ten_1",
        metadata={"tenant": "ten_1"},
        subscription_data={"metadata": {"tenant": "ten_1", "plan": "growth"}},
    )
    assert_shape(session)
    assert (session.status, session.payment_status, session.amount_total) == ("open", "unpaid", 4000)

    status, page, _ = local.visit(str(session.url))
    assert status == 200
    assert "Growth" in page
    assert "USD 20.00 per month" in page
    assert "USD 40.00" in page
    assert 'href="http://127.0.0.1:9/cancelled"' in page

    status, _, location = local.visit(str(session.url), "card=accepted&email=owner%40bank.example")
    assert (status, location) == (303, f"http://127.0.0.1:9/done?session={session.id}")

    paid = local.client.v1.checkout.sessions.retrieve(
        session.id, params={"expand": ["customer", "subscription.latest_invoice", "invoice", "line_items"]}
    )
    assert (paid.status, paid.payment_status, paid.url) == ("complete", "paid", None)
    assert (paid.client_reference_id, paid.metadata["tenant"]) == ("ten_1", "ten_1")
    assert paid.customer_details.email == paid.customer.email == "owner@bank.example"
    assert paid.line_items.data[0].quantity == 2
    assert paid.subscription.status == "active"
    assert paid.subscription.metadata.to_dict() == {"tenant": "ten_1", "plan": "growth"}
    assert paid.subscription.latest_invoice.id == paid.invoice.id
    assert (paid.invoice.status, paid.invoice.amount_paid, paid.invoice.amount_remaining) == ("paid", 4000, 0)
    item = paid.subscription["items"].data[0]
    line = paid.invoice.lines.data[0]
    for shown, kind in [
        (paid.customer, None),
        (paid.subscription, None),
        (item, None),
        (item.plan, None),
        (item.price, None),
        (paid.invoice, None),
        (line, None),
        (paid.line_items.data[0], "item"),
    ]:
        assert_shape(shown, kind)
    assert line.parent.subscription_item_details.subscription_item == item.id


def test_a_payment_tells_what_happened_in_order(local, price):
    session = local.open_session(price)
    before = len(types(local))
    local.visit(str(session.url), "card=accepted&email=owner%40bank.example")
    assert types(local)[before:] == [
        "customer.created",
        "customer.updated",
        "invoice.created",
        "customer.subscription.created",
        "invoice.finalized",
        "invoice.paid",
        "invoice.payment_succeeded",
        "checkout.session.completed",
    ]


def test_a_trial_costs_nothing_today(local, price):
    session = local.open_session(
        price, customer_email="owner@bank.example", subscription_data={"trial_period_days": 14}
    )
    assert session.amount_total == 0
    _, page, _ = local.visit(str(session.url))
    assert "first 14 days are free" in page
    assert "USD 0.00" in page
    local.visit(str(session.url), "card=accepted")
    paid = local.client.v1.checkout.sessions.retrieve(session.id, params={"expand": ["subscription", "invoice"]})
    assert paid.payment_status == "no_payment_required"
    assert paid.subscription.status == "trialing"
    assert paid.subscription.trial_end - paid.subscription.trial_start == 14 * 86_400
    assert (paid.invoice.status, paid.invoice.total) == ("paid", 0)


def test_paying_twice_changes_nothing(local, price):
    session = local.open_session(price, customer_email="owner@bank.example")
    local.visit(str(session.url), "card=accepted")
    after_first = types(local)
    status, page, _ = local.visit(f"{local.server.url}/pay/{session.id}", "card=accepted")
    assert status == 200
    assert "complete" in page
    assert types(local) == after_first
    assert len(local.client.v1.subscriptions.list().data) == 1


def test_a_declined_card_leaves_the_session_open(local, price):
    session = local.open_session(price, customer_email="owner@bank.example")
    before = types(local)
    status, page, _ = local.visit(str(session.url), "card=declined")
    assert status == 402
    assert 'role="alert"' in page
    assert "declined" in page
    assert types(local) == before
    assert local.visit(str(session.url), "card=accepted")[0] == 303


def test_the_page_asks_for_an_address_when_nobody_knows_one(local, price):
    session = local.open_session(price)
    assert 'name="email"' in local.visit(str(session.url))[1]
    status, page, _ = local.visit(str(session.url), "card=accepted&email=nobody")
    assert status == 400
    assert "Enter an e-mail address" in page
    known = local.open_session(price, customer_email="owner@bank.example")
    assert 'name="email"' not in local.visit(str(known.url))[1]


def test_an_existing_customer_is_not_made_again(local, price):
    customer = local.client.v1.customers.create(params={"email": "owner@bank.example"})
    subscription = local.subscribe(price, customer=customer.id)
    assert subscription.customer == customer.id
    assert types(local).count("customer.created") == 1


def test_what_the_caller_wrote_is_escaped_on_the_page(local):
    product = local.client.v1.products.create(params={"name": "<script>alert(1)</script>"})
    session = local.open_session(local.make_price(product=product.id))
    _, page, _ = local.visit(str(session.url))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_a_session_is_charged_in_the_currency_asked_for(local):
    price = local.make_price(currency_options={"jpy": {"unit_amount": 3000}})
    session = local.open_session(price, currency="jpy", customer_email="owner@bank.example")
    assert (session.currency, session.amount_total) == ("jpy", 6000)
    assert "JPY 6,000" in local.visit(str(session.url))[1]
    local.visit(str(session.url), "card=accepted")
    paid = local.client.v1.checkout.sessions.retrieve(session.id, params={"expand": ["subscription.latest_invoice"]})
    assert paid.subscription.currency == paid.subscription.latest_invoice.currency == "jpy"
    assert paid.subscription.latest_invoice.total == 6000


def test_a_session_can_be_expired_once_and_not_be_paid_then(local, price):
    session = local.open_session(price, customer_email="owner@bank.example")
    assert local.client.v1.checkout.sessions.expire(session.id).status == "expired"
    with pytest.raises(stripe.InvalidRequestError, match="status of `expired`"):
        local.client.v1.checkout.sessions.expire(session.id)
    assert local.visit(str(session.url), "card=accepted")[0] == 410
    assert local.client.v1.subscriptions.list().data == []
    assert types(local)[-1] == "checkout.session.expired"


def test_a_session_of_a_forgotten_customer_cannot_be_paid(local, price):
    customer = local.client.v1.customers.create(params={})
    session = local.open_session(price, customer=customer.id)
    local.client.v1.customers.delete(customer.id)
    assert local.visit(str(session.url), "card=accepted")[0] == 404
    assert local.client.v1.checkout.sessions.retrieve(session.id).status == "open"


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"customer": "cus_none"}, "customer"),
        ({"customer": "cus_none", "customer_email": "a@b.c"}, "customer"),
        ({"mode": "payment"}, "mode"),
        ({"success_url": "done.html"}, "success_url"),
        ({"success_url": "http://127.0.0.1:9/\r\nX-Injected: 1"}, "success_url"),
        ({"line_items": [{"price": "price_none", "quantity": 1}]}, "line_items[0][price]"),
        ({"currency": "eur"}, "line_items[0][price]"),
        ({"expires_at": 5}, "expires_at"),
        ({"subscription_data": {"trial_period_days": 0}}, "subscription_data[trial_period_days]"),
        ({"subscription_data": {"trial_period_days": 731}}, "subscription_data[trial_period_days]"),
    ],
)
def test_a_session_that_stripe_would_refuse_is_refused(local, price, params, param):
    with pytest.raises(stripe.InvalidRequestError) as refused:
        local.open_session(price, **params)
    assert refused.value.param == param


def test_a_price_that_cannot_be_subscribed_to_is_refused(local, price):
    local.client.v1.prices.update(price.id, params={"active": False})
    with pytest.raises(stripe.InvalidRequestError, match="inactive"):
        local.open_session(price)
    once = local.client.v1.prices.create(params={"product": str(price.product), "currency": "usd", "unit_amount": 500})
    with pytest.raises(stripe.InvalidRequestError, match="one-time"):
        local.open_session(once)


def test_prices_of_different_intervals_are_not_mixed(local, price):
    yearly = local.make_price(recurring={"interval": "year"})
    with pytest.raises(stripe.InvalidRequestError, match="same billing interval"):
        local.open_session(price, line_items=[{"price": price.id, "quantity": 1}, {"price": yearly.id, "quantity": 1}])


def test_a_customer_ends_and_keeps_the_subscription_in_the_portal(local, price, assert_shape):
    subscription = local.subscribe(price)
    session = local.client.v1.billing_portal.sessions.create(
        params={"customer": str(subscription.customer), "return_url": "http://127.0.0.1:9/billing"}
    )
    assert_shape(session)
    status, page, _ = local.visit(session.url)
    assert status == 200
    assert subscription.id in page
    assert 'href="http://127.0.0.1:9/billing"' in page
    form = f"subscription={subscription.id}&action="
    assert local.visit(session.url, form + "cancel")[0] == 303
    assert local.client.v1.subscriptions.retrieve(subscription.id).cancel_at_period_end
    assert local.visit(session.url, form + "resume")[0] == 303
    kept = local.client.v1.subscriptions.retrieve(subscription.id)
    assert (kept.cancel_at_period_end, kept.cancel_at) == (False, None)


def test_the_portal_acts_on_the_customers_own_subscriptions_only(local, price):
    mine, other = local.subscribe(price), local.subscribe(price)
    session = local.client.v1.billing_portal.sessions.create(params={"customer": str(mine.customer)})
    assert local.visit(session.url, f"action=cancel&subscription={other.id}")[0] == 404
    assert not local.client.v1.subscriptions.retrieve(other.id).cancel_at_period_end


def test_an_invoice_has_a_page(local, price):
    subscription = local.subscribe(price)
    invoice = local.client.v1.invoices.retrieve(str(subscription.latest_invoice))
    status, page, _ = local.visit(str(invoice.hosted_invoice_url))
    assert status == 200
    assert str(invoice.number) in page
    assert "USD 40.00" in page


@pytest.mark.parametrize("path", ["/", "/pay/cs_none", "/portal/bps_none", "/invoice/in_none"])
def test_an_unknown_page_is_not_found(local, path):
    assert local.visit(local.server.url + path)[0] == 404


TAXED = {"automatic_tax": {"enabled": True}, "tax_id_collection": {"enabled": True}}


def test_a_taxed_session_learns_the_payers_address_if_it_may(local, price, assert_shape):
    customer = local.client.v1.customers.create(params={"email": "owner@bank.example", "preferred_locales": ["zh-CN"]})
    session = local.open_session(
        price,
        customer=customer.id,
        customer_update={"address": "auto", "name": "auto"},
        billing_address_collection="required",
        **TAXED,
    )
    assert_shape(session)
    assert session.automatic_tax.enabled
    assert 'name="country"' in local.visit(str(session.url))[1]
    local.visit(str(session.url), "card=accepted&name=Harbour+Bank&line1=1+Quay&city=London&country=GB")
    learned = local.client.v1.customers.retrieve(customer.id)
    assert (learned.name, learned.address.country, learned.address.postal_code) == ("Harbour Bank", "GB", None)
    paid = local.client.v1.checkout.sessions.retrieve(session.id, params={"expand": ["subscription.latest_invoice"]})
    assert paid.customer_details.address.city == "London"
    assert paid.subscription.automatic_tax.enabled
    assert (paid.subscription.latest_invoice.automatic_tax.status, paid.subscription.latest_invoice.total_taxes) == (
        "complete",
        [],
    )


def test_a_session_that_may_not_write_to_the_customer_leaves_it(local, price):
    address = {"line1": "1 Quay", "country": "GB"}
    customer = local.client.v1.customers.create(params={"name": "Harbour Bank", "address": address})
    session = local.open_session(price, customer=customer.id, automatic_tax={"enabled": True})
    local.visit(str(session.url), "card=accepted&name=Other&country=US")
    same = local.client.v1.customers.retrieve(customer.id)
    assert (same.name, same.address.country) == ("Harbour Bank", "GB")


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"automatic_tax": {"enabled": True}}, "automatic_tax"),
        ({"automatic_tax": {"enabled": True}, "customer_update": {"address": "never"}}, "automatic_tax"),
        ({"tax_id_collection": {"enabled": True}, "customer_update": {"address": "auto"}}, "tax_id_collection"),
    ],
)
def test_tax_on_an_existing_customer_needs_leave_to_update_it(local, price, params, param):
    customer = local.client.v1.customers.create(params={"email": "owner@bank.example"})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        local.open_session(price, customer=customer.id, **params)
    assert refused.value.param == param


def test_only_a_customer_that_is_there_can_be_updated(local, price):
    assert local.open_session(price, **TAXED).automatic_tax.enabled
    with pytest.raises(stripe.InvalidRequestError) as refused:
        local.open_session(price, customer_update={"address": "auto"})
    assert refused.value.param == "customer_update"


def test_a_price_is_subscribed_to_once(local, price):
    line = {"price": price.id, "quantity": 1}
    with pytest.raises(stripe.InvalidRequestError, match="two items with the same price"):
        local.open_session(price, line_items=[line, line])
    with pytest.raises(stripe.InvalidRequestError) as missing:
        local.open_session(price, line_items=[{"price": price.id}])
    assert missing.value.param == "line_items[0][quantity]"


def test_customers_are_listed(local):
    made = [local.client.v1.customers.create(params={"email": f"{name}@bank.example"}) for name in "ab"]
    local.client.v1.customers.delete(made[0].id)
    assert [found.id for found in local.client.v1.customers.list().data] == [made[1].id]
    assert local.client.v1.customers.list(params={"email": "a@bank.example"}).data == []
