"""Usage is counted once an hour and billed once, whatever fails in between."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal

import pytest
import stripe

from chalicelib.billing import billing_now, find_plan, meter
from chalicelib.billing.invoices import list_invoices
from chalicelib.billing.usage import UNREPORTED, USAGE, Unreported, UsageHour, count_hour, hours_of
from chalicelib.cases import apply_rows
from chalicelib.platform.clock import utc_now
from chalicelib.platform.store import shared
from chalicelib.tenancy import State, allows, find_tenant, records
from tests.billing.subscribers import INCLUDED, Killed, Saboteur, control, counted_requests
from tests.cases.bank import Bank


@pytest.fixture
def hour() -> datetime:
    """The hour that it is, so that Stripe takes reports of this and the last hours."""
    return utc_now().replace(minute=0, second=0, microsecond=0)


def hours(record) -> dict[str, tuple[int, int, bool]]:
    """Open cases, case hours and whether they are reported, by hour."""
    found, _ = hours_of(record.pk, limit=200, cursor=None)
    return {each.hour: (each.open_cases, each.case_hours, each.reported) for each in found}


def unreported(record) -> list[str]:
    model = shared().bind(Unreported)
    return [each.sk.removeprefix(UNREPORTED) for each in model.query(record.pk, model.sk.startswith(UNREPORTED))]


def billed(record, around: datetime) -> dict[datetime, int]:
    """What Stripe will bill, by the hour, in the two days around a moment."""
    noon = around.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return meter.sums(record.customer_id, noon - timedelta(days=1), noon + timedelta(days=1), by="hour")


def named(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H}"


def full(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0)


def test_cases_beyond_the_included_ones_are_billed_by_the_hour(metered, open_cases_are, hour):
    record = metered()
    early = hour - timedelta(hours=3)
    for number, found in enumerate([INCLUDED - 1, INCLUDED, INCLUDED + 1, INCLUDED + 5]):
        open_cases_are(found)
        count_hour(None, record, now=early + timedelta(hours=number))
    assert list(hours(record).values()) == [
        (INCLUDED + 5, 5, True),
        (INCLUDED + 1, 1, True),
        (INCLUDED, 0, True),
        (INCLUDED - 1, 0, True),
    ]


def test_stripe_has_what_was_counted(metered, open_cases_are, hour):
    record = metered()
    open_cases_are(INCLUDED + 7)
    count_hour(None, record, now=hour - timedelta(hours=1))
    open_cases_are(INCLUDED + 3)
    count_hour(None, record, now=hour)
    assert billed(record, hour) == {full(hour - timedelta(hours=1)): 7, full(hour): 3}
    assert unreported(record) == []


def test_what_was_counted_is_on_the_invoice_of_the_period(clocks, subscribe, open_cases_are, payments):
    record, starter = subscribe("starter"), find_plan("starter")
    clocks_of_stripe = payments.client.v1.test_helpers.test_clocks
    for beyond in (400, 0, 250):
        moment = billing_now(record) + timedelta(hours=2)
        clocks_of_stripe.advance(record.test_clock_id, {"frozen_time": int(moment.timestamp())})
        open_cases_are(starter.entitlements.active_cases + beyond)
        count_hour(None, record, now=billing_now(record))
    in_a_month = int((record.period_end + timedelta(hours=2)).timestamp())
    clocks_of_stripe.advance(record.test_clock_id, {"frozen_time": in_a_month})
    [latest, *_], _ = list_invoices(record, limit=1, cursor=None)
    overage = (650 * starter.overage_price("CNY").amount).quantize(Decimal(1), ROUND_HALF_UP)
    assert latest.total == starter.price("CNY").amount + int(overage)


def test_the_cases_of_a_bank_are_what_is_counted(tenant, payments, hour, now):
    bank = Bank()
    apply_rows(tenant, [bank.row(str(n), 700, 55, op="new") for n in range(13)], bank.source(), now=now)
    record = find_tenant(tenant.id)
    terms = record.terms | {"entitlements": record.terms["entitlements"] | {"active_cases": INCLUDED}}
    customer_id = payments.client.v1.customers.create({}).id
    model = records()
    record.update(actions=[model.terms.set(terms), model.customer_id.set(customer_id)])
    count_hour(tenant, record, now=hour)
    assert hours(record) == {named(hour): (13, 3, True)}
    assert billed(record, hour) == {full(hour): 3}


def test_an_hour_is_counted_once_whatever_the_number_is_later(metered, open_cases_are, hour):
    record = metered()
    open_cases_are(INCLUDED + 2)
    count_hour(None, record, now=hour)
    open_cases_are(INCLUDED + 9)
    count_hour(None, record, now=hour + timedelta(minutes=50))
    assert hours(record) == {named(hour): (INCLUDED + 2, 2, True)}
    assert billed(record, hour) == {full(hour): 2}


def test_workers_at_the_same_time_count_and_bill_once(metered, open_cases_are, hour):
    record = metered()
    open_cases_are(INCLUDED + 2)
    workers = [threading.Thread(target=count_hour, args=(None, record), kwargs={"now": hour}) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert hours(record) == {named(hour): (INCLUDED + 2, 2, True)}
    assert billed(record, hour) == {full(hour): 2}
    assert unreported(record) == []


@pytest.mark.parametrize("state", [state for state in State if not allows(state, "work")])
def test_a_tenant_that_may_not_work_is_not_counted(metered, open_cases_are, hour, state):
    record = metered(state)
    open_cases_are(INCLUDED + 2)
    count_hour(None, record, now=hour)
    assert hours(record) == {}


def test_with_stripe_down_hours_are_counted_and_sent_when_it_is_back(metered, open_cases_are, payments, hour):
    record = metered()
    early = hour - timedelta(hours=4)
    for number in range(3):
        open_cases_are(INCLUDED + 1 + number)
        control(payments, "faults", {"path": "/v1/billing/meter_events", "how": "timeout"})
        with pytest.raises(stripe.APIConnectionError):
            count_hour(None, record, now=early + timedelta(hours=number))
    assert [each[1:] for each in hours(record).values()] == [(3, False), (2, False), (1, False)]
    open_cases_are(INCLUDED)
    count_hour(None, record, now=hour)
    assert billed(record, hour) == {full(early + timedelta(hours=n)): 1 + n for n in range(3)}
    assert all(reported for _, _, reported in hours(record).values())
    assert unreported(record) == []


def test_an_answer_that_was_not_heard_bills_nothing_twice(metered, open_cases_are, payments, hour):
    record = metered()
    open_cases_are(INCLUDED + 4)
    control(payments, "faults", {"path": "/v1/billing/meter_events", "how": "timeout", "when": "after"})
    with pytest.raises(stripe.APIConnectionError):
        count_hour(None, record, now=hour)
    assert unreported(record) == [named(hour)]
    count_hour(None, record, now=hour + timedelta(minutes=3))
    assert billed(record, hour) == {full(hour): 4}
    assert unreported(record) == []


def test_a_report_is_recognised_after_stripe_has_forgotten_its_identifier(
    metered, open_cases_are, payments, stripe_server, hour
):
    record = metered()
    open_cases_are(INCLUDED + 4)
    counted = hour - timedelta(days=3)
    control(payments, "faults", {"path": "/v1/billing/meter_events", "how": "timeout", "when": "after"})
    with pytest.raises(stripe.APIConnectionError):
        count_hour(None, record, now=counted)
    stripe_server.state.put("meter event identifier", f"{record.pk}-{named(counted)}", {"taken_at": 0})
    open_cases_are(INCLUDED)
    count_hour(None, record, now=hour)
    assert billed(record, counted) == {full(counted): 4}
    assert unreported(record) == []


def test_an_hour_that_stripe_takes_no_longer_is_given_up_and_told(metered, open_cases_are, payments, hour, caplog):
    record = metered()
    open_cases_are(INCLUDED + 4)
    counted = hour - timedelta(days=36)
    control(payments, "faults", {"path": "/v1/billing/meter_events", "how": "500"})
    with pytest.raises(stripe.APIError):
        count_hour(None, record, now=counted)
    open_cases_are(INCLUDED + 1)
    count_hour(None, record, now=hour)
    assert hours(record) == {named(counted): (INCLUDED + 4, 4, False), named(hour): (INCLUDED + 1, 1, True)}
    assert unreported(record) == []
    assert "too old" in caplog.text


def test_what_stripe_refuses_for_another_reason_stays_to_be_reported(metered, open_cases_are, payments, hour):
    record = metered()
    open_cases_are(INCLUDED + 4)
    payments.client.v1.customers.delete(record.customer_id)
    with pytest.raises(stripe.InvalidRequestError):
        count_hour(None, record, now=hour)
    assert unreported(record) == [named(hour)]


def test_killed_between_any_two_requests_nothing_is_lost_or_doubled(metered, open_cases_are, hour, monkeypatch):
    early = hour - timedelta(hours=2)
    open_cases_are(INCLUDED + 4)
    count_hour(None, metered(), now=early)  # warm: what a container asks for once is not counted
    record, whole = metered(), Saboteur(None)
    with whole.lurking(monkeypatch):
        count_hour(None, record, now=early)
    assert whole.requests == 6
    for at in range(1, whole.requests + 1):
        record = metered()
        with pytest.raises(Killed), Saboteur(at).lurking(monkeypatch):
            count_hour(None, record, now=early)
        with suppress(Killed), Saboteur(at).lurking(monkeypatch):
            count_hour(None, record, now=early + timedelta(minutes=3))
        count_hour(None, record, now=hour)
        found = hours(record)
        assert all(reported for _, _, reported in found.values()), f"killed after request {at}"
        assert billed(record, hour) == {
            datetime.strptime(name, "%Y-%m-%dT%H").replace(tzinfo=UTC): beyond for name, (_, beyond, _) in found.items()
        }, f"killed after request {at}"
        assert found.keys() == {named(early), named(hour)}, f"killed after request {at}"
        assert unreported(record) == []


def test_an_hour_without_anything_to_bill_says_nothing_to_stripe(metered, open_cases_are, hour, monkeypatch):
    record = metered()
    open_cases_are(INCLUDED)
    with counted_requests(monkeypatch) as sent:
        count_hour(None, record, now=hour)
    assert sent == []


def test_hours_are_shown_newest_first_and_page_by_page(metered, open_cases_are, hour):
    record = metered()
    for number in range(5):
        count_hour(None, record, now=hour + timedelta(hours=number))
    seen, cursor = [], None
    while True:
        page, cursor = hours_of(record.pk, limit=2, cursor=cursor)
        seen += [each.begins_at for each in page]
        if cursor is None:
            break
    assert seen == [full(hour + timedelta(hours=n)) for n in (4, 3, 2, 1, 0)]


def test_an_hour_belongs_to_its_utc_hour_wherever_it_is_counted(metered, open_cases_are, hour):
    record = metered()
    count_hour(None, record, now=hour.astimezone(timezone(timedelta(hours=8))))
    assert shared().bind(UsageHour).find(record.pk, USAGE + named(hour)) is not None
