"""API keys as a tenant's systems manage them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from chalice.app import Blueprint
from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints, field_validator, model_validator

from chalicelib.identity import key_ring
from chalicelib.identity.api_keys import ApiKey
from chalicelib.identity.authorizer import authorize
from chalicelib.identity.permissions import KeyScope
from chalicelib.platform.clock import utc_now
from chalicelib.platform.http import PAGING, Call, Page, Strict, View, endpoint, write_cursor
from chalicelib.platform.networks import network

blueprint = Blueprint(__name__)

MAX_NETWORKS = 20
MAX_OVERLAP_HOURS = 7 * 24

Network = Annotated[str, StringConstraints(min_length=1, max_length=50), AfterValidator(network)]


class NewApiKey(Strict):
    """A key to make: a name of your own, the scopes that it carries (of those that the caller carries), until when it
    works (without it, until it is revoked; never beyond the expiry of the key that makes it), and the networks that it
    may be used from (with none, everywhere)."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    scopes: Annotated[list[KeyScope], Field(min_length=1, max_length=50)]
    expires_at: AwareDatetime | None = None
    allowed_networks: Annotated[list[Network], Field(max_length=MAX_NETWORKS)] = Field(default_factory=list[str])

    @field_validator("expires_at", mode="before")
    @classmethod
    def _is_a_moment_in_text(cls, expires_at: object) -> object:
        # A number would be read as seconds since 1970.
        if expires_at is not None and not isinstance(expires_at, str):
            raise ValueError("the moment must be text, such as 2027-01-31T00:00:00Z")
        return expires_at


class Rotation(Strict):
    """For how many hours the old key works beside the new one. An empty body means a day."""

    overlap_hours: Annotated[int, Field(ge=0, le=MAX_OVERLAP_HOURS, strict=True)] = 24

    @model_validator(mode="before")
    @classmethod
    def _nothing_said(cls, document: object) -> object:
        return {} if document is None else document


class ApiKeyView(View):
    """A key without its secret, which is stored nowhere. `last_used_at` is exact to an hour. `made_by` is the person
    or key that made it, null for the first one, which came with the sign-up."""

    id: str
    name: str
    scopes: list[str]
    created_at: datetime
    made_by: str | None
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    allowed_networks: list[str]


class NewApiKeyView(ApiKeyView):
    """A key that was just made; `api_key` is shown this once and stored nowhere."""

    api_key: str


@endpoint(
    blueprint,
    "GET",
    "/v1/api-keys",
    summary="The API keys, newest first, also those that no longer work",
    returns=Page[ApiKeyView],
    scope="keys:read",
    authorizer=authorize,
    query=PAGING,
)
def list_api_keys(call: Call[None]) -> Page[ApiKeyView]:
    found, position = key_ring.list_keys(call.tenant_id, limit=call.limit, cursor=call.cursor)
    return Page[ApiKeyView](items=[_view(each) for each in found], cursor=write_cursor(position))


@endpoint(
    blueprint,
    "POST",
    "/v1/api-keys",
    summary="Makes an API key and shows it, once",
    body=NewApiKey,
    returns=NewApiKeyView,
    status=201,
    scope="keys:write",
    authorizer=authorize,
)
def create_api_key(call: Call[NewApiKey]) -> NewApiKeyView:
    wish = call.body
    text, key = key_ring.create_key(
        call.tenant_id,
        name=wish.name,
        scopes=wish.scopes,
        by=call.by,
        expires_at=wish.expires_at,
        allowed_networks=list(dict.fromkeys(wish.allowed_networks)),
        now=utc_now(),
    )
    return _shown_once(text, key)


@endpoint(
    blueprint,
    "POST",
    "/v1/api-keys/{key_id}/rotate",
    summary="Makes an API key in place of another and shows it, once; the old one works on for the overlap",
    body=Rotation,
    returns=NewApiKeyView,
    status=201,
    scope="keys:write",
    authorizer=authorize,
    need="secure",
)
def rotate_api_key(call: Call[Rotation], key_id: str) -> NewApiKeyView:
    overlap = timedelta(hours=call.body.overlap_hours)
    text, key = key_ring.rotate_key(call.tenant_id, key_id, by=call.by, overlap=overlap, now=utc_now())
    return _shown_once(text, key)


@endpoint(
    blueprint,
    "DELETE",
    "/v1/api-keys/{key_id}",
    summary="Revokes an API key for good, within a minute; the last that writes keys only once an owner has joined",
    status=204,
    scope="keys:write",
    authorizer=authorize,
    need="secure",
)
def revoke_api_key(call: Call[None], key_id: str) -> None:
    key_ring.revoke_key(call.tenant_id, key_id, by=call.by, now=utc_now())


def _view(key: ApiKey) -> ApiKeyView:
    return ApiKeyView(
        id=key.pk,
        name=key.name,
        scopes=sorted(key.scopes),
        created_at=key.created_at,
        made_by=key.made_by,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        last_used_at=key.last_used_at,
        allowed_networks=key.allowed_networks,
    )


def _shown_once(text: str, key: ApiKey) -> NewApiKeyView:
    return NewApiKeyView(**_view(key).model_dump(), api_key=text)
