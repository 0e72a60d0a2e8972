"""What a change makes of a subscription's items, for any change of any subscription."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.billing.choice import Choice, Item, ItemChange, Wish, item_changes, lookup_keys
from chalicelib.billing.plans import KINDS, find_plan
from chalicelib.platform.errors import Invalid

choices = st.builds(
    Choice,
    plan=st.sampled_from(["starter", "growth"]),
    interval=st.sampled_from(["month", "year"]),
    extra_seats=st.integers(0, 3),
)


def items_of(choice: Choice, *, metered: bool = True) -> dict[str, Item]:
    items = {"plan": Item("si_plan", 1)}
    if choice.extra_seats:
        items["seat"] = Item("si_seat", choice.extra_seats)
    if metered:
        items["overage"] = Item("si_overage", None)
    return items


def prices_of(items: dict[str, Item], choice: Choice) -> dict[str, tuple[str, str, int | None]]:
    """What of a plan is paid for by which interval, and how many of it."""
    return {kind: (choice.plan, choice.interval, item.quantity) for kind, item in items.items()}


def carried_out(items: dict[str, Item], present: Choice, wished: Choice, changes: list[ItemChange]):
    """What Stripe would make of the changes: an item without a new price keeps the old one."""
    after = prices_of(items, present)
    for change in changes:
        known = items.get(change.kind)
        assert change.id == (known.id if known else None)
        if change.removed:
            del after[change.kind]
            continue
        assert change.new_price or known is not None
        plan, interval = (wished.plan, wished.interval) if change.new_price else after[change.kind][:2]
        after[change.kind] = (plan, interval, change.quantity)
    return after


@given(present=choices, wished=choices)
def test_the_items_become_what_was_wished_for(present, wished):
    changes = item_changes(items_of(present), present, wished)
    assert carried_out(items_of(present), present, wished, changes) == prices_of(items_of(wished), wished)


@given(present=choices, metered=st.booleans())
def test_a_wish_that_is_fulfilled_changes_nothing(present, metered):
    assert item_changes(items_of(present, metered=metered), present, present) == []


@given(present=choices, wished=choices)
def test_who_keeps_plan_and_interval_keeps_every_price(present, wished):
    same = Choice(present.plan, present.interval, wished.extra_seats)
    repriced = [change.kind for change in item_changes(items_of(present), present, same) if change.new_price]
    assert repriced == (["seat"] if wished.extra_seats and not present.extra_seats else [])


def test_who_subscribed_before_overage_was_billed_pays_for_it_only_with_another_plan():
    present = Choice("starter", "month", 0)
    items = items_of(present, metered=False)
    more = item_changes(items, present, Choice("starter", "month", 2))
    other = item_changes(items, present, Choice("growth", "month", 0))
    assert [change.kind for change in more] == ["seat"]
    assert [change.kind for change in other] == ["plan", "overage"]


@given(present=choices)
def test_a_wish_leaves_what_it_does_not_name(present):
    assert Wish().applied_to(present) == present
    assert Wish(extra_seats=0).applied_to(present) == Choice(present.plan, present.interval, 0)
    assert Wish(plan="growth", interval="year").applied_to(present) == Choice("growth", "year", present.extra_seats)


def test_prices_are_found_by_their_lookup_keys():
    keys = lookup_keys(find_plan("growth"), "GBP", "year", set(KINDS))
    assert keys == {"plan": "growth_year_gbp", "seat": "growth_seat_year_gbp", "overage": "growth_overage_year_gbp"}
    with pytest.raises(Invalid, match="not sold in that currency"):
        lookup_keys(find_plan("growth"), "TWD", "year", set())
