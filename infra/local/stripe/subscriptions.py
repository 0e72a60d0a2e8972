"""Subscriptions: begun by a checkout, changed by the caller, carried forward by time.

::

    (checkout) → trialing ─ trial ends ─▶ active ◀─ payment succeeds ─┐
        │                                   │ └─ payment refused ─▶ past_due ─ last retry refused ─▶ canceled
        └─ no trial ────────────────────────▶                        (any state but canceled ─ cancel ─▶ canceled)
"""

from __future__ import annotations

from typing import Any

from . import invoices, periods
from .catalog import unit_amount
from .errors import StripeError, missing_object
from .forms import merge_metadata
from .proration import changed_lines, full_lines
from .shapes import Object, new_object, object_list
from .state import State

TRIAL_NOTICE = 3 * periods.DAY
"""Seconds before a trial's end at which its end is announced."""


def choose_price(state: State, identifier: str, param: str) -> Object:
    """An active, recurring price that a subscription may use."""
    price = state.find("price", identifier, param)
    if not price["active"]:
        raise StripeError("The price specified is inactive. This field only accepts active prices.", param=param)
    if price["recurring"] is None:
        raise StripeError("The price specified is one-time; a subscription takes recurring prices.", param=param)
    return price


def require_one_interval(prices: list[Object], param: str) -> None:
    """All prices of a subscription are billed together."""
    if len({(price["recurring"]["interval"], price["recurring"]["interval_count"]) for price in prices}) > 1:
        raise StripeError("All prices on a subscription must have the same billing interval.", param=param)


def begin(
    state: State,
    customer: Object,
    choices: list[tuple[Object, int]],
    *,
    currency: str,
    trial_days: int | None,
    metadata: dict[str, str],
    base_url: str,
) -> tuple[Object, Object]:
    """A new subscription to (price, quantity) ``choices`` and its first invoice, of zero during a trial."""
    now = state.now
    trial_end = now + trial_days * periods.DAY if trial_days else None
    recurring = choices[0][0]["recurring"]
    end = trial_end or periods.period_end(now, now, recurring["interval"], recurring["interval_count"])
    subscription = new_object(
        "subscription",
        billing_cycle_anchor=trial_end or now,
        created=now,
        currency=currency,
        customer=customer["id"],
        metadata=metadata,
        start_date=now,
        status="trialing" if trial_end else "active",
        test_clock=customer["test_clock"],
        trial_end=trial_end,
        trial_start=now if trial_end else None,
        _trial_announced=False,
        _pending_lines=[],
    )
    items = [_item(subscription, price, quantity, (now, end)) for price, quantity in choices]
    subscription["items"] = object_list(items, f"/v1/subscription_items?subscription={subscription['id']}")
    with state.changing(customer, "customer.updated"):
        customer["currency"] = customer["currency"] or currency
    lines = full_lines(state, subscription, free=trial_end is not None)
    invoice = invoices.draft(state, subscription, lines, "subscription_create", base_url)
    subscription["latest_invoice"] = invoice["id"]
    state.add(subscription, "customer.subscription.created")
    invoices.finalize_and_collect(state, invoice)
    follow_payment(state, subscription)
    return subscription, invoice


def update(state: State, identifier: str, params: Object, base_url: str) -> Object:
    """Change items, cancellation, metadata or the trial's end; money follows by ``proration_behavior``."""
    subscription = state.find("subscription", identifier)
    with state.living_by(subscription["test_clock"]):
        return _updated(state, subscription, params, base_url)


def _updated(state: State, subscription: Object, params: Object, base_url: str) -> Object:
    if subscription["status"] == "canceled" and params.keys() - {"metadata", "cancellation_details"}:
        raise StripeError("A canceled subscription can only update its cancellation_details and metadata.")
    items = _changed_items(state, subscription, params["items"]) if "items" in params else None
    if "trial_end" in params and subscription["status"] != "trialing":
        raise StripeError("The subscription is not in a trial.", param="trial_end")
    behaviour = params.get("proration_behavior", "create_prorations")
    invoice = None
    with state.changing(subscription, "customer.subscription.updated"):
        _set_plain_members(state, subscription, params)
        if items is not None:
            invoice = _replace_items(state, subscription, items, behaviour, base_url)
    if invoice is not None:
        invoices.finalize_and_collect(state, invoice)
        follow_payment(state, subscription)
    if "trial_end" in params:
        end_trial(state, subscription, base_url)
    return subscription


def cancel_by_request(state: State, identifier: str, params: Object) -> Object:
    """Cancel at once; a canceled subscription is as good as gone."""
    subscription = state.find("subscription", identifier)
    if subscription["status"] == "canceled":
        raise missing_object("subscription", identifier, "id")
    with state.living_by(subscription["test_clock"]):
        return cancel(state, subscription, "cancellation_requested", params.get("cancellation_details", {}))


def cancel(state: State, subscription: Object, reason: str, details: Object | None = None) -> Object:
    """End a subscription now; what it left open is not collected any more."""
    with state.changing(subscription, "customer.subscription.deleted"):
        subscription["status"] = "canceled"
        subscription["canceled_at"] = subscription["canceled_at"] or state.now
        subscription["ended_at"] = state.now
        subscription["cancellation_details"].update(details or {}, reason=reason)
    for invoice in invoices.open_invoices(state, subscription=subscription["id"]):
        invoices.give_up(state, invoice)
    return subscription


def end_trial(state: State, subscription: Object, base_url: str) -> None:
    """The trial is over now: the first paid period begins."""
    with state.changing(subscription, "customer.subscription.updated"):
        subscription["status"] = "active"
        subscription["trial_end"] = state.now
        subscription["billing_cycle_anchor"] = state.now
        invoice = _enter_period(state, subscription, "subscription_cycle", base_url)
    invoices.finalize_and_collect(state, invoice)
    follow_payment(state, subscription)


def renew(state: State, subscription: Object, base_url: str) -> None:
    """The period is over now: the next begins, with what was left pending on its invoice."""
    with state.changing(subscription, "customer.subscription.updated"):
        invoice = _enter_period(state, subscription, "subscription_cycle", base_url)
    invoices.finalize_and_collect(state, invoice)
    follow_payment(state, subscription)


def announce_trial_end(state: State, subscription: Object) -> None:
    """Tell once that the trial ends soon."""
    with state.changing(subscription):
        subscription["_trial_announced"] = True
    state.emit("customer.subscription.trial_will_end", subscription)


def follow_payment(state: State, subscription: Object) -> None:
    """Bring the states of subscription and customer in line with what is paid and what is not."""
    unpaid = invoices.open_invoices(state, subscription=subscription["id"])
    if any(invoice["next_payment_attempt"] is None for invoice in unpaid):
        cancel(state, subscription, "payment_failed")
    elif subscription["status"] in ("active", "past_due"):
        with state.changing(subscription, "customer.subscription.updated"):
            subscription["status"] = "past_due" if unpaid else "active"
    customer = state.find("customer", subscription["customer"], "customer")
    with state.changing(customer, "customer.updated"):
        customer["delinquent"] = bool(invoices.open_invoices(state, customer=customer["id"]))


def current_period(subscription: Object) -> tuple[int, int]:
    """Start and end of the current period, which all items share."""
    item = subscription["items"]["data"][0]
    return item["current_period_start"], item["current_period_end"]


def _set_plain_members(state: State, subscription: Object, params: Object) -> None:
    if "metadata" in params:
        subscription["metadata"] = merge_metadata(subscription["metadata"], params["metadata"])
    if "description" in params:
        subscription["description"] = params["description"]
    subscription["cancellation_details"].update(params.get("cancellation_details", {}))
    ending = params.get("cancel_at_period_end", subscription["cancel_at_period_end"])
    if ending != subscription["cancel_at_period_end"]:
        subscription["cancel_at_period_end"] = ending
        subscription["cancel_at"] = current_period(subscription)[1] if ending else None
        subscription["canceled_at"] = state.now if ending else None
        subscription["cancellation_details"]["reason"] = "cancellation_requested" if ending else None


def _item(subscription: Object, price: Object, quantity: int, period: tuple[int, int]) -> Object:
    return new_object(
        "subscription_item",
        created=subscription["created"],
        current_period_start=period[0],
        current_period_end=period[1],
        plan=_plan(price),
        price=price,
        quantity=quantity,
        subscription=subscription["id"],
    )


def _plan(price: Object) -> Object:
    """The older object that Stripe still shows beside a price."""
    same = ("active", "billing_scheme", "created", "currency", "id", "livemode", "metadata", "nickname", "product")
    return new_object(
        "plan",
        amount=price["unit_amount"],
        amount_decimal=price["unit_amount_decimal"],
        interval=price["recurring"]["interval"],
        interval_count=price["recurring"]["interval_count"],
        **{name: price[name] for name in same},
    )


def _changed_items(state: State, subscription: Object, changes: list[Object]) -> list[Object]:
    """The items as they will be; raises before anything changes."""
    period = current_period(subscription)
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
        made = _item(subscription, price, change.get("quantity", old["quantity"] if old else 1), period)
        if old is not None:
            made.update(id=old["id"], created=old["created"])
        else:
            made["created"] = state.now
        items[made["id"]] = made
    if not items:
        raise StripeError("A subscription must have at least one item.", param="items")
    require_one_interval([item["price"] for item in items.values()], "items")
    return list(items.values())


def _replace_items(
    state: State, subscription: Object, items: list[Object], behaviour: str, base_url: str
) -> Object | None:
    """Put ``items`` in place; the drafted invoice, if the change is billed at once."""
    before = subscription["items"]["data"]
    subscription["items"]["data"] = items
    if subscription["status"] == "trialing":
        return None
    same_interval = _interval(before) == _interval(items)
    if behaviour != "none":
        subscription["_pending_lines"] += changed_lines(state, subscription, before, credit_only=not same_interval)
    if not same_interval:
        subscription["billing_cycle_anchor"] = state.now
        return _enter_period(state, subscription, "subscription_update", base_url)
    if behaviour == "always_invoice" and subscription["_pending_lines"]:
        return _invoice(state, subscription, [], "subscription_update", base_url)
    return None


def _interval(items: list[Object]) -> tuple[str, int]:
    recurring = items[0]["price"]["recurring"]
    return recurring["interval"], recurring["interval_count"]


def _enter_period(state: State, subscription: Object, reason: str, base_url: str) -> Object:
    """Begin the period that starts now and draft its invoice."""
    interval, count = _interval(subscription["items"]["data"])
    end = periods.period_end(subscription["billing_cycle_anchor"], state.now, interval, count)
    for item in subscription["items"]["data"]:
        item.update(current_period_start=state.now, current_period_end=end)
    if subscription["cancel_at_period_end"]:
        subscription["cancel_at"] = end
    return _invoice(state, subscription, full_lines(state, subscription), reason, base_url)


def _invoice(state: State, subscription: Object, lines: list[Object], reason: str, base_url: str) -> Object:
    """Draft an invoice over what is pending and ``lines``, and make it the latest."""
    invoice = invoices.draft(state, subscription, subscription["_pending_lines"] + lines, reason, base_url)
    subscription["_pending_lines"] = []
    subscription["latest_invoice"] = invoice["id"]
    return invoice
