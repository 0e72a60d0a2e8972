"""Exports over HTTP: ask for one, see how far it is, fetch its files."""

from __future__ import annotations

from chalice.app import Blueprint

from chalicelib.identity import authorize, check_standing
from chalicelib.leaving import exports
from chalicelib.leaving.export_views import ExportDetail, ExportView, export_detail, export_view
from chalicelib.leaving.model import COMPLETED
from chalicelib.platform.clock import utc_now
from chalicelib.platform.http import PAGING, Call, Page, endpoint, write_cursor
from chalicelib.tenancy import open_tenant

blueprint = Blueprint(__name__)

READ, WRITE = "exports:read", "exports:write"


@endpoint(
    blueprint,
    "POST",
    "/v1/exports",
    summary="Begin an export of everything",
    returns=ExportView,
    status=202,
    scope=WRITE,
    authorizer=authorize,
    need="export",
)
def create_export(call: Call[None]) -> ExportView:
    check_standing(call.by)  # somebody who lost their access a moment ago does not take everything along
    now = utc_now()
    return export_view(exports.begin_export(call.tenant_id, requested_by=call.subject, now=now), now=now)


@endpoint(
    blueprint,
    "GET",
    "/v1/exports",
    summary="The tenant's exports, newest first",
    returns=Page[ExportView],
    scope=READ,
    authorizer=authorize,
    query=PAGING,
    need="export",
)
def list_exports(call: Call[None]) -> Page[ExportView]:
    now = utc_now()
    found, cursor = exports.list_exports(call.tenant_id, limit=call.limit, cursor=call.cursor)
    return Page[ExportView](items=[export_view(record, now=now) for record in found], cursor=write_cursor(cursor))


@endpoint(
    blueprint,
    "GET",
    "/v1/exports/{export_id}",
    summary="One export, with links to its files",
    returns=ExportDetail,
    scope=READ,
    authorizer=authorize,
    query=PAGING,
    need="export",
)
def get_export(call: Call[None], export_id: str) -> ExportDetail:
    now = utc_now()
    record = exports.find_export(call.tenant_id, export_id, now=now)
    if record.state != COMPLETED:
        return export_detail(record, None, now=now)
    tenant = open_tenant(call.tenant_id)
    found = exports.downloads(tenant, record, limit=call.limit, cursor=call.cursor, now=now)
    return export_detail(record, found, now=now)
