"""Stripe Checkout: the page where an institution subscribes, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from chalicelib.billing.errors import PaymentsUnavailable
from chalicelib.billing.plans import Plan
from chalicelib.billing.stripe_client import stripe_client
from chalicelib.platform.errors import Invalid
from chalicelib.platform.settings import settings
from chalicelib.platform.telemetry import logger

if TYPE_CHECKING:
    from stripe.checkout import Session
    from stripe.params.checkout import SessionCreateParams, SessionCreateParamsSubscriptionData

Locale = Literal["zh_CN", "en"]
_STRIPE_LOCALES: dict[Locale, Literal["zh", "en"]] = {"zh_CN": "zh", "en": "en"}


@dataclass(frozen=True)
class CheckoutPage:
    """An open checkout: the page to send the customer to."""

    session_id: str
    url: str


@dataclass(frozen=True)
class CheckoutResult:
    """What Stripe says of a checkout session now.

    `tenant_id` is None for a session that sign-up did not open; `settled` is True once it is paid or its trial began;
    the others are None until then.
    """

    tenant_id: str | None
    settled: bool
    customer_id: str | None
    subscription_id: str | None
    subscription_status: str | None


def open_checkout(tenant_id: str, plan: Plan, *, currency: str, email: str, locale: Locale) -> CheckoutPage:
    """Opens the page on which a tenant subscribes to a plan; for one tenant and plan always the same page.

    Raises Invalid for a currency without a price or an address that Stripe refuses, PaymentsUnavailable when Stripe
    cannot be reached or does not know the price.
    """
    import stripe  # cold start: only sign-up opens pages

    price = plan.price(currency)
    client = stripe_client()
    try:
        found = client.v1.prices.list({"lookup_keys": [price.lookup_key], "active": True, "limit": 1}).data
        if not found:
            logger.error("price is not in Stripe; run infra.stripe_sync", extra={"lookup_key": price.lookup_key})
            raise PaymentsUnavailable("this plan cannot be paid for yet")
        session = client.v1.checkout.sessions.create(
            _session_parameters(tenant_id, plan, found[0].id, email=email, locale=locale),
            {"idempotency_key": f"checkout-{tenant_id}-{price.lookup_key}"},
        )
    except stripe.InvalidRequestError as error:
        if error.param == "customer_email":
            raise Invalid("the address is not one that the payment page accepts", pointer="/email") from None
        raise _unavailable(tenant_id, error) from error
    except stripe.StripeError as error:
        raise _unavailable(tenant_id, error) from error
    assert session.url is not None, "an open session has a page"
    return CheckoutPage(session.id, session.url)


def read_checkout(session_id: str) -> CheckoutResult | None:
    """What Stripe says of a session now, or None when Stripe has no such session. Raises stripe.StripeError."""
    import stripe  # cold start: only `bill` reads sessions

    try:
        session = stripe_client().v1.checkout.sessions.retrieve(session_id, {"expand": ["subscription"]})
    except stripe.InvalidRequestError as error:
        if error.code == "resource_missing":
            return None
        raise
    return _result(session)


def _session_parameters(
    tenant_id: str, plan: Plan, price_id: str, *, email: str, locale: Locale
) -> SessionCreateParams:
    identity = {"tenant_id": tenant_id, "plan": plan.key}
    subscription: SessionCreateParamsSubscriptionData = {"metadata": identity}
    if plan.trial_days:
        subscription["trial_period_days"] = plan.trial_days
    page = f"{settings().public_url}/signup/{tenant_id}"
    return {
        "mode": "subscription",
        "line_items": [{"price": price_id, "quantity": 1}],
        "client_reference_id": tenant_id,
        "customer_email": email,
        "locale": _STRIPE_LOCALES[locale],
        "metadata": identity,
        "subscription_data": subscription,
        "success_url": f"{page}?checkout=completed",
        "cancel_url": f"{page}?checkout=cancelled",
    }


def _result(session: Session) -> CheckoutResult:
    # A payment link's address can carry any client_reference_id; metadata is written by us alone.
    metadata = session.metadata
    written = metadata["tenant_id"] if metadata is not None and "tenant_id" in metadata else None
    subscription = session.subscription
    expanded = subscription if subscription is not None and not isinstance(subscription, str) else None
    customer = session.customer
    return CheckoutResult(
        tenant_id=written if written == session.client_reference_id else None,
        settled=session.status == "complete" and session.payment_status in ("paid", "no_payment_required"),
        customer_id=customer if customer is None or isinstance(customer, str) else customer.id,
        subscription_id=expanded.id if expanded else None,
        subscription_status=expanded.status if expanded else None,
    )


def _unavailable(tenant_id: str, error: Exception) -> PaymentsUnavailable:
    # The class only: Stripe's message may repeat the address.
    logger.error("checkout not opened", extra={"tenant_id": tenant_id, "error": type(error).__name__})
    return PaymentsUnavailable("the payment page could not be opened; nothing was charged")
