"""Whatever people do to each other in whatever order: the headcount is a recount, no seat is given twice, and there is
always an owner who can sign in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from chalicelib.identity import membership, people
from chalicelib.identity.permissions import ROLES, SELF, scopes_of
from chalicelib.platform.errors import Conflict, Forbidden
from chalicelib.platform.ids import new_id
from tests.identity.crowd import address, caller, counted, invited, joined, key, owner_of, recounted

SEATS = 5
WHO = st.integers(0, 30)
"""A person by place among those whom the tenant ever had, or an API key (30)."""


class People(RuleBasedStateMachine):
    """A tenant of five seats whose people invite, change and remove each other."""

    @initialize()
    def a_tenant_with_its_owner(self) -> None:
        self.now = datetime(2005, 9, 30, 16, 0, tzinfo=UTC)
        self.tenant_id = new_id("ten")
        self.ids = [owner_of(self.tenant_id, self.now).pk]
        self.addresses = [address() for _ in range(4)]

    def person(self, place: int):
        return membership.find_person(self.tenant_id, self.ids[place % len(self.ids)])

    def somebody_who_may(self, place: int):
        """A caller as the authorizer would let them through to these routes, or None."""
        if place == 30:
            return key(self.tenant_id)
        found = self.person(place)
        signed_in = found.state == "active" and "users:write" in scopes_of(found.role)
        return caller(found) if signed_in else None

    def tried(self, by, target_role: str | None, given_role: str | None, act) -> bool:
        """Whether what was tried was done. What is refused must be refused for a rule that says so."""
        beyond = [
            role
            for role in (target_role, given_role)
            if role is not None
            and ((role == "owner" and by.role != "owner") or not scopes_of(role) - {SELF} <= by.scopes)
        ]
        try:
            act()
        except Forbidden:
            assert beyond, "refused although the rules allow it"
            return False
        except Conflict:
            return False
        assert not beyond, "done although the rules forbid it"
        return True

    @rule(who=WHO, role=st.sampled_from(ROLES), place=st.integers(0, 3))
    def invite(self, who, role, place) -> None:
        by = self.somebody_who_may(who)
        if by is None:
            return

        def act() -> None:
            user = invited(self.tenant_id, role, by, self.now, email=self.addresses[place], seats=SEATS)
            self.ids.append(user.pk)

        before = people.seats_used(self.tenant_id)
        if self.tried(by, None, role, act):
            assert before < SEATS

    @rule(place=WHO)
    def first_sign_in(self, place) -> None:
        user = self.person(place)
        if user.state == "invited":
            assert joined(user, self.now).state == "active"

    @precondition(lambda self: len(self.ids) > 1)
    @rule(who=WHO, place=WHO, role=st.sampled_from(ROLES))
    def change_role(self, who, place, role) -> None:
        by, user = self.somebody_who_may(who), self.person(place)
        if by is not None and user.state != "removed":
            self.tried(
                by,
                user.role,
                role,
                lambda: membership.change_person(self.tenant_id, user.pk, role=role, name=None, by=by),
            )

    @rule(who=WHO, place=WHO)
    def remove(self, who, place) -> None:
        by, user = self.somebody_who_may(who), self.person(place)
        self.now += timedelta(seconds=1)
        if by is not None and self.tried(
            by, user.role, None, lambda: membership.remove(self.tenant_id, user.pk, by=by, now=self.now)
        ):
            assert self.person(place).state == "removed"
            assert user.subject is None or people.find_by_identity(user.issuer, user.subject) is None

    @invariant()
    def the_headcount_is_a_recount(self) -> None:
        assert counted(self.tenant_id) == recounted(self.tenant_id)

    @invariant()
    def there_are_no_more_people_than_seats_and_always_an_owner_who_signs_in(self) -> None:
        seats, owners, joined_owners = counted(self.tenant_id)
        assert seats <= SEATS
        assert owners >= joined_owners >= 1

    @invariant()
    def an_address_leads_to_the_one_person_who_has_it(self) -> None:
        here = {user.email: user.pk for user in people.people_in(self.tenant_id) if user.state != "removed"}
        found = {email: people.find_by_email(email) for email in self.addresses}
        assert {email: user.pk for email, user in found.items() if user} == {
            email: here[email] for email in self.addresses if email in here
        }


def test_people_stay_in_order_whatever_is_done(aws) -> None:
    run_state_machine_as_test(
        People,
        settings=settings(
            max_examples=10, stateful_step_count=16, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
