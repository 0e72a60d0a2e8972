"""Carrying the plans to Stripe: the comparison on a model of Stripe, the calls on the local Stripe."""

import contextlib
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.billing.plans import FEATURES, METER_EVENT, OveragePrice, Plan, PlanName, Price, find_plan, plans
from infra.local.stripe.server import StripeServer
from infra.local.stripe.state import State
from infra.stripe_sync import main, sync
from infra.stripe_sync.catalogue import PORTAL_FEATURES, Cost, wanted_offers, wanted_products
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
    differences,
)
from infra.stripe_sync.live import Live, LivePortal, LivePrice, UnfitMeter, read_live
from tests.billing.payments import SECRET_KEY

NOTHING_TO_DO = "Stripe has everything that the plans need: nothing to do."

OTHER_METER = {
    "display_name": "Hours",
    "event_name": METER_EVENT,
    "default_aggregation": {"formula": "sum"},
    "value_settings": {"event_payload_key": "hours"},
}
"""A meter of our events that takes another member of them."""

FOREIGN = LivePrice("price_foreign", "prod_foreign", "foreign", Cost("usd", "once", Decimal(5)), {})


def plan(key: str, *, usd: int = 100, overage: str = "0.1", name: str = "A plan", features: Sequence[str] = ()) -> Plan:
    entitlements = find_plan("starter").entitlements
    return Plan(
        key=key,
        name=PlanName(en=name, zh="套餐"),
        trial_days=0,
        prices=(Price(f"{key}_month_usd", "month", "USD", usd), Price(f"{key}_year_usd", "year", "USD", 10 * usd)),
        seat_prices=(Price(f"{key}_seat_month_usd", "month", "USD", 7),),
        overage_prices=(OveragePrice(f"{key}_overage_month_usd", "month", "USD", Decimal(overage)),),
        entitlements=entitlements.model_copy(update={feature: feature in features for feature in FEATURES}),
        delays=find_plan("starter").delays,
    )


class Account:
    """What Stripe does with a change; refuses one that needs something which is not there."""

    def __init__(self) -> None:
        self.live = Live(prices=(FOREIGN,))
        self.made = 0

    def apply(self, change: Change) -> None:
        live = self.live
        match change:
            case MakeMeter():
                self.live = replace(live, meter_id="mtr_1")
            case MakeFeature(lookup_key):
                self.live = replace(live, features={**live.features, lookup_key: f"feat_{lookup_key}"})
            case PutProduct(product, exists):
                assert exists == (product.id in live.products)
                self.live = replace(live, products={**live.products, product.id: product})
            case MakePrice(offer):
                assert offer.product_id in live.products
                assert live.meter_id or offer.cost.usage == "licensed"
                self.made += 1
                price = LivePrice(f"price_{self.made}", offer.product_id, offer.lookup_key, offer.cost, offer.metadata)
                losing = (replace(p, lookup_key=None) if p.lookup_key == offer.lookup_key else p for p in live.prices)
                self.live = replace(live, prices=(*losing, price))
            case LabelPrice(price_id, offer):
                labelled = (replace(p, metadata=offer.metadata) if p.id == price_id else p for p in live.prices)
                self.live = replace(live, prices=tuple(labelled))
            case AttachFeature(product_id, lookup_key):
                assert product_id in live.products
                assert lookup_key in live.features
                attached = {**live.attached.get(product_id, {}), lookup_key: f"prodft_{lookup_key}"}
                self.live = replace(live, attached={**live.attached, product_id: attached})
            case DetachFeature(product_id, lookup_key):
                left = {name: it for name, it in live.attached[product_id].items() if name != lookup_key}
                self.live = replace(live, attached={**live.attached, product_id: left})
            case ArchivePrice(price):
                self.live = replace(live, prices=tuple(p for p in live.prices if p.id != price.id))
            case RetireProduct(product):
                retired = replace(live.products[product.id], active=False)
                self.live = replace(live, products={**live.products, product.id: retired})
            case PutPortal():
                self.live = replace(live, portal=LivePortal("bpc_1", PORTAL_FEATURES))

    def on_sale(self) -> set[str]:
        return {price.lookup_key for price in self.live.prices if price.lookup_key}


some_plans = st.builds(
    lambda key, usd, overage, name, features: plan(key, usd=usd, overage=overage, name=name, features=features),
    st.sampled_from(["a", "b"]),
    st.integers(1, 3),
    st.sampled_from(["0.1", "0.10", "0.2"]),
    st.sampled_from(["A plan", "A better plan"]),
    st.lists(st.sampled_from(FEATURES), unique=True),
)
catalogues = st.lists(some_plans, unique_by=lambda made: made.key)


@given(st.lists(st.tuples(catalogues, st.integers(0, 25)), min_size=1, max_size=4))
def test_whatever_was_sold_and_wherever_it_was_interrupted_a_sync_ends_with_what_is_wanted(history):
    account = Account()
    for wanted, interruption in history:
        offers = [offer for made in wanted for offer in wanted_offers(made)]
        never_missing = account.on_sale() & {offer.lookup_key for offer in offers}
        for until in (interruption, None):
            for change in differences(wanted, account.live)[:until]:
                account.apply(change)
                assert never_missing <= account.on_sale()
        assert differences(wanted, account.live) == []
        assert [price for price in account.live.prices if price.product_id == "prod_foreign"] == [FOREIGN]
        ours = {p.lookup_key: (p.product_id, p.cost, p.metadata) for p in account.live.prices if p != FOREIGN}
        assert ours == {offer.lookup_key: (offer.product_id, offer.cost, offer.metadata) for offer in offers}
        assert {product.id for product in account.live.products.values() if product.active} == {
            product.id for made in wanted for product in wanted_products(made)
        }
        for made in wanted:
            assert set(account.live.attached.get(f"duebridge_{made.key}", {})) == set(made.features)


def synced(*wanted: Plan) -> Account:
    account = Account()
    for change in differences(wanted, account.live):
        account.apply(change)
    return account


def told(wanted: Sequence[Plan], live: Live) -> list[str]:
    return [str(change) for change in differences(wanted, live)]


def test_the_first_sync_reads_as_a_list_of_what_is_made():
    assert told([plan("a", name="A", features=["insight"])], Account().live) == [
        "create meter duebridge_case_hours: the sum of case-hours per customer",
        "create feature insight",
        "create feature parallel_run",
        "create feature passkeys_required",
        "create product duebridge_a (A)",
        "create product duebridge_a_seat (A, further seat)",
        "create product duebridge_a_overage (A, case-hours beyond the included cases)",
        "create price a_month_usd: 100 minor units of USD per month",
        "create price a_year_usd: 1000 minor units of USD per year",
        "create price a_seat_month_usd: 7 minor units of USD per month",
        "create price a_overage_month_usd: 0.1 minor units of USD per case-hour, billed by the month",
        "attach feature insight to duebridge_a",
        "create portal configuration: payment method, invoices, address and tax id; no change of plan, no cancellation",
    ]


def test_a_new_amount_is_a_new_price_and_the_old_one_is_sold_no_longer():
    assert told([plan("a", overage="0.2")], synced(plan("a")).live) == [
        "create price a_overage_month_usd: 0.2 minor units of USD per case-hour, billed by the month"
        " (until now 0.1 minor units of USD per case-hour, billed by the month)",
        "archive price price_4 of duebridge_a_overage: 0.1 minor units of USD per case-hour, billed by the month",
    ]


def test_a_plan_that_is_not_in_the_file_any_more_is_sold_no_longer_and_keeps_its_features():
    account = synced(plan("a"), plan("b", name="B", features=["insight"]))
    assert told([plan("a")], account.live) == [
        "archive price price_5 of duebridge_b: 100 minor units of USD per month",
        "archive price price_6 of duebridge_b: 1000 minor units of USD per year",
        "archive price price_7 of duebridge_b_seat: 7 minor units of USD per month",
        "archive price price_8 of duebridge_b_overage: 0.1 minor units of USD per case-hour, billed by the month",
        "retire product duebridge_b (B): its plan is sold no longer",
        "retire product duebridge_b_seat (B, further seat): its plan is sold no longer",
        "retire product duebridge_b_overage (B, case-hours beyond the included cases): its plan is sold no longer",
    ]


def test_a_feature_that_a_plan_grants_no_longer_is_detached():
    account = synced(plan("a", features=["insight", "parallel_run"]))
    assert told([plan("a", features=["insight", "passkeys_required"])], account.live) == [
        "attach feature passkeys_required to duebridge_a",
        "detach feature parallel_run from duebridge_a",
    ]


def test_a_price_that_counts_by_another_meter_or_leaves_its_tax_open_is_replaced():
    live = synced(plan("a")).live
    altered = tuple(
        replace(price, cost=replace(price.cost, usage="metered elsewhere"))
        if price.cost.usage == "metered"
        else replace(price, cost=replace(price.cost, tax_behavior="unspecified"))
        for price in live.prices
    )
    changes = differences([plan("a")], replace(live, prices=altered))
    assert [type(change) for change in changes] == [MakePrice] * 4 + [ArchivePrice] * 4


def test_a_price_that_does_not_say_what_it_is_for_is_labelled_and_stays():
    live = synced(plan("a")).live
    bare = tuple(replace(p, metadata={}) if p.lookup_key == "a_seat_month_usd" else p for p in live.prices)
    assert told([plan("a")], replace(live, prices=bare)) == ["label price a_seat_month_usd: kind=seat, plan=a"]


def test_a_product_that_was_renamed_or_retired_by_hand_is_put_right():
    live = synced(plan("a")).live
    product = live.products["duebridge_a_seat"]
    for altered in (replace(product, name="Sitz"), replace(product, active=False), replace(product, unit=None)):
        products = {**live.products, product.id: altered}
        assert differences([plan("a")], replace(live, products=products)) == [PutProduct(product, exists=True)]


@pytest.mark.parametrize(
    ("found", "right"),
    [
        ({"customer_update": {"enabled": True, "allowed_updates": ["tax_id", "address"], "more": 1}}, True),
        ({"customer_update": {"enabled": True, "allowed_updates": ["tax_id"]}}, False),
        ({"customer_update": {"enabled": True, "allowed_updates": ["tax_id", "address", "email"]}}, False),
        ({"customer_update": None}, False),
        ({"subscription_cancel": {"enabled": True}}, False),
        ({"subscription_pause": {"enabled": False}}, True),
    ],
)
def test_the_portal_is_configured_anew_when_it_allows_something_else(found, right):
    portal = LivePortal("bpc_1", {**PORTAL_FEATURES, **found})
    changes = differences([plan("a")], replace(synced(plan("a")).live, portal=portal))
    assert changes == ([] if right else [PutPortal("bpc_1")])


@pytest.fixture
def account_url() -> Iterator[str]:
    """A Stripe account of its own: a sync retires whatever plans it does not know."""
    server = StripeServer(0, State(), SECRET_KEY)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server.url
    server.shutdown()
    server.server_close()


@pytest.fixture
def client(account_url: str) -> stripe.StripeClient:
    return client_at(account_url)


def client_at(url: str, http_client: stripe.HTTPClient | None = None) -> stripe.StripeClient:
    return stripe.StripeClient(SECRET_KEY, base_addresses={"api": url}, max_network_retries=0, http_client=http_client)


def test_a_dry_run_changes_nothing_a_run_does_and_a_second_run_finds_nothing(client, capsys):
    wanted = [plan("a", features=["insight"]), plan("b")]
    before = read_live(client)
    planned = sync(client, wanted, dry_run=True)
    assert capsys.readouterr().out.splitlines()[-1] == f"{len(planned)} changes to make; nothing was changed."
    assert read_live(client) == before
    assert sync(client, wanted) == planned
    assert sync(client, wanted) == []
    assert capsys.readouterr().out.splitlines()[-1] == NOTHING_TO_DO


def test_what_is_sold_can_be_read_back_from_stripe(client):
    sold = find_plan("growth")
    sync(client, plans())
    for price, kind in [(sold.price("EUR", "year"), "plan"), (sold.seat_price("EUR", "year"), "seat")]:
        found = client.v1.prices.list({"lookup_keys": [price.lookup_key], "active": True}).data[0]
        assert (found.unit_amount, found.currency, found.tax_behavior) == (price.amount, "eur", "exclusive")
        assert (found.recurring.interval, found.recurring.usage_type) == ("year", "licensed")
        assert found.metadata.to_dict() == {"kind": kind, "plan": "growth"}
    overage = sold.overage_price("USD")
    found = client.v1.prices.list({"lookup_keys": [overage.lookup_key], "active": True}).data[0]
    meter = client.v1.billing.meters.retrieve(found.recurring.meter)
    assert (found.unit_amount_decimal, found.recurring.usage_type) == (overage.amount, "metered")
    assert (meter.event_name, meter.status, meter.default_aggregation.formula) == (METER_EVENT, "active", "sum")
    assert features_of(client, "duebridge_enterprise") == set(FEATURES)
    assert client.v1.products.retrieve("duebridge_growth_overage").unit_label == "case-hour"


def features_of(client: stripe.StripeClient, product_id: str) -> set[str]:
    return {found.entitlement_feature.lookup_key for found in client.v1.products.features.list(product_id).data}


def test_those_who_subscribed_to_the_old_price_keep_it(client):
    sync(client, [plan("a", usd=100, overage="0.1")])
    changed = ["a_month_usd", "a_overage_month_usd"]
    old = client.v1.prices.list({"lookup_keys": changed}).data
    sync(client, [plan("a", usd=120, overage="0.2")])
    new = client.v1.prices.list({"lookup_keys": changed, "active": True}).data
    assert {price.lookup_key: price.unit_amount_decimal for price in new} == {
        "a_month_usd": 120,
        "a_overage_month_usd": Decimal("0.2"),
    }
    for price in old:
        kept = client.v1.prices.retrieve(price.id)
        assert (kept.unit_amount_decimal, kept.active, kept.lookup_key) == (price.unit_amount_decimal, False, None)


def test_a_plan_that_left_the_file_can_come_back(client):
    sync(client, [plan("a"), plan("b", features=["insight"])])
    sync(client, [plan("a")])
    assert not client.v1.products.retrieve("duebridge_b_seat").active
    assert client.v1.prices.list({"product": "duebridge_b", "active": True}).data == []
    assert features_of(client, "duebridge_b") == {"insight"}
    returned = [plan("a"), plan("b", features=["parallel_run"])]
    sync(client, returned)
    assert sync(client, returned) == []
    assert client.v1.products.retrieve("duebridge_b_seat").active
    assert features_of(client, "duebridge_b") == {"parallel_run"}


def test_what_is_not_ours_is_left_alone(client):
    product = client.v1.products.create({"name": "A book"})
    recurring = {"interval": "month", "interval_count": 3}
    price = client.v1.prices.create(
        {
            "product": product.id,
            "currency": "usd",
            "unit_amount": 900,
            "lookup_key": "book",
            "recurring": recurring,
        }
    )
    meter = client.v1.billing.meters.create(
        {"display_name": "Pages", "event_name": "pages", "default_aggregation": {"formula": "sum"}}
    )
    portal = client.v1.billing_portal.configurations.create({"features": {"invoice_history": {"enabled": False}}})
    sync(client, [plan("a")])
    sync(client, [])
    assert client.v1.products.retrieve(product.id).active
    assert client.v1.prices.retrieve(price.id).lookup_key == "book"
    assert client.v1.billing.meters.retrieve(meter.id).status == "active"
    assert not client.v1.billing_portal.configurations.retrieve(portal.id).features.invoice_history.enabled


def test_a_price_by_another_rhythm_that_has_our_lookup_key_is_replaced(client):
    sync(client, [plan("a")])
    client.v1.prices.create(
        {
            "product": "duebridge_a",
            "currency": "usd",
            "unit_amount": 100,
            "lookup_key": "a_month_usd",
            "transfer_lookup_key": True,
            "tax_behavior": "exclusive",
            "recurring": {"interval": "month", "interval_count": 3},
        }
    )
    assert str(sync(client, [plan("a")])[0]) == (
        "create price a_month_usd: 100 minor units of USD per month (until now 100 minor units of USD per 3 months)"
    )
    assert sync(client, [plan("a")]) == []


def test_what_others_noted_on_a_product_stays_there_and_is_no_difference(client):
    sync(client, [plan("a")])
    client.v1.products.update("duebridge_a", {"metadata": {"account": "4400"}})
    assert sync(client, [plan("a")]) == []
    sync(client, [plan("a", name="A new name")])
    assert client.v1.products.retrieve("duebridge_a").metadata["account"] == "4400"


def test_a_portal_that_was_changed_by_hand_is_put_right_and_stays_the_only_one(client):
    sync(client, [plan("a")])
    (portal,) = client.v1.billing_portal.configurations.list({"active": True}).data
    client.v1.billing_portal.configurations.update(portal.id, {"features": {"subscription_cancel": {"enabled": True}}})
    assert [type(change) for change in sync(client, [plan("a")])] == [PutPortal]
    (mended,) = client.v1.billing_portal.configurations.list({"active": True}).data
    assert (mended.id, mended.features.subscription_cancel.enabled) == (portal.id, False)


def test_a_meter_that_counts_otherwise_stops_the_sync_before_it_changes_anything(client):
    meter = client.v1.billing.meters.create(OTHER_METER)
    with pytest.raises(UnfitMeter, match=f"the meter {meter.id} of duebridge_case_hours takes the sum of 'hours'"):
        sync(client, [plan("a")])
    assert client.v1.products.list().data == []


def test_a_deactivated_meter_is_followed_by_a_new_one_with_prices_of_its_own(client):
    sync(client, [plan("a")])
    client.v1.billing.meters.deactivate(read_live(client).meter_id)
    assert [type(change) for change in sync(client, [plan("a")])] == [MakeMeter, MakePrice, ArchivePrice]
    assert sync(client, [plan("a")]) == []


class Interrupted(stripe.HTTPClient):
    """Lets a number of writes through; the next is lost, either on its way to Stripe or on the way back."""

    name = "interrupted"

    def __init__(self, writes: int, *, reaches_stripe: bool) -> None:
        super().__init__()
        self._within = stripe.RequestsClient()
        self._left, self._reaches_stripe = writes, reaches_stripe

    def request(self, method, url, headers, post_data=None):
        if method == "get":
            return self._within.request(method, url, headers, post_data)
        self._left -= 1
        answer = (
            self._within.request(method, url, headers, post_data) if self._left >= 0 or self._reaches_stripe else None
        )
        if self._left < 0:
            raise stripe.APIConnectionError("the connection broke")
        return answer

    def close(self) -> None:
        self._within.close()


@pytest.mark.parametrize("reaches_stripe", [False, True])
def test_killed_between_any_two_steps_it_goes_on_from_there(account_url, reaches_stripe):
    client = client_at(account_url)
    sync(client, [plan("gone", features=["insight"]), plan("a", usd=90, features=["insight"])])
    wanted = [plan("a", usd=100, features=["parallel_run"]), plan("new", features=["insight"])]
    left = len(differences(wanted, read_live(client)))
    assert left > 10
    while left:
        with contextlib.suppress(stripe.APIConnectionError):
            sync(client_at(account_url, Interrupted(1, reaches_stripe=reaches_stripe)), wanted)
        left = max(left - 1 - reaches_stripe, 0)
        assert len(differences(wanted, read_live(client))) == left


def test_the_command_carries_every_plan_over_and_says_what_it_did(account_url, monkeypatch, capsys):
    monkeypatch.setenv("STRIPE_API_KEY", SECRET_KEY)
    assert main(["--api-base", account_url]) == 0
    assert re.fullmatch(r"\d+ changes made\.", capsys.readouterr().out.splitlines()[-1])
    assert main(["--api-base", account_url, "--dry-run"]) == 0
    assert capsys.readouterr().out == f"{NOTHING_TO_DO}\n"


def test_the_command_without_a_key_or_with_a_wrong_one_says_so(account_url, monkeypatch, capsys):
    monkeypatch.delenv("STRIPE_API_KEY", raising=False)
    assert main(["--api-base", account_url]) == 1
    assert "STRIPE_API_KEY is not set" in capsys.readouterr().err
    monkeypatch.setenv("STRIPE_API_KEY", "sk_test_wrong")
    assert main(["--api-base", account_url]) == 1
    assert "Stripe did not take it" in capsys.readouterr().err


def test_the_command_says_which_meter_stands_in_its_way(account_url, client, monkeypatch, capsys):
    meter = client.v1.billing.meters.create(OTHER_METER)
    monkeypatch.setenv("STRIPE_API_KEY", SECRET_KEY)
    assert main(["--api-base", account_url]) == 1
    assert f"Nothing was changed: the meter {meter.id}" in capsys.readouterr().err
