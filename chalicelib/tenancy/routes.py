"""The tenant as its own people and machines see it."""

from __future__ import annotations

from datetime import datetime

from chalice.app import Blueprint

from chalicelib.identity import authorize
from chalicelib.platform.http import Call, View, endpoint
from chalicelib.tenancy.registry import find_tenant

blueprint = Blueprint(__name__)


class TenantView(View):
    """The institution, its plan and its state."""

    id: str
    name: str
    jurisdiction: str
    region: str
    locale: str
    currency: str
    plan: str
    state: str
    ready: bool
    created_at: datetime


@endpoint(
    blueprint,
    "GET",
    "/v1/tenant",
    summary="The calling tenant",
    returns=TenantView,
    scope="tenant:read",
    authorizer=authorize,
)
def get_tenant(call: Call[None]) -> TenantView:
    record = find_tenant(call.tenant_id)
    names = set(TenantView.model_fields) - {"id"}
    return TenantView(id=record.pk, **{name: getattr(record, name) for name in names})
