"""Stripe Checkout: the page where an institution subscribes. A tenant has one open at a time, and finds it again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chalicelib.billing.clock import billing_now
from chalicelib.billing.customers import ensure_customer, locale_of
from chalicelib.billing.errors import PaymentsUnavailable
from chalicelib.billing.follow import ENDED, find_subscription
from chalicelib.billing.plans import Interval, Plan
from chalicelib.billing.stripe_client import is_missing, payments, stripe_client
from chalicelib.platform.aws import send
from chalicelib.platform.errors import Conflict
from chalicelib.platform.settings import settings
from chalicelib.platform.telemetry import logger
from chalicelib.tenancy import State, TenantRecord, find_tenant, is_due_for_erasure, records

if TYPE_CHECKING:
    from stripe.checkout import Session
    from stripe.params.checkout import (
        SessionCreateParams,
        SessionCreateParamsLineItem,
        SessionCreateParamsSubscriptionData,
    )


@dataclass(frozen=True)
class CheckoutPage:
    """An open checkout: the page to send the customer to."""

    session_id: str
    url: str


def open_checkout(record: TenantRecord, plan: Plan, *, interval: Interval, seats: int = 0) -> CheckoutPage:
    """The page on which a tenant subscribes to a plan, by the month or the year, with `seats` beyond the included ones.

    For one choice it is always the same page while that is open; one that has expired, or that was opened for another
    choice, is replaced. Repeating it after any failure is harmless, and two at once get the same page.

    Raises Conflict for a tenant that subscribes already, whose checkout is completed, or whose erasure is due; Invalid
    for a currency without a price or an address that Stripe refuses; NotFound for a sign-up that was forgotten
    meanwhile; PaymentsUnavailable when Stripe cannot be reached or does not know the price.
    """
    _require_no_subscription(record)
    with payments("checkout not opened", tenant_id=record.pk):
        _require_time_to_return(record)
        choice = _choice(record, plan, interval, seats)
        customer_id = ensure_customer(record)
        if (page := _open_page(record, choice, customer_id)) is not None:
            return page
        parameters = _session_parameters(record, plan, choice, customer_id, _line_items(record, plan, interval, seats))
        session = stripe_client().v1.checkout.sessions.create(
            parameters, {"idempotency_key": _key_of(parameters, record.checkout_session_id)}
        )
    _note(record, session.id, plan)
    return _page(session)


def close_page(record: TenantRecord) -> None:
    """Closes the tenant's open page, if there is one. Raises Conflict when it was paid a moment ago."""
    session = find_session(record.checkout_session_id) if record.checkout_session_id else None
    if session is not None and session.status == "open":
        _expire(session.id)


def close_unless_paid(record: TenantRecord) -> bool:
    """Closes the tenant's page for good; False when it was completed and what it led to has not come to nothing: a bank
    debit may be on its way for weeks. Raises Conflict when it was paid a moment ago."""
    session = find_session(record.checkout_session_id) if record.checkout_session_id else None
    if session is None:
        return True
    if session.status == "open":
        _expire(session.id)
    return session.status != "complete" or _has_come_to_nothing(record, _subscription_of(session))


def find_session(session_id: str) -> Session | None:
    """A checkout session as Stripe has it now; None when there is none of that id. Raises stripe.StripeError."""
    import stripe  # cold start: most calls of the API never speak to Stripe

    try:
        return stripe_client().v1.checkout.sessions.retrieve(session_id)
    except stripe.InvalidRequestError as error:
        if is_missing(error):
            return None
        raise


def find_prices(lookup_keys: Sequence[str]) -> dict[str, str]:
    """The ids of the prices on sale under these lookup keys (ten at most). Raises PaymentsUnavailable when Stripe lacks
    one, and stripe.StripeError."""
    found = stripe_client().v1.prices.list({"lookup_keys": list(lookup_keys), "active": True, "limit": 100}).data
    prices = {price.lookup_key: price.id for price in found if price.lookup_key}
    if missing := sorted(set(lookup_keys) - prices.keys()):
        logger.error("prices are not in Stripe; run infra.stripe_sync", extra={"lookup_keys": missing})
        raise PaymentsUnavailable("this plan cannot be paid for yet")
    return prices


def _open_page(record: TenantRecord, choice: dict[str, str], customer_id: str) -> CheckoutPage | None:
    """The page that is open for that very choice; one for another choice is closed, and one for another customer, who
    was deleted since: nobody can pay there. None when there is none now.

    Raises Conflict when the last page was paid.
    """
    session = find_session(record.checkout_session_id) if record.checkout_session_id else None
    if session is None or session.status == "expired":
        return None
    if session.status == "complete":
        if _has_come_to_nothing(record, _subscription_of(session)):
            return None
        # Paid, and nobody was told yet: Stripe's event is on its way, or was lost.
        send("billing", record.pk, [{"tenant_id": record.pk, "action": "checkout"}])
        raise _completed()
    customer = session.customer if isinstance(session.customer, str | None) else session.customer.id
    if customer == customer_id and session.metadata is not None and session.metadata.to_dict() == choice:
        return _page(session)
    _expire(session.id)
    return None


def _has_come_to_nothing(record: TenantRecord, subscription_id: str | None) -> bool:
    """Whether the subscription of a completed page is over: the one that the tenant had, or one that ended before it
    took the tenant on, as after a bank debit that failed."""
    if subscription_id is None:
        return False
    if subscription_id == record.subscription_id:
        return True
    subscription = find_subscription(subscription_id)
    return subscription is None or subscription.status in ENDED


def _completed() -> Conflict:
    return Conflict("the checkout is completed; the tenant is being set up")


def _require_no_subscription(record: TenantRecord) -> None:
    state = State(record.state)
    if state == State.CLOSING and not record.erasure:
        if record.subscription_id is not None and record.subscription_status not in ENDED:
            # A second one beside it would be paid for and refused.
            raise Conflict("the subscription is still being cancelled; try again in a minute", state=state)
    elif state != State.PENDING:
        raise Conflict(f"a tenant that is {state} cannot subscribe anew", state=state)


def _require_time_to_return(record: TenantRecord) -> None:
    """Raises Conflict when the erasure may begin at any moment: who paid then would pay for nothing."""
    if record.state == State.CLOSING and is_due_for_erasure(record, billing_now(record)):
        raise Conflict("the time to return is over; the tenant is about to be erased", state=record.state)


def _choice(record: TenantRecord, plan: Plan, interval: Interval, seats: int) -> dict[str, str]:
    return {"tenant_id": record.pk, "plan": plan.key, "interval": interval, "seats": str(seats)}


def _line_items(record: TenantRecord, plan: Plan, interval: Interval, seats: int) -> list[SessionCreateParamsLineItem]:
    plan_key = plan.price(record.currency, interval).lookup_key
    seat_key = plan.seat_price(record.currency, interval).lookup_key
    overage_key = plan.overage_price(record.currency, interval).lookup_key
    prices = find_prices([plan_key, overage_key, *([seat_key] if seats else [])])
    items: list[SessionCreateParamsLineItem] = [{"price": prices[plan_key], "quantity": 1}]
    if seats:
        items.append({"price": prices[seat_key], "quantity": seats})
    # What is metered has no quantity: the meter's sum is billed at the end of each period.
    return [*items, {"price": prices[overage_key]}]


def _session_parameters(
    record: TenantRecord,
    plan: Plan,
    choice: dict[str, str],
    customer_id: str,
    line_items: list[SessionCreateParamsLineItem],
) -> SessionCreateParams:
    returns = record.state != State.PENDING
    subscription: SessionCreateParamsSubscriptionData = {
        "metadata": {"tenant_id": record.pk, "plan": plan.key},
        # In the other mode a change of plan would forget what was used in the period until then.
        "billing_mode": {"type": "flexible"},
    }
    if plan.trial_days and not returns:
        subscription["trial_period_days"] = plan.trial_days
        # Somebody who took the card away is billed like everybody else, and reminded like everybody else.
        subscription["trial_settings"] = {"end_behavior": {"missing_payment_method": "create_invoice"}}
    page = f"{settings().public_url}/" if returns else f"{settings().public_url}/signup/{record.pk}"
    return {
        "mode": "subscription",
        "customer": customer_id,
        # Taxes are Stripe's business, for which it asks where the institution is and under which tax id.
        "customer_update": {"address": "auto", "name": "auto"},
        "automatic_tax": {"enabled": True},
        "tax_id_collection": {"enabled": True},
        "billing_address_collection": "required",
        "payment_method_collection": "always",
        "line_items": line_items,
        "client_reference_id": record.pk,
        "locale": locale_of(record),
        "metadata": choice,
        "subscription_data": subscription,
        "success_url": f"{page}?checkout=completed",
        "cancel_url": f"{page}?checkout=cancelled",
    }


def _key_of(parameters: SessionCreateParams, replaced: str | None) -> str:
    """An idempotency key for one opening: the same for whoever asks for the same at the same point of the story."""
    asked = json.dumps([parameters, replaced], sort_keys=True)
    return f"checkout-{hashlib.sha256(asked.encode()).hexdigest()}"


def _expire(session_id: str) -> None:
    """Closes a page, so that nobody pays on two. Raises Conflict when it was paid a moment ago."""
    import stripe  # cold start: as above

    try:
        stripe_client().v1.checkout.sessions.expire(session_id)
    except stripe.InvalidRequestError:
        session = find_session(session_id)
        if session is not None and session.status == "complete":
            raise _completed() from None
        if session is not None and session.status == "open":
            raise


def _note(record: TenantRecord, session_id: str, plan: Plan) -> None:
    """Notes the page on the record, and for a new tenant the terms that it pays for, should the plan be gone by then.

    Raises Conflict, with the page closed, when another page was opened meanwhile or the tenant has moved on.
    """
    model, replaced = records(), record.checkout_session_id
    if replaced == session_id:
        return
    same = model.checkout_session_id.does_not_exist() if replaced is None else model.checkout_session_id == replaced
    actions = [model.checkout_session_id.set(session_id), model.version.add(1)]
    if record.state == State.PENDING:
        actions.append(model.terms.set(plan.terms.model_dump(mode="json")))
    if record.update_if(model.pk.exists() & (model.state == record.state) & same, actions):
        return
    if find_tenant(record.pk).checkout_session_id == session_id:
        return  # somebody who asked for the same at the same time noted it
    with payments("checkout not closed", tenant_id=record.pk):
        _expire(session_id)
    raise Conflict("another checkout was opened at the same time; try again")


def _subscription_of(session: Session) -> str | None:
    subscription = session.subscription
    return subscription if subscription is None or isinstance(subscription, str) else subscription.id


def _page(session: Session) -> CheckoutPage:
    assert session.url is not None, "an open session has a page"
    return CheckoutPage(session.id, session.url)
