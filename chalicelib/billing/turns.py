"""Whose turn it is to change a subscription: one change at a time, and who repeats a change keeps the turn.

Between reading a tenant's record and the moment when Stripe has changed the subscription, another admin may ask for
something else. The first one's turn is noted here, and the other one is refused.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from pynamodb.attributes import UnicodeAttribute, UTCDateTimeAttribute

from chalicelib.billing.choice import Choice
from chalicelib.platform.attributes import IntegerAttribute
from chalicelib.platform.clock import rfc3339
from chalicelib.platform.errors import Conflict
from chalicelib.platform.store import SharedModel, shared
from chalicelib.tenancy import TenantRecord, find_tenant

TURN = "turn"

TURN_TIME = timedelta(minutes=2)
"""After this a turn that nobody gave back is over: whoever had it was given 29 seconds by API Gateway."""


class ChangeTurn(SharedModel):
    """The turn to change a tenant's subscription, while somebody has it: `pk` is the tenant, `sk` is always `turn`.

    `version` is that of the tenant's record from which the change is made, `choice` what it leads to.
    """

    class Meta:
        table_kind = "billing-events"

    version = IntegerAttribute()
    choice = UnicodeAttribute()
    taken_at = UTCDateTimeAttribute()


@dataclass(frozen=True)
class Turn:
    """The right to make one change, which nobody else has as long as it lasts."""

    tenant_id: str
    version: int
    choice: str
    taken_at: datetime

    @property
    def key(self) -> str:
        """The idempotency key of the change at Stripe, the same for whoever repeats it in this turn. A later turn has
        another one, for Stripe answers a key for a day as it did at first, even where that was an error of its own."""
        told = f"{self.tenant_id} {self.version} {self.choice} {rfc3339(self.taken_at)}"
        return f"change-{hashlib.sha256(told.encode()).hexdigest()}"


def take_turn(record: TenantRecord, choice: Choice, *, now: datetime) -> Turn:
    """Takes the turn to bring about a choice from the record as it was read, or finds it taken for that very choice.

    Whoever finds the record as it was read, now that it is their turn, knows that nobody has changed the subscription
    since then. `now` is real time. Raises Conflict when it is another change's turn, or there is another record.
    """
    model, text = shared().bind(ChangeTurn), f"{choice.plan} {choice.interval} {choice.extra_seats}"
    # In milliseconds, as it is told in the key.
    turn = Turn(record.pk, record.version, text, now.replace(microsecond=now.microsecond // 1000 * 1000))
    free = model.pk.does_not_exist() | (model.taken_at < now - TURN_TIME)
    noted = [model.version.set(turn.version), model.choice.set(turn.choice), model.taken_at.set(turn.taken_at)]
    taken = model(record.pk, TURN).update_if(free, noted)
    if not taken:
        found = model.find(record.pk, TURN)
        if found is None or found.choice != turn.choice:
            raise Conflict("another change of the subscription is being made; see what it is by then, and try again")
        turn = Turn(record.pk, found.version, found.choice, found.taken_at)
    if (version := find_tenant(record.pk).version) != record.version:
        if taken:
            give_back(turn)
        raise Conflict(f"the subscription's version is {version} by now", version=version)
    return turn


def give_back(turn: Turn) -> None:
    """Ends a turn: the registry knows what was changed in it, or nothing was."""
    model = shared().bind(ChangeTurn)
    mine = (model.version == turn.version) & (model.choice == turn.choice) & (model.taken_at == turn.taken_at)
    model(turn.tenant_id, TURN).delete_if(mine)
