"""Moving a tenant through its states: by what Stripe says of its subscription, by time, and by its own leaving.

Every move is one conditional write to the registry, which also notes what is to be announced. What follows from a move
is asked for by messages, and asked for again as long as the announcement is not made: a worker killed between the two
leaves nothing undone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from chalicelib.platform.aws import send
from chalicelib.platform.clock import rfc3339
from chalicelib.platform.errors import Conflict
from chalicelib.platform.telemetry import logger
from chalicelib.tenancy.provisioning import begin_provisioning
from chalicelib.tenancy.registry import TenantRecord, find_tenant, records, terms_of
from chalicelib.tenancy.states import TRANSITIONS, Cause, Facts, Move, State, Status, allows, path
from chalicelib.tenancy.terms import Terms

_TRIES = 8


class SecondSubscription(Conflict):
    """A tenant that has a subscription paid for another one; a person has to refund it."""

    type, title = "second-subscription", "This tenant has a subscription already"


@dataclass(frozen=True)
class Standing:
    """How a tenant's subscription stands, as Stripe says it now.

    `stripe_status` is Stripe's own word; `plan` the key of the plan; `seats` those bought in total. `terms` are the
    plan's as they are sold now, or None when it is sold no longer and the tenant keeps what it had.
    """

    status: Status
    stripe_status: str
    subscription_id: str
    customer_id: str
    plan: str
    currency: str
    interval: str
    seats: int
    period_end: datetime | None
    cancel_at: datetime | None
    features: tuple[str, ...] = ()
    terms: Terms | None = None


def settle(tenant_id: str, standing: Standing, *, now: datetime) -> State:
    """Brings a tenant in line with how its subscription stands; repeating it changes nothing.

    `now` is in billing time. Raises NotFound for an unknown tenant, SecondSubscription when the standing is of another
    subscription than the tenant's, unless that one has ended, and Conflict when others keep changing the record.
    """

    def decide(record: TenantRecord) -> tuple[list[Move], dict[str, Any]]:
        if _is_old_or_second(record, standing) or _is_gone(record, standing):
            return [], {}
        owing_since = (record.owing_since or now) if standing.status == "owing" else None
        terms = standing.terms if _terms_change(record, standing) else None
        facts = Facts(standing.status, owing_since, new_subscription=record.subscription_id != standing.subscription_id)
        delays = (terms or terms_of(record)).delays
        moves = path(State(record.state), facts, delays, now=now)
        if not moves and facts.new_subscription and record.state in (State.PENDING, State.CLOSING):
            return [], {}  # nothing is paid: the subscription may still come to nothing
        learnt: dict[str, Any] = {
            "subscription_id": standing.subscription_id,
            "customer_id": standing.customer_id,
            "subscription_status": standing.stripe_status,
            "plan": standing.plan,
            "currency": standing.currency,
            "interval": standing.interval,
            "seats": standing.seats,
            "period_end": standing.period_end,
            "cancel_at": standing.cancel_at,
            "owing_since": owing_since,
            "features": list(standing.features),
        }
        if terms is not None:
            learnt["terms"] = terms.model_dump(mode="json")
        return moves, learnt

    return _change(tenant_id, decide, now)


def step_by_time(tenant_id: str, *, now: datetime) -> State:
    """Takes a tenant that owes through the steps that have come due; any other stays where it is."""

    def decide(record: TenantRecord) -> tuple[list[Move], dict[str, Any]]:
        if record.owing_since is None or record.state in (State.PENDING, State.CLOSING, State.ERASED):
            return [], {}
        facts = Facts("owing", record.owing_since)
        return path(State(record.state), facts, terms_of(record).delays, now=now), {}

    return _change(tenant_id, decide, now)


def close(tenant_id: str, *, now: datetime) -> State:
    """Begins a tenant's closing because it leaves. Raises Conflict for one that is not set up or gone already."""

    def decide(record: TenantRecord) -> tuple[list[Move], dict[str, Any]]:
        state = State(record.state)
        if state == State.CLOSING:
            return [], {}
        if (state, Cause.LEFT) not in TRANSITIONS:
            raise Conflict(f"a tenant that is {state} cannot leave", state=state)
        return [Move(state, Cause.LEFT, TRANSITIONS[state, Cause.LEFT])], {}

    return _change(tenant_id, decide, now)


def is_due_for_erasure(record: TenantRecord, now: datetime) -> bool:
    """Whether a tenant may be erased: closing, its time over, and no legal hold."""
    return (
        record.state == State.CLOSING
        and record.erase_after is not None
        and record.erase_after <= now
        and record.legal_hold is None
    )


def follow_moves(record: TenantRecord) -> None:
    """Asks for what follows from the moves that are not announced yet. Asking again is harmless."""
    if not record.announcements:
        return
    if any(each["before"] == State.PENDING for each in record.announcements):
        begin_provisioning(record.pk)
    if any(_connects_again(each) for each in record.announcements):
        send("sync", record.pk, [{"tenant_id": record.pk, "action": "wake"}])
    send("billing", record.pk, [{"tenant_id": record.pk, "action": "announce"}])


Decide = Callable[[TenantRecord], tuple[list[Move], dict[str, Any]]]


def _change(tenant_id: str, decide: Decide, now: datetime) -> State:
    """Reads the record, decides, and writes if it is still the same; asks for what follows."""
    for _ in range(_TRIES):
        record = find_tenant(tenant_id)
        moves, learnt = decide(record)
        changes = {name: value for name, value in learnt.items() if getattr(record, name) != value}
        changes |= _moved(record, moves, now)
        if not changes or _write(record, changes):
            for move in moves:
                logger.info("tenant moved", extra={"tenant_id": tenant_id, "cause": move.cause, "state": move.after})
            follow_moves(record)
            return State(record.state)
    raise Conflict("the tenant is being changed by others; try again")


def _moved(record: TenantRecord, moves: Sequence[Move], now: datetime) -> dict[str, Any]:
    if not moves:
        return {}
    told = [
        {
            "n": record.moves + number,
            "before": move.before.value,
            "state": move.after.value,
            "cause": move.cause.value,
            "at": rfc3339(now),
        }
        for number, move in enumerate(moves, start=1)
    ]
    changes: dict[str, Any] = {
        "state": moves[-1].after.value,
        "state_since": now,
        "moves": record.moves + len(moves),
        "announcements": [*record.announcements, *told],
        "pending_until": None,
        "forget_after": None,
    }
    if any(move.after == State.CLOSING for move in moves):
        delays = terms_of(record).delays
        changes |= {"closing_at": now, "erase_after": now + timedelta(days=delays.erased_after)}
    elif record.state == State.CLOSING:
        changes |= {"closing_at": None, "erase_after": None, "certificate_hash": None}
    return changes


def _write(record: TenantRecord, changes: dict[str, Any]) -> bool:
    model = records()
    actions = [
        getattr(model, name).remove() if value is None else getattr(model, name).set(value)
        for name, value in changes.items()
    ]
    return record.update_if(model.version == record.version, [*actions, model.version.add(1)])


def _is_old_or_second(record: TenantRecord, standing: Standing) -> bool:
    """Whether a standing is of a subscription that is not the tenant's any more. Raises SecondSubscription when
    another one is paid for while the tenant's own goes on."""
    if record.subscription_id in (None, standing.subscription_id):
        return False
    if standing.status == "ended":
        return True
    if record.state == State.CLOSING or record.subscription_status in ("canceled", "incomplete_expired"):
        return False
    raise SecondSubscription("the tenant has another subscription; this one is to be refunded", state=record.state)


def _is_gone(record: TenantRecord, standing: Standing) -> bool:
    """Whether nothing can bring the tenant back: its erasure has begun. Somebody who pays all the same gets it back by
    hand, which the log asks for."""
    if not record.erasure and record.state != State.ERASED:
        return False
    if standing.status != "ended":
        logger.error("subscription of an erased tenant", extra={"tenant_id": record.pk})
    return True


def _terms_change(record: TenantRecord, standing: Standing) -> bool:
    """Terms are taken when a tenant subscribes or changes its plan; until then it keeps those it agreed to."""
    if record.terms is None or record.subscription_id != standing.subscription_id:
        return True
    return record.plan != standing.plan


def _connects_again(announced: dict[str, Any]) -> bool:
    before, after = State(announced["before"]), State(announced["state"])
    return allows(after, "connect") and not allows(before, "connect") and before != State.PENDING
