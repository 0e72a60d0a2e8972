"""docs/tenant-states.md, rendered from the table of states and the plans."""

from __future__ import annotations

from collections.abc import Sequence

from chalicelib.billing.plans import Plan
from chalicelib.tenancy.states import ALLOWED, TRANSITIONS, Cause, State

_INTRODUCTION = """\
# A tenant's states

Written by `make openapi` from [the table](../chalicelib/tenancy/states.py) and [the plans](../tenants/plans.toml);
change these. What is not in the table cannot happen, and a property test holds every path to it.

A state follows from how the subscription stands at Stripe, fetched and never taken from an event, and from time. Steps
are not skipped: a tenant that nobody looked at for long goes through each that came due. Every move is written once,
announced by an event (`tenant.payment_failed`, `tenant.state_changed`) and mailed to the owners.
"""

_NEEDS = {
    "read": "look at everything",
    "export": "take the data along",
    "bill": "pay, change or end the subscription",
    "secure": "take away keys, sessions and people; leave; hold an erasure",
    "work": "change cases, rules, endpoints, people",
    "connect": "read files, take pushed rows in",
}

_STATES = {
    State.PENDING: "signed up and not subscribed; nothing is made for it, and after some days it is forgotten",
    State.TRIALING: "in its trial",
    State.ACTIVE: "paid for",
    State.PAST_DUE: "a payment failed; everything goes on, and the owners are warned",
    State.LIMITED: "connectors pause: dropped files wait; webhooks, reading and collectors' work go on",
    State.SUSPENDED: "only reading and export are left, and paying",
    State.CLOSING: "ended by its owner, by the end of its subscription or by time; waits to be erased",
    State.ERASED: "gone; what the law asks for is kept, and a certificate",
}

_CAUSES = {
    Cause.TRIAL_BEGAN: "Stripe says: trialing",
    Cause.PAID: "Stripe says: active",
    Cause.PAYMENT_FAILED: "Stripe says: past due, unpaid or paused",
    Cause.LIMITED_BY_TIME: "owing for `limited_after` days",
    Cause.SUSPENDED_BY_TIME: "owing for `suspended_after` days",
    Cause.CLOSED_BY_TIME: "owing for `closing_after` days; the subscription is cancelled",
    Cause.LEFT: "`POST /v1/tenant/leave`, or the subscription ended",
    Cause.RETURNED: "a new subscription, by `POST /v1/billing/checkout`",
    Cause.ERASED: "`erased_after` days after closing began, and no legal hold",
}


def page(plans: Sequence[Plan]) -> str:
    """The page for the states as they are and the given plans."""
    return "\n".join(
        [
            _INTRODUCTION,
            "## What each allows\n",
            *_table(
                ["State", "What it is", *_NEEDS],
                [[f"`{s}`", _STATES[s], *("x" if need in ALLOWED[s] else "" for need in _NEEDS)] for s in State],
            ),
            "",
            *(f"- `{need}`: {words}" for need, words in _NEEDS.items()),
            "\nEvery route names its need; where the state does not allow it the answer is 403 `not-in-this-state`.\n",
            "## The moves\n",
            *_table(
                ["From", "Cause", "When", "To"],
                [[f"`{s}`", f"`{c}`", _CAUSES[c], f"`{to}`"] for (s, c), to in TRANSITIONS.items()],
            ),
            "\n## The delays\n",
            "In days; the first three from the day on which a payment failed, the fourth from the day of closing.\n",
            *_table(
                ["Plan", *(f"`{name}`" for name in _delays(plans[0]))],
                [[plan.name.en, *map(str, _delays(plan).values())] for plan in plans],
            ),
            "",
        ]
    )


def _delays(plan: Plan) -> dict[str, int]:
    return plan.delays.model_dump()


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(headings)} |",
        f"|{'---|' * len(headings)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
