"""A tenant's states, what each allows, and the one table of how they follow each other. Pure.

docs/tenant-states.md is rendered from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from chalicelib.platform.http import Need
from chalicelib.tenancy.terms import Delays


class State(StrEnum):
    """Where a tenant stands, from its sign-up to its end."""

    PENDING = "pending"
    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    LIMITED = "limited"
    SUSPENDED = "suspended"
    CLOSING = "closing"
    ERASED = "erased"


class Cause(StrEnum):
    """Why a tenant moves from one state to another."""

    TRIAL_BEGAN = "trial_began"
    PAID = "paid"
    PAYMENT_FAILED = "payment_failed"
    LIMITED_BY_TIME = "limited_by_time"
    SUSPENDED_BY_TIME = "suspended_by_time"
    CLOSED_BY_TIME = "closed_by_time"
    LEFT = "left"
    RETURNED = "returned"
    ERASED = "erased"


Status = Literal["trialing", "active", "owing", "ended"]
"""How a subscription stands, as far as a tenant's state depends on it."""

ALL: frozenset[Need] = frozenset({"read", "export", "bill", "secure", "work", "connect"})
READING: frozenset[Need] = frozenset({"read", "export", "bill", "secure"})

ALLOWED: Mapping[State, frozenset[Need]] = {
    State.PENDING: frozenset(),
    State.TRIALING: ALL,
    State.ACTIVE: ALL,
    State.PAST_DUE: ALL,
    State.LIMITED: ALL - {"connect"},
    State.SUSPENDED: READING,
    State.CLOSING: READING,
    State.ERASED: frozenset(),
}
"""What a tenant's people and machines may do in each state."""

_S, _C = State, Cause

TRANSITIONS: Mapping[tuple[State, Cause], State] = {
    (_S.PENDING, _C.TRIAL_BEGAN): _S.TRIALING,
    (_S.PENDING, _C.PAID): _S.ACTIVE,
    (_S.TRIALING, _C.PAID): _S.ACTIVE,
    (_S.TRIALING, _C.PAYMENT_FAILED): _S.PAST_DUE,
    (_S.TRIALING, _C.LEFT): _S.CLOSING,
    (_S.ACTIVE, _C.TRIAL_BEGAN): _S.TRIALING,
    (_S.ACTIVE, _C.PAYMENT_FAILED): _S.PAST_DUE,
    (_S.ACTIVE, _C.LEFT): _S.CLOSING,
    (_S.PAST_DUE, _C.PAID): _S.ACTIVE,
    (_S.PAST_DUE, _C.LIMITED_BY_TIME): _S.LIMITED,
    (_S.PAST_DUE, _C.LEFT): _S.CLOSING,
    (_S.LIMITED, _C.PAID): _S.ACTIVE,
    (_S.LIMITED, _C.SUSPENDED_BY_TIME): _S.SUSPENDED,
    (_S.LIMITED, _C.LEFT): _S.CLOSING,
    (_S.SUSPENDED, _C.PAID): _S.ACTIVE,
    (_S.SUSPENDED, _C.CLOSED_BY_TIME): _S.CLOSING,
    (_S.SUSPENDED, _C.LEFT): _S.CLOSING,
    (_S.CLOSING, _C.RETURNED): _S.ACTIVE,
    (_S.CLOSING, _C.ERASED): _S.ERASED,
}
"""Every move that there is. What is not here cannot happen."""


def allows(state: State, need: Need) -> bool:
    """Whether a tenant in that state may do what `need` names."""
    return need in ALLOWED[state]


@dataclass(frozen=True)
class Facts:
    """What a tenant's next state is decided on: how its subscription stands, since when it owes (None when it does
    not), and whether the subscription is another one than the tenant closed with."""

    status: Status
    owing_since: datetime | None
    new_subscription: bool = False


@dataclass(frozen=True)
class Move:
    """One step of a tenant: where from, why, and where to."""

    before: State
    cause: Cause
    after: State


def path(state: State, facts: Facts, delays: Delays, *, now: datetime) -> list[Move]:
    """The moves that lead from a state to where the facts put the tenant; none when it is there already.

    Steps are never skipped: a tenant that nobody looked at for long goes through each that came due meanwhile.
    """
    moves: list[Move] = []
    while (cause := _next(state, facts, delays, now)) is not None:
        move = Move(state, cause, TRANSITIONS[state, cause])
        moves.append(move)
        state = move.after
    return moves


def _next(state: State, facts: Facts, delays: Delays, now: datetime) -> Cause | None:
    match state:
        case State.ERASED:
            return None
        case State.CLOSING:
            returns = facts.new_subscription and facts.status in ("trialing", "active")
            return Cause.RETURNED if returns else None
        case State.PENDING:
            return {"trialing": Cause.TRIAL_BEGAN, "active": Cause.PAID}.get(facts.status)
        case _:
            return _next_of_living(state, facts, delays, now)


def _next_of_living(state: State, facts: Facts, delays: Delays, now: datetime) -> Cause | None:
    match facts.status:
        case "ended":
            return Cause.LEFT
        case "active":
            return None if state == State.ACTIVE else Cause.PAID
        case "trialing":
            # A tenant that owed and was given a trial anew owes nothing: it is active first, then trialing.
            if state == State.TRIALING:
                return None
            return Cause.TRIAL_BEGAN if state == State.ACTIVE else Cause.PAID
        case "owing":
            return _dunned(state, now - (facts.owing_since or now), delays)


def _dunned(state: State, owed_for: timedelta, delays: Delays) -> Cause | None:
    days = owed_for / timedelta(days=1)
    match state:
        case State.TRIALING | State.ACTIVE:
            return Cause.PAYMENT_FAILED
        case State.PAST_DUE if days >= delays.limited_after:
            return Cause.LIMITED_BY_TIME
        case State.LIMITED if days >= delays.suspended_after:
            return Cause.SUSPENDED_BY_TIME
        case State.SUSPENDED if days >= delays.closing_after:
            return Cause.CLOSED_BY_TIME
        case _:
            return None
