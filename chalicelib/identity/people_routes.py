"""The people of a tenant, as those who may manage them do."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from chalice.app import Blueprint
from pydantic import AfterValidator, Field, StringConstraints, model_validator

from chalicelib.identity import invitations, membership, people
from chalicelib.identity.authorizer import authorize
from chalicelib.identity.people import User
from chalicelib.identity.permissions import Role
from chalicelib.identity.texts import MAX_EMAIL, email, visible_name
from chalicelib.platform.clock import utc_now
from chalicelib.platform.http import IF_MATCH, PAGING, Call, Page, Strict, View, endpoint, write_cursor

blueprint = Blueprint(__name__)

Name = Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(visible_name)]
State = Literal["invited", "active", "removed"]


class Invitation(Strict):
    """Who is to be invited, and as what. A name is only ever shown."""

    email: Annotated[str, Field(min_length=3, max_length=MAX_EMAIL), AfterValidator(email)]
    role: Role
    name: Name | None = None


class Change(Strict):
    """What is to be different about a person; what is left out stays."""

    role: Role | None = None
    name: Name | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Change:
        if self.role is None and self.name is None:
            raise ValueError("a role or a name is needed")
        return self


class UserView(View):
    """A person. `second_factor_since` is when they enrolled an authenticator with us; one that another sign-in provider
    asks for is not known here."""

    id: str
    email: str
    name: str | None
    role: Role
    state: State
    invited_at: datetime
    joined_at: datetime | None
    removed_at: datetime | None
    second_factor_since: datetime | None
    version: int


@endpoint(
    blueprint,
    "GET",
    "/v1/users",
    summary="The people of the tenant, newest first, also those who were removed",
    returns=Page[UserView],
    scope="users:read",
    authorizer=authorize,
    query=PAGING,
)
def list_users(call: Call[None]) -> Page[UserView]:
    found, position = people.list_people(call.tenant_id, limit=call.limit, cursor=call.cursor)
    return Page[UserView](items=[_view(each) for each in found], cursor=write_cursor(position))


@endpoint(
    blueprint,
    "POST",
    "/v1/users",
    summary="Invites a person, who takes a seat, and writes to them",
    body=Invitation,
    returns=UserView,
    status=201,
    scope="users:write",
    authorizer=authorize,
)
def invite_user(call: Call[Invitation]) -> UserView:
    wish = call.body
    user = invitations.invite(
        call.tenant_id, email=wish.email, name=wish.name, role=wish.role, by=call.by, now=utc_now()
    )
    return _view(user)


@endpoint(
    blueprint,
    "GET",
    "/v1/users/{user_id}",
    summary="A person of the tenant",
    returns=UserView,
    scope="users:read",
    authorizer=authorize,
)
def get_user(call: Call[None], user_id: str) -> UserView:
    return _view(membership.find_person(call.tenant_id, user_id))


@endpoint(
    blueprint,
    "PATCH",
    "/v1/users/{user_id}",
    summary="Gives a person another role or name; nobody gives a role that carries more than they do",
    body=Change,
    returns=UserView,
    scope="users:write",
    authorizer=authorize,
    headers=IF_MATCH,
)
def change_user(call: Call[Change], user_id: str) -> UserView:
    user = membership.change_person(
        call.tenant_id,
        user_id,
        role=call.body.role,
        name=call.body.name,
        by=call.by,
        version=call.expected_version,
    )
    return _view(user)


@endpoint(
    blueprint,
    "DELETE",
    "/v1/users/{user_id}",
    summary="Removes a person, ends their sessions and frees the seat; refused for the last owner",
    status=204,
    scope="users:write",
    authorizer=authorize,
    need="secure",
)
def remove_user(call: Call[None], user_id: str) -> None:
    membership.remove(call.tenant_id, user_id, by=call.by, now=utc_now())


@endpoint(
    blueprint,
    "DELETE",
    "/v1/users/{user_id}/sessions",
    summary="Signs a person out everywhere, within a minute",
    status=204,
    scope="users:write",
    authorizer=authorize,
    need="secure",
)
def end_user_sessions(call: Call[None], user_id: str) -> None:
    membership.end_sessions(call.tenant_id, user_id, by=call.by, now=utc_now())


@endpoint(
    blueprint,
    "POST",
    "/v1/users/{user_id}/invitation",
    summary="Writes to an invited person again",
    returns=UserView,
    scope="users:write",
    authorizer=authorize,
)
def invite_user_again(call: Call[None], user_id: str) -> UserView:
    return _view(invitations.invite_again(call.tenant_id, user_id, by=call.by, now=utc_now()))


def _view(user: User) -> UserView:
    return UserView.model_validate(
        {
            "id": user.pk,
            "email": user.email,
            "name": user.name,
            "role": user.role,
            "state": user.state,
            "invited_at": user.invited_at,
            "joined_at": user.joined_at,
            "removed_at": user.removed_at,
            "second_factor_since": user.totp_since,
            "version": user.version,
        }
    )
