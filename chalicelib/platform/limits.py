"""Counting what may be done only so often: fixed windows in a shared table, one conditional write a draw.

A name counts in a window of time; what is drawn is gone until the window ends. Whoever draws often draws in portions
and spends them in memory, which costs a write for every portion and never lets more through than the limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from chalicelib.platform.attributes import IntegerAttribute
from chalicelib.platform.store import SharedModel, shared

_KEPT_AFTER = 3600
"""Seconds that a window's count stays in the table after its end, before the table may forget it."""


class Count(SharedModel):
    """How much of a name's limit is drawn in a window: `pk` is the name, `sk` the window's start in epoch seconds."""

    class Meta:
        table_kind = "limits"

    drawn = IntegerAttribute(default=0)
    forget_after = IntegerAttribute()


@dataclass(frozen=True)
class Taken:
    """Whether a draw was allowed, what is left in the window, and in how many seconds the window ends."""

    allowed: bool
    remaining: int
    resets_in: int


def take(name: str, limit: int, window: timedelta, *, now: datetime, portion: int = 1) -> Taken:
    """Draws `portion` from what `name` may have in the window that `now` is in.

    A name says nothing personal: the caller hashes what would. When less than the portion is left nothing is drawn.
    """
    seconds = int(window.total_seconds())
    start = int(now.timestamp()) // seconds * seconds
    resets_in = max(1, start + seconds - int(now.timestamp()))
    if portion > limit:
        return Taken(False, 0, resets_in)
    model = shared().bind(Count)
    count = model(name, f"{start:012d}", forget_after=start + seconds + _KEPT_AFTER)
    drawn = count.update_if(
        model.drawn.does_not_exist() | (model.drawn <= limit - portion),
        [model.drawn.add(portion), model.forget_after.set(count.forget_after)],
    )
    if not drawn:
        return Taken(False, 0, resets_in)
    return Taken(True, limit - count.drawn, resets_in)
