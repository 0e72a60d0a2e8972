"""What the API takes and shows of quarantined rows and their replays."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from chalicelib.connectors.model import Replay
from chalicelib.connectors.rejected import QuarantineEntry, Status
from chalicelib.connectors.repair import MAX_CORRECTED_BYTES, Correction
from chalicelib.platform.http import Strict, View

MOST_VALUES = 2_000
Value = Annotated[str, StringConstraints(max_length=MAX_CORRECTED_BYTES, strip_whitespace=False)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class RepairBody(Strict):
    """What the row is corrected to: `values` by heading, the others staying as they are, or the whole `text` of it.

    Values are written as the file's format asks for, quotes included; a text is taken as it is.
    """

    values: Annotated[dict[str, Value], Field(min_length=1, max_length=MOST_VALUES)] | None = None
    text: (
        Annotated[str, StringConstraints(min_length=1, max_length=MAX_CORRECTED_BYTES, strip_whitespace=False)] | None
    ) = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if (self.values is None) == (self.text is None):
            raise ValueError("either values or text must be given, and not both")
        return self

    def correction(self) -> Correction:
        """The correction as the verbs take it."""
        return Correction(self.values, self.text)


class DiscardBody(Strict):
    """Why the row is given up: for people, and for the ledger."""

    note: Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class ReplayBody(Strict):
    """Which rows are to be replayed: those of one `run` or, without it, of all; of them those with a reason against
    `field`, or of the kind `code`, or all that wait."""

    run: Word | None = None
    field: Word | None = None
    code: Word | None = None


class RejectedView(View):
    """A row that was not accepted, with its text and the reasons by field. Of a long text only the beginning is kept
    (`truncated`); `raw_bytes` is the length of the whole in UTF-8.

    `status` is `waiting` until the row is `repaired` (`corrected` is its text now), `replayed` or `discarded` (`note`
    says why); what nobody settled until `expires_at` is `expired`, and its text is gone. `reasons` are those that stand
    now by `mapping_version`: after a repair that is accepted, none. `first_reasons` are those of the run, where they
    are others. `replay_run` is the run that replayed the row last, whether or not it could be applied.
    """

    run_id: str
    line: int
    status: Status
    reasons: list[dict[str, str]]
    first_reasons: list[dict[str, str]] | None
    mapping_version: int
    raw: str
    raw_bytes: int
    truncated: bool
    corrected: str | None
    note: str | None
    replay_run: str | None
    changed_by: str | None
    changed_at: datetime | None
    expires_at: datetime | None
    version: int


class RejectedDetail(RejectedView):
    """A row with its values by heading, as corrected or as delivered; null where it has not as many columns as the file
    has headings, where only its beginning is kept, and for rows of a refused file."""

    values: dict[str, str] | None


class RepairedView(RejectedView):
    """A row as it is after a repair. `accepted` says that the mapping in force accepts it, so that a replay applies it
    unless a later file has stated its account."""

    accepted: bool


class ReplayView(View):
    """A request to replay rows, of one run or of `runs` of them: `replayed` rows were applied (or changed nothing),
    `kept` ones stay quarantined with their new reasons. Every run of rows is shown among the connector's runs, with
    `replay_of`."""

    id: str
    status: Literal["waiting", "running", "done"]
    run: str | None
    line: int | None
    field: str | None
    code: str | None
    runs: int
    runs_left: int
    replayed: int
    kept: int
    requested_by: str
    requested_at: datetime
    finished_at: datetime | None


def rejected_view(entry: QuarantineEntry) -> RejectedView:
    """A row that was not accepted."""
    return RejectedView(**_members(entry))


def rejected_detail(entry: QuarantineEntry, values: dict[str, str] | None) -> RejectedDetail:
    """A row as it is shown alone."""
    return RejectedDetail(**_members(entry), values=values)


def repaired_view(entry: QuarantineEntry) -> RepairedView:
    """A row that was just repaired."""
    return RepairedView(**_members(entry), accepted=not entry.reasons)


def replay_view(replay: Replay, status: Literal["waiting", "running", "done"]) -> ReplayView:
    """A replay and how far it is."""
    members = {name: getattr(replay, name) for name in ReplayView.model_fields if name != "status"}
    return ReplayView(**members, status=status)


def _members(entry: QuarantineEntry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in RejectedView.model_fields}
