"""What the API takes and shows of connectors and runs."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import StringConstraints, model_validator

from chalicelib.connectors.model import REFUSED, Connector, Run
from chalicelib.connectors.report import quarantine_counts, request_report, summed
from chalicelib.platform.clock import utc_now
from chalicelib.platform.http import Strict, View

Name = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class NewConnector(Strict):
    """A connector to make: a name of your own, and one of the presets or a mapping document of your own, whose schema
    is at `GET /v1/mapping-schema`."""

    name: Name
    preset: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    mapping: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _is_made_from_one_thing(self) -> Self:
        if (self.preset is None) == (self.mapping is None):
            raise ValueError("either preset or mapping must be given, and not both")
        return self


class ConnectorChange(Strict):
    """What of a connector is to change. While it is `paused` no run is started: files wait, pushed rows are taken."""

    name: Name | None = None
    paused: bool | None = None


class NewUpload(Strict):
    """The name of a file that is to be put into the drop."""

    file_name: str


class LastApplied(View):
    """The file that was applied last."""

    run_id: str
    business_date: date
    sha256: str


class ConnectorView(View):
    """A source of files. `preset` is the name that its mapping gives itself; `deleted_at` is set once it is deleted and
    only what it left behind can be read."""

    id: str
    name: str
    preset: str
    mapping_version: int
    file_pattern: str
    paused: bool
    active_run: str | None
    last_applied: LastApplied | None
    created_at: datetime
    deleted_at: datetime | None
    version: int


class ConnectorDetail(ConnectorView):
    """A connector with its mapping document."""

    mapping: dict[str, Any]


class UploadView(View):
    """Where to PUT the file's bytes (at most 5 GB), until when. Every one of `headers` must be sent as it stands: they
    are signed, and name the key that the file is stored under."""

    method: Literal["PUT"] = "PUT"
    url: str
    headers: dict[str, str]
    expires_at: datetime


class RunRequested(View):
    """The waiting files will be read, one after another; `active_run` is the run at work at this moment."""

    connector_id: str
    status: Literal["requested"] = "requested"
    active_run: str | None


class Refusal(View):
    """Why a file was refused as a whole: a stable code, a sentence, and the place where there is one. `quarantine` is
    the path, with `?run=`, under which the first `rows_kept` quarantined rows of the file can be read with their
    reasons; both are null where the file was refused before a row was quarantined."""

    code: str
    reason: str
    line: int | None = None
    byte: int | None = None
    rows_kept: int | None = None
    quarantine: str | None = None


class RunView(View):
    """One file's way through the connector, or that of quarantined rows of the run `replay_of`, which are replayed."""

    id: str
    connector_id: str
    replay_of: str | None
    status: str
    file_name: str
    business_date: date | None
    refusal: Refusal | None
    counts: dict[str, int] | None
    chunks: int
    chunks_done: int
    started_at: datetime
    finished_at: datetime | None


class TotalView(View):
    """Sums over the accepted rows of one currency, in its minor unit."""

    currency: str
    rows: int
    balance: int
    overdue_amount: int


class TrailerView(View):
    """What the file's last line states. `total_agrees` is null where it could not be compared, because the amount of
    `unreadable_rows` cannot be read; a file whose trailer does not agree is refused."""

    rows: int
    total: str | None
    total_agrees: bool | None
    unreadable_rows: int


class ReasonView(View):
    """A reason against a field, what is accepted there, and how many rows it stands against."""

    field: str
    source: str
    code: str
    accepted: str
    rows: int


class RequestsView(View):
    """DynamoDB requests, measured, beside what the changed rows need by arithmetic. Unchanged rows have no part in
    `expected`: what they can have cost at most is `beyond_expected`."""

    by_operation: dict[str, int]
    total: int
    expected: int
    per_changed_row: float | None
    beyond_expected: int


class QuarantineView(View):
    """What became of the run's quarantined rows. `waiting` ones may be repaired, replayed or discarded until
    `expires_at`; then they are `expired`. Together they are all that were quarantined."""

    waiting: int
    replayed: int
    discarded: int
    expired: int
    expires_at: datetime | None


class ReportView(RunView):
    """A run with everything that was counted and measured. Timings are milliseconds by step; `carried` are accounts
    whose row is quarantined and that keep what was applied last."""

    mapping_version: int
    sha256: str | None
    bytes: int | None
    carried: int
    quarantine: QuarantineView | None
    control_totals: list[TotalView]
    trailer: TrailerView | None
    reasons: list[ReasonView]
    warnings: list[ReasonView]
    ignored_columns: list[str]
    rows_applied: int
    applied: dict[str, int] | None
    requests: RequestsView | None
    timings: dict[str, int]
    reconciled: bool | None
    discrepancies: list[str]


def connector_view(connector: Connector) -> ConnectorView:
    """A connector as lists show it."""
    return ConnectorView(**_connector_members(connector))


def connector_detail(connector: Connector) -> ConnectorDetail:
    """A connector as it is shown alone."""
    return ConnectorDetail(**_connector_members(connector), mapping=connector.mapping)


def run_view(run: Run) -> RunView:
    """A run as lists show it."""
    return RunView(**_run_members(run))


def report_view(run: Run) -> ReportView:
    """A run's report; what is not known yet is null or empty."""
    requests = None
    if run.counts is not None and run.requests:
        measured = request_report(summed(list(run.requests.values())), run.requests_expected, run.counts)
        requests = RequestsView(**{name: getattr(measured, name) for name in RequestsView.model_fields})
    return ReportView(
        **_run_members(run),
        mapping_version=run.mapping_version,
        sha256=run.sha256,
        bytes=run.bytes,
        carried=run.carried,
        quarantine=_quarantine(run),
        control_totals=[TotalView(**total) for total in run.control_totals or []],
        trailer=None if run.trailer is None else TrailerView(**run.trailer),
        reasons=[ReasonView(**reason) for reason in run.reasons or []],
        warnings=[ReasonView(**warning) for warning in run.warnings or []],
        ignored_columns=run.ignored_columns or [],
        rows_applied=run.rows_applied,
        applied=run.applied,
        requests=requests,
        timings=run.timings | _waited(run),
        reconciled=run.reconciled,
        discrepancies=run.discrepancies or [],
    )


def _connector_members(connector: Connector) -> dict[str, Any]:
    last = None
    if connector.last_run is not None:
        last = LastApplied(
            run_id=connector.last_run,
            business_date=connector.last_business_date,
            sha256=connector.last_sha256,
        )
    return {
        "id": connector.sk,
        "name": connector.name,
        "preset": connector.preset,
        "mapping_version": connector.mapping_version,
        "file_pattern": connector.mapping["source"]["file_pattern"],
        "paused": connector.paused,
        "active_run": connector.active_run,
        "last_applied": last,
        "created_at": connector.created_at,
        "deleted_at": connector.deleted_at,
        "version": connector.version,
    }


def _run_members(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "connector_id": run.pk,
        "replay_of": run.replay_of,
        "status": run.status,
        "file_name": run.file_name,
        "business_date": run.business_date,
        "refusal": _refusal(run),
        "counts": run.counts,
        "chunks": run.chunks,
        "chunks_done": run.chunks_done,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
    }


def _quarantine(run: Run) -> QuarantineView | None:
    counts = quarantine_counts(run, utc_now())
    return None if counts is None else QuarantineView(**asdict(counts), expires_at=run.quarantine_until)


def _refusal(run: Run) -> Refusal | None:
    if run.verdict is None or run.verdict["status"] != REFUSED:
        return None
    told = {name: run.verdict[name] for name in Refusal.model_fields if name in run.verdict}
    if "rows_kept" in told:
        told["quarantine"] = f"/v1/connectors/{run.pk}/quarantine?run={run.id}"
    return Refusal(**told)


def _waited(run: Run) -> dict[str, int]:
    """How long applying took: from the plan's commit to the end, waiting in the queue included."""
    if run.planned_at is None or run.finished_at is None:
        return {}
    return {"apply": round((run.finished_at - run.planned_at).total_seconds() * 1000)}
