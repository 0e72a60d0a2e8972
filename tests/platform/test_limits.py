"""What may be done only so often is counted for all containers together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from chalicelib.platform.ids import new_id
from chalicelib.platform.limits import take

HOUR = timedelta(hours=1)
NOW = datetime(2026, 11, 25, 10, 20, tzinfo=UTC)


@pytest.fixture
def name(aws: None) -> str:
    return new_id("try")


def test_a_limit_is_used_up_and_is_whole_again_in_the_next_window(name: str):
    taken = [take(name, 2, HOUR, now=NOW) for _ in range(3)]
    assert [each.allowed for each in taken] == [True, True, False]
    assert [each.remaining for each in taken] == [1, 0, 0]
    assert taken[0].resets_in == 40 * 60
    assert take(name, 2, HOUR, now=NOW + timedelta(minutes=40)).allowed


def test_a_portion_is_drawn_whole_or_not_at_all(name: str):
    assert take(name, 5, HOUR, now=NOW, portion=3).remaining == 2
    assert not take(name, 5, HOUR, now=NOW, portion=3).allowed
    assert take(name, 5, HOUR, now=NOW, portion=2).allowed
    assert not take(new_id("try"), 5, HOUR, now=NOW, portion=6).allowed


def test_many_at_once_get_no_more_than_the_limit(name: str):
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: take(name, 7, HOUR, now=NOW), range(20)))
    assert sum(each.allowed for each in taken) == 7
