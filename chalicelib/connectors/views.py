"""What the API takes and shows of connectors, runs, quarantined rows and pushes."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal, cast

from pydantic import Field, StringConstraints, ValidationInfo, field_validator

from chalicelib.connectors.model import REFUSED, Connector, PushReceipt, Run
from chalicelib.connectors.push import MAX_ROWS, PushedRow
from chalicelib.connectors.rejected import RejectedRow
from chalicelib.connectors.report import request_report, summed
from chalicelib.platform.clock import utc_now
from chalicelib.platform.errors import Invalid
from chalicelib.platform.http import Strict, View
from chalicelib.platform.money import exponent_of, to_minor

Key = Annotated[str, StringConstraints(min_length=1, max_length=256)]
EARLIEST_BOOKING = date(1990, 1, 1)
Amount = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,15}(\.[0-9]{1,4})?$")]


class NewConnector(Strict):
    """A connector to make: a name of your own and one of the presets."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    preset: Annotated[str, StringConstraints(min_length=1, max_length=100)]


class NewUpload(Strict):
    """The name of a file that is to be put into the drop."""

    file_name: str


class RepaymentRow(Strict):
    """A repayment booked now. `account` is the account's key as the files carry it; `amount` is in major units, as a
    decimal string with no more decimals than the currency has; `booked_on` is the business date of the booking, from
    1990 on and not after tomorrow in UTC."""

    kind: Literal["repayment"]
    account: Key
    repayment_id: Key
    currency: str
    amount: Amount
    booked_on: date

    @field_validator("booked_on", mode="before")
    @classmethod
    def _is_a_day_in_text(cls, booked_on: object) -> object:
        # A number would be read as seconds since 1970.
        if not isinstance(booked_on, str):
            raise ValueError("the day must be text, such as 2005-10-03")
        return booked_on

    @field_validator("booked_on")
    @classmethod
    def _is_a_day_that_has_come(cls, booked_on: date) -> date:
        # Where the day begins first, it may be tomorrow in UTC. A later day would be a slip, and count for years.
        latest = utc_now().date() + timedelta(days=1)
        if not EARLIEST_BOOKING <= booked_on <= latest:
            raise ValueError(f"the day must be from {EARLIEST_BOOKING} to {latest}, which is tomorrow in UTC")
        return booked_on

    @field_validator("currency")
    @classmethod
    def _is_a_currency(cls, currency: str) -> str:
        try:
            exponent_of(currency)
        except Invalid as problem:
            raise ValueError(problem.detail) from None
        return currency

    @field_validator("amount")
    @classmethod
    def _is_exact(cls, amount: str, info: ValidationInfo) -> str:
        currency = info.data.get("currency")
        if currency is None:
            return amount  # the currency is at fault already
        try:
            minor = to_minor(amount, currency)
        except Invalid as problem:
            raise ValueError(problem.detail) from None
        if minor <= 0:
            raise ValueError("the amount must be more than zero")
        return amount

    def pushed(self) -> PushedRow:
        """The row as the verbs take it, with the amount in minor units."""
        amount = to_minor(self.amount, self.currency)
        return PushedRow(self.account, self.repayment_id, amount, self.currency, self.booked_on)


class Push(Strict):
    """1 to 100 rows. They are taken together and applied each by itself."""

    rows: Annotated[list[RepaymentRow], Field(min_length=1, max_length=MAX_ROWS)]


class LastApplied(View):
    """The file that was applied last."""

    run_id: str
    business_date: date
    sha256: str


class ConnectorView(View):
    """A source of files."""

    id: str
    name: str
    preset: str
    mapping_version: int
    file_pattern: str
    active_run: str | None
    last_applied: LastApplied | None
    created_at: datetime
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
    """One file's way through the connector."""

    id: str
    connector_id: str
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


class ReportView(RunView):
    """A run with everything that was counted and measured. Timings are milliseconds by step; `carried` are accounts
    whose row is quarantined and that keep what was applied last."""

    mapping_version: int
    sha256: str | None
    bytes: int | None
    carried: int
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


class RejectedView(View):
    """A row that was not accepted, with its text and the reasons by field. Of a long text only the beginning is kept
    (`truncated`); `raw_bytes` is the length of the whole in UTF-8."""

    line: int
    reasons: list[dict[str, str]]
    mapping_version: int
    raw: str
    raw_bytes: int
    truncated: bool


class ReceiptView(View):
    """What became of pushed rows: `accepted` until they were worked through, then an outcome a row, in their order.

    Then the status is `applied` when every row is booked, by this push or (`repeated`) by an earlier one;
    `partly_applied` when some are and others are quarantined, each with its reason; `not_applied` when all are
    quarantined.
    """

    receipt: str
    status: Literal["accepted", "applied", "partly_applied", "not_applied"]
    rows: list[dict[str, Any]] | None
    received_at: datetime
    finished_at: datetime | None


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


def rejected_view(row: RejectedRow) -> RejectedView:
    """A row that was not accepted."""
    return RejectedView(
        line=row.line,
        reasons=row.reasons,
        mapping_version=row.mapping_version,
        raw=row.raw,
        raw_bytes=row.raw_bytes,
        truncated=row.truncated,
    )


def receipt_view(receipt: PushReceipt) -> ReceiptView:
    """A push receipt."""
    outcomes = cast("list[dict[str, Any]] | None", receipt.outcomes)
    return ReceiptView(
        receipt=receipt.id,
        status=cast("Any", receipt.status),
        rows=None if outcomes is None else [{"row": n, **outcome} for n, outcome in enumerate(outcomes)],
        received_at=receipt.received_at,
        finished_at=receipt.finished_at,
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
        "active_run": connector.active_run,
        "last_applied": last,
        "created_at": connector.created_at,
        "version": connector.version,
    }


def _run_members(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "connector_id": run.pk,
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
