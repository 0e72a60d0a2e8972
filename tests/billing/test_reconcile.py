"""Our count and Stripe's are compared every day, and a difference is stored, told, and mended by a late report."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.billing.meter import MeterMissing
from chalicelib.billing.plans import METER_EVENT
from chalicelib.billing.reconcile import DAYS, DayCount, compared, reconcile, reconciliations
from chalicelib.billing.usage import UsageHour, count_hour
from chalicelib.platform.clock import utc_now
from chalicelib.platform.store import shared
from tests.billing.payments import Payments
from tests.billing.subscribers import INCLUDED, Killed, Saboteur, control, counted_requests

DAY = timedelta(days=1)
LAST = date(2026, 11, 24)


@pytest.fixture
def noon() -> datetime:
    """Noon of yesterday, so that the next day's comparison is of a past day for Stripe, too."""
    return utc_now().replace(hour=12, minute=0, second=0, microsecond=0) - DAY


def counted_at(record, open_cases_are, *moments: datetime, beyond: int = 3) -> None:
    open_cases_are(INCLUDED + beyond)
    for moment in moments:
        count_hour(None, record, now=moment)


def days(record) -> list[tuple[date, int, int, int]]:
    found = reconciliations(record.pk, limit=DAYS)
    return [(each.day, each.counted, each.reported, each.difference) for each in found]


def test_equal_counts_are_noted_as_equal(metered, open_cases_are, noon):
    record = metered()
    counted_at(record, open_cases_are, noon, noon + timedelta(hours=1))
    reconcile(record, now=noon + DAY)
    assert days(record) == [(noon.date(), 6, 6, 0)]


def test_a_day_without_usage_is_compared_too(metered, open_cases_are, noon):
    record = metered()
    reconcile(record, now=noon + DAY)
    assert days(record) == [(noon.date(), 0, 0, 0)]


def test_usage_that_stripe_lost_is_stored_and_told(metered, open_cases_are, noon, caplog):
    record = metered()
    counted_at(record, open_cases_are, noon)
    model = shared().bind(UsageHour)
    lost = model(record.pk, f"usage#{noon:%Y-%m-%d}T20", open_cases=15, included=10, case_hours=5)
    lost.counted_at, lost.reported = noon + timedelta(hours=8), True
    lost.save()
    reconcile(record, now=noon + DAY)
    assert days(record) == [(noon.date(), 8, 3, 5)]
    [told] = [each for each in caplog.records if each.levelname == "ERROR"]
    assert (told.message, told.counted, told.reported) == ("usage differs from Stripe's", 8, 3)


def test_usage_that_we_did_not_count_is_stored_and_told(metered, open_cases_are, payments, noon, caplog):
    record = metered()
    payments.client.v1.billing.meter_events.create(
        {
            "event_name": METER_EVENT,
            "payload": {"stripe_customer_id": record.customer_id, "value": "9"},
            "timestamp": int(noon.timestamp()),
        }
    )
    reconcile(record, now=noon + DAY)
    assert days(record) == [(noon.date(), 0, 9, -9)]
    assert "usage differs" in caplog.text


def test_a_late_report_mends_the_day_it_was_counted_on(metered, open_cases_are, payments, noon):
    record = metered()
    control(payments, "faults", {"path": "/v1/billing/meter_events", "how": "500"})
    with pytest.raises(Exception, match="Stripe's side"):
        counted_at(record, open_cases_are, noon - DAY)
    reconcile(record, now=noon)
    assert days(record) == [((noon - DAY).date(), 3, 0, 3)]
    counted_at(record, open_cases_are, noon, beyond=1)
    reconcile(record, now=noon + DAY)
    assert days(record) == [(noon.date(), 1, 1, 0), ((noon - DAY).date(), 3, 3, 0)]


def test_a_difference_is_told_once_and_not_every_day(metered, open_cases_are, noon, caplog):
    record = metered()
    counted_at(record, open_cases_are, noon - DAY)
    model = shared().bind(UsageHour)
    [hour] = model.query(record.pk, model.sk.startswith("usage#"))
    hour.update(actions=[model.case_hours.set(4)])
    for day in range(2):
        reconcile(record, now=noon + day * DAY)
    assert [each.levelname for each in caplog.records].count("ERROR") == 1
    assert days(record)[-1] == ((noon - DAY).date(), 4, 3, 1)


def test_once_compared_a_day_costs_stripe_nothing_more(metered, open_cases_are, noon, monkeypatch):
    record = metered()
    reconcile(record, now=noon + DAY)
    with counted_requests(monkeypatch) as sent:
        reconcile(record, now=noon + DAY + timedelta(hours=11))
    assert sent == []


def test_a_day_is_compared_when_stripe_has_had_time_to_count(metered, open_cases_are, noon):
    record = metered()
    midnight = noon.replace(hour=0) + DAY
    reconcile(record, now=midnight + timedelta(minutes=59))
    assert [each[0] for each in days(record)] == [(noon - DAY).date()]
    reconcile(record, now=midnight + timedelta(minutes=61))
    assert [each[0] for each in days(record)] == [noon.date(), (noon - DAY).date()]


def test_a_tenant_without_a_customer_has_nothing_to_compare(metered, noon):
    record = metered()
    record.customer_id = None
    reconcile(record, now=noon)
    assert days(record) == []


def test_a_missing_meter_is_said_and_nothing_is_noted(metered, payments: Payments, noon):
    record = metered()
    meters = payments.client.v1.billing.meters
    [active] = meters.list({"status": "active"}).data
    meters.deactivate(active.id)
    try:
        with pytest.raises(MeterMissing, match="stripe_sync"):
            reconcile(record, now=noon)
    finally:
        meters.reactivate(active.id)
    assert days(record) == []


def test_killed_between_any_two_requests_all_days_are_compared_in_the_end(metered, open_cases_are, noon, monkeypatch):
    def with_two_days():
        record = metered()
        counted_at(record, open_cases_are, noon - DAY, noon)
        return record

    reconcile(with_two_days(), now=noon + DAY)  # warm: what a container asks for once is not counted
    record, whole = with_two_days(), Saboteur(None)
    with whole.lurking(monkeypatch):
        reconcile(record, now=noon + DAY)
    for at in range(1, whole.requests + 1):
        record = with_two_days()
        with pytest.raises(Killed), Saboteur(at).lurking(monkeypatch):
            reconcile(record, now=noon + DAY)
        reconcile(record, now=noon + DAY)
        assert days(record) == [(noon.date(), 3, 3, 0), ((noon - DAY).date(), 3, 3, 0)], f"killed after request {at}"


counts = st.dictionaries(st.dates(LAST - 40 * DAY, LAST + 2 * DAY), st.integers(0, 5))


@given(counted=counts, reported=counts)
def test_every_day_with_anything_on_either_side_is_compared(counted, reported):
    found = compared(counted, reported, LAST)
    assert [each.day for each in found] == sorted({each.day for each in found})
    assert found[-1] == DayCount(LAST, counted.get(LAST, 0), reported.get(LAST, 0))
    for side, of in ((counted, lambda each: each.counted), (reported, lambda each: each.reported)):
        assert {each.day: of(each) for each in found if of(each)} == {
            day: hours for day, hours in side.items() if hours and day <= LAST
        }


def test_days_are_utc_days(metered, open_cases_are, noon):
    record = metered()
    late = noon.astimezone(UTC).replace(hour=23, minute=59, second=59)
    counted_at(record, open_cases_are, late)
    reconcile(record, now=noon + DAY)
    assert days(record) == [(late.date(), 3, 3, 0)]
