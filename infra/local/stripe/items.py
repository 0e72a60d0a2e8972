"""The items of a subscription: which prices it may have, how many of each, and what a change makes of them."""

from __future__ import annotations

from typing import Any

from .catalog import unit_amount
from .errors import StripeError, missing_object
from .shapes import Object, new_object
from .state import State


def is_metered(price: Object) -> bool:
    """Whether a price is paid by use, after the period; its items have no quantity."""
    return price["recurring"]["usage_type"] == "metered"


def choose_price(state: State, identifier: str, param: str) -> Object:
    """An active, recurring price that a subscription may use."""
    price = state.find("price", identifier, param)
    if not price["active"]:
        raise StripeError("The price specified is inactive. This field only accepts active prices.", param=param)
    if price["recurring"] is None:
        raise StripeError("The price specified is one-time; a subscription takes recurring prices.", param=param)
    return price


def require_compatible(prices: list[Object], param: str) -> None:
    """All prices of a subscription are billed together, and none twice."""
    if len({(price["recurring"]["interval"], price["recurring"]["interval_count"]) for price in prices}) > 1:
        raise StripeError("All prices on a subscription must have the same billing interval.", param=param)
    if len({price["id"] for price in prices}) < len(prices):
        raise StripeError("A subscription cannot have two items with the same price.", param=param)


def require_quantity(price: Object, quantity: int | None, param: str) -> int | None:
    """The quantity given for a price: one is needed unless the price is metered, which takes none."""
    if is_metered(price):
        if quantity is not None:
            raise StripeError("A metered price takes no quantity: its usage is reported.", param=param)
        return None
    if quantity is None:
        raise StripeError(f"Missing required param: {param}.", param=param, code="parameter_missing")
    return quantity


def make_item(subscription: Object, price: Object, quantity: int | None, period: tuple[int, int], now: int) -> Object:
    """An item from ``now`` on. Like Stripe's, a metered one does not even have a ``quantity``."""
    made = new_object(
        "subscription_item",
        created=now,
        current_period_start=period[0],
        current_period_end=period[1],
        plan=_plan(price),
        price=price,
        quantity=quantity,
        subscription=subscription["id"],
        _usage_from=now,
    )
    if is_metered(price):
        del made["quantity"]
    return made


def changed_items(state: State, subscription: Object, changes: list[Object]) -> list[Object]:
    """The items as they will be; raises before anything changes."""
    period = period_of(subscription["items"]["data"][0])
    items: dict[str, Object] = {item["id"]: item for item in subscription["items"]["data"]}
    for index, change in enumerate(changes):
        param = f"items[{index}]"
        old = items.get(change.get("id", ""))
        if "id" in change and old is None:
            raise missing_object("subscription item", change["id"], f"{param}[id]")
        if old is None and "price" not in change:
            raise StripeError(f"Missing required param: {param}[price].", param=f"{param}[price]")
        if old is not None and change.get("deleted"):
            del items[old["id"]]
            continue
        price: Any = choose_price(state, change["price"], f"{param}[price]") if "price" in change else None
        price = price or (old or {})["price"]
        unit_amount(price, subscription["currency"], f"{param}[price]")
        usual = None if is_metered(price) else (old or {}).get("quantity", 1)
        quantity = require_quantity(price, change.get("quantity", usual), f"{param}[quantity]")
        made = make_item(subscription, price, quantity, period, state.now)
        if old is not None:
            made.update(id=old["id"], created=old["created"])
            if old["price"]["id"] == price["id"]:
                made["_usage_from"] = old["_usage_from"]
        items[made["id"]] = made
    if not items:
        raise StripeError("A subscription must have at least one item.", param="items")
    require_compatible([item["price"] for item in items.values()], "items")
    return list(items.values())


def replaced(before: list[Object], after: list[Object]) -> tuple[list[Object], list[Object]]:
    """The items of ``before`` that are not in ``after`` as they were, and those of ``after`` that are new so."""
    gone = [item for item in before if not any(_same(item, other) for other in after)]
    came = [item for item in after if not any(_same(item, other) for other in before)]
    return gone, came


def product_name(state: State, price: Object) -> str:
    """What a price is paid for."""
    return state.find("product", price["product"], "product")["name"]


def period_of(item: Object) -> tuple[int, int]:
    """Start and end of an item's current period."""
    return item["current_period_start"], item["current_period_end"]


def _same(one: Object, other: Object) -> bool:
    return (one["id"], one["price"]["id"], one.get("quantity")) == (
        other["id"],
        other["price"]["id"],
        other.get("quantity"),
    )


def _plan(price: Object) -> Object:
    """The older object that Stripe still shows beside a price."""
    same = ("active", "billing_scheme", "created", "currency", "id", "livemode", "metadata", "nickname", "product")
    recurring = ("interval", "interval_count", "meter", "usage_type")
    return new_object(
        "plan",
        amount=price["unit_amount"],
        amount_decimal=price["unit_amount_decimal"],
        **{name: price["recurring"][name] for name in recurring},
        **{name: price[name] for name in same},
    )
