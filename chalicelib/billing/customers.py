"""A tenant's customer at Stripe: made once, before its first checkout, and forgotten when the tenant is erased."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from chalicelib.billing.clock import billing_now
from chalicelib.billing.stripe_client import is_missing, stripe_client
from chalicelib.platform.aws import send
from chalicelib.platform.errors import Invalid
from chalicelib.platform.settings import settings
from chalicelib.platform.telemetry import logger
from chalicelib.tenancy import TenantRecord, find_tenant, records

if TYPE_CHECKING:
    from stripe.params import CustomerCreateParams

Locale = Literal["zh_CN", "en"]
STRIPE_LOCALES: dict[Locale, Literal["zh", "en"]] = {"zh_CN": "zh", "en": "en"}
"""Stripe's name for each language of the product."""


def locale_of(record: TenantRecord) -> Literal["zh", "en"]:
    """The language that Stripe speaks with a tenant."""
    return STRIPE_LOCALES[cast("Locale", record.locale)]


def ensure_customer(record: TenantRecord) -> str:
    """The id of the tenant's customer, made and noted on the record if it has none, or if the one that it had was
    deleted at Stripe by hand, with which its subscription ended.

    What is made depends on nothing but the record, under a key that is the tenant's: of two that make it at once, or of
    one that was killed before it noted it and the next, both get the same customer. Raises Invalid for an address that
    Stripe refuses, and stripe.StripeError.
    """
    if record.customer_id is not None and not _is_deleted(record.customer_id):
        return record.customer_id
    import stripe  # cold start: only a checkout makes customers

    clock_id = _make_clock(record) if settings().stripe_test_clocks else None
    members: CustomerCreateParams = {
        "email": record.owner_email,
        "name": record.name,
        "preferred_locales": [locale_of(record)],
        "metadata": {"tenant_id": record.pk},
    }
    if clock_id is not None:
        members["test_clock"] = clock_id
    key = f"customer-{record.pk}" if record.customer_id is None else f"customer-{record.pk}-after-{record.customer_id}"
    try:
        customer = stripe_client().v1.customers.create(members, {"idempotency_key": key})
    except stripe.InvalidRequestError as error:
        if error.param == "email":
            raise Invalid("the address is not one that the payment page accepts", pointer="/email") from None
        raise
    return _note(record, customer.id, clock_id)


def forget_customer(tenant_id: str) -> None:
    """Deletes the customer of a tenant whose erasure has begun, and has the erasure go on. Repeating it is harmless.

    Stripe keeps the invoices, as the law requires. Any other tenant is left alone: nothing could bring its customer
    back. Raises NotFound for an unknown tenant, and stripe.StripeError.
    """
    record = find_tenant(tenant_id)
    if not record.erasure:
        logger.warning("customer not forgotten: no erasure has begun", extra={"tenant_id": tenant_id})
        return
    if record.customer_id is not None and record.customer_deleted_at is None:
        now, model = billing_now(record), records()
        _delete(record.customer_id)
        record.update(actions=[model.customer_deleted_at.set(now), model.version.add(1)])
        logger.info("customer forgotten", extra={"tenant_id": tenant_id})
    send("leaving", tenant_id, [{"tenant_id": tenant_id, "action": "erase"}])


def forget_applicant(record: TenantRecord) -> None:
    """Deletes what Stripe has of somebody who signed up and never paid, also a customer that a killed call made and did
    not note. Repeating it is harmless. Raises stripe.StripeError."""
    if record.email_verified_at is None and record.customer_id is None:
        return  # before the mailbox is proved Stripe hears of nobody
    found = stripe_client().v1.customers.list({"email": record.owner_email, "limit": 100}).auto_paging_iter()
    made = {each.id for each in found if each.metadata and each.metadata.to_dict().get("tenant_id") == record.pk}
    for customer_id in sorted(made | ({record.customer_id} if record.customer_id else set())):
        _delete(customer_id)


def _make_clock(record: TenantRecord) -> str:
    clock = stripe_client().v1.test_helpers.test_clocks.create(
        # The moment of the sign-up and not the present one: a repeated call must ask for the very same.
        {"frozen_time": int(record.created_at.timestamp()), "name": record.pk},
        {"idempotency_key": f"clock-{record.pk}"},
    )
    return clock.id


def _note(record: TenantRecord, customer_id: str, clock_id: str | None) -> str:
    """Notes the customer unless somebody was faster, whose then counts."""
    model, before = records(), record.customer_id
    same = model.customer_id.does_not_exist() if before is None else model.customer_id == before
    actions = [model.customer_id.set(customer_id), model.version.add(1)]
    if clock_id is not None:
        actions.append(model.test_clock_id.set(clock_id))
    if record.update_if(model.pk.exists() & same, actions):
        logger.info("customer made", extra={"tenant_id": record.pk, "replaces_deleted": before is not None})
        return customer_id
    noted = find_tenant(record.pk)
    record.customer_id, record.test_clock_id, record.version = noted.customer_id, noted.test_clock_id, noted.version
    assert noted.customer_id is not None, "only a tenant that has a customer refuses another"
    return noted.customer_id


def _is_deleted(customer_id: str) -> bool:
    """Whether a customer was deleted, which Stripe says of one for good. One that it knows nothing of is another
    account's: that is an error, and no reason to make another."""
    return bool(stripe_client().v1.customers.retrieve(customer_id).to_dict().get("deleted"))


def _delete(customer_id: str) -> None:
    import stripe  # cold start: as above

    try:
        stripe_client().v1.customers.delete(customer_id)
    except stripe.InvalidRequestError as error:
        if not is_missing(error):
            raise
