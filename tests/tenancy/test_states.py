"""The table of states: every path that facts can lead along keeps to it, and nothing else is possible."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.tenancy.states import ALLOWED, TRANSITIONS, Cause, Facts, State, allows, path
from chalicelib.tenancy.terms import Delays

NOW = datetime(2026, 11, 25, tzinfo=UTC)
DELAYS = Delays(limited_after=14, suspended_after=28, closing_after=60, erased_after=30, export_kept=14)

states = st.sampled_from(State)
facts = st.builds(
    Facts,
    status=st.sampled_from(["trialing", "active", "owing", "ended"]),
    owing_since=st.none() | st.timedeltas(timedelta(0), timedelta(days=120)).map(lambda ago: NOW - ago),
    new_subscription=st.booleans(),
)


@given(states, facts)
def test_every_path_is_made_of_moves_of_the_table_and_ends_where_the_facts_put_it(state: State, given_facts: Facts):
    moves = path(state, given_facts, DELAYS, now=NOW)
    at = state
    for move in moves:
        assert move.before == at
        assert TRANSITIONS[at, move.cause] == move.after
        at = move.after
    settled = Facts(given_facts.status, given_facts.owing_since, new_subscription=False)
    assert path(at, settled, DELAYS, now=NOW) == [], "what is settled stays where it is"


@given(states, facts)
def test_no_state_is_passed_twice_on_one_path(state: State, given_facts: Facts):
    passed = [state, *(move.after for move in path(state, given_facts, DELAYS, now=NOW))]
    assert len(passed) == len(set(passed))


@given(st.sampled_from([State.TRIALING, State.ACTIVE, State.PAST_DUE, State.LIMITED, State.SUSPENDED]))
def test_whoever_pays_has_everything_again(state: State):
    moves = path(state, Facts("active", None), DELAYS, now=NOW)
    assert (moves[-1].after if moves else state) == State.ACTIVE


@given(st.integers(0, 200), st.integers(0, 200))
def test_whoever_owes_longer_is_never_better_off(one: int, other: int):
    def reached(days: int) -> State:
        owed = Facts("owing", NOW - timedelta(days=days))
        return ([State.ACTIVE] + [m.after for m in path(State.ACTIVE, owed, DELAYS, now=NOW)])[-1]

    shorter, longer = sorted((one, other))
    assert ALLOWED[reached(longer)] <= ALLOWED[reached(shorter)]


@pytest.mark.parametrize(
    ("days", "state"),
    [(0, "past_due"), (13, "past_due"), (14, "limited"), (27, "limited"), (28, "suspended"), (59, "suspended")],
)
def test_each_step_comes_on_its_day(days: int, state: str):
    owed = Facts("owing", NOW - timedelta(days=days))
    assert path(State.ACTIVE, owed, DELAYS, now=NOW)[-1].after == state
    almost = Facts("owing", NOW - timedelta(days=days + 1) + timedelta(seconds=1))
    assert path(State.ACTIVE, almost, DELAYS, now=NOW)[-1].after == state


def test_a_tenant_nobody_looked_at_for_long_goes_through_every_step():
    owed = Facts("owing", NOW - timedelta(days=61))
    assert [move.after for move in path(State.ACTIVE, owed, DELAYS, now=NOW)] == [
        State.PAST_DUE,
        State.LIMITED,
        State.SUSPENDED,
        State.CLOSING,
    ]


def test_only_a_new_subscription_brings_a_closing_tenant_back():
    assert path(State.CLOSING, Facts("active", None), DELAYS, now=NOW) == []
    returned = path(State.CLOSING, Facts("trialing", None, new_subscription=True), DELAYS, now=NOW)
    assert [move.cause for move in returned] == [Cause.RETURNED, Cause.TRIAL_BEGAN]


def test_what_is_erased_stays_erased_and_only_closing_leads_there():
    assert not [state for state, _ in TRANSITIONS if state == State.ERASED]
    assert {before for (before, _), after in TRANSITIONS.items() if after == State.ERASED} == {State.CLOSING}


def test_paying_and_taking_access_away_are_open_to_every_tenant_that_is_not_gone():
    for state in set(State) - {State.PENDING, State.ERASED}:
        assert allows(state, "bill") and allows(state, "secure") and allows(state, "read") and allows(state, "export")
    assert not ALLOWED[State.PENDING] | ALLOWED[State.ERASED]
