"""The plans on sale, and the door at which Stripe's events come in."""

from __future__ import annotations

from chalice.app import Blueprint

from chalicelib.billing.plans import Plan, plans
from chalicelib.billing.receive import receive, verified
from chalicelib.billing.stripe_client import webhook_secret
from chalicelib.platform.clock import utc_now
from chalicelib.platform.http import Call, Page, View, endpoint

blueprint = Blueprint(__name__)


class PriceView(View):
    """What a plan costs per interval; `amount` is in the currency's minor units."""

    currency: str
    interval: str
    amount: int


class PlanNameView(View):
    """A plan's name in English and Chinese."""

    en: str
    zh: str


class PlanView(View):
    """A plan on sale: who may sign in (`seats`), open cases included, days of trial, and its prices."""

    key: str
    name: PlanNameView
    trial_days: int
    seats: int
    active_cases: int
    prices: list[PriceView]


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
    event = verified(call.raw_body, call.headers.get("stripe-signature"), secret=webhook_secret())
    receive(event, now=utc_now())
    return Received()


def _plan_view(plan: Plan) -> PlanView:
    return PlanView(
        key=plan.key,
        name=PlanNameView(en=plan.name.en, zh=plan.name.zh),
        trial_days=plan.trial_days,
        seats=plan.seats,
        active_cases=plan.active_cases,
        prices=[PriceView(currency=p.currency, interval=p.interval, amount=p.amount) for p in plan.prices],
    )
