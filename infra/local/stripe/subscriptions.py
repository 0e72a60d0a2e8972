"""Subscriptions: begun by a checkout or by the API, changed by the caller, carried forward by time.

::

    (creation) ─ trial ─▶ trialing ─ trial ends ─▶ active ─ payment refused ─▶ past_due ─ last retry refused ─▶ unpaid
        │                                          ▲  ▲                           │                              │
        └─ no trial ───────────────────────────────┘  └────── nothing is owed ────┴──────────────────────────────┘
    trialing ─ trial ends, no card, and so agreed ─▶ paused ─ resumed ─▶ active
    (any state but canceled) ─ cancel ─▶ canceled

An unpaid subscription goes on: its next invoices stay drafts of which nothing is collected, the open one can be paid.
It is active again when the last of its invoices is paid, drafts among them.
"""

from __future__ import annotations

import copy

from . import changes, entitlements, invoices, payment_methods, periods
from .errors import StripeError, missing_object
from .forms import merge_metadata
from .items import changed_items, make_item
from .proration import changed_lines, full_lines
from .shapes import Object, new_object, object_list
from .state import State
from .usage import recount, usage_lines

TRIAL_NOTICE = 3 * periods.DAY
"""Seconds before a trial's end at which its end is announced."""


def begin(
    state: State,
    customer: Object,
    choices: list[tuple[Object, int | None]],
    *,
    currency: str,
    terms: Object,
    base_url: str,
) -> tuple[Object, Object]:
    """A new subscription to (price, quantity) ``choices`` and its first invoice, of zero during a trial.

    ``terms`` may have ``trial_period_days``, ``trial_settings``, ``metadata``, ``default_payment_method`` (the id of a
    card of the customer's) and ``automatic_tax`` (a truth value).
    """
    now = state.now
    trial_days = terms.get("trial_period_days")
    trial_end = now + trial_days * periods.DAY if trial_days else None
    recurring = choices[0][0]["recurring"]
    end = trial_end or periods.period_end(now, now, recurring["interval"], recurring["interval_count"])
    subscription = new_object(
        "subscription",
        billing_cycle_anchor=trial_end or now,
        created=now,
        currency=currency,
        customer=customer["id"],
        default_payment_method=terms.get("default_payment_method"),
        metadata=merge_metadata({}, terms.get("metadata", {})),
        start_date=now,
        status="trialing" if trial_end else "active",
        test_clock=customer["test_clock"],
        trial_end=trial_end,
        trial_start=now if trial_end else None,
        _trial_announced=False,
        _pending_lines=[],
    )
    if terms.get("automatic_tax"):
        subscription["automatic_tax"].update(enabled=True, liability={"type": "self"})
    if "trial_settings" in terms:
        subscription["trial_settings"] = terms["trial_settings"]
    items = [make_item(subscription, price, quantity, (now, end), now) for price, quantity in choices]
    subscription["items"] = object_list(items, f"/v1/subscription_items?subscription={subscription['id']}")
    with state.changing(customer, "customer.updated"):
        customer["currency"] = customer["currency"] or currency
    lines = full_lines(state, subscription, free=trial_end is not None)
    invoice = invoices.draft(state, subscription, lines, "subscription_create", base_url)
    subscription["latest_invoice"] = invoice["id"]
    state.add(subscription, "customer.subscription.created")
    _collect(state, subscription, invoice)
    return subscription, invoice


def update(state: State, identifier: str, params: Object, base_url: str) -> Object:
    """Change items, cancellation, metadata or the trial's end; money follows by ``proration_behavior``."""
    subscription = state.find("subscription", identifier)
    with state.living_by(subscription["test_clock"]):
        return _updated(state, subscription, params, base_url)


def resume(state: State, identifier: str, base_url: str) -> Object:
    """Begin to bill a paused subscription, from now on; the customer needs a card that works."""
    subscription = state.find("subscription", identifier)
    if subscription["status"] != "paused":
        raise StripeError("Only a paused subscription can be resumed.")
    if payment_methods.card_of(state, subscription) != "accepted":
        raise invoices.declined()
    with state.living_by(subscription["test_clock"]):
        subscription["billing_cycle_anchor"] = state.now
        changes.forgive_usage(subscription, state.now)
        with state.changing(subscription, "customer.subscription.resumed"):
            subscription["status"] = "active"
            invoice = _enter_period(state, subscription, "subscription_update", base_url)
        _collect(state, subscription, invoice)
    return subscription


def cancel_by_request(state: State, identifier: str, params: Object, base_url: str) -> Object:
    """Cancel at once; a canceled subscription is as good as gone.

    ``invoice_now`` bills the usage and whatever else was not billed yet, ``prorate`` credits the unused time.
    """
    subscription = state.find("subscription", identifier)
    if subscription["status"] == "canceled":
        raise missing_object("subscription", identifier, "id")
    with state.living_by(subscription["test_clock"]):
        if params.get("prorate") and subscription["status"] != "trialing":
            items = subscription["items"]["data"]
            unused = changed_lines(state, {**subscription, "items": {"data": []}}, items, state.now, credit_only=True)
            subscription["_pending_lines"] += unused
        details = params.get("cancellation_details", {})
        last = ("subscription_update", base_url) if params.get("invoice_now") else None
        return cancel(state, subscription, "cancellation_requested", details, last=last)


def cancel(
    state: State,
    subscription: Object,
    reason: str,
    details: Object | None = None,
    *,
    last: tuple[str, str] | None = None,
) -> Object:
    """End a subscription now; what it left open is not collected any more.

    ``last`` is the billing reason of a last invoice over usage and pending lines, and the server's address; or none.
    """
    trialing = subscription["status"] == "trialing"
    with state.changing(subscription, "customer.subscription.deleted"):
        subscription["status"] = "canceled"
        subscription["canceled_at"] = subscription["canceled_at"] or state.now
        subscription["ended_at"] = state.now
        subscription["cancellation_details"].update(details or {}, reason=reason)
    identifier = subscription["id"]
    for invoice in [
        *invoices.open_invoices(state, subscription=identifier),
        *invoices.waiting_drafts(state, identifier),
    ]:
        invoices.give_up(state, invoice)
    if last is not None and not trialing:
        _bill_last(state, subscription, *last)
    entitlements.renew(state, subscription["customer"])
    return subscription


def end_trial(state: State, subscription: Object, base_url: str, *, reason: str = "subscription_cycle") -> None:
    """The trial is over now: the first paid period begins, unless there is no card and something else was agreed.

    ``reason`` is the billing reason of the period's invoice.
    """
    agreed = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
    has_card = payment_methods.card_of(state, subscription) != "none"
    if not has_card and agreed == "cancel":
        cancel(state, subscription, "payment_failed")
    elif not has_card and agreed == "pause":
        with state.changing(subscription, "customer.subscription.paused"):
            subscription.update(status="paused", trial_end=state.now)
        entitlements.renew(state, subscription["customer"])
    else:
        with state.changing(subscription, "customer.subscription.updated"):
            subscription.update(status="active", trial_end=state.now, billing_cycle_anchor=state.now)
            changes.forgive_usage(subscription, state.now)
            invoice = _enter_period(state, subscription, reason, base_url)
        _collect(state, subscription, invoice)


def renew(state: State, subscription: Object, base_url: str) -> None:
    """The period is over now: the next begins, with usage and what was left pending on its invoice."""
    with state.changing(subscription, "customer.subscription.updated"):
        invoice = _enter_period(state, subscription, "subscription_cycle", base_url)
    _collect(state, subscription, invoice)


def end_at_period_end(state: State, subscription: Object, base_url: str) -> None:
    """The last period is over: what was used in it is billed, and nothing more."""
    cancel(state, subscription, "cancellation_requested", last=("subscription_cycle", base_url))


def finalize(state: State, invoice: Object) -> None:
    """A draft is a draft no longer: its usage is counted for the last time, and its amount collected."""
    recount(state, invoice)
    invoices.finalize_and_collect(state, invoice)
    follow_payment(state, state.find("subscription", invoices.subscription_of(invoice)))


def announce_trial_end(state: State, subscription: Object) -> None:
    """Tell once that the trial ends soon."""
    with state.changing(subscription):
        subscription["_trial_announced"] = True
    state.emit("customer.subscription.trial_will_end", subscription)


def follow_payment(state: State, subscription: Object) -> None:
    """Bring subscription, customer and entitlements in line with what is paid and what is not."""
    owed = invoices.open_invoices(state, subscription=subscription["id"])
    if subscription["status"] in ("active", "past_due", "unpaid"):
        if subscription["status"] == "unpaid":
            owed += invoices.left_drafts(state, subscription["id"])
        given_up = any(invoice["next_payment_attempt"] is None for invoice in owed)
        with state.changing(subscription, "customer.subscription.updated"):
            subscription["status"] = "active" if not owed else "unpaid" if given_up else "past_due"
    customer = state.find("customer", subscription["customer"], "customer")
    with state.changing(customer, "customer.updated"):
        customer["delinquent"] = bool(invoices.open_invoices(state, customer=customer["id"]))
    entitlements.renew(state, customer["id"])


def _updated(state: State, subscription: Object, params: Object, base_url: str) -> Object:
    if subscription["status"] == "canceled" and params.keys() - {"metadata", "cancellation_details"}:
        raise StripeError("A canceled subscription can only update its cancellation_details and metadata.")
    items = changed_items(state, subscription, params["items"]) if "items" in params else None
    if "trial_end" in params and subscription["status"] != "trialing":
        raise StripeError("The subscription is not in a trial.", param="trial_end")
    if card := params.get("default_payment_method"):
        payment_methods.owned(state, card, subscription["customer"], "default_payment_method")
    behaviour = params.get("proration_behavior", "create_prorations")
    prorated_at = params.get("proration_date")
    if items is not None:
        _try_change(state, subscription, items, params)
    invoice = None
    with state.changing(subscription, "customer.subscription.updated"):
        _set_plain_members(state, subscription, params)
        if items is not None:
            lines = changes.replace_items(state, subscription, items, behaviour, prorated_at)
            invoice = None if lines is None else _bill(state, subscription, lines, "subscription_update", base_url)
    if invoice is not None:
        _collect(state, subscription, invoice)
    if "trial_end" in params:
        end_trial(state, subscription, base_url, reason="subscription_update")
    entitlements.renew(state, subscription["customer"])
    return subscription


def _try_change(state: State, subscription: Object, items: list[Object], params: Object) -> None:
    """Refuse, before anything changes, what cannot be done or what may not be left unpaid and would be."""
    tried = copy.deepcopy(subscription)
    behaviour = params.get("proration_behavior", "create_prorations")
    lines = changes.replace_items(state, tried, copy.deepcopy(items), behaviour, params.get("proration_date"))
    if lines is None or params.get("payment_behavior") != "error_if_incomplete":
        return
    due = invoices.composed(state, tried, lines, "subscription_update")["amount_due"]
    tried["default_payment_method"] = params.get("default_payment_method", tried["default_payment_method"])
    if due and payment_methods.card_of(state, tried) != "accepted":
        raise invoices.declined()


def _set_plain_members(state: State, subscription: Object, params: Object) -> None:
    if "metadata" in params:
        subscription["metadata"] = merge_metadata(subscription["metadata"], params["metadata"])
    for name in ("default_payment_method", "description"):
        if name in params:
            subscription[name] = params[name]
    subscription["cancellation_details"].update(params.get("cancellation_details", {}))
    ending = params.get("cancel_at_period_end", subscription["cancel_at_period_end"])
    if ending != subscription["cancel_at_period_end"]:
        subscription["cancel_at_period_end"] = ending
        subscription["cancel_at"] = changes.current_period(subscription)[1] if ending else None
        subscription["canceled_at"] = state.now if ending else None
        subscription["cancellation_details"]["reason"] = "cancellation_requested" if ending else None


def _enter_period(state: State, subscription: Object, reason: str, base_url: str) -> Object:
    """Begin the period that starts now and draft its invoice."""
    return _bill(state, subscription, changes.enter_period(state, subscription, state.now), reason, base_url)


def _bill(state: State, subscription: Object, lines: list[Object], reason: str, base_url: str) -> Object:
    """Draft an invoice over ``lines`` and make it the latest."""
    invoice = invoices.draft(state, subscription, lines, reason, base_url)
    subscription["latest_invoice"] = invoice["id"]
    return invoice


def _collect(state: State, subscription: Object, invoice: Object) -> None:
    """Collect a drafted invoice, unless it is to wait as a draft or, while the subscription is unpaid, to stay one."""
    if subscription["status"] == "unpaid":
        invoices.give_up(state, invoice)
    elif invoice["automatically_finalizes_at"] is None:
        invoices.finalize_and_collect(state, invoice)
    follow_payment(state, subscription)


def _bill_last(state: State, subscription: Object, reason: str, base_url: str) -> None:
    usage = usage_lines(state, subscription, subscription["items"]["data"], state.now)
    lines = changes.take_pending(subscription) + usage
    if any(line["amount"] for line in lines):
        with state.changing(subscription):
            invoice = _bill(state, subscription, lines, reason, base_url)
        _collect(state, subscription, invoice)
