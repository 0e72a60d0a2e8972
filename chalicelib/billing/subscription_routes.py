"""A tenant's subscription as its admins manage it: plan, seats, end, payment, and the way back."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from chalice.app import Blueprint
from pydantic import Field, model_validator

from chalicelib.billing import subscription
from chalicelib.billing.checkout import open_checkout
from chalicelib.billing.choice import Wish
from chalicelib.billing.invoices import list_invoices
from chalicelib.billing.plans import Interval, find_plan
from chalicelib.billing.portal import open_portal
from chalicelib.identity import authorize, seats_used
from chalicelib.platform.clock import utc_now
from chalicelib.platform.http import IF_MATCH, PAGING, Call, Page, Strict, View, endpoint, write_cursor
from chalicelib.tenancy import TenantRecord, find_tenant, terms_of

blueprint = Blueprint(__name__)

MAX_EXTRA_SEATS = 10_000

PlanKey = Annotated[str, Field(min_length=1, max_length=30)]
ExtraSeats = Annotated[int, Field(ge=0, le=MAX_EXTRA_SEATS, strict=True)]


class SubscriptionWish(Strict):
    """What of the subscription is to be another; what is not named stays. The currency never changes."""

    plan: PlanKey | None = None
    interval: Interval | None = None
    extra_seats: ExtraSeats | None = None

    @model_validator(mode="before")
    @classmethod
    def _nothing_said(cls, document: object) -> object:
        return {} if document is None else document


class SubscriptionView(View):
    """The subscription as it was last heard of from Stripe: `seats` are those bought in total, `extra_seats` of them
    beyond the included ones. `cancel_at` is set once it is cancelled. Send `version` as `If-Match` with a change."""

    state: str
    status: str | None
    plan: str
    interval: str | None
    currency: str
    seats: int
    extra_seats: int
    seats_used: int
    period_end: datetime | None
    cancel_at: datetime | None
    owing_since: datetime | None
    version: int


class LineView(View):
    """A line of an invoice to come; what is given back is less than zero."""

    description: str
    amount: int
    quantity: int | None
    since: datetime
    until: datetime


class PreviewView(View):
    """The invoice that a change would bring; amounts are in the currency's minor units, taxes included."""

    currency: str
    total: int
    amount_due: int
    lines: list[LineView]


class PageToVisit(View):
    """An address at Stripe for a person to open now."""

    url: str


class InvoiceView(View):
    """An invoice; amounts are in the currency's minor units. At `hosted_url` it is shown and can be paid."""

    id: str
    number: str | None
    status: str
    currency: str
    total: int
    amount_due: int
    amount_paid: int
    created_at: datetime
    hosted_url: str | None


@endpoint(
    blueprint,
    "GET",
    "/v1/billing/subscription",
    summary="The subscription, without asking Stripe",
    returns=SubscriptionView,
    scope="billing:read",
    authorizer=authorize,
)
def show_subscription(call: Call[None]) -> SubscriptionView:
    return _view(find_tenant(call.tenant_id))


@endpoint(
    blueprint,
    "POST",
    "/v1/billing/subscription/preview",
    summary="What a change of the subscription would cost; with an empty body, the next invoice",
    body=SubscriptionWish,
    returns=PreviewView,
    scope="billing:read",
    authorizer=authorize,
    need="bill",
)
def preview_subscription(call: Call[SubscriptionWish]) -> PreviewView:
    preview = subscription.preview_change(find_tenant(call.tenant_id), _wish(call.body))
    lines = [
        LineView(
            description=line.description,
            amount=line.amount,
            quantity=line.quantity,
            since=line.since,
            until=line.until,
        )
        for line in preview.lines
    ]
    return PreviewView(currency=preview.currency, total=preview.total, amount_due=preview.amount_due, lines=lines)


@endpoint(
    blueprint,
    "PATCH",
    "/v1/billing/subscription",
    summary="Changes plan, interval or seats at once; Stripe takes or credits the difference",
    body=SubscriptionWish,
    returns=SubscriptionView,
    scope="billing:write",
    authorizer=authorize,
    headers=IF_MATCH,
    need="bill",
)
def change_subscription(call: Call[SubscriptionWish]) -> SubscriptionView:
    record = find_tenant(call.tenant_id)
    changed = subscription.change_subscription(
        record, _wish(call.body), expected_version=call.expected_version, now=utc_now()
    )
    return _view(changed)


@endpoint(
    blueprint,
    "POST",
    "/v1/billing/cancellation",
    summary="Cancels the subscription at the end of the paid period",
    returns=SubscriptionView,
    scope="billing:write",
    authorizer=authorize,
    need="bill",
)
def cancel_subscription(call: Call[None]) -> SubscriptionView:
    return _view(subscription.end_with_period(find_tenant(call.tenant_id), ends=True))


@endpoint(
    blueprint,
    "DELETE",
    "/v1/billing/cancellation",
    summary="Takes the cancellation back, as long as the paid period lasts",
    returns=SubscriptionView,
    scope="billing:write",
    authorizer=authorize,
    need="bill",
)
def take_cancellation_back(call: Call[None]) -> SubscriptionView:
    return _view(subscription.end_with_period(find_tenant(call.tenant_id), ends=False))


@endpoint(
    blueprint,
    "POST",
    "/v1/billing/portal",
    summary="Opens Stripe's portal: payment method, open invoices, address and tax ids",
    returns=PageToVisit,
    status=201,
    scope="billing:write",
    authorizer=authorize,
    need="bill",
)
def visit_portal(call: Call[None]) -> PageToVisit:
    return PageToVisit(url=open_portal(find_tenant(call.tenant_id)))


@endpoint(
    blueprint,
    "POST",
    "/v1/billing/checkout",
    summary="Opens the page on which a tenant that is closing subscribes again",
    body=SubscriptionWish,
    returns=PageToVisit,
    status=201,
    scope="billing:write",
    authorizer=authorize,
    need="bill",
)
def subscribe_again(call: Call[SubscriptionWish]) -> PageToVisit:
    record = find_tenant(call.tenant_id)
    plan = find_plan(call.body.plan or record.plan)
    extra_seats = call.body.extra_seats or 0
    subscription.require_seats(record.pk, plan.entitlements.seats + extra_seats)
    interval: Interval = call.body.interval or ("year" if record.interval == "year" else "month")
    return PageToVisit(url=open_checkout(record, plan, interval=interval, seats=extra_seats).url)


@endpoint(
    blueprint,
    "GET",
    "/v1/billing/invoices",
    summary="The invoices, newest first",
    returns=Page[InvoiceView],
    scope="billing:read",
    authorizer=authorize,
    query=PAGING,
)
def show_invoices(call: Call[None]) -> Page[InvoiceView]:
    found, position = list_invoices(find_tenant(call.tenant_id), limit=call.limit, cursor=call.cursor)
    items = [
        InvoiceView(
            id=each.id,
            number=each.number,
            status=each.status,
            currency=each.currency,
            total=each.total,
            amount_due=each.amount_due,
            amount_paid=each.amount_paid,
            created_at=each.created,
            hosted_url=each.url,
        )
        for each in found
    ]
    return Page[InvoiceView](items=items, cursor=write_cursor(position))


def _wish(body: SubscriptionWish) -> Wish:
    return Wish(body.plan, body.interval, body.extra_seats)


def _view(record: TenantRecord) -> SubscriptionView:
    included = terms_of(record).entitlements.seats
    seats = included if record.seats is None else record.seats
    return SubscriptionView(
        state=record.state,
        status=record.subscription_status,
        plan=record.plan,
        interval=record.interval,
        currency=record.currency,
        seats=seats,
        extra_seats=max(0, seats - included),
        seats_used=seats_used(record.pk),
        period_end=record.period_end,
        cancel_at=record.cancel_at,
        owing_since=record.owing_since,
        version=record.version,
    )
