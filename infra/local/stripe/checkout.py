"""Checkout sessions and the customer portal's sessions."""

from __future__ import annotations

from typing import Any

from . import customers, periods, subscriptions
from .catalog import unit_amount
from .errors import StripeError
from .forms import merge_metadata
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
    clock = customer["test_clock"] if customer else None
    with state.living_by(clock):
        made = _opened(state, params, customer)
    made["url"] = f"{base_url}/pay/{made['id']}"
    return state.add(made)


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
    copied = ("allow_promotion_codes", "billing_address_collection", "cancel_url", "client_reference_id", "locale")
    email = customer["email"] if customer else params.get("customer_email")
    return new_object(
        "checkout.session",
        amount_subtotal=total,
        amount_total=total,
        created=state.now,
        currency=currency,
        customer=customer["id"] if customer else None,
        customer_creation=None if customer else "always",
        customer_details=_customer_details(email) if email else None,
        customer_email=params.get("customer_email"),
        expires_at=expires_at,
        metadata=merge_metadata({}, params.get("metadata", {})),
        success_url=params["success_url"],
        _line_items=items,
        _subscription_data=params.get("subscription_data", {}),
        _test_clock=customer["test_clock"] if customer else None,
        **{name: params[name] for name in copied if name in params},
    )


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


def pay(state: State, session: Object, *, email: str | None, base_url: str) -> None:
    """Complete an open session with a card that works: customer, subscription and first invoice come to be.

    ``email`` is what the payer typed, used when the session knows neither a customer nor an address.
    """
    with state.living_by(session["_test_clock"]):
        _complete(state, session, email, base_url)


def _complete(state: State, session: Object, email: str | None, base_url: str) -> None:
    data: Object = session["_subscription_data"]
    if session["customer"] is None:
        address = session["customer_email"] or email
        customer = customers.create(state, {"email": address} if address else {})
    else:
        customer = state.find("customer", session["customer"], "customer")
    with state.changing(customer):
        customer["_card"] = "accepted"
    subscription, invoice = subscriptions.begin(
        state,
        customer,
        [(item["price"], item["quantity"]) for item in session["_line_items"]],
        currency=session["currency"],
        trial_days=data.get("trial_period_days"),
        metadata=merge_metadata({}, data.get("metadata", {})),
        base_url=base_url,
    )
    with state.changing(session, "checkout.session.completed"):
        session["customer"] = customer["id"]
        session["customer_details"] = _customer_details(customer["email"])
        session["invoice"] = invoice["id"]
        session["payment_status"] = "paid" if session["amount_total"] else "no_payment_required"
        session["status"] = "complete"
        session["subscription"] = subscription["id"]
        session["url"] = None


def create_portal_session(state: State, params: Object, base_url: str) -> Object:
    """A session for the customer's own page."""
    customer = state.find("customer", params["customer"], "customer")
    made = new_object(
        "billing_portal.session",
        configuration="bpc_local",
        created=state.now,
        customer=customer["id"],
        locale=params.get("locale"),
        return_url=params.get("return_url"),
    )
    made["url"] = f"{base_url}/portal/{made['id']}"
    return state.add(made)


def _line_items(state: State, params: Object, *, free: bool) -> tuple[list[Object], str]:
    """The session's items in one currency: the one asked for, or the first price's own."""
    items: list[Object] = []
    if not params["line_items"]:
        raise StripeError("A subscription needs at least one line item.", param="line_items")
    params_and_prices = [
        (
            f"line_items[{index}][price]",
            subscriptions.choose_price(state, entry["price"], f"line_items[{index}][price]"),
        )
        for index, entry in enumerate(params["line_items"])
    ]
    currency: str = params.get("currency") or params_and_prices[0][1]["currency"]
    for entry, (param, price) in zip(params["line_items"], params_and_prices, strict=True):
        cost = unit_amount(price, currency, param) * entry["quantity"]
        amount = 0 if free else cost
        items.append(
            new_object(
                "item",
                amount_subtotal=amount,
                amount_total=amount,
                currency=currency,
                description=state.find("product", price["product"], param)["name"],
                price=price,
                quantity=entry["quantity"],
            )
        )
    subscriptions.require_one_interval([item["price"] for item in items], "line_items")
    return items, currency


def line_item_list(session: Object) -> Object:
    """The session's line items, which Stripe shows only when asked to expand them."""
    return object_list(session["_line_items"], f"/v1/checkout/sessions/{session['id']}/line_items")


def price_phrase(item: Object) -> str:
    """What an item costs for each period: ``USD 20.00 per month``."""
    recurring: dict[str, Any] = item["price"]["recurring"]
    amount = periods.display(unit_amount(item["price"], item["currency"], "price"), item["currency"])
    count = recurring["interval_count"]
    return f"{amount} per {recurring['interval']}" if count == 1 else f"{amount} per {count} {recurring['interval']}s"


def _customer_details(email: str | None) -> Object:
    empty = ("address", "name", "phone", "tax_ids", "business_name", "individual_name")
    return {"email": email, "tax_exempt": "none", **dict.fromkeys(empty)}
