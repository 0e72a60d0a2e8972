"""The daily comparison of what we counted with what Stripe will bill: equal, or said so loudly.

Every run looks at all the days that an hour can still be reported for, so what was sent late mends the day it was
counted on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from pynamodb.attributes import UTCDateTimeAttribute

from chalicelib.billing import meter
from chalicelib.billing.usage import hours_between
from chalicelib.platform.attributes import IntegerAttribute
from chalicelib.platform.store import SharedModel, shared
from chalicelib.platform.telemetry import logger
from chalicelib.tenancy import TenantRecord

RECONCILIATION = "reconciliation#"

LAG = timedelta(hours=1)
"""How long after midnight a day is compared: Stripe counts some time after it takes an event."""

DAYS = 35
"""How many days are compared: those that an hour can still be reported for, and one."""

_DAY = timedelta(days=1)


class Reconciliation(SharedModel):
    """A day as we counted it and as Stripe did: `pk` is the tenant, `sk` is `reconciliation#` and the day in UTC.

    All are case hours; `difference` is what Stripe does not have (less than zero: what it has and we do not).
    `checked_at` (billing time) is when it was found so.
    """

    class Meta:
        table_kind = "billing-events"

    counted = IntegerAttribute()
    reported = IntegerAttribute()
    difference = IntegerAttribute()
    checked_at = UTCDateTimeAttribute()

    @property
    def day(self) -> date:
        """The day, in UTC."""
        return date.fromisoformat(self.sk.removeprefix(RECONCILIATION))


@dataclass(frozen=True)
class DayCount:
    """The case hours of a day: as we counted them, and as Stripe has them."""

    day: date
    counted: int
    reported: int


def compared(counted: Mapping[date, int], reported: Mapping[date, int], last: date) -> list[DayCount]:
    """The days up to `last` on which either side has something, and `last` itself, in order. Pure."""
    days = {day for side in (counted, reported) for day, hours in side.items() if hours and day <= last} | {last}
    return [DayCount(day, counted.get(day, 0), reported.get(day, 0)) for day in sorted(days)]


def reconcile(record: TenantRecord, *, now: datetime) -> None:
    """Compares the past days, once for each day that is over; asked again on the same day, it does nothing.

    A day that differs, or differs by another number than before, is logged as an error. `now` is billing time. Raises
    meter.MeterMissing and stripe.StripeError; nothing is then noted as compared.
    """
    until = _midnight(now - LAG)
    last = (until - _DAY).date()
    if record.customer_id is None or shared().bind(Reconciliation).find(record.pk, _key(last)) is not None:
        return
    since = until - DAYS * _DAY
    counted = Counter[date]()
    for hour in hours_between(record.pk, since, until):
        counted[hour.counted_at.astimezone(UTC).date()] += hour.case_hours
    reported = {start.date(): value for start, value in meter.sums(record.customer_id, since, until, by="day").items()}
    known = {each.day: each for each in reconciliations(record.pk, limit=DAYS)}
    # In order, so that the last day, by which it is known that all are done, is written after all others.
    for each in compared(counted, reported, last):
        before = known.get(each.day)
        if before is None or (before.counted, before.reported) != (each.counted, each.reported):
            _note(record.pk, each, now)


def reconciliations(tenant_id: str, *, limit: int) -> list[Reconciliation]:
    """The days of a tenant that were compared last, newest first."""
    model = shared().bind(Reconciliation)
    return list(model.query(tenant_id, model.sk.startswith(RECONCILIATION), scan_index_forward=False, limit=limit))


def _note(tenant_id: str, found: DayCount, now: datetime) -> None:
    difference = found.counted - found.reported
    shared().bind(Reconciliation)(
        tenant_id,
        _key(found.day),
        counted=found.counted,
        reported=found.reported,
        difference=difference,
        checked_at=now,
    ).save()
    log = logger.error if difference else logger.info
    log(
        "usage differs from Stripe's" if difference else "usage is as Stripe has it",
        extra={
            "tenant_id": tenant_id,
            "day": found.day.isoformat(),
            "counted": found.counted,
            "reported": found.reported,
        },
    )


def _key(day: date) -> str:
    return RECONCILIATION + day.isoformat()


def _midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
