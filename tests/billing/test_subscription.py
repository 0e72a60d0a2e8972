"""Changing, ending and paying for a subscription at a Stripe that takes money."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
import stripe

from chalicelib.billing import find_plan, plans, subscription
from chalicelib.billing.choice import Choice, Wish
from chalicelib.billing.errors import ChangeRefused, PaymentDeclined, PaymentsUnavailable
from chalicelib.billing.follow import items_by_kind
from chalicelib.billing.invoices import list_invoices
from chalicelib.billing.plans import Plan
from chalicelib.billing.portal import open_portal
from chalicelib.billing.subscription import change_subscription, end_with_period, preview_change
from chalicelib.billing.turns import TURN_TIME
from chalicelib.platform.clock import utc_now
from chalicelib.platform.errors import Conflict, Invalid
from chalicelib.tenancy import TenantRecord, find_tenant, terms_of
from tests.billing.payments import Payments
from tests.billing.subscribers import Killed, Saboteur, control, registered, take_seats

UPDATE = "/v1/subscriptions/*"


def changed(record: TenantRecord, wish: Wish, version: int | None = None, *, now: datetime | None = None):
    return change_subscription(record, wish, expected_version=version, now=now or utc_now())


def items(payments: Payments, record: TenantRecord) -> dict[str, tuple[str, int | None]]:
    """What the subscription is to at Stripe: price and quantity by kind."""
    found = items_by_kind(payments.client.v1.subscriptions.retrieve(record.subscription_id))
    return {kind: (item.price.lookup_key, item.to_dict().get("quantity")) for kind, (_, item) in found.items()}


def of_plan(plan: str, interval: str = "month", seats: int = 0) -> dict[str, tuple[str, int | None]]:
    made = {"plan": (f"{plan}_{interval}_cny", 1), "overage": (f"{plan}_overage_{interval}_cny", None)}
    return made | ({"seat": (f"{plan}_seat_{interval}_cny", seats)} if seats else {})


def invoices(record: TenantRecord) -> list[int]:
    """The totals of the tenant's invoices, newest first."""
    return [each.total for each in list_invoices(record, limit=100, cursor=None)[0]]


def without(monkeypatch: pytest.MonkeyPatch, plan: str) -> None:
    """Takes a plan off sale."""
    left = tuple(each for each in plans() if each.key != plan)
    for module in ("plans", "subscription", "follow"):
        # By its name among the modules: the package shows the function `plans` in the place of the module.
        monkeypatch.setattr(sys.modules[f"chalicelib.billing.{module}"], "plans", lambda: left)


def test_another_plan_is_paid_for_and_in_force_at_once(subscribe, payments):
    record = subscribe("starter")
    before = invoices(record)
    after = changed(record, Wish(plan="growth"), record.version)
    assert (after.plan, after.seats, after.state) == ("growth", find_plan("growth").entitlements.seats, "active")
    assert terms_of(after) == find_plan("growth").terms
    assert after.version > record.version
    assert items(payments, record) == of_plan("growth")
    difference = find_plan("growth").price("CNY").amount - find_plan("starter").price("CNY").amount
    assert len(invoices(record)) == len(before) + 1
    assert invoices(record)[0] == pytest.approx(difference, rel=0.001)


def test_seats_are_added_and_given_back(subscribe, payments):
    record = subscribe("starter")
    more = changed(record, Wish(extra_seats=3))
    assert more.seats == find_plan("starter").entitlements.seats + 3
    assert items(payments, record) == of_plan("starter", seats=3)
    fewer = changed(more, Wish(extra_seats=1))
    assert items(payments, record) == of_plan("starter", seats=1)
    none = changed(fewer, Wish(extra_seats=0))
    assert none.seats == find_plan("starter").entitlements.seats
    assert items(payments, record) == of_plan("starter")


def test_from_the_month_to_the_year_with_all_that_belongs_to_it(subscribe, payments):
    record = subscribe("starter", seats=2)
    after = changed(record, Wish(interval="year"))
    assert (after.interval, after.plan, after.currency) == ("year", "starter", "CNY")
    assert items(payments, record) == of_plan("starter", "year", seats=2)
    assert after.period_end > utc_now() + timedelta(days=360)


def test_seats_go_along_to_another_plan_unless_said(subscribe, payments):
    record = subscribe("starter", seats=2)
    assert changed(record, Wish(plan="growth")).seats == find_plan("growth").entitlements.seats + 2
    assert items(payments, record) == of_plan("growth", seats=2)


def test_in_a_trial_a_change_costs_nothing_and_the_trial_goes_on(subscribe, payments):
    record = subscribe("starter", trial=True)
    after = changed(record, Wish(plan="growth", extra_seats=1))
    assert (after.plan, after.state) == ("growth", "trialing")
    assert invoices(record) == [0]
    assert after.period_end == record.period_end


def test_who_adds_seats_keeps_the_price_that_was_agreed_on(subscribe, payments, monkeypatch):
    record = subscribe("starter", seats=1)
    prices = payments.client.v1.prices
    agreed = {kind: price for kind, (price, _) in items(payments, record).items()}
    paid = {each.lookup_key: each for each in prices.list({"lookup_keys": list(agreed.values())}).data}
    old = paid["starter_seat_month_cny"]
    try:
        dearer = prices.create(
            {
                "product": old.product,
                "currency": "cny",
                "unit_amount": old.unit_amount * 2,
                "recurring": {"interval": "month"},
                "lookup_key": old.lookup_key,
                "transfer_lookup_key": True,
            }
        )
        changed(record, Wish(extra_seats=4))
        seat = items_by_kind(payments.client.v1.subscriptions.retrieve(record.subscription_id))["seat"][1]
        assert (seat.price.id, seat.quantity) == (old.id, 4)
        changed(find_tenant(record.pk), Wish(interval="year"))
        changed(find_tenant(record.pk), Wish(interval="month"))
        seat = items_by_kind(payments.client.v1.subscriptions.retrieve(record.subscription_id))["seat"][1]
        assert seat.price.id == dearer.id
    finally:
        prices.update(old.id, {"lookup_key": old.lookup_key, "transfer_lookup_key": True})
        prices.update(dearer.id, {"active": False})


def test_fewer_seats_than_are_in_use_are_refused_with_both_numbers(subscribe, payments):
    record = subscribe("starter", seats=2)
    included = find_plan("starter").entitlements.seats
    take_seats(record.pk, included + 2)
    with pytest.raises(Conflict, match=f"{included + 2} seats are in use and there would be {included + 1}") as refused:
        changed(record, Wish(extra_seats=1))
    assert (refused.value.extra["seats_used"], refused.value.extra["seats"]) == (included + 2, included + 1)
    assert items(payments, record) == of_plan("starter", seats=2)


def test_a_plan_with_fewer_seats_than_are_in_use_is_refused(subscribe, payments):
    record = subscribe("growth")
    take_seats(record.pk, find_plan("starter").entitlements.seats + 1)
    with pytest.raises(Conflict, match="seats are in use"):
        changed(record, Wish(plan="starter"))
    assert items(payments, record) == of_plan("growth")
    assert changed(record, Wish(plan="starter", extra_seats=1)).plan == "starter"


def test_a_plan_that_is_not_sold_is_refused(subscribe, payments):
    record = subscribe("starter")
    with pytest.raises(Invalid, match="no such plan") as refused:
        changed(record, Wish(plan="platinum"))
    assert refused.value.pointer == "/plan"
    assert items(payments, record) == of_plan("starter")


def test_a_plan_that_is_sold_no_longer_is_kept_but_only_as_it_is(subscribe, payments, monkeypatch):
    record = subscribe("starter", seats=1)
    without(monkeypatch, "starter")
    assert changed(record, Wish(extra_seats=2)).seats == find_tenant(record.pk).seats
    assert items(payments, record) == of_plan("starter", seats=2)
    with pytest.raises(Conflict, match="sold no longer"):
        changed(find_tenant(record.pk), Wish(interval="year"))
    assert changed(find_tenant(record.pk), Wish(plan="growth", interval="year")).plan == "growth"


def test_the_version_that_the_caller_saw_must_be_the_one_in_force(subscribe, payments):
    record = subscribe("starter")
    with pytest.raises(Conflict, match=f"version is {record.version}"):
        changed(record, Wish(plan="growth"), record.version - 1)
    assert items(payments, record) == of_plan("starter")


def test_of_two_admins_who_change_at_once_one_gets_a_conflict(subscribe, payments):
    record = subscribe("starter")
    together, outcomes = threading.Barrier(2), {}

    def admin(wish: Wish) -> None:
        seen = find_tenant(record.pk)
        together.wait()
        try:
            outcomes[wish] = changed(seen, wish, seen.version).plan
        except Conflict:
            outcomes[wish] = "conflict"

    wishes = [Wish(plan="growth"), Wish(plan="enterprise")]
    admins = [threading.Thread(target=admin, args=(wish,)) for wish in wishes]
    for each in admins:
        each.start()
    for each in admins:
        each.join()
    assert sorted(outcomes[wish] == "conflict" for wish in wishes) == [False, True]
    [won] = [wish for wish in wishes if outcomes[wish] != "conflict"]
    assert items(payments, record) == of_plan(won.plan)
    assert find_tenant(record.pk).plan == won.plan


def test_who_read_before_another_admin_changed_is_refused_even_without_a_version(subscribe, payments, monkeypatch):
    record = subscribe("starter")
    take = subscription.take_turn

    def overtaken(*arguments, **named):
        monkeypatch.setattr(subscription, "take_turn", take)
        changed(find_tenant(record.pk), Wish(plan="growth"))
        return take(*arguments, **named)

    monkeypatch.setattr(subscription, "take_turn", overtaken)
    with pytest.raises(Conflict, match="version is"):
        changed(record, Wish(plan="enterprise"))
    assert items(payments, record) == of_plan("growth")


def test_who_asks_while_another_change_is_being_made_is_refused(subscribe, payments, monkeypatch):
    record = subscribe("starter")
    update, refusals = subscription._update, []

    def interrupted(*arguments):
        with pytest.raises(Conflict) as refused:
            changed(find_tenant(record.pk), Wish(plan="enterprise"))
        refusals.append(refused.value.detail)
        update(*arguments)

    monkeypatch.setattr(subscription, "_update", interrupted)
    assert changed(record, Wish(plan="growth")).plan == "growth"
    assert ["another change" in each for each in refusals] == [True]
    monkeypatch.setattr(subscription, "_update", update)
    assert changed(find_tenant(record.pk), Wish(plan="enterprise")).plan == "enterprise"


def test_of_two_that_ask_for_the_same_at_once_only_one_pays(subscribe, payments):
    record = subscribe("starter")
    before = len(invoices(record))

    def ask() -> None:
        # Whoever comes late finds it done, or somebody else's turn.
        with suppress(Conflict):
            changed(find_tenant(record.pk), Wish(plan="growth"))

    same = [threading.Thread(target=ask) for _ in range(3)]
    for each in same:
        each.start()
    for each in same:
        each.join()
    assert items(payments, record) == of_plan("growth")
    assert len(invoices(record)) == before + 1


def test_a_change_repeated_changes_nothing_more(subscribe, payments):
    record = subscribe("starter")
    first = changed(record, Wish(plan="growth"), record.version)
    again = changed(record, Wish(plan="growth"), record.version)
    assert again.version == first.version
    assert len(invoices(record)) == len(invoices(first))


@pytest.mark.parametrize("how", ["timeout", "500"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_when_stripe_fails_in_the_middle_repeating_makes_it_good(subscribe, payments, how, when):
    record = subscribe("starter")
    before = len(invoices(record))
    control(payments, "faults", {"path": UPDATE, "method": "POST", "how": how, "when": when})
    with pytest.raises(PaymentsUnavailable, match="not known"):
        changed(record, Wish(plan="growth"), record.version)
    assert changed(record, Wish(plan="growth"), record.version).plan == "growth"
    assert items(payments, record) == of_plan("growth")
    assert len(invoices(record)) == before + 1


def test_while_an_outcome_is_unknown_nobody_changes_to_something_else_until_the_turn_is_over(subscribe, payments):
    record = subscribe("starter")
    control(payments, "faults", {"path": UPDATE, "method": "POST", "how": "timeout"})
    with pytest.raises(PaymentsUnavailable):
        changed(record, Wish(plan="growth"))
    with pytest.raises(Conflict, match="another change"):
        changed(record, Wish(plan="enterprise"))
    later = utc_now() + TURN_TIME + timedelta(seconds=1)
    assert changed(record, Wish(plan="enterprise"), now=later).plan == "enterprise"


def test_a_declined_card_changes_nothing_and_another_change_can_follow_at_once(subscribe, payments):
    record = subscribe("starter")
    control(payments, f"customers/{record.customer_id}/card", {"declines": True})
    with pytest.raises(PaymentDeclined, match="nothing was changed"):
        changed(record, Wish(plan="growth"))
    assert items(payments, record) == of_plan("starter")
    assert (find_tenant(record.pk).plan, find_tenant(record.pk).state) == ("starter", "active")
    control(payments, f"customers/{record.customer_id}/card", {"declines": False})
    assert changed(record, Wish(plan="growth")).plan == "growth"


def test_what_stripe_does_not_accept_is_no_declined_card_and_another_change_can_follow_at_once(
    subscribe, payments, monkeypatch
):
    record = subscribe("starter")
    take = subscription.take_turn

    def overtaken(*arguments, **named):
        payments.client.v1.subscriptions.cancel(record.subscription_id)
        return take(*arguments, **named)

    monkeypatch.setattr(subscription, "take_turn", overtaken)
    with pytest.raises(ChangeRefused, match=r"nothing was changed: it does not fit") as refused:
        changed(record, Wish(plan="growth"))
    assert not isinstance(refused.value, PaymentDeclined)
    assert record.subscription_id not in str(refused.value.problem())
    take(record, Choice("enterprise", "month", 0), now=utc_now())  # nobody has the turn any more


@pytest.mark.parametrize(
    ("code", "param", "help_"),
    [
        ("customer_tax_location_invalid", None, "address"),
        ("resource_missing", None, "payment method"),
        ("resource_missing", "items[0][price]", "ask us"),
        (None, None, "ask us"),
    ],
)
def test_what_stripe_does_not_accept_is_said_as_what_it_is(subscribe, monkeypatch, code, param, help_):
    record = subscribe("starter")

    def refuse(*_, **__):
        raise stripe.InvalidRequestError("of Wang Xiaoming, 1 Harbour Road", param, code=code)

    monkeypatch.setattr(stripe.SubscriptionService, "update", refuse)
    with pytest.raises(ChangeRefused, match=help_) as refused:
        changed(record, Wish(plan="growth"))
    assert "Wang" not in str(refused.value.problem())
    assert refused.value.problem()["code"] == code
    assert find_tenant(record.pk).plan == "starter"


def test_who_owes_pays_first_and_may_cancel(clocks, subscribe, payments):
    record = subscribe("starter")
    control(payments, f"customers/{record.customer_id}/card", {"declines": True})
    in_a_month = int((record.period_end + timedelta(hours=2)).timestamp())
    payments.client.v1.test_helpers.test_clocks.advance(record.test_clock_id, {"frozen_time": in_a_month})
    with pytest.raises(Conflict, match="portal") as refused:
        changed(record, Wish(plan="growth"))
    assert refused.value.extra["subscription_status"] == "past_due"
    ending = end_with_period(record, True)
    assert (ending.state, ending.cancel_at) == ("past_due", ending.period_end)


def test_killed_between_any_two_requests_and_repeated_it_is_changed_and_paid_once(subscribe, payments, monkeypatch):
    changed(subscribe("starter"), Wish(plan="growth"))  # warm: what a container asks for once is not counted
    record, whole = subscribe("starter"), Saboteur(None)
    with whole.lurking(monkeypatch):
        changed(record, Wish(plan="growth"), record.version)
    paid = len(invoices(record))
    for at in range(1, whole.requests + 1):
        record = subscribe("starter")
        with pytest.raises(Killed), Saboteur(at).lurking(monkeypatch):
            changed(record, Wish(plan="growth", extra_seats=2), record.version)
        after = changed(find_tenant(record.pk), Wish(plan="growth", extra_seats=2))
        assert (after.plan, after.seats) == ("growth", find_plan("growth").entitlements.seats + 2), at
        assert items(payments, record) == of_plan("growth", seats=2), f"killed after request {at}"
        assert len(invoices(record)) == paid, f"killed after request {at}"


def test_the_preview_says_what_the_change_then_costs(subscribe, payments):
    record = subscribe("starter")
    wish = Wish(plan="growth", extra_seats=2)
    preview = preview_change(record, wish)
    assert items(payments, record) == of_plan("starter")
    assert (preview.currency, sum(line.amount for line in preview.lines)) == ("CNY", preview.total)
    assert any(line.amount < 0 for line in preview.lines), "what was paid for is given back"
    changed(record, wish)
    # Seconds pass in between, and the proration goes by them.
    assert invoices(record)[0] == pytest.approx(preview.total, rel=0.001)
    assert preview.amount_due == preview.total


def test_without_a_change_the_preview_is_the_next_invoice(subscribe, payments):
    record = subscribe("starter", seats=1)
    starter = find_plan("starter")
    assert preview_change(record, Wish()).total == starter.price("CNY").amount + starter.seat_price("CNY").amount


def test_the_preview_refuses_what_the_change_would_refuse(subscribe, payments):
    record = subscribe("growth")
    take_seats(record.pk, find_plan("starter").entitlements.seats + 1)
    with pytest.raises(Conflict, match="seats are in use"):
        preview_change(record, Wish(plan="starter"))


def test_a_cancellation_lets_the_paid_period_run_out_and_can_be_taken_back(subscribe, payments):
    record = subscribe("starter")
    ending = end_with_period(record, True)
    assert (ending.cancel_at, ending.state) == (record.period_end, "active")
    assert end_with_period(ending, True).version == ending.version
    going_on = end_with_period(ending, False)
    assert going_on.cancel_at is None
    assert end_with_period(going_on, True).cancel_at == record.period_end


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_cancellation_that_stripe_did_not_answer_is_repeated(subscribe, payments, when):
    record = subscribe("starter")
    control(payments, "faults", {"path": UPDATE, "method": "POST", "how": "timeout", "when": when})
    with pytest.raises(PaymentsUnavailable):
        end_with_period(record, True)
    assert end_with_period(record, True).cancel_at == record.period_end


def test_a_plan_is_changed_while_a_cancellation_is_pending(subscribe, payments):
    record = end_with_period(subscribe("starter"), True)
    after = changed(record, Wish(plan="growth"))
    assert (after.plan, after.cancel_at) == ("growth", record.cancel_at)


@pytest.mark.parametrize("act", [lambda r: changed(r, Wish(plan="growth")), lambda r: end_with_period(r, True)])
def test_without_a_running_subscription_there_is_nothing_to_change(subscribe, payments, act):
    record = subscribe("starter")
    payments.client.v1.subscriptions.cancel(record.subscription_id)
    with pytest.raises(Conflict, match="checkout"):
        act(record)
    with pytest.raises(Conflict, match="checkout"):
        act(registered())


def test_the_portal_opens_for_the_customer_with_our_configuration(subscribe, payments):
    record = subscribe("starter")
    assert open_portal(record).startswith(payments.url)
    with pytest.raises(Conflict, match="no subscription"):
        open_portal(registered())


def test_invoices_come_page_by_page_newest_first(subscribe, payments):
    record = subscribe("starter", trial=True)
    payments.client.v1.subscriptions.update(record.subscription_id, {"trial_end": "now"})
    for seats in (1, 2):
        changed(find_tenant(record.pk), Wish(extra_seats=seats))
    seen, cursor = [], None
    while True:
        page, cursor = list_invoices(record, limit=3, cursor=cursor)
        seen += page
        if cursor is None:
            break
    assert len(seen) == 4
    assert seen == sorted(seen, key=lambda each: each.created, reverse=True)
    assert seen[-1].total == 0
    assert {each.status for each in seen} == {"paid"}
    assert all(each.number and each.url and each.currency == "CNY" for each in seen)
    assert all(each.created.tzinfo == UTC for each in seen)


@pytest.mark.parametrize("cursor", [{"invoice": "in_of_nobody"}, {"invoice": 3}, {"invoice": "cus_1"}, {"pk": "in_1"}])
def test_a_cursor_that_no_page_gave_is_refused(subscribe, payments, cursor):
    with pytest.raises(Invalid, match="cursor"):
        list_invoices(subscribe("starter"), limit=3, cursor=cursor)


def test_a_tenant_that_never_paid_has_no_invoices(aws):
    assert list_invoices(registered(), limit=3, cursor=None) == ([], None)


def test_with_stripe_down_it_is_said_so(no_stripe):
    record = registered(
        customer_id="cus_1", subscription_id="sub_1", state="active", terms=_terms(find_plan("starter"))
    )
    for act in (
        lambda: changed(record, Wish(plan="growth")),
        lambda: preview_change(record, Wish()),
        lambda: end_with_period(record, True),
        lambda: open_portal(record),
        lambda: list_invoices(record, limit=3, cursor=None),
    ):
        with pytest.raises(PaymentsUnavailable):
            act()


def _terms(plan: Plan) -> dict:
    return plan.terms.model_dump(mode="json")
