"""The plans on sale, and the door at which Stripe's events come in."""

from __future__ import annotations

from chalice.app import Blueprint

from chalicelib.billing.plans import Currency, Interval, OveragePrice, Plan, Price, plans
from chalicelib.billing.receive import receive, trusted
from chalicelib.platform.clock import utc_now
from chalicelib.platform.http import Call, Page, View, endpoint

blueprint = Blueprint(__name__)


class PriceView(View):
    """What a plan or a seat costs per interval; `amount` is in the currency's minor units."""

    currency: Currency
    interval: Interval
    amount: int


class OveragePriceView(View):
    """What an open case beyond the included ones costs per hour, billed with the plan at the interval's end.

    `amount` is in the currency's minor units, as a decimal with up to 12 places.
    """

    currency: Currency
    interval: Interval
    amount: str


class PlanNameView(View):
    """A plan's name in English and Chinese."""

    en: str
    zh: str


class EntitlementsView(View):
    """What a tenant on a plan may have and do beside its seats and cases.

    `requests_per_minute` are the tenant's API calls together, `requests_per_minute_per_key` those of one credential.
    """

    connectors: int
    endpoints: int
    events_kept_days: int
    requests_per_minute: int
    requests_per_minute_per_key: int
    insight: bool
    parallel_run: bool
    passkeys_required: bool


class PlanView(View):
    """A plan on sale: who may sign in (`seats`) and open cases that its price includes, days of trial, what it costs,
    what each further seat and case costs, and what it entitles to."""

    key: str
    name: PlanNameView
    trial_days: int
    seats: int
    active_cases: int
    prices: list[PriceView]
    seat_prices: list[PriceView]
    overage_prices: list[OveragePriceView]
    entitlements: EntitlementsView


class Received(View):
    """What Stripe is answered; anything but this makes it send the event again."""

    received: bool = True


@endpoint(blueprint, "GET", "/v1/plans", summary="The plans on sale", returns=Page[PlanView])
def list_plans(call: Call[None]) -> Page[PlanView]:  # noqa: ARG001 - every endpoint takes its call
    return Page(items=[_plan_view(plan) for plan in plans()])


@endpoint(
    blueprint, "POST", "/v1/billing/stripe/webhook", summary="Takes in a signed event from Stripe", returns=Received
)
def stripe_webhook(call: Call[None]) -> Received:
    receive(trusted(call.raw_body, call.headers.get("stripe-signature")), now=utc_now())
    return Received()


def _plan_view(plan: Plan) -> PlanView:
    entitled = plan.entitlements
    return PlanView(
        key=plan.key,
        name=PlanNameView(en=plan.name.en, zh=plan.name.zh),
        trial_days=plan.trial_days,
        seats=entitled.seats,
        active_cases=entitled.active_cases,
        prices=[_price_view(price) for price in plan.prices],
        seat_prices=[_price_view(price) for price in plan.seat_prices],
        overage_prices=[_overage_price_view(price) for price in plan.overage_prices],
        entitlements=EntitlementsView(**entitled.model_dump(exclude={"seats", "active_cases"})),
    )


def _price_view(price: Price) -> PriceView:
    return PriceView(currency=price.currency, interval=price.interval, amount=price.amount)


def _overage_price_view(price: OveragePrice) -> OveragePriceView:
    return OveragePriceView(currency=price.currency, interval=price.interval, amount=f"{price.amount:f}")
