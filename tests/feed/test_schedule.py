"""The retry schedule: never too early, never without end, never backwards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.feed.schedule import (
    DELAYS,
    LIFETIME,
    PUT_OFF_CAP,
    RETRY_AFTER_CAP,
    next_attempt,
    outcome,
    put_off,
    retry_after_seconds,
    sqs_delay,
)

NOW = datetime(2005, 9, 30, 16, 0, tzinfo=UTC)

attempts = st.integers(0, len(DELAYS) - 1)
jitters = st.floats(0, 1)
retry_afters = st.none() | st.integers(-10, 10**30)


def wait(attempt, jitter=0.0, retry_after=None):
    due = next_attempt(attempt, now=NOW, jitter=jitter, retry_after=retry_after)
    return None if due is None else (due - NOW).total_seconds()


def test_without_jitter_the_schedule_is_the_published_one():
    hour = 3600
    assert [wait(n) for n in range(9)] == [0, 5, 300, 1800, 2 * hour, 5 * hour, 10 * hour, 10 * hour, None]


@given(attempt=attempts, jitter=jitters)
def test_jitter_adds_at_most_a_fifth_and_never_takes_away(attempt, jitter):
    planned = DELAYS[attempt].total_seconds()
    assert planned <= wait(attempt, jitter) <= planned * 1.2 + 1e-6


@given(attempt=st.integers(0, len(DELAYS) - 2), jitter=jitters, retry_after=retry_afters)
def test_a_later_attempt_never_waits_less(attempt, jitter, retry_after):
    assert wait(attempt, jitter, retry_after) <= wait(attempt + 1, jitter, retry_after)


@given(attempt=attempts, jitter=jitters, retry_after=retry_afters)
def test_no_receiver_can_hold_a_message_longer_than_a_day(attempt, jitter, retry_after):
    assert 0 <= wait(attempt, jitter, retry_after) <= RETRY_AFTER_CAP.total_seconds()


@given(attempt=attempts, jitter=jitters, retry_after=st.integers(0, 86400))
def test_retry_after_lengthens_a_wait_and_never_shortens_one(attempt, jitter, retry_after):
    assert wait(attempt, jitter, retry_after) == max(wait(attempt, jitter), retry_after)


@given(attempt=st.integers(len(DELAYS), 10**6), retry_after=retry_afters)
def test_retry_after_grants_no_attempt_beyond_the_last(attempt, retry_after):
    assert wait(attempt, 0.5, retry_after) is None


@pytest.mark.parametrize(("attempt", "jitter"), [(-1, 0.0), (0, -0.1), (0, 1.1), (0, float("nan"))])
def test_inputs_outside_their_range_are_refused(attempt, jitter):
    with pytest.raises(ValueError, match=r"attempt|jitter"):
        next_attempt(attempt, now=NOW, jitter=jitter, retry_after=None)


@given(age=st.timedeltas(timedelta(0), LIFETIME * 2), rest=st.timedeltas(timedelta(0), timedelta(hours=1)))
def test_what_is_put_off_comes_back_when_its_endpoint_has_rested_or_soon_after(age, rest):
    due = put_off(NOW - age, now=NOW, rested=NOW + rest)
    assert (due is None) == (age >= LIFETIME)
    assert due is None or NOW + rest <= due <= NOW + max(rest, PUT_OFF_CAP)


def test_a_delivery_to_an_endpoint_that_always_rests_comes_by_a_hundred_times_at_most():
    moment, times = NOW, 0
    while due := put_off(NOW, now=moment, rested=moment + timedelta(seconds=60)):
        moment, times = due, times + 1
    assert 0 < times <= 100
    assert moment >= NOW + LIFETIME


@given(wait=st.timedeltas(-timedelta(days=2), timedelta(days=2)))
def test_a_queue_delay_is_whole_seconds_within_what_the_queue_allows(wait):
    delay = sqs_delay(NOW, NOW + wait)
    assert 0 <= delay <= 900
    assert delay == 900 or timedelta(seconds=delay) >= wait


def test_a_long_wait_hops_and_arrives_on_time():
    now, due, hops = NOW, NOW + timedelta(hours=2, seconds=7), 0
    while delay := sqs_delay(now, due):
        now, hops = now + timedelta(seconds=delay), hops + 1
    assert (now, hops) == (due, 9)


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (200, {}, "delivered"),
        (299, {}, "delivered"),
        (204, {"webhook-delivery": "abort-message"}, "delivered"),
        (410, {}, "disable"),
        (410, {"webhook-delivery": "abort-message"}, "disable"),
        (400, {"Webhook-Delivery": " Abort-Message "}, "abort"),
        (500, {"webhook-delivery": "abort-message"}, "abort"),
        (500, {"webhook-delivery": "later"}, "retry"),
        (103, {}, "retry"),
        (199, {}, "retry"),
        (301, {"location": "https://example.com/"}, "retry"),
        (404, {}, "retry"),
        (429, {"retry-after": "10"}, "retry"),
        (503, {}, "retry"),
    ],
)
def test_what_an_answer_means(status, headers, expected):
    assert outcome(status, headers) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("١٢", None),
        ("0", 0),
        (" 120 ", 120),
        ("86401", 86400),
        ("9" * 5000, 86400),
        ("Fri, 30 Sep 2005 16:02:00 GMT", 120),
        ("Fri, 30 Sep 2005 16:02:00", 120),
        ("Fri, 30 Sep 2005 15:00:00 GMT", 0),
        ("Fri, 30 Sep 2035 15:00:00 GMT", 86400),
        ("Fri, 99 Sep 2005 15:00:00 GMT", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(value, expected):
    assert retry_after_seconds(value, now=NOW) == expected


@given(value=st.text())
def test_no_retry_after_header_stops_the_schedule(value):
    seconds = retry_after_seconds(value, now=NOW)
    assert seconds is None or 0 <= seconds <= 86400
