"""A tenant's subscription: what a change would cost, the change itself, its end and the undoing of that.

Stripe is told what to change and the registry follows what Stripe then says: a change that was made by a caller who
did not live to hear of it is found made by the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from chalicelib.billing.checkout import find_prices
from chalicelib.billing.choice import Choice, Item, ItemChange, Wish, item_changes, lookup_keys
from chalicelib.billing.errors import ChangeRefused, PaymentDeclined, PaymentsUnavailable
from chalicelib.billing.follow import ENDED, find_subscription, follow, items_by_kind
from chalicelib.billing.plans import Interval, Kind, Plan, find_plan, plans
from chalicelib.billing.stripe_client import payments, stripe_client
from chalicelib.billing.turns import Turn, give_back, take_turn
from chalicelib.platform.errors import Conflict
from chalicelib.platform.telemetry import logger
from chalicelib.tenancy import State, TenantRecord, find_tenant, forget_access, terms_of

if TYPE_CHECKING:
    from stripe import InvalidRequestError, Invoice, StripeError, Subscription
    from stripe.params import (
        InvoiceCreatePreviewParams,
        InvoiceCreatePreviewParamsSubscriptionDetailsItem,
        SubscriptionUpdateParamsItem,
    )

_CHANGEABLE = ("trialing", "active")


@dataclass(frozen=True)
class Subscribed:
    """A subscription as Stripe has it: what was chosen, its items, and whether it ends with the period."""

    id: str
    status: str
    choice: Choice
    items: dict[Kind, Item]
    ends_with_period: bool


@dataclass(frozen=True)
class _Change:
    """A change that may be made: what is wished for, what becomes of the items, and the keys of the new prices."""

    wished: Choice
    items: list[ItemChange]
    keys: dict[Kind, str]


@dataclass(frozen=True)
class Line:
    """A line of an invoice to come; `amount` is in minor units, less than zero for what is given back."""

    description: str
    amount: int
    quantity: int | None
    since: datetime
    until: datetime


@dataclass(frozen=True)
class Preview:
    """The invoice that would come next, taxes included; amounts are in minor units. `amount_due` is what would be
    taken, after what the customer has to its credit."""

    currency: str
    total: int
    amount_due: int
    lines: list[Line]


def preview_change(record: TenantRecord, wish: Wish) -> Preview:
    """What a change would cost: the invoice that Stripe would make of it at once, or, when there is nothing to be paid
    or nothing changes, the next one. Raises what `change_subscription` raises, but for declines and versions."""
    subscribed = _changeable(record)
    change = _allowed(record, subscribed, wish)
    assert record.customer_id is not None, "who subscribes is a customer"
    params: InvoiceCreatePreviewParams = {"customer": record.customer_id, "subscription": subscribed.id}
    with payments("change not previewed", tenant_id=record.pk):
        if change.items:
            # The same members as those of a change; the SDK has a type of its own for each call.
            items = cast("list[InvoiceCreatePreviewParamsSubscriptionDetailsItem]", _parameters(change))
            params["subscription_details"] = {"items": items, "proration_behavior": "always_invoice"}
        return _preview(stripe_client().v1.invoices.create_preview(params))


def change_subscription(
    record: TenantRecord, wish: Wish, *, expected_version: int | None = None, now: datetime
) -> TenantRecord:
    """Changes plan, interval or extra seats, has Stripe take or credit the difference at once, and answers the record
    as it is then. A wish that is fulfilled already changes nothing, so repeating a change is harmless.

    `expected_version` is the version of the record that the caller has seen; `now` is real time. Raises Conflict when
    there is another version, another change under way, no running subscription or not enough seats for those in use;
    Invalid for a plan that is not sold; PaymentDeclined when the difference cannot be taken, and ChangeRefused when
    Stripe does not accept the change for another reason, and then nothing changed; PaymentsUnavailable when Stripe is
    silent, and then it is not known whether it changed.
    """
    subscribed = _changeable(record)
    change = _allowed(record, subscribed, wish)
    if not change.items:
        return _followed(record)
    if expected_version not in (None, record.version):
        raise Conflict(f"the subscription's version is {record.version} by now", version=record.version)
    with payments("subscription not changed", tenant_id=record.pk):
        items = _parameters(change)
    turn = take_turn(record, change.wished, now=now)
    _update(subscribed.id, items, turn)
    logger.info("subscription changed", extra={"tenant_id": record.pk, "kinds": [each.kind for each in change.items]})
    followed = _followed(record)
    give_back(turn)
    return followed


def end_with_period(record: TenantRecord, ends: bool) -> TenantRecord:
    """Has the subscription end when the paid period does, or go on after all; the record as it is then.

    Raises Conflict when there is no running subscription, and PaymentsUnavailable.
    """
    with payments("end of the subscription not changed", tenant_id=record.pk):
        subscribed = _running(record)
        if subscribed.ends_with_period != ends:
            # Without a key of ours: said twice it is the same, and said again after the opposite it must count anew.
            stripe_client().v1.subscriptions.update(subscribed.id, {"cancel_at_period_end": ends})
            logger.info("end of the subscription changed", extra={"tenant_id": record.pk, "ends": ends})
    return _followed(record)


def require_seats(tenant_id: str, seats: int) -> None:
    """Raises Conflict, naming both numbers, when more people have a seat than there would be."""
    from chalicelib.identity import seats_used  # identity's sign-up is built on billing

    if (used := seats_used(tenant_id)) > seats:
        raise Conflict(
            f"{used} seats are in use and there would be {seats}; remove people first, or keep more seats",
            pointer="/extra_seats",
            rule="seats",
            seats=seats,
            seats_used=used,
        )


def _running(record: TenantRecord) -> Subscribed:
    """The tenant's subscription as Stripe has it. Raises Conflict when there is none that goes on."""
    found = None
    if record.subscription_id is not None and record.state != State.CLOSING:
        found = find_subscription(record.subscription_id)
    if found is None or found.status in ENDED:
        raise Conflict("there is no running subscription; POST /v1/billing/checkout begins one", state=record.state)
    return _subscribed(found)


def _changeable(record: TenantRecord) -> Subscribed:
    with payments("subscription not read", tenant_id=record.pk):
        subscribed = _running(record)
    if subscribed.status not in _CHANGEABLE:
        raise Conflict(
            "a payment is overdue; pay it first, by POST /v1/billing/portal", subscription_status=subscribed.status
        )
    return subscribed


def _subscribed(subscription: Subscription) -> Subscribed:
    found = items_by_kind(subscription)
    if "plan" not in found:
        raise Conflict("the subscription is not to a plan of ours; ask us to change it")
    plan_key, item = found["plan"]
    recurring = item.price.recurring
    assert recurring is not None, "a subscription is to recurring prices"
    # What is metered does not even have a quantity.
    items: dict[Kind, Item] = {kind: Item(each.id, each.to_dict().get("quantity")) for kind, (_, each) in found.items()}
    extra_seats = items["seat"].quantity or 0 if "seat" in items else 0
    choice = Choice(plan_key, cast("Interval", recurring.interval), extra_seats)
    return Subscribed(subscription.id, subscription.status, choice, items, subscription.cancel_at_period_end)


def _allowed(record: TenantRecord, subscribed: Subscribed, wish: Wish) -> _Change:
    """The change that a wish makes. Raises Conflict or Invalid when it may not be made.

    Connectors and endpoints beyond the new plan's entitlements stay as they are; no further ones can be made.
    """
    present, wished = subscribed.choice, wish.applied_to(subscribed.choice)
    items = item_changes(subscribed.items, present, wished)
    keys: dict[Kind, str] = {}
    repriced: set[Kind] = {each.kind for each in items if each.new_price}
    if repriced:
        keys = lookup_keys(_sold(wished.plan, wish), record.currency, wished.interval, repriced)
    included_now = terms_of(record).entitlements.seats
    included = included_now if wished.plan == present.plan else find_plan(wished.plan).entitlements.seats
    seats = included + wished.extra_seats
    if seats < included_now + present.extra_seats:
        require_seats(record.pk, seats)
    return _Change(wished, items, keys)


def _sold(plan_key: str, wish: Wish) -> Plan:
    """The plan on sale. Raises Invalid for one that is not, and Conflict where it is the tenant's own."""
    if wish.plan is None and plan_key not in {plan.key for plan in plans()}:
        raise Conflict("this plan is sold no longer and stays as it is; name the plan to change to", pointer="/plan")
    return find_plan(plan_key)


def _parameters(change: _Change) -> list[SubscriptionUpdateParamsItem]:
    """The change as Stripe takes it. Raises PaymentsUnavailable when Stripe lacks a price, and stripe.StripeError."""
    prices = find_prices(list(change.keys.values())) if change.keys else {}
    made: list[SubscriptionUpdateParamsItem] = []
    for each in change.items:
        item: SubscriptionUpdateParamsItem = {}
        if each.id is not None:
            item["id"] = each.id
        if each.removed:
            item["deleted"] = True
        if each.new_price:
            item["price"] = prices[change.keys[each.kind]]
        if each.quantity is not None:
            item["quantity"] = each.quantity
        made.append(item)
    return made


def _update(subscription_id: str, items: list[SubscriptionUpdateParamsItem], turn: Turn) -> None:
    """The one call that changes a subscription: either all of it is changed and paid for, or nothing is."""
    import stripe  # cold start: most calls of the API never speak to Stripe

    try:
        stripe_client().v1.subscriptions.update(
            subscription_id,
            {"items": items, "proration_behavior": "always_invoice", "payment_behavior": "error_if_incomplete"},
            {"idempotency_key": turn.key},
        )
    except stripe.InvalidRequestError as error:
        give_back(turn)
        logger.error("change not accepted by Stripe", extra={"tenant_id": turn.tenant_id, "code": error.code})
        raise ChangeRefused(_why(error), code=error.code) from error
    except stripe.CardError as error:
        give_back(turn)
        logger.warning("change refused by Stripe", extra={"tenant_id": turn.tenant_id, "code": error.code})
        raise PaymentDeclined(
            "the difference could not be taken, so nothing was changed; see to the payment method by POST "
            "/v1/billing/portal",
            code=error.code,
        ) from error
    except stripe.StripeError as error:
        # It may have been made. Who repeats it within this turn does so under the same key.
        raise _silent(turn.tenant_id, error) from error


def _why(error: InvalidRequestError) -> str:
    """What is to be said of a change that Stripe did not accept: not Stripe's own words, which may repeat what it has
    of the customer."""
    if error.code == "customer_tax_location_invalid":
        why = "the tax cannot be told without the institution's whole address; complete it by POST /v1/billing/portal"
    elif error.code == "resource_missing" and error.param is None:
        why = "there is no payment method to take the difference from; add one by POST /v1/billing/portal"
    else:
        why = "it does not fit the subscription as Stripe has it now; look at it and try again, or ask us"
    return f"Stripe did not accept the change, so nothing was changed: {why}"


def _followed(record: TenantRecord) -> TenantRecord:
    """The tenant's record after it was brought in line with Stripe."""
    import stripe  # cold start: as above

    assert record.subscription_id is not None, "what was changed is there"
    try:
        follow(record.subscription_id)
    except stripe.StripeError as error:
        raise _silent(record.pk, error) from error
    forget_access(record.pk)
    return find_tenant(record.pk)


def _silent(tenant_id: str, error: StripeError) -> PaymentsUnavailable:
    logger.error("outcome of a change unknown", extra={"tenant_id": tenant_id, "error": type(error).__name__})
    return PaymentsUnavailable(
        "Stripe did not answer, so it is not known whether the subscription was changed; ask again, which is harmless"
    )


def _preview(invoice: Invoice) -> Preview:
    lines = [
        Line(
            description=line.description or "",
            amount=line.amount,
            quantity=line.quantity,
            since=datetime.fromtimestamp(line.period.start, UTC),
            until=datetime.fromtimestamp(line.period.end, UTC),
        )
        for line in invoice.lines.data
    ]
    return Preview(invoice.currency.upper(), invoice.total, invoice.amount_due, lines)
