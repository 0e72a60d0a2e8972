import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.billing.plans import Plan, Price
from infra.stripe_sync import (
    ArchivePrice,
    LivePrice,
    LiveProduct,
    MakePrice,
    PutProduct,
    differences,
    main,
    product_id,
    read_stripe,
    sync,
)
from tests.billing.payments import SECRET_KEY


def plan(key: str, amounts: dict[str, int], *, name: str = "A plan") -> Plan:
    prices = [
        Price(lookup_key=f"{key}_month_{c.lower()}", interval="month", currency=c, amount=a) for c, a in amounts.items()
    ]
    return Plan.model_validate(
        {
            "key": key,
            "name": {"en": name, "zh": "套餐"},
            "trial_days": 0,
            "seats": 1,
            "active_cases": 1,
            "prices": [price.model_dump() for price in prices],
        }
    )


class Catalogue:
    """What Stripe does with a change, as far as prices and products go."""

    def __init__(self) -> None:
        self.products: dict[str, LiveProduct] = {}
        self.prices: dict[str, LivePrice] = {}
        self.archived: dict[str, LivePrice] = {}

    def apply(self, change) -> None:
        match change:
            case PutProduct(made):
                metadata = {"plan": made.key, "name_zh": made.name.zh}
                self.products[product_id(made)] = LiveProduct(product_id(made), made.name.en, metadata, True)
            case MakePrice(made, price):
                for holder in [p for p in self.prices.values() if p.lookup_key == price.lookup_key]:
                    self.prices[holder.id] = LivePrice(holder.id, holder.product_id, None, holder.terms)
                terms = (price.currency.lower(), price.interval, price.amount)
                identifier = f"price_{len(self.prices) + len(self.archived)}"
                self.prices[identifier] = LivePrice(identifier, product_id(made), price.lookup_key, terms)
            case ArchivePrice(price):
                self.archived[price.id] = self.prices.pop(price.id)

    def differences(self, wanted: list[Plan]):
        return differences(wanted, self.products.values(), self.prices.values())


amounts = st.dictionaries(st.sampled_from(["CNY", "USD", "GBP", "EUR"]), st.integers(1, 5), min_size=1)
catalogues = st.builds(
    lambda a, b, name: [plan("a", a, name=name), plan("b", b)], amounts, amounts, st.sampled_from(["A", "A+"])
)


@given(st.lists(catalogues, min_size=1, max_size=4), st.integers(0, 10))
def test_whatever_was_sold_and_wherever_it_was_interrupted_a_sync_ends_with_what_is_wanted(history, interruption):
    live = Catalogue()
    for wanted in history:
        for change in live.differences(wanted)[:interruption]:
            live.apply(change)
        for change in live.differences(wanted):
            live.apply(change)
        assert live.differences(wanted) == []
        assert {(p.lookup_key, p.terms[2]) for p in live.prices.values()} == {
            (price.lookup_key, price.amount) for made in wanted for price in made.prices
        }


def test_a_new_amount_is_a_new_price_and_the_old_one_is_sold_no_longer():
    live = Catalogue()
    for change in live.differences([plan("a", {"USD": 100})]):
        live.apply(change)
    changes = live.differences([plan("a", {"USD": 120})])
    assert [str(change) for change in changes] == [
        "create price a_month_usd: 120 minor units of USD per month (until now 100 minor units of USD per month)",
        "archive price price_0 of duebridge_a: 100 minor units of USD per month",
    ]


@pytest.fixture
def client(stripe_server):
    return stripe.StripeClient(SECRET_KEY, base_addresses={"api": stripe_server.url}, max_network_retries=0)


def test_a_dry_run_changes_nothing_a_run_does_and_a_second_run_finds_nothing(client, capsys):
    wanted = [plan("dry", {"USD": 100, "CNY": 700})]
    assert len(sync(client, wanted, dry_run=True)) == 3
    assert read_stripe(client, wanted) == ([], [])
    assert len(sync(client, wanted)) == 3
    assert sync(client, wanted) == []
    assert capsys.readouterr().out.splitlines()[-1] == "Stripe has every plan and price already."


def test_those_who_subscribed_to_the_old_price_keep_it(client):
    sync(client, [plan("kept", {"USD": 100})])
    old = client.v1.prices.list({"lookup_keys": ["kept_month_usd"]}).data[0]
    sync(client, [plan("kept", {"USD": 120})])
    new = client.v1.prices.list({"lookup_keys": ["kept_month_usd"], "active": True}).data[0]
    assert (new.unit_amount, new.id != old.id) == (120, True)
    kept = client.v1.prices.retrieve(old.id)
    assert (kept.unit_amount, kept.active, kept.lookup_key) == (100, False, None)


def test_a_renamed_plan_keeps_its_product_and_an_archived_product_is_sold_again(client):
    sync(client, [plan("named", {"USD": 100}, name="Before")])
    client.v1.products.update("duebridge_named", {"active": False})
    renamed = plan("named", {"USD": 100}, name="After")
    assert [str(change) for change in sync(client, [renamed])] == ["update product duebridge_named (After)"]
    product = client.v1.products.retrieve("duebridge_named")
    assert (product.name, product.active) == ("After", True)


def test_the_command_carries_every_plan_over_and_says_what_it_did(stripe_server, monkeypatch, capsys):
    monkeypatch.setenv("STRIPE_API_KEY", SECRET_KEY)
    assert main(["--api-base", stripe_server.url]) == 0
    assert main(["--api-base", stripe_server.url, "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Stripe has every plan and price already."


def test_the_command_without_a_key_or_with_a_wrong_one_says_so(stripe_server, monkeypatch, capsys):
    monkeypatch.delenv("STRIPE_API_KEY", raising=False)
    assert main(["--api-base", stripe_server.url]) == 1
    assert "STRIPE_API_KEY is not set" in capsys.readouterr().err
    monkeypatch.setenv("STRIPE_API_KEY", "sk_test_wrong")
    assert main(["--api-base", stripe_server.url]) == 1
    assert "Stripe did not take it" in capsys.readouterr().err
