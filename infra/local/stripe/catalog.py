"""Products and prices."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from .errors import StripeError
from .forms import merge_metadata
from .shapes import Object, new_object
from .state import State


def create_product(state: State, params: Object) -> Object:
    """A product, with an id of the caller's choice if one is given."""
    if "id" in params and state.get("product", params["id"]):
        raise StripeError(f"Product already exists: {params['id']}", param="id", code="resource_already_exists")
    members = {**params, "metadata": merge_metadata({}, params.get("metadata", {}))}
    made = new_object("product", created=state.now, updated=state.now, **members)
    return state.add(made, "product.created")


def update_product(state: State, identifier: str, params: Object) -> Object:
    """Change what ``params`` names."""
    product = state.find("product", identifier)
    if params.get("default_price"):
        price = state.find("price", params["default_price"], "default_price")
        if price["product"] != identifier:
            raise StripeError("The default price must belong to the product.", param="default_price")
    return update_members(state, product, params, updated=state.now)


def create_price(state: State, params: Object) -> Object:
    """A price per unit in one currency, and in more by ``currency_options``."""
    product = state.find("product", params["product"], "product")
    recurring = params.get("recurring")
    options = params.get("currency_options", {})
    if params["currency"] in options:
        raise StripeError(
            "currency_options must not repeat the price's own currency",
            param=f"currency_options[{params['currency']}]",
        )
    amounts = {params["currency"]: _amount(params, ""), **{code: _amount(options[code], code) for code in options}}
    _claim_lookup_key(state, params, None)
    made = new_object(
        "price",
        active=params.get("active", True),
        created=state.now,
        currency=params["currency"],
        lookup_key=params.get("lookup_key"),
        metadata=merge_metadata({}, params.get("metadata", {})),
        nickname=params.get("nickname"),
        product=product["id"],
        recurring=_recurring(state, recurring) if recurring else None,
        tax_behavior=params.get("tax_behavior", "unspecified"),
        type="recurring" if recurring else "one_time",
        **amounts[params["currency"]],
        _currency_options={
            code: {"custom_unit_amount": None, "tax_behavior": "unspecified", **amount}
            for code, amount in amounts.items()
        },
    )
    return state.add(made, "price.created")


def update_price(state: State, identifier: str, params: Object) -> Object:
    """Change what ``params`` names; an amount never changes."""
    price = state.find("price", identifier)
    _claim_lookup_key(state, params, identifier)
    return update_members(
        state, price, {name: value for name, value in params.items() if name != "transfer_lookup_key"}
    )


def unit_amount(price: Object, currency: str, param: str) -> Decimal:
    """What one unit costs in ``currency``, in minor units, of which it may be a fraction."""
    option = price["_currency_options"].get(currency)
    if option is None:
        raise StripeError(f"The price {price['id']} has no amount in {currency}", param=param)
    return Decimal(option["unit_amount_decimal"])


def cost(price: Object, currency: str, quantity: int, param: str) -> int:
    """What ``quantity`` units cost in ``currency``, in whole minor units, rounded half up."""
    return (2 * Fraction(unit_amount(price, currency, param)) * quantity + 1) // 2


def _amount(params: Object, currency: str) -> Object:
    """``unit_amount``, null for a fraction, and ``unit_amount_decimal``, of which the parameters have one."""
    param = f"currency_options[{currency}][unit_amount]" if currency else "unit_amount"
    if ("unit_amount" in params) == ("unit_amount_decimal" in params):
        code = None if "unit_amount" in params else "parameter_missing"
        raise StripeError("Expected one of unit_amount and unit_amount_decimal.", param=param, code=code)
    exact = Decimal(params["unit_amount"] if "unit_amount" in params else params["unit_amount_decimal"])
    whole = exact == exact.to_integral_value()
    return {"unit_amount": int(exact) if whole else None, "unit_amount_decimal": f"{exact:f}"}


def _recurring(state: State, params: Object) -> Object:
    count = params.get("interval_count", 1)
    if count > {"day": 1095, "week": 156, "month": 36, "year": 3}[params["interval"]]:
        raise StripeError("A billing period is at most three years", param="recurring[interval_count]")
    usage, meter = params.get("usage_type", "licensed"), params.get("meter")
    if (usage == "metered") != (meter is not None):
        raise StripeError("A metered price needs a meter, and only a metered price has one.", param="recurring[meter]")
    if meter is not None and state.find("billing.meter", meter, "recurring[meter]")["status"] != "active":
        raise StripeError("An inactive meter cannot be attached to a price.", param="recurring[meter]")
    return {
        "interval": params["interval"],
        "interval_count": count,
        "meter": meter,
        "trial_period_days": None,
        "usage_type": usage,
    }


def _claim_lookup_key(state: State, params: Object, claimant: str | None) -> None:
    """Free the lookup key asked for from the price that holds it, if the caller said it may be transferred."""
    key = params.get("lookup_key")
    holders = [price for price in state.all("price") if key and price["lookup_key"] == key and price["id"] != claimant]
    for holder in holders:
        if not params.get("transfer_lookup_key"):
            raise StripeError(f"A price (`{holder['id']}`) already uses that lookup key.", param="lookup_key")
        with state.changing(holder, "price.updated"):
            holder["lookup_key"] = None


def update_members(state: State, target: Object, params: Object, **besides: object) -> Object:
    """Apply the parameters that differ from what is there; without any, nothing changes and no event is made."""
    update = dict(params)
    if "metadata" in update:
        update["metadata"] = merge_metadata(target["metadata"], update["metadata"])
    if all(target[name] == value for name, value in update.items()):
        return target
    with state.changing(target, f"{target['object']}.updated"):
        target.update(update, **besides)
    return target
