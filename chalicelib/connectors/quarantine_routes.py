"""Quarantined rows over HTTP: find them, put one right or give it up, replay one, some or all."""

from __future__ import annotations

from chalice.app import Blueprint

from chalicelib.connectors import rejected, repair, replay
from chalicelib.connectors.layout import by_heading, load_layout
from chalicelib.connectors.model import COMPLETED, EXPIRED
from chalicelib.connectors.quarantine_views import (
    DiscardBody,
    RejectedDetail,
    RejectedView,
    RepairBody,
    RepairedView,
    ReplayBody,
    ReplayView,
    rejected_detail,
    rejected_view,
    repaired_view,
    replay_view,
)
from chalicelib.connectors.replay import Selection
from chalicelib.identity import authorize
from chalicelib.platform.clock import utc_now
from chalicelib.platform.errors import Invalid, NotFound
from chalicelib.platform.http import IDEMPOTENCY_KEY, IF_MATCH, PAGING, Call, Page, endpoint, write_cursor
from chalicelib.tenancy import open_tenant

blueprint = Blueprint(__name__)

READ, WRITE = "connectors:read", "connectors:write"
STATUSES = ("waiting", "repaired", "replayed", "discarded", "expired")
ROW = "/v1/connectors/{connector_id}/quarantine/{run_id}/{line}"


@endpoint(
    blueprint,
    "GET",
    "/v1/connectors/{connector_id}/quarantine",
    summary="Rows that were not accepted, with their reasons",
    returns=Page[RejectedView],
    scope=READ,
    authorizer=authorize,
    query=PAGING
    | {
        "run": "Whose rows are wanted; when not given, the run applied last, or the newest while none is",
        "field": "Only rows with a reason against this field, such as account.balance",
        "code": "Only rows with a reason of this code, such as not_an_amount; with field, one that is both",
        "status": f"Only rows that are {', '.join(STATUSES[:-1])} or {STATUSES[-1]}",
    },
)
def list_quarantine(call: Call[None], connector_id: str) -> Page[RejectedView]:
    status = call.query.get("status")
    if status is not None and status not in STATUSES:
        raise Invalid(f"status is one of {', '.join(STATUSES)}", pointer="/status")
    rows, after = rejected.list_rejected(
        open_tenant(call.tenant_id),
        connector_id,
        call.query.get("run"),
        limit=call.limit,
        cursor=call.cursor,
        now=utc_now(),
        wanted=rejected.Wanted(call.query.get("field"), call.query.get("code"), status),
    )
    return Page[RejectedView](items=[rejected_view(row) for row in rows], cursor=write_cursor(after))


@endpoint(
    blueprint, "GET", ROW, summary="One quarantined row", returns=RejectedDetail, scope=READ, authorizer=authorize
)
def get_quarantined_row(call: Call[None], connector_id: str, run_id: str, line: str) -> RejectedDetail:
    tenant = open_tenant(call.tenant_id)
    run, stored = rejected.find_row(tenant, connector_id, run_id, line)
    entry = rejected.entry_of(tenant.vault, stored, utc_now())
    values = None
    if run.status == COMPLETED and entry.status != EXPIRED and entry.text is not None:
        values = by_heading(load_layout(tenant, run_id), entry.text)
    return rejected_detail(entry, values)


@endpoint(
    blueprint,
    "PUT",
    ROW,
    summary="Correct a quarantined row; says whether the mapping accepts it now",
    body=RepairBody,
    returns=RepairedView,
    scope=WRITE,
    authorizer=authorize,
    headers=IF_MATCH,
)
def repair_row(call: Call[RepairBody], connector_id: str, run_id: str, line: str) -> RepairedView:
    entry = repair.repair(
        open_tenant(call.tenant_id),
        connector_id,
        run_id,
        line,
        call.body.correction(),
        by=call.subject,
        now=utc_now(),
        expected=call.expected_version,
    )
    return repaired_view(entry)


@endpoint(
    blueprint,
    "POST",
    f"{ROW}/discard",
    summary="Give a quarantined row up, and say why",
    body=DiscardBody,
    returns=RejectedView,
    scope=WRITE,
    authorizer=authorize,
    headers=IF_MATCH,
)
def discard_row(call: Call[DiscardBody], connector_id: str, run_id: str, line: str) -> RejectedView:
    entry = repair.discard(
        open_tenant(call.tenant_id),
        connector_id,
        run_id,
        line,
        call.body.note,
        by=call.subject,
        now=utc_now(),
        expected=call.expected_version,
    )
    return rejected_view(entry)


@endpoint(
    blueprint,
    "POST",
    f"{ROW}/replay",
    summary="Replay one quarantined row by the mapping in force",
    returns=ReplayView,
    status=202,
    scope=WRITE,
    authorizer=authorize,
    need="connect",
    headers=IDEMPOTENCY_KEY,
)
def replay_row(call: Call[None], connector_id: str, run_id: str, line: str) -> ReplayView:
    if not line.isascii() or not line.isdigit():
        raise NotFound("a row is named by its line, a number")
    return _replayed(call, connector_id, Selection(run=run_id, line=int(line)))


@endpoint(
    blueprint,
    "POST",
    "/v1/connectors/{connector_id}/quarantine/replay",
    summary="Replay quarantined rows by the mapping in force",
    body=ReplayBody,
    returns=ReplayView,
    status=202,
    scope=WRITE,
    authorizer=authorize,
    need="connect",
    headers=IDEMPOTENCY_KEY,
)
def replay_rows(call: Call[ReplayBody], connector_id: str) -> ReplayView:
    wanted = call.body
    return _replayed(call, connector_id, Selection(run=wanted.run, field=wanted.field, code=wanted.code))


@endpoint(
    blueprint,
    "GET",
    "/v1/connectors/{connector_id}/replays/{replay_id}",
    summary="How far a replay is, and what became of its rows",
    returns=ReplayView,
    scope=READ,
    authorizer=authorize,
)
def get_replay(call: Call[None], connector_id: str, replay_id: str) -> ReplayView:
    tenant = open_tenant(call.tenant_id)
    found = replay.find_replay(tenant, connector_id, replay_id)
    return replay_view(found, replay.state_of(tenant, found))


def _replayed(call: Call[ReplayBody] | Call[None], connector_id: str, selection: Selection) -> ReplayView:
    tenant = open_tenant(call.tenant_id)
    requested = replay.request_replay(
        tenant, connector_id, selection, by=call.subject, now=utc_now(), key=call.idempotency_key
    )
    return replay_view(requested, replay.state_of(tenant, requested))
