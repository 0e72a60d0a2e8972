"""Checkout sessions: opened by the caller, paid or left by a person, expired by time."""

from __future__ import annotations

from typing import Any

from . import customers, periods, subscriptions
from .catalog import cost, unit_amount
from .errors import StripeError
from .forms import merge_metadata
from .items import choose_price, is_metered, require_compatible, require_quantity
from .shapes import Object, new_object, object_list
from .state import State

SESSION_LIFE = 24 * 3600
"""Seconds a session stays open, unless the caller asks for less; never under half an hour."""

MAX_TRIAL_DAYS = 730


def create(state: State, params: Object, base_url: str) -> Object:
    """An open session whose page is served under ``base_url``."""
    if "customer" in params and "customer_email" in params:
        raise StripeError("You may only specify one of these parameters: customer, customer_email.", param="customer")
    customer = state.find("customer", params["customer"], "customer") if "customer" in params else None
    _require_customer_update(params, customer)
    with state.living_by(customer["test_clock"] if customer else None):
        made = _opened(state, params, customer)
    made["url"] = f"{base_url}/pay/{made['id']}"
    return state.add(made)


def expire_by_request(state: State, identifier: str) -> Object:
    """Close an open session."""
    session = state.find("checkout.session", identifier)
    if session["status"] != "open":
        raise StripeError(
            'Only Checkout Sessions with a status in ["open"] can be expired. '
            f"This Checkout Session has a status of `{session['status']}`."
        )
    with state.living_by(session["_test_clock"]):
        return expire(state, session)


def expire(state: State, session: Object) -> Object:
    """The session can no longer be paid."""
    with state.changing(session, "checkout.session.expired"):
        session["status"] = "expired"
        session["url"] = None
    return session


def may_go_without_card(session: Object) -> bool:
    """Whether the payer need not give a card: nothing is due today, and the caller said so."""
    return session["payment_method_collection"] == "if_required" and not session["amount_total"]


def pay(state: State, session: Object, *, card: str, payer: Object, base_url: str) -> None:
    """Complete an open session: customer, subscription and first invoice come to be.

    ``card`` is ``accepted``, or ``none`` where the session allows it. ``payer`` is what the person typed: an ``email``,
    used when the session knows neither a customer nor an address; a ``name`` and an ``address``, kept with a new
    customer and with one that the session may update.
    """
    with state.living_by(session["_test_clock"]):
        customer = _paying_customer(state, session, payer)
        if card != "none":
            customers.hold_card(state, customer, card)
        subscription, invoice = subscriptions.begin(
            state,
            customer,
            [(item["price"], item["quantity"]) for item in session["_line_items"]],
            currency=session["currency"],
            terms={**session["_subscription_data"], "automatic_tax": session["automatic_tax"]["enabled"]},
            base_url=base_url,
        )
        with state.changing(session, "checkout.session.completed"):
            session["customer"] = customer["id"]
            session["customer_details"] = _customer_details(customer)
            session["invoice"] = invoice["id"]
            session["payment_status"] = "paid" if session["amount_total"] else "no_payment_required"
            session["status"] = "complete"
            session["subscription"] = subscription["id"]
            session["url"] = None


def line_item_list(session: Object) -> Object:
    """The session's line items, which Stripe shows only when asked to expand them."""
    return object_list(session["_line_items"], f"/v1/checkout/sessions/{session['id']}/line_items")


def price_phrase(item: Object) -> str:
    """What an item costs for each period, ``USD 20.00 per month``, or for each unit used."""
    recurring: dict[str, Any] = item["price"]["recurring"]
    amount = periods.display(unit_amount(item["price"], item["currency"], "price"), item["currency"])
    if is_metered(item["price"]):
        return f"{amount} per unit used"
    count = recurring["interval_count"]
    return f"{amount} per {recurring['interval']}" if count == 1 else f"{amount} per {count} {recurring['interval']}s"


def _require_customer_update(params: Object, customer: Object | None) -> None:
    """Stripe's rules on what a session may write to a customer that is there already."""
    update = params.get("customer_update")
    if customer is None:
        if update is not None:
            raise StripeError("`customer_update` can only be used with `customer`.", param="customer_update")
        return
    update = update or {}
    address = customer["address"] or {}
    if (
        params.get("automatic_tax", {}).get("enabled")
        and not address.get("country")
        and update.get("address") != "auto"
    ):
        raise StripeError(
            "Automatic tax calculation in Checkout requires a valid address on the Customer. Add a valid address to "
            "the Customer or set `customer_update[address]` to 'auto'.",
            param="automatic_tax",
            code="customer_tax_location_invalid",
        )
    if params.get("tax_id_collection", {}).get("enabled") and update.get("name") != "auto":
        raise StripeError(
            "Tax ID collection requires updating business name on the customer. To enable tax ID collection for an "
            "existing customer, please set `customer_update[name]` to `auto`.",
            param="tax_id_collection",
        )


def _opened(state: State, params: Object, customer: Object | None) -> Object:
    """The session as it begins, not stored yet and without its page."""
    trial_days = params.get("subscription_data", {}).get("trial_period_days")
    if trial_days is not None and trial_days > MAX_TRIAL_DAYS:
        raise StripeError(f"A trial is at most {MAX_TRIAL_DAYS} days", param="subscription_data[trial_period_days]")
    expires_at = params.get("expires_at", state.now + SESSION_LIFE)
    if not state.now + 1800 <= expires_at <= state.now + SESSION_LIFE:
        raise StripeError(
            "`expires_at` must be between 30 minutes and 24 hours from Checkout Session creation.", param="expires_at"
        )
    items, currency = _line_items(state, params, free=trial_days is not None)
    total = sum(item["amount_total"] for item in items)
    given = {"email": params.get("customer_email"), "name": None, "address": None}
    copied = (
        "allow_promotion_codes",
        "billing_address_collection",
        "cancel_url",
        "client_reference_id",
        "locale",
        "payment_method_collection",
    )
    made = new_object(
        "checkout.session",
        amount_subtotal=total,
        amount_total=total,
        created=state.now,
        currency=currency,
        customer=customer["id"] if customer else None,
        customer_creation=None if customer else "always",
        customer_details=_customer_details(customer or given) if (customer or given)["email"] else None,
        customer_email=params.get("customer_email"),
        expires_at=expires_at,
        metadata=merge_metadata({}, params.get("metadata", {})),
        success_url=params["success_url"],
        _customer_update=params.get("customer_update", {}),
        _line_items=items,
        _subscription_data=params.get("subscription_data", {}),
        _test_clock=customer["test_clock"] if customer else None,
        **{name: params[name] for name in copied if name in params},
    )
    if params.get("automatic_tax", {}).get("enabled"):
        made["automatic_tax"].update(enabled=True, liability={"type": "self"}, provider="stripe", status="complete")
    return made


def _line_items(state: State, params: Object, *, free: bool) -> tuple[list[Object], str]:
    """The session's items in one currency: the one asked for, or the first price's own."""
    items: list[Object] = []
    if not params["line_items"]:
        raise StripeError("A subscription needs at least one line item.", param="line_items")
    chosen = [
        (f"line_items[{index}]", choose_price(state, entry["price"], f"line_items[{index}][price]"))
        for index, entry in enumerate(params["line_items"])
    ]
    currency: str = params.get("currency") or chosen[0][1]["currency"]
    for entry, (param, price) in zip(params["line_items"], chosen, strict=True):
        quantity = require_quantity(price, entry.get("quantity"), f"{param}[quantity]")
        whole = cost(price, currency, quantity or 0, f"{param}[price]")
        amount = 0 if free else whole
        items.append(
            new_object(
                "item",
                amount_subtotal=amount,
                amount_total=amount,
                currency=currency,
                description=state.find("product", price["product"], f"{param}[price]")["name"],
                price=price,
                quantity=quantity,
            )
        )
    require_compatible([item["price"] for item in items], "line_items")
    return items, currency


def _paying_customer(state: State, session: Object, payer: Object) -> Object:
    """The session's customer, with what it may learn of the payer; a new one where the session has none."""
    if session["customer"] is None:
        address = session["customer_email"] or payer.get("email")
        known = {name: payer[name] for name in ("name", "address") if payer.get(name)}
        return customers.create(state, {**known, "email": address} if address else known)
    customer = state.find("customer", session["customer"], "customer")
    update = session["_customer_update"]
    learned = {name: payer[name] for name in ("name", "address") if payer.get(name) and update.get(name) == "auto"}
    return customers.update(state, customer["id"], learned)


def _customer_details(known: Object) -> Object:
    empty = ("phone", "tax_ids", "business_name", "individual_name")
    same = {name: known[name] for name in ("address", "email", "name")}
    return {**same, "tax_exempt": "none", **dict.fromkeys(empty)}
