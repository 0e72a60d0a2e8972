"""Connectors over HTTP: make, pause and delete one, drop files, start runs, read reports, push rows."""

from __future__ import annotations

from chalice.app import Blueprint

from chalicelib.connectors import connectors, drop, mappings, push, runs
from chalicelib.connectors.push_views import Push, ReceiptView, receipt_view
from chalicelib.connectors.views import (
    ConnectorChange,
    ConnectorDetail,
    ConnectorView,
    NewConnector,
    NewUpload,
    ReportView,
    RunRequested,
    RunView,
    UploadView,
    connector_detail,
    connector_view,
    report_view,
    run_view,
)
from chalicelib.identity import authorize
from chalicelib.platform.clock import utc_now
from chalicelib.platform.http import IDEMPOTENCY_KEY, PAGING, Call, Page, endpoint, write_cursor
from chalicelib.tenancy import open_tenant, require

blueprint = Blueprint(__name__)

READ, WRITE = "connectors:read", "connectors:write"


@endpoint(
    blueprint,
    "POST",
    "/v1/connectors",
    summary="Make a connector from a preset or from a mapping of your own",
    body=NewConnector,
    returns=ConnectorDetail,
    status=201,
    scope=WRITE,
    authorizer=authorize,
    headers=IDEMPOTENCY_KEY,
)
def create_connector(call: Call[NewConnector]) -> ConnectorDetail:
    mapping, preset = call.body.mapping, call.body.preset
    made = connectors.create_connector(
        open_tenant(call.tenant_id),
        call.body.name,
        preset if preset is not None else mappings.checked(mapping, pointer="/mapping"),
        now=utc_now(),
        made_by=call.subject,
        key=call.idempotency_key,
        at_most=require(call.tenant_id, "work").entitlements.connectors,
    )
    return connector_detail(made)


@endpoint(
    blueprint,
    "GET",
    "/v1/connectors",
    summary="The tenant's connectors",
    returns=Page[ConnectorView],
    scope=READ,
    authorizer=authorize,
)
def list_connectors(call: Call[None]) -> Page[ConnectorView]:
    found = connectors.all_connectors(open_tenant(call.tenant_id))
    return Page[ConnectorView](items=[connector_view(connector) for connector in found])


@endpoint(
    blueprint,
    "GET",
    "/v1/connectors/{connector_id}",
    summary="One connector with its mapping",
    returns=ConnectorDetail,
    scope=READ,
    authorizer=authorize,
)
def get_connector(call: Call[None], connector_id: str) -> ConnectorDetail:
    return connector_detail(connectors.find_connector(open_tenant(call.tenant_id), connector_id))


@endpoint(
    blueprint,
    "PATCH",
    "/v1/connectors/{connector_id}",
    summary="Rename a connector, pause it, or let it go on",
    body=ConnectorChange,
    returns=ConnectorDetail,
    scope=WRITE,
    authorizer=authorize,
)
def change_connector(call: Call[ConnectorChange], connector_id: str) -> ConnectorDetail:
    tenant, now = open_tenant(call.tenant_id), utc_now()
    wanted = call.body
    changed = connectors.change_connector(
        tenant, connector_id, name=wanted.name, paused=wanted.paused, made_by=call.subject, now=now
    )
    if wanted.paused is False:
        runs.wake_if_waiting(tenant, changed)
    return connector_detail(changed)


@endpoint(
    blueprint,
    "DELETE",
    "/v1/connectors/{connector_id}",
    summary="Delete a connector; accounts, cases and runs stay",
    status=204,
    scope=WRITE,
    authorizer=authorize,
)
def delete_connector(call: Call[None], connector_id: str) -> None:
    connectors.delete_connector(open_tenant(call.tenant_id), connector_id, made_by=call.subject, now=utc_now())


@endpoint(
    blueprint,
    "POST",
    "/v1/connectors/{connector_id}/uploads",
    summary="A URL that takes one file",
    body=NewUpload,
    returns=UploadView,
    status=201,
    scope=WRITE,
    authorizer=authorize,
)
def create_upload(call: Call[NewUpload], connector_id: str) -> UploadView:
    tenant = open_tenant(call.tenant_id)
    mapping = connectors.mapping_of(connectors.connector_in_use(tenant, connector_id))
    upload = drop.upload(tenant, connector_id, mapping, call.body.file_name, now=utc_now())
    return UploadView(url=upload.url, headers=upload.headers, expires_at=upload.expires_at)


@endpoint(
    blueprint,
    "POST",
    "/v1/connectors/{connector_id}/runs",
    summary="Read the waiting files now",
    returns=RunRequested,
    status=202,
    scope=WRITE,
    authorizer=authorize,
    need="connect",
)
def request_run(call: Call[None], connector_id: str) -> RunRequested:
    connector = runs.request_run(open_tenant(call.tenant_id), connector_id)
    return RunRequested(connector_id=connector.sk, active_run=connector.active_run)


@endpoint(
    blueprint,
    "GET",
    "/v1/connectors/{connector_id}/runs",
    summary="The connector's runs, newest first",
    returns=Page[RunView],
    scope=READ,
    authorizer=authorize,
    query=PAGING,
)
def list_runs(call: Call[None], connector_id: str) -> Page[RunView]:
    found, after = runs.list_runs(open_tenant(call.tenant_id), connector_id, limit=call.limit, cursor=call.cursor)
    return Page[RunView](items=[run_view(run) for run in found], cursor=write_cursor(after))


@endpoint(
    blueprint,
    "GET",
    "/v1/connectors/{connector_id}/runs/{run_id}",
    summary="One run",
    returns=RunView,
    scope=READ,
    authorizer=authorize,
)
def get_run(call: Call[None], connector_id: str, run_id: str) -> RunView:
    return run_view(runs.find_run(open_tenant(call.tenant_id), connector_id, run_id))


@endpoint(
    blueprint,
    "GET",
    "/v1/connectors/{connector_id}/runs/{run_id}/report",
    summary="What the run counted, measured and found not to agree",
    returns=ReportView,
    scope=READ,
    authorizer=authorize,
)
def get_report(call: Call[None], connector_id: str, run_id: str) -> ReportView:
    return report_view(runs.find_run(open_tenant(call.tenant_id), connector_id, run_id))


@endpoint(
    blueprint,
    "POST",
    "/v1/connectors/{connector_id}/push",
    summary="Push single rows, such as a repayment booked now",
    body=Push,
    returns=ReceiptView,
    status=202,
    scope=WRITE,
    authorizer=authorize,
    need="connect",
    headers=IDEMPOTENCY_KEY,
)
def push_rows(call: Call[Push], connector_id: str) -> ReceiptView:
    rows = [row.pushed() for row in call.body.rows]
    tenant = open_tenant(call.tenant_id)
    return receipt_view(push.push(tenant, connector_id, rows, now=utc_now(), key=call.idempotency_key))


@endpoint(
    blueprint,
    "GET",
    "/v1/connectors/{connector_id}/push/{receipt_id}",
    summary="What became of pushed rows",
    returns=ReceiptView,
    scope=READ,
    authorizer=authorize,
)
def get_push(call: Call[None], connector_id: str, receipt_id: str) -> ReceiptView:
    return receipt_view(push.find_push(open_tenant(call.tenant_id), connector_id, receipt_id))
