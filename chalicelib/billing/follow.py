"""Following a subscription: what Stripe says of it now becomes what the registry says of the tenant."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from chalicelib.billing.clock import billing_now
from chalicelib.billing.plans import Kind, plans, what_is
from chalicelib.billing.stripe_client import is_missing, stripe_client
from chalicelib.platform.errors import NotFound
from chalicelib.platform.telemetry import logger
from chalicelib.tenancy import SecondSubscription, Standing, Status, TenantRecord, find_tenant, settle, terms_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stripe import Subscription, SubscriptionItem

STATUSES: Mapping[str, Status] = {
    "trialing": "trialing",
    "active": "active",
    "past_due": "owing",
    "unpaid": "owing",
    "paused": "owing",
    "canceled": "ended",
    "incomplete_expired": "ended",
}
"""How a subscription stands, by Stripe's word for it. One that is `incomplete` stands nowhere yet: it is not paid."""

ENDED = frozenset(word for word, status in STATUSES.items() if status == "ended")
"""Stripe's words for a subscription that is over for good."""

_ROUNDS = 4


class Outcome(StrEnum):
    """What became of an event or of a look at Stripe."""

    SETTLED = "settled"
    UNCHANGED = "unchanged"
    REPEATED = "repeated"
    NOTED = "noted"
    NOT_SETTLED = "not-settled"
    UNKNOWN_OBJECT = "unknown-object"
    UNKNOWN_TENANT = "unknown-tenant"
    UNKNOWN_TYPE = "unknown-type"
    SECOND_SUBSCRIPTION = "second-subscription"


def follow(subscription_id: str) -> Outcome:
    """Brings the tenant of a subscription in line with what Stripe says of it now. Repeating it is harmless.

    Of two that follow at once, the one that asked Stripe first may write last, and write what is true no longer. So
    whoever changed something asks again, until Stripe says the same as before.

    A tenant that already has another subscription keeps it: somebody paid twice, which the log says as an error for a
    person to refund. Raises stripe.StripeError, and Conflict when others keep changing the record.
    """
    outcome, told = Outcome.UNCHANGED, None
    for _ in range(_ROUNDS):
        found = _look(subscription_id)
        if isinstance(found, Outcome):
            return found
        record, standing = found
        if standing == told:
            break
        latest = _settle(record, standing)
        if latest is not Outcome.SETTLED:
            return outcome if latest is Outcome.UNCHANGED else latest
        outcome, told = latest, standing
    return outcome


def _look(subscription_id: str) -> tuple[TenantRecord, Standing] | Outcome:
    """The tenant of a subscription and how Stripe says that it stands, or why there is nothing to settle."""
    subscription = find_subscription(subscription_id)
    if subscription is None:
        return Outcome.UNKNOWN_OBJECT
    tenant_id = tenant_of(subscription)
    record = _registered(tenant_id) if tenant_id else None
    if record is None or record.customer_id not in (None, customer_of(subscription)):
        if tenant_id and subscription.status in ("trialing", "active"):
            logger.error(
                "subscription names a tenant that is unknown, or another customer's",
                extra={"tenant_id": tenant_id, "subscription_id": subscription_id},
            )
        return Outcome.UNKNOWN_TENANT
    standing = read_standing(subscription, record)
    return Outcome.NOT_SETTLED if standing is None else (record, standing)


def _settle(record: TenantRecord, standing: Standing) -> Outcome:
    try:
        settle(record.pk, standing, now=billing_now(record))
    except SecondSubscription:
        logger.error(
            "second subscription: it is to be cancelled and refunded",
            extra={"tenant_id": record.pk, "subscription_id": standing.subscription_id},
        )
        return Outcome.SECOND_SUBSCRIPTION
    return Outcome.UNCHANGED if find_tenant(record.pk).version == record.version else Outcome.SETTLED


def find_subscription(subscription_id: str) -> Subscription | None:
    """A subscription as Stripe has it now, its latest invoice with it; None when there is none of that id."""
    import stripe  # cold start: most calls of the API never speak to Stripe

    try:
        return stripe_client().v1.subscriptions.retrieve(subscription_id, {"expand": ["latest_invoice"]})
    except stripe.InvalidRequestError as error:
        if is_missing(error):
            return None
        raise


def tenant_of(subscription: Subscription) -> str:
    """The tenant that a subscription is for; empty for one that sign-up did not open.

    Only we write metadata: nobody outside can name a tenant there, as they can in the address of a payment link.
    """
    return subscription.metadata.to_dict().get("tenant_id", "")


def customer_of(subscription: Subscription) -> str:
    """The id of the customer that a subscription is of."""
    customer = subscription.customer
    return customer if isinstance(customer, str) else customer.id


def read_standing(subscription: Subscription, record: TenantRecord) -> Standing | None:
    """How a tenant's subscription stands, with the features that Stripe grants its customer. None for one whose first
    payment has not arrived, and for one that is not to a plan of ours."""
    status, items = STATUSES.get(subscription.status), items_by_kind(subscription)
    if status is None or _awaits_first_payment(subscription):
        return None
    if "plan" not in items:
        logger.error("subscription is to no plan of ours", extra={"subscription_id": subscription.id})
        return None
    plan_key, item = items["plan"]
    offered = next((plan.terms for plan in plans() if plan.key == plan_key), None)
    keeps = (record.subscription_id, record.plan) == (subscription.id, plan_key) or offered is None
    agreed = terms_of(record) if keeps and record.terms is not None else offered
    customer_id, recurring = customer_of(subscription), item.price.recurring
    if agreed is None or recurring is None:
        logger.error("subscription is to a plan whose terms are lost", extra={"subscription_id": subscription.id})
        return None
    further = items["seat"][1].quantity or 0 if "seat" in items else 0
    return Standing(
        status=status,
        stripe_status=subscription.status,
        subscription_id=subscription.id,
        customer_id=customer_id,
        plan=plan_key,
        currency=subscription.currency.upper(),
        interval=recurring.interval,
        seats=agreed.entitlements.seats + further,
        period_end=_moment(item.current_period_end),
        cancel_at=None if subscription.cancel_at is None else _moment(subscription.cancel_at),
        features=() if status == "ended" else _features(customer_id),
        terms=offered,
    )


def items_by_kind(subscription: Subscription) -> dict[Kind, tuple[str, SubscriptionItem]]:
    """What of our products a subscription is to, each with the key of its plan. The product says so and not our
    metadata, which a change of plan leaves behind."""
    found: dict[Kind, tuple[str, SubscriptionItem]] = {}
    for item in subscription.items.data:
        product = item.price.product
        if known := what_is(product if isinstance(product, str) else product.id):
            plan_key, kind = known
            found[kind] = plan_key, item
    return found


def _registered(tenant_id: str) -> TenantRecord | None:
    try:
        return find_tenant(tenant_id)
    except NotFound:
        return None


def _awaits_first_payment(subscription: Subscription) -> bool:
    """Whether it is active on credit: a bank debit of the first invoice settles days after the page was left."""
    invoice = subscription.latest_invoice
    return (
        subscription.status == "active"
        and invoice is not None
        and not isinstance(invoice, str)
        and invoice.billing_reason == "subscription_create"
        and invoice.status == "open"
    )


def _features(customer_id: str) -> tuple[str, ...]:
    granted = stripe_client().v1.entitlements.active_entitlements.list({"customer": customer_id, "limit": 100})
    return tuple(sorted(entitlement.lookup_key for entitlement in granted.auto_paging_iter()))


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
