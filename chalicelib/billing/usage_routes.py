"""What a tenant may use and what it uses, from our own tables: Stripe being down changes nothing here."""

from __future__ import annotations

from datetime import date, datetime

from chalice.app import Blueprint

from chalicelib.billing.reconcile import DAYS, reconciliations
from chalicelib.billing.usage import hours_of
from chalicelib.identity import authorize, seats_used
from chalicelib.platform.http import PAGING, Call, Page, View, endpoint, write_cursor
from chalicelib.tenancy import find_tenant, terms_of

blueprint = Blueprint(__name__)


class EntitlementsView(View):
    """What the tenant subscribed to, as it was agreed. `active_cases` are included and more are billed by the hour;
    every other count is a limit. `seats` are those bought in total, `features` what Stripe grants by its own list."""

    state: str
    plan: str
    seats: int
    seats_used: int
    active_cases: int
    connectors: int
    endpoints: int
    events_kept_days: int
    requests_per_minute: int
    requests_per_minute_per_key: int
    insight: bool
    parallel_run: bool
    passkeys_required: bool
    features: list[str]


class HourView(View):
    """An hour (UTC): cases open when it was counted, those the plan includes, and those beyond, which are billed as
    `case_hours`. `reported` says whether Stripe has them."""

    hour: datetime
    open_cases: int
    included: int
    case_hours: int
    reported: bool


class DayView(View):
    """A day (UTC) as we counted it and as Stripe did, in case hours; both are the same unless `difference` says so."""

    day: date
    counted: int
    reported: int
    difference: int
    checked_at: datetime


class UsageView(Page[HourView]):
    """Counted hours, newest first, and the comparison of the last days."""

    reconciliation: list[DayView]


@endpoint(
    blueprint,
    "GET",
    "/v1/billing/entitlements",
    summary="What the tenant may use, without asking Stripe",
    returns=EntitlementsView,
    scope="billing:read",
    authorizer=authorize,
)
def show_entitlements(call: Call[None]) -> EntitlementsView:
    record = find_tenant(call.tenant_id)
    agreed = terms_of(record).entitlements
    return EntitlementsView.model_validate(
        agreed.model_dump()
        | {
            "state": record.state,
            "plan": record.plan,
            "seats": agreed.seats if record.seats is None else record.seats,
            "seats_used": seats_used(record.pk),
            "features": record.features,
        }
    )


@endpoint(
    blueprint,
    "GET",
    "/v1/billing/usage",
    summary="Usage by the hour, and whether Stripe has counted the same",
    returns=UsageView,
    scope="billing:read",
    authorizer=authorize,
    query=PAGING,
)
def show_usage(call: Call[None]) -> UsageView:
    hours, position = hours_of(call.tenant_id, limit=call.limit, cursor=call.cursor)
    return UsageView(
        items=[
            HourView(
                hour=each.begins_at,
                open_cases=each.open_cases,
                included=each.included,
                case_hours=each.case_hours,
                reported=each.reported,
            )
            for each in hours
        ],
        cursor=write_cursor(position),
        reconciliation=[
            DayView(
                day=each.day,
                counted=each.counted,
                reported=each.reported,
                difference=each.difference,
                checked_at=each.checked_at,
            )
            for each in reconciliations(call.tenant_id, limit=DAYS)
        ],
    )
