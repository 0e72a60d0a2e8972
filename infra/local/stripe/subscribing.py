"""Subscriptions begun by the API, without a page: what a paid checkout does, in one call."""

from __future__ import annotations

from . import invoices, payment_methods, subscriptions
from .catalog import cost
from .checkout import MAX_TRIAL_DAYS
from .errors import StripeError
from .items import choose_price, is_metered, require_compatible, require_quantity
from .shapes import Object
from .state import State


def create(state: State, params: Object, base_url: str) -> Object:
    """A subscription to ``items``, in the first price's currency, that is paid at once or begins with a trial.

    One that cannot be paid is refused and not made, as ``payment_behavior`` says: Stripe's ``incomplete`` ones, which
    wait to be paid by a person, are not covered.
    """
    customer = state.find("customer", params["customer"], "customer")
    if (card := params.get("default_payment_method")) is not None:
        payment_methods.owned(state, card, customer["id"], "default_payment_method")
    taxed = params.get("automatic_tax", {}).get("enabled", False)
    if taxed and not (customer["address"] or {}).get("country"):
        raise StripeError(
            "The customer's location isn't recognized. Set a valid customer address in order to automatically "
            "calculate tax.",
            param="automatic_tax",
            code="customer_tax_location_invalid",
        )
    choices = _choices(state, params["items"])
    _require_payable(state, customer, choices, params)
    with state.living_by(customer["test_clock"]):
        subscription, _ = subscriptions.begin(
            state,
            customer,
            choices,
            currency=choices[0][0]["currency"],
            terms={**params, "automatic_tax": taxed},
            base_url=base_url,
        )
    return subscription


def _choices(state: State, items: list[Object]) -> list[tuple[Object, int | None]]:
    choices: list[tuple[Object, int | None]] = []
    for index, item in enumerate(items):
        param = f"items[{index}]"
        price = choose_price(state, item["price"], f"{param}[price]")
        quantity = item.get("quantity", None if is_metered(price) else 1)
        choices.append((price, require_quantity(price, quantity, f"{param}[quantity]")))
    require_compatible([price for price, _ in choices], "items")
    currency = choices[0][0]["currency"]
    for index, (price, quantity) in enumerate(choices):
        cost(price, currency, quantity or 0, f"items[{index}][price]")
    return choices


def _require_payable(state: State, customer: Object, choices: list[tuple[Object, int | None]], params: Object) -> None:
    trial_days = params.get("trial_period_days")
    if trial_days is not None:
        if trial_days > MAX_TRIAL_DAYS:
            raise StripeError(f"A trial is at most {MAX_TRIAL_DAYS} days", param="trial_period_days")
        return
    currency = choices[0][0]["currency"]
    first = sum(cost(price, currency, quantity or 0, "items") for price, quantity in choices)
    paying = {"customer": customer["id"], "default_payment_method": params.get("default_payment_method")}
    card = payment_methods.card_of(state, paying)
    if first + customer["balance"] <= 0 or card == "accepted":
        return
    if card == "declined":
        raise invoices.declined()
    raise StripeError(
        "This customer has no attached payment source or default payment method.", code="resource_missing"
    )
