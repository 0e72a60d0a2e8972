"""Mappings over HTTP: their schema, a connector's mapping with its versions, and what a file is or would become."""

from __future__ import annotations

from typing import Any

from chalice.app import Blueprint

from chalicelib.connectors import connectors, mappings, samples
from chalicelib.connectors.discover import MAX_READ_BYTES, discover
from chalicelib.connectors.mapping import schema
from chalicelib.connectors.mapping_views import (
    AnySample,
    DiscoveryView,
    LooseSample,
    MappingDocument,
    MappingView,
    PreviewRequest,
    PreviewView,
    VersionView,
    discovery_view,
    mapping_view,
    preview_view,
    version_view,
)
from chalicelib.connectors.samples import MAX_PREVIEWED_BYTES, Sample
from chalicelib.identity import authorize
from chalicelib.platform.clock import utc_now
from chalicelib.platform.errors import NotFound
from chalicelib.platform.http import IF_MATCH, PAGING, Call, Page, endpoint, write_cursor
from chalicelib.platform.tenant import Tenant
from chalicelib.tenancy import open_tenant

blueprint = Blueprint(__name__)

READ, WRITE = "connectors:read", "connectors:write"
_MAX_DIGITS = 9


@endpoint(
    blueprint,
    "GET",
    "/v1/mapping-schema",
    summary="The JSON Schema of mapping documents",
    returns=dict[str, Any],
    scope=READ,
    authorizer=authorize,
)
def get_mapping_schema(call: Call[None]) -> dict[str, Any]:  # noqa: ARG001 - every endpoint takes a call
    return schema()


@endpoint(
    blueprint,
    "GET",
    "/v1/connectors/{connector_id}/mapping",
    summary="The connector's mapping in force",
    returns=MappingView,
    scope=READ,
    authorizer=authorize,
)
def get_mapping(call: Call[None], connector_id: str) -> MappingView:
    tenant = open_tenant(call.tenant_id)
    in_force = connectors.find_connector(tenant, connector_id).mapping_version
    return mapping_view(mappings.find_version(tenant, connector_id, in_force))


@endpoint(
    blueprint,
    "PUT",
    "/v1/connectors/{connector_id}/mapping",
    summary="Put another mapping in force, as a new version",
    body=MappingDocument,
    returns=MappingView,
    scope=WRITE,
    authorizer=authorize,
    headers=IF_MATCH,
)
def put_mapping(call: Call[MappingDocument], connector_id: str) -> MappingView:
    tenant = open_tenant(call.tenant_id)
    connector = connectors.connector_in_use(tenant, connector_id)
    made = mappings.replace_mapping(
        tenant,
        connector,
        mappings.checked(call.body.root),
        made_by=call.subject,
        now=utc_now(),
        expected=call.expected_version,
    )
    return mapping_view(made)


@endpoint(
    blueprint,
    "GET",
    "/v1/connectors/{connector_id}/mapping/versions",
    summary="Every version of the connector's mapping, newest first",
    returns=Page[VersionView],
    scope=READ,
    authorizer=authorize,
    query=PAGING,
)
def list_mapping_versions(call: Call[None], connector_id: str) -> Page[VersionView]:
    tenant = open_tenant(call.tenant_id)
    connectors.find_connector(tenant, connector_id)
    found, after = mappings.list_versions(tenant, connector_id, limit=call.limit, cursor=call.cursor)
    return Page[VersionView](items=[version_view(stored) for stored in found], cursor=write_cursor(after))


@endpoint(
    blueprint,
    "GET",
    "/v1/connectors/{connector_id}/mapping/versions/{version}",
    summary="One version of the connector's mapping",
    returns=MappingView,
    scope=READ,
    authorizer=authorize,
)
def get_mapping_version(call: Call[None], connector_id: str, version: str) -> MappingView:
    if not (version.isascii() and version.isdigit() and len(version) <= _MAX_DIGITS):
        raise NotFound("versions are whole numbers, such as 3")
    return mapping_view(mappings.find_version(open_tenant(call.tenant_id), connector_id, int(version)))


@endpoint(
    blueprint,
    "POST",
    "/v1/connectors/{connector_id}/preview",
    summary="What a file would become, under the mapping in force or a candidate; nothing is applied",
    body=PreviewRequest,
    returns=PreviewView,
    scope=WRITE,
    authorizer=authorize,
)
def preview_file(call: Call[PreviewRequest], connector_id: str) -> PreviewView:
    tenant, body = open_tenant(call.tenant_id), call.body
    connector = connectors.connector_in_use(tenant, connector_id)
    in_force = connectors.mapping_of(connector)
    candidate = None if body.mapping is None else mappings.checked(body.mapping, pointer="/mapping")
    mapping = candidate or in_force
    sample = _sample(tenant, connector_id, body, MAX_PREVIEWED_BYTES)
    named = None if body.file is None else mapping.source.business_date(body.file)
    business_date = named or body.business_date or utc_now().date()
    # DuckDB makes a cold start slow, and few calls preview.
    from chalicelib.connectors.preview import preview

    found = preview(
        sample,
        mapping,
        business_date=business_date,
        rows=body.rows,
        in_force=None if candidate is None else in_force,
    )
    expected = None if body.file is None else named is not None
    return preview_view(found, business_date=business_date, name_expected=expected, whole=sample.whole)


@endpoint(
    blueprint,
    "POST",
    "/v1/connectors/discover",
    summary="What a sample is, and a mapping proposed for it, before there is a connector",
    body=LooseSample,
    returns=DiscoveryView,
    scope=WRITE,
    authorizer=authorize,
)
def discover_sample(call: Call[LooseSample]) -> DiscoveryView:
    body = call.body
    return discovery_view(discover(samples.inline_sample(body.sample, whole=body.whole, file_name=body.file_name)))


@endpoint(
    blueprint,
    "POST",
    "/v1/connectors/{connector_id}/discover",
    summary="What a waiting file or a sample is, and a mapping proposed for it",
    body=AnySample,
    returns=DiscoveryView,
    scope=WRITE,
    authorizer=authorize,
)
def discover_file(call: Call[AnySample], connector_id: str) -> DiscoveryView:
    tenant = open_tenant(call.tenant_id)
    connectors.connector_in_use(tenant, connector_id)
    return discovery_view(discover(_sample(tenant, connector_id, call.body, MAX_READ_BYTES)))


def _sample(tenant: Tenant, connector_id: str, asked: AnySample, at_most: int) -> Sample:
    if asked.file is not None:
        return samples.waiting_sample(tenant, connector_id, asked.file, at_most)
    assert asked.sample is not None, "a request for neither file nor sample is refused before"
    return samples.inline_sample(asked.sample, whole=asked.whole)
