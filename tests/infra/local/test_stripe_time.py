"""Subscriptions as time passes and callers change them; webhooks; a restart."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from itertools import pairwise

import pytest
import stripe

from infra.local.stripe import catalog, checkout
from infra.local.stripe.state import State


def latest_invoice(local, subscription: stripe.Subscription):
    now = local.client.v1.subscriptions.retrieve(subscription.id, params={"expand": ["latest_invoice"]})
    return now.latest_invoice


def status(local, subscription: stripe.Subscription) -> str:
    return local.client.v1.subscriptions.retrieve(subscription.id).status


def set_card(local, subscription: stripe.Subscription, *, declines: bool) -> None:
    local.local("POST", f"customers/{subscription.customer}/card", {"declines": declines})


def test_a_trial_is_announced_and_then_paid_for(local, price):
    subscription = local.subscribe(price, subscription_data={"trial_period_days": 14})
    assert local.advance(days=10.9) == []
    assert local.advance(days=0.2) == ["customer.subscription.trial_will_end"]
    assert local.advance(days=3) == [
        "invoice.created",
        "customer.subscription.updated",
        "invoice.finalized",
        "invoice.paid",
        "invoice.payment_succeeded",
    ]
    assert status(local, subscription) == "active"
    invoice = latest_invoice(local, subscription)
    assert (invoice.billing_reason, invoice.amount_paid) == ("subscription_cycle", 4000)
    assert invoice.created == subscription.trial_end


def test_a_periods_invoice_is_a_draft_for_an_hour(local, price):
    subscription = local.subscribe(price, subscription_data={"trial_period_days": 14})
    set_card(local, subscription, declines=True)
    local.advance(days=14)
    draft = latest_invoice(local, subscription)
    assert (draft.status, draft.automatically_finalizes_at - draft.created) == ("draft", 3600)
    assert status(local, subscription) == "active"
    assert "invoice.payment_failed" in local.advance(days=1.1 / 24)
    final = latest_invoice(local, subscription)
    assert (final.id, final.status, final.automatically_finalizes_at) == (draft.id, "open", None)
    assert status(local, subscription) == "past_due"


def test_a_draft_of_a_canceled_subscription_is_never_collected(local, price):
    subscription = local.subscribe(price, subscription_data={"trial_period_days": 14})
    local.advance(days=14)
    local.client.v1.subscriptions.cancel(subscription.id)
    assert local.advance(days=2) == []
    assert latest_invoice(local, subscription).status == "draft"


def test_a_draft_can_be_paid_at_once(local, price):
    subscription = local.subscribe(price, subscription_data={"trial_period_days": 14})
    local.advance(days=14)
    draft = latest_invoice(local, subscription)
    assert local.client.v1.invoices.pay(draft.id).status == "paid"
    assert local.advance(days=2) == []


def test_a_card_that_declines_after_the_trial_makes_the_subscription_past_due(local, price):
    subscription = local.subscribe(price, subscription_data={"trial_period_days": 14})
    set_card(local, subscription, declines=True)
    events = local.advance(days=14.1)
    assert events[-3:] == ["invoice.payment_failed", "customer.subscription.updated", "customer.updated"]
    assert status(local, subscription) == "past_due"
    invoice = latest_invoice(local, subscription)
    assert (invoice.status, invoice.amount_remaining, invoice.attempt_count) == ("open", 4000, 1)
    assert local.client.v1.customers.retrieve(str(subscription.customer)).delinquent


def test_a_card_that_works_again_heals_the_subscription_at_the_next_retry(local, price):
    subscription = local.subscribe(price, subscription_data={"trial_period_days": 14})
    set_card(local, subscription, declines=True)
    local.advance(days=14.1)
    set_card(local, subscription, declines=False)
    assert "invoice.paid" in local.advance(days=3)
    assert status(local, subscription) == "active"
    assert not local.client.v1.customers.retrieve(str(subscription.customer)).delinquent


def test_each_period_is_billed_once(local, price):
    subscription = local.subscribe(price)
    events = local.advance(days=366)
    assert events.count("invoice.paid") == 12
    invoices = local.client.v1.invoices.list(params={"subscription": subscription.id, "limit": 100}).data
    assert len(invoices) == 13
    assert len({invoice.number for invoice in invoices}) == 13
    lines = [invoice.lines.data[0].period for invoice in invoices][::-1]
    assert all(before.end == after.start for before, after in pairwise(lines))
    by_customer = local.client.v1.invoices.list(params={"customer": str(subscription.customer), "limit": 100})
    assert len(by_customer.data) == 13
    assert local.client.v1.invoices.list(params={"subscription": "sub_other"}).data == []


def test_a_subscription_set_to_end_ends_with_its_period_and_is_not_billed(local, price):
    subscription = local.subscribe(price)
    updated = local.client.v1.subscriptions.update(subscription.id, params={"cancel_at_period_end": True})
    assert updated.cancel_at == updated["items"].data[0].current_period_end
    assert local.advance(days=32) == ["customer.subscription.deleted"]
    assert status(local, subscription) == "canceled"


def test_canceling_is_at_once_and_once(local, price):
    subscription = local.subscribe(price)
    ended = local.client.v1.subscriptions.cancel(
        subscription.id, params={"cancellation_details": {"comment": "too dear"}}
    )
    assert (ended.status, ended.cancellation_details.comment) == ("canceled", "too dear")
    assert ended.ended_at == ended.canceled_at
    with pytest.raises(stripe.InvalidRequestError) as gone:
        local.client.v1.subscriptions.cancel(subscription.id)
    assert gone.value.code == "resource_missing"
    with pytest.raises(stripe.InvalidRequestError, match="canceled subscription"):
        local.client.v1.subscriptions.update(subscription.id, params={"cancel_at_period_end": True})
    assert local.client.v1.subscriptions.list().data == []
    assert len(local.client.v1.subscriptions.list(params={"status": "all"}).data) == 1


def test_forgetting_a_customer_ends_its_subscriptions(local, price):
    subscription = local.subscribe(price)
    local.client.v1.customers.delete(str(subscription.customer))
    assert status(local, subscription) == "canceled"
    assert local.advance(days=60) == []


def test_more_seats_are_charged_for_the_rest_of_the_period(local, price):
    subscription = local.subscribe(price)
    item = subscription["items"].data[0]
    period = item.current_period_end - item.current_period_start
    local.advance(days=period / 2 / 86_400)
    local.client.v1.subscriptions.update(
        subscription.id,
        params={"items": [{"id": item.id, "quantity": 4}], "proration_behavior": "always_invoice"},
    )
    invoice = latest_invoice(local, subscription)
    assert invoice.billing_reason == "subscription_update"
    assert abs(invoice.total - 2000) <= 1
    assert [line.amount < 0 for line in invoice.lines.data] == [True, False]
    assert all(line.parent.subscription_item_details.proration for line in invoice.lines.data)


def test_fewer_seats_are_credited_to_the_next_invoice(local, price):
    subscription = local.subscribe(price)
    item = subscription["items"].data[0]
    local.client.v1.subscriptions.update(subscription.id, params={"items": [{"id": item.id, "quantity": 1}]})
    assert latest_invoice(local, subscription).id == subscription.latest_invoice
    local.advance(days=32)
    invoice = latest_invoice(local, subscription)
    assert abs(invoice.total - 0) <= 1
    assert len(invoice.lines.data) == 3


def test_a_credit_larger_than_the_invoice_stays_on_the_customers_balance(local, price):
    subscription = local.subscribe(price, line_items=[{"price": price.id, "quantity": 10}])
    item = subscription["items"].data[0]
    local.client.v1.subscriptions.update(
        subscription.id,
        params={"items": [{"id": item.id, "quantity": 1}], "proration_behavior": "always_invoice"},
    )
    credit = local.client.v1.customers.retrieve(str(subscription.customer)).balance
    assert -18_000 <= credit <= -17_990
    local.advance(days=32)
    renewed = latest_invoice(local, subscription)
    assert (renewed.amount_due, renewed.ending_balance) == (0, credit + 2000)
    assert local.client.v1.customers.retrieve(str(subscription.customer)).balance == credit + 2000


def test_seats_changed_without_proration_cost_nothing_now(local, price):
    subscription = local.subscribe(price)
    item = subscription["items"].data[0]
    local.client.v1.subscriptions.update(
        subscription.id, params={"items": [{"id": item.id, "quantity": 9}], "proration_behavior": "none"}
    )
    local.advance(days=32)
    assert latest_invoice(local, subscription).total == 18_000


def test_a_change_to_a_yearly_price_begins_a_year_now(local, price):
    yearly = local.make_price(recurring={"interval": "year"}, unit_amount=20_000, product=str(price.product))
    subscription = local.subscribe(price)
    item = subscription["items"].data[0]
    changed = local.client.v1.subscriptions.update(
        subscription.id, params={"items": [{"id": item.id, "price": yearly.id}]}
    )
    now = changed["items"].data[0]
    assert 365 * 86_400 <= now.current_period_end - now.current_period_start <= 366 * 86_400
    invoice = latest_invoice(local, subscription)
    assert abs(invoice.total - (40_000 - 4000)) <= 1


def test_items_are_added_and_removed_but_never_all(local, price):
    seats = local.make_price(unit_amount=500)
    subscription = local.subscribe(price)
    item = subscription["items"].data[0]
    update = local.client.v1.subscriptions.update
    both = update(subscription.id, params={"items": [{"price": seats.id, "quantity": 3}]})
    assert [entry.quantity for entry in both["items"].data] == [2, 3]
    one = update(subscription.id, params={"items": [{"id": item.id, "deleted": True}]})
    assert [entry.price.id for entry in one["items"].data] == [seats.id]
    with pytest.raises(stripe.InvalidRequestError, match="at least one item"):
        update(subscription.id, params={"items": [{"id": one["items"].data[0].id, "deleted": True}]})
    with pytest.raises(stripe.InvalidRequestError) as missing:
        update(subscription.id, params={"items": [{"id": "si_none", "quantity": 1}]})
    assert missing.value.param == "items[0][id]"


def test_a_trial_can_be_ended_now(local, price):
    subscription = local.subscribe(price, subscription_data={"trial_period_days": 14})
    ended = local.client.v1.subscriptions.update(subscription.id, params={"trial_end": "now", "metadata": {"a": "b"}})
    assert (ended.status, ended.metadata["a"]) == ("active", "b")
    assert latest_invoice(local, subscription).amount_paid == 4000


def test_a_subscription_shows_its_price_as_it_is_now(local):
    price = local.make_price(lookup_key="growth")
    subscription = local.subscribe(price)
    local.make_price(lookup_key="growth", transfer_lookup_key=True)
    shown = local.client.v1.subscriptions.retrieve(subscription.id, params={"expand": ["items.data.price.product"]})
    assert shown["items"].data[0].price.lookup_key is None
    assert shown["items"].data[0].price.product.name == "Growth"


def test_prices_stay_shared_after_a_restart(tmp_path):
    journal = tmp_path / "stripe.jsonl"
    state = State(journal)
    product = catalog.create_product(state, {"name": "Growth"})
    terms = {"currency": "usd", "unit_amount": 2000, "recurring": {"interval": "month"}, "product": product["id"]}
    price = catalog.create_price(state, {**terms, "lookup_key": "growth"})
    lines = [{"price": price["id"], "quantity": 1}]
    session = checkout.create(state, {"line_items": lines, "success_url": "http://127.0.0.1:9/"}, "http://127.0.0.1:9")
    checkout.pay(state, session, card="accepted", payer={"email": "a@b.example"}, base_url="http://127.0.0.1:9")
    with state.changed:
        state.commit()

    again = State(journal)
    catalog.update_price(again, price["id"], {"lookup_key": None})
    [subscription] = again.all("subscription")
    assert subscription["items"]["data"][0]["price"]["lookup_key"] is None


def test_an_unpaid_session_expires_after_a_day(local, price):
    session = local.open_session(price)
    assert local.advance(days=0.99) == []
    assert local.advance(days=0.02) == ["checkout.session.expired"]
    assert local.client.v1.checkout.sessions.retrieve(session.id).status == "expired"


def test_what_fell_due_at_different_times_is_told_in_the_order_of_time(local, price):
    local.subscribe(price, subscription_data={"trial_period_days": 5})
    local.open_session(price)
    local.subscribe(price)
    local.advance(days=40)
    created = [event.created for event in local.client.v1.events.list(params={"limit": 100}).data]
    assert created == sorted(created, reverse=True)


def test_webhooks_are_signed_and_arrive_in_order(hooked, receiver, assert_shape):
    hooked.client.v1.customers.create(params={"name": "银行"})
    hooked.client.v1.products.create(params={"name": "Growth"})
    first, second = receiver.next(2)
    assert_shape(first)
    assert [first.type, second.type] == ["customer.created", "product.created"]
    assert first.data.object["name"] == "银行"
    assert first.id == hooked.client.v1.events.list(params={"type": "customer.created"}).data[0].id


def test_a_refused_webhook_is_sent_again_until_accepted(hooked, receiver):
    receiver.statuses = [500, 301, 404]
    hooked.client.v1.customers.create(params={})
    assert len({event.id for event in receiver.next(4)}) == 1
    [delivery] = settled_deliveries(hooked)
    assert (delivery["state"], delivery["attempts"], delivery["last_status"]) == ("delivered", 4, 200)
    assert hooked.client.v1.events.retrieve(delivery["event"]).pending_webhooks == 0


def test_a_webhook_given_up_can_be_sent_once_more(hooked, receiver):
    receiver.statuses = [500] * 5
    hooked.client.v1.customers.create(params={})
    receiver.next(5)
    [failed] = settled_deliveries(hooked)
    assert failed["state"] == "failed"
    hooked.local("POST", f"events/{failed['event']}/resend")
    [event] = receiver.next(1)
    assert event.id == failed["event"]
    assert settled_deliveries(hooked)[0]["state"] == "delivered"


def settled_deliveries(hooked) -> list[dict]:
    """The deliveries once none is pending; the server says when that changes."""
    state = hooked.server.state
    with state.changed:
        assert state.changed.wait_for(
            lambda: all(delivery["state"] != "pending" for delivery in state.all("delivery")), timeout=20
        )
    return hooked.local("GET", "deliveries")["data"]


def start(arguments: list[str], repository) -> tuple[subprocess.Popen, str]:
    command = [sys.executable, "-m", "infra.local.stripe", "--port", "0", *arguments]
    process = subprocess.Popen(command, cwd=repository, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().split()[-1]


def test_a_server_killed_and_started_again_has_lost_nothing(tmp_path, receiver, repository):
    journal = tmp_path / "stripe.jsonl"
    options = ["--state", str(journal), "--webhook-secret", "whsec_test"]
    process, url = start([*options, "--webhook-url", "http://127.0.0.1:9/nobody"], repository)
    client = stripe.StripeClient("sk_test_local", base_addresses={"api": url})
    try:
        product = client.v1.products.create(params={"name": "Growth"})
        customer = client.v1.customers.create(params={"name": "A"}, options={"idempotency_key": "signup-1"})
        advance = urllib.request.Request(f"{url}/_local/advance", json.dumps({"seconds": 86_000}).encode())
        urllib.request.urlopen(advance, timeout=20).close()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    with journal.open("a") as cut_short:
        cut_short.write('[["customer", "cus_half", {"id": "cus_ha')

    process, url = start([*options, "--webhook-url", receiver.url], repository)
    client = stripe.StripeClient("sk_test_local", base_addresses={"api": url})
    try:
        assert client.v1.products.retrieve(product.id).to_dict() == product.to_dict()
        again = client.v1.customers.create(params={"name": "A"}, options={"idempotency_key": "signup-1"})
        assert again.id == customer.id
        with urllib.request.urlopen(f"{url}/_local/health", timeout=20) as health:
            assert json.load(health)["now"] >= customer.created + 86_000
        assert [event.type for event in receiver.next(2)] == ["product.created", "customer.created"]
    finally:
        process.terminate()
        process.stdout.close()
    assert process.wait(20) == 0


def test_a_taken_port_is_said_plainly(local, repository):
    port = str(local.server.server_address[1])
    command = [sys.executable, "-m", "infra.local.stripe", "--port", port]
    ended = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=20)
    assert ended.returncode == 1
    assert f"port {port}" in ended.stderr
