"""What an attempt makes of its delivery."""

from __future__ import annotations

from datetime import timedelta

import pytest

from chalicelib.feed.attempt import Attempt, Settlement, settle, settle_unmade
from chalicelib.feed.schedule import DELAYS, LIFETIME


@pytest.mark.parametrize(
    ("status", "outcome", "settled"),
    [
        (204, "delivered", Settlement("delivered")),
        (422, "abort", Settlement("abandoned", "refused_by_receiver")),
        (410, "disable", Settlement("pending", "endpoint_gone")),
    ],
)
def test_an_answer_that_settles_it_leaves_no_next_attempt(now, status, outcome, settled):
    assert settle(Attempt(now, 0.1, status, "answered", outcome), 1, now=now, jitter=0.5) == settled


@pytest.mark.parametrize("made", range(1, len(DELAYS)))
def test_a_failure_is_followed_by_the_schedules_next_attempt(now, made):
    failed = Attempt(now, 0.1, 500, "answered", "retry")
    assert settle(failed, made, now=now, jitter=0) == Settlement("pending", due=now + DELAYS[made])


def test_the_last_failure_is_final(now):
    failed = Attempt(now, 15.0, None, "timeout", "retry")
    assert settle(failed, len(DELAYS), now=now, jitter=1) == Settlement("failed", "attempts_exhausted")


def test_a_receivers_wish_and_an_endpoints_rest_hold_the_next_attempt_back(now):
    busy = Attempt(now, 0.1, 429, "answered", "retry", retry_after=120)
    assert settle(busy, 1, now=now, jitter=0).due == now + timedelta(seconds=120)
    until = now + timedelta(seconds=60)
    failed = Attempt(now, 15.0, None, "timeout", "retry")
    assert settle(failed, 1, now=now, jitter=0, not_before=until).due == until
    assert settle(failed, 2, now=now, jitter=0, not_before=until).due == now + timedelta(minutes=5)


def test_an_attempt_that_is_not_made_is_due_when_its_endpoint_has_rested_but_not_for_ever(now):
    until = now + timedelta(seconds=60)
    assert settle_unmade(now, now=now, rested=until) == Settlement("pending", due=until)
    old = now - LIFETIME
    assert settle_unmade(old + timedelta(seconds=1), now=now, rested=until).status == "pending"
    assert settle_unmade(old, now=now, rested=until) == Settlement("failed", "endpoint_did_not_answer")


def test_only_a_failure_that_took_long_speaks_against_the_endpoint(now):
    assert Attempt(now, 15.0, None, "timeout", "retry").slow_failure
    assert not Attempt(now, 0.01, None, "connect-refused", "retry").slow_failure
    assert not Attempt(now, 9.0, 200, "answered", "delivered").slow_failure
