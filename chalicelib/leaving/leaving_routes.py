"""The way out: a tenant leaves, holds its erasure, and fetches the certificate of it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

from chalice.app import Blueprint
from pydantic import Field

from chalicelib.identity import authorize, check_standing
from chalicelib.leaving import certificate, holds
from chalicelib.leaving import leave as leaving
from chalicelib.platform.clock import utc_now
from chalicelib.platform.errors import Unauthenticated
from chalicelib.platform.http import Call, Strict, View, endpoint
from chalicelib.tenancy import find_tenant

blueprint = Blueprint(__name__)


class Departure(Strict):
    """The institution's name, as GET /v1/tenant shows it: so nobody leaves by mistake."""

    confirm: Annotated[str, Field(max_length=200)]


class DepartureView(View):
    """When the data will be erased; and the token for the certificate of it, which is shown this once."""

    tenant_id: str
    state: str
    erase_after: datetime
    certificate_token: str


class HoldRequest(Strict):
    """Why nothing may be erased: a court's or an authority's order, and where it is filed."""

    reason: Annotated[str, Field(min_length=1, max_length=500)]


class HoldView(View):
    """Whether a legal hold is in force, why, by whom and since when; and when the tenant is to be erased, if it is
    closing."""

    held: bool
    reason: str | None = None
    set_by: str | None = None
    set_at: datetime | None = None
    erase_after: datetime | None = None


class CertificateView(View):
    """A certificate of erasure. Its bytes are `document` as JSON in UTF-8 with its members sorted and no white space;
    `digest` is their SHA-256, and `signature` (base64, ASN.1) is made over them with the key under `public_key`."""

    tenant_id: str
    issued_at: datetime
    document: dict[str, Any]
    digest: str
    algorithm: str
    signature: str
    public_key: str


@endpoint(
    blueprint,
    "POST",
    "/v1/tenant/leave",
    summary="Closes the tenant at once and has its data erased later",
    body=Departure,
    returns=DepartureView,
    scope="tenant:leave",
    authorizer=authorize,
    need="secure",
)
def post_leave(call: Call[Departure]) -> DepartureView:
    from chalicelib.billing import billing_now  # cold start: few calls leave

    # What the authorizer remembers for a minute is not enough to end a tenant.
    check_standing(call.by)
    now = billing_now(find_tenant(call.tenant_id))
    left = leaving.leave(call.tenant_id, confirm=call.body.confirm, now=now)
    return DepartureView(
        tenant_id=call.tenant_id,
        state="closing",
        erase_after=left.erase_after,
        certificate_token=left.certificate_token,
    )


@endpoint(
    blueprint,
    "GET",
    "/v1/tenant/legal-hold",
    summary="Whether a legal hold stops the erasure",
    returns=HoldView,
    scope="tenant:read",
    authorizer=authorize,
)
def get_hold(call: Call[None]) -> HoldView:
    record = find_tenant(call.tenant_id)
    return _hold_view(holds.hold_of(record), record.erase_after)


@endpoint(
    blueprint,
    "PUT",
    "/v1/tenant/legal-hold",
    summary="Puts a legal hold in force: nothing is erased while it is",
    body=HoldRequest,
    returns=HoldView,
    scope="holds:write",
    authorizer=authorize,
    need="secure",
)
def put_hold(call: Call[HoldRequest]) -> HoldView:
    check_standing(call.by)  # it may replace another one
    hold = holds.set_hold(call.by, reason=call.body.reason, now=utc_now())
    return _hold_view(hold, find_tenant(call.tenant_id).erase_after)


@endpoint(
    blueprint,
    "DELETE",
    "/v1/tenant/legal-hold",
    summary="Ends the legal hold",
    status=204,
    scope="holds:write",
    authorizer=authorize,
    need="secure",
)
def delete_hold(call: Call[None]) -> None:
    check_standing(call.by)  # like leaving: what the hold kept may be erased within the hour
    holds.release_hold(call.by, now=utc_now())


@endpoint(
    blueprint,
    "GET",
    "/v1/certificates/{tenant_id}",
    summary="The certificate of a tenant's erasure, for the token that leaving answered",
    claim=True,
    returns=CertificateView,
)
def get_certificate(call: Call[None], tenant_id: str) -> CertificateView:
    found = certificate.certificate_for(tenant_id, _bearer(call))
    return CertificateView(
        tenant_id=tenant_id,
        issued_at=found.issued_at,
        document=json.loads(found.document),
        digest=found.digest,
        algorithm=certificate.ALGORITHM,
        signature=found.signature,
        public_key=found.public_key,
    )


def _hold_view(hold: holds.Hold | None, erase_after: datetime | None) -> HoldView:
    if hold is None:
        return HoldView(held=False, erase_after=erase_after)
    return HoldView(held=True, reason=hold.reason, set_by=hold.set_by, set_at=hold.set_at, erase_after=erase_after)


def _bearer(call: Call[None]) -> str:
    scheme, _, token = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("the certificate's token is needed: Authorization: Bearer and the token of leaving")
    return token.strip()
