"""Usage beyond a plan: a tenant's open cases are counted every hour, and those beyond the included ones are billed.

An hour is counted once, in our own table, whether Stripe answers or not. What is to be billed of it stands beside it as
unreported until Stripe has taken it: a worker killed between any two steps leaves an hour that the next hour's worker
finds and sends again, under the same identifier.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from pynamodb.attributes import BooleanAttribute, UTCDateTimeAttribute

from chalicelib.billing import meter
from chalicelib.cases import open_cases
from chalicelib.platform.attributes import IntegerAttribute
from chalicelib.platform.commit import Group, Put, Write, commit_one
from chalicelib.platform.pages import Cursor, page_of
from chalicelib.platform.store import SharedModel, shared
from chalicelib.platform.telemetry import logger
from chalicelib.platform.tenant import Tenant
from chalicelib.tenancy import State, TenantRecord, allows, terms_of

USAGE, UNREPORTED = "usage#", "unreported#"

_HOUR = "%Y-%m-%dT%H"
"""How an hour is written, so that the hours sort as text."""


class UsageHour(SharedModel):
    """What a tenant used in an hour: `pk` is the tenant, `sk` is `usage#` and the hour in UTC, as in `2026-11-25T10`.

    `included` are the open cases that its terms include; `case_hours` those counted beyond. `counted_at` is in billing
    time. `reported`: Stripe has taken the case hours, or there were none.
    """

    class Meta:
        table_kind = "billing-events"

    open_cases = IntegerAttribute()
    included = IntegerAttribute()
    case_hours = IntegerAttribute()
    counted_at = UTCDateTimeAttribute()
    reported = BooleanAttribute()

    @property
    def hour(self) -> str:
        """The hour, such as `2026-11-25T10`, in UTC."""
        return self.sk.removeprefix(USAGE)

    @property
    def begins_at(self) -> datetime:
        """When the hour begins."""
        return datetime.strptime(self.hour, _HOUR).replace(tzinfo=UTC)


class Unreported(SharedModel):
    """Says that an hour is still to be reported: `pk` is the tenant, `sk` is `unreported#` and the hour. Without it,
    every hour of five weeks would have to be read each hour to find the one that was not sent."""

    class Meta:
        table_kind = "billing-events"


def count_hour(tenant: Tenant, record: TenantRecord, *, now: datetime) -> None:
    """Counts the hour of `now` (billing time), if nobody has, and reports to Stripe every hour that is unreported.

    While the tenant's state allows no work nothing is counted: it owes for what it has used, not for what it keeps.
    Counting comes first and needs no Stripe. Raises stripe.StripeError when reporting fails; what is counted stays so,
    and repeating the call is harmless.
    """
    if allows(State(record.state), "work"):
        _count(tenant, record, now)
    report_hours(record, now=now)


def report_hours(record: TenantRecord, *, now: datetime) -> None:
    """Has Stripe count every hour that is not known to be reported, oldest first, each once. Raises stripe.StripeError.

    An hour that has become too old for Stripe is given up, which the log says as an error; the reconciliation shows it.
    """
    usage = shared().bind(UsageHour)
    for waiting in (
        shared().bind(Unreported).query(record.pk, Unreported.sk.startswith(UNREPORTED), consistent_read=True)
    ):
        hour = usage.get(record.pk, USAGE + waiting.sk.removeprefix(UNREPORTED), consistent_read=True)
        if not hour.reported:
            _report(record, hour, now)
        waiting.delete()


def hours_of(tenant_id: str, *, limit: int, cursor: Cursor | None) -> tuple[list[UsageHour], Cursor | None]:
    """A tenant's counted hours, newest first, and the cursor of the next page. Raises Invalid for a foreign cursor."""
    return page_of(shared().bind(UsageHour), tenant_id, prefix=USAGE, limit=limit, cursor=cursor, newest_first=True)


def hours_between(tenant_id: str, since: datetime, until: datetime) -> Sequence[UsageHour]:
    """The hours of a tenant that were counted from `since` up to and without `until`, both full hours in UTC."""
    model = shared().bind(UsageHour)
    last = until - timedelta(hours=1)
    return list(model.query(tenant_id, model.sk.between(USAGE + _name_of(since), USAGE + _name_of(last))))


def _count(tenant: Tenant, record: TenantRecord, now: datetime) -> None:
    included = terms_of(record).entitlements.active_cases
    found = open_cases(tenant)
    beyond = max(0, found - included)
    model, name = shared().bind(UsageHour), _name_of(now)
    hour = model(
        record.pk,
        USAGE + name,
        open_cases=found,
        included=included,
        case_hours=beyond,
        counted_at=now,
        reported=beyond == 0,
    )
    writes: list[Write] = [Put(hour, model.pk.does_not_exist())]
    if beyond:
        writes.append(Put(shared().bind(Unreported)(record.pk, UNREPORTED + name)))
    if commit_one(shared(), Group(name, writes)):
        logger.info("usage counted", extra={"tenant_id": record.pk, "hour": name, "case_hours": beyond})


def _report(record: TenantRecord, hour: UsageHour, now: datetime) -> None:
    ids = {"tenant_id": record.pk, "hour": hour.hour, "case_hours": hour.case_hours}
    if now - hour.counted_at > meter.REPORTABLE:
        logger.error("usage is too old to be reported; it is lost to billing", extra=ids)
        return
    assert record.customer_id is not None, "a tenant that may work has subscribed"
    identifier = f"{record.pk}-{hour.hour}"
    meter.send_event(record.customer_id, identifier, hour.case_hours, at=hour.counted_at, now=now)
    hour.update(actions=[type(hour).reported.set(True)])
    logger.info("usage reported", extra=ids)


def _name_of(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime(_HOUR)
