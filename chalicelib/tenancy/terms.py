"""What a tenant subscribed to: its entitlements and the delays of its plan, kept as a snapshot in the registry.

A plan that changes, or is sold no longer, changes nothing for those who have it, and no call waits for Stripe.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Count = Annotated[int, Field(ge=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Entitlements(_Frozen):
    """How much of what a tenant may use. `active_cases` are included in the price, and more are billed; every other
    count is a limit. Requests are of the whole tenant, and of one credential."""

    seats: Count
    active_cases: Count
    connectors: Count
    endpoints: Count
    events_kept_days: Count
    requests_per_minute: Count
    requests_per_minute_per_key: Count
    insight: bool
    parallel_run: bool
    passkeys_required: bool


class Delays(_Frozen):
    """When each step follows, in whole days: limited, suspended and closing from the day on which a payment failed and
    was not made good; erased from the day on which closing began. An export can be fetched for `export_kept` days."""

    limited_after: Count
    suspended_after: Count
    closing_after: Count
    erased_after: Count
    export_kept: Count

    @model_validator(mode="after")
    def _steps_follow_each_other(self) -> Self:
        if not self.limited_after < self.suspended_after < self.closing_after:
            raise ValueError("limited_after, suspended_after and closing_after must each be later than the one before")
        return self


class Terms(_Frozen):
    """Entitlements and delays as they were when the tenant subscribed, or last changed its plan."""

    entitlements: Entitlements
    delays: Delays
