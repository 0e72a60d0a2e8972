"""What the API takes and shows of mappings, and of what a file is or would become."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import ConfigDict, Field, RootModel, StringConstraints, field_validator, model_validator

from chalicelib.connectors.discover import Discovery
from chalicelib.connectors.errors import FileRefused
from chalicelib.connectors.model import MappingVersion
from chalicelib.connectors.profile import Profile
from chalicelib.connectors.views import ReasonView, Refusal, TotalView
from chalicelib.platform.http import Strict, View

if TYPE_CHECKING:
    # These work with DuckDB, which only a preview needs.
    from chalicelib.connectors.differences import Differences
    from chalicelib.connectors.preview import Preview, PreviewedRow

FileName = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Base64 = Annotated[str, StringConstraints(min_length=1, max_length=250_000)]
MAX_PREVIEWED_ROWS = 50


class MappingDocument(RootModel[dict[str, Any]]):
    """A mapping document; its schema is at `GET /v1/mapping-schema`. Its `version` is given by the connector."""

    model_config = ConfigDict(hide_input_in_errors=True)


class VersionView(View):
    """A version of a connector's mapping, and who made it."""

    version: int
    made_by: str
    made_at: datetime


class MappingView(VersionView):
    """A version with its document. Send `version` as `If-Match` with the document that is to replace it."""

    mapping: dict[str, Any]


class LooseSample(Strict):
    """The first bytes of a file in base64 (180,000 bytes before that), `whole` where they are the file, and what it is
    called, from which the pattern of names is made."""

    sample: Base64
    whole: bool = False
    file_name: FileName | None = None


class AnySample(Strict):
    """Either a `file` that waits for the connector, or the first bytes of one in base64 (180,000 bytes before that),
    `whole` where they are the file."""

    file: FileName | None = None
    sample: Base64 | None = None
    whole: bool = False

    @model_validator(mode="after")
    def _is_of_one_thing(self) -> Self:
        if (self.file is None) == (self.sample is None):
            raise ValueError("either file or sample must be given, and not both")
        return self


class PreviewRequest(AnySample):
    """What is to be previewed, under the connector's mapping or a candidate for it. `business_date` stands in where the
    file has no name that tells it (today, when not given)."""

    mapping: dict[str, Any] | None = None
    business_date: date | None = None
    rows: int = Field(default=10, ge=1, le=MAX_PREVIEWED_ROWS)

    @field_validator("business_date", mode="before")
    @classmethod
    def _is_a_day_in_text(cls, given: object) -> object:
        # A number would be read as seconds since 1970.
        if given is not None and not isinstance(given, str):
            raise ValueError("the day must be text, such as 2005-10-03")
        return given


class ShapeView(View):
    """A shape, and how many rows have it."""

    shape: str
    rows: int


class ColumnView(View):
    """A column by the shapes of its values: digits are 9, letters A or a, Han characters 汉, each run counted. `kind`
    is what all values are; `codes` are words for currencies, the only values that are told."""

    name: str
    kind: str
    rows: int
    filled: int
    distinct: int
    longest: int
    shapes: list[ShapeView]
    date_formats: list[str]
    codes: list[str]


class ProposedView(View):
    """A proposed field, how sure it is (0 to 1), and why."""

    target: str
    source: str
    confidence: float
    notes: list[str]


class MissingView(View):
    """What the proposal lacks: where in the document it belongs, and the columns that could be it by their values. What
    is not `required` can be done without."""

    pointer: str
    target: str
    sentence: str
    candidates: list[str]
    required: bool


class DiscoveryView(View):
    """What a sample is: its `format` (null where none fits, and `notes` say why), its columns, and a proposed `mapping`
    with how sure each field of it is. A proposal is complete when nothing `required` is missing; try it by `preview`.
    """

    format: dict[str, Any] | None
    encoding_confidence: float
    rows: int
    columns: list[ColumnView]
    mapping: dict[str, Any] | None
    fields: list[ProposedView]
    missing: list[MissingView]
    unused: list[str]
    notes: list[str]


class PreviewedRowView(View):
    """A row before (by heading, long values cut) and after mapping (money in minor units), and what stands against
    it."""

    line: int
    before: dict[str, str]
    after: dict[str, Any]
    reasons: list[dict[str, str]]
    warnings: list[dict[str, str]]


class TrailerVerdictView(View):
    """What the file states of itself. `total_agrees` is null where it states no sum, or where the amounts of
    `unreadable_rows` cannot be read."""

    rows: int
    total: str | None
    rows_agree: bool
    total_agrees: bool | None
    unreadable_rows: int


class DifferencesView(View):
    """What the next run would change, were the candidate put in force, of the accounts in the sample: by account, and
    in `fields` how many accounts have another value there. `refusal` is why the mapping in force reads nothing."""

    same: int
    changed: int
    only_in_force: int
    only_candidate: int
    fields: dict[str, int]
    refusal: Refusal | None


class PreviewView(View):
    """What the sample would become as a file of `business_date`. `name_expected` says whether a file of that name would
    be taken (null without a name), `whole` whether the sample was looked at to the file's end. With `refusal` the file
    would be refused as a whole; `read` says whether its rows could be looked at all the same."""

    business_date: date
    name_expected: bool | None
    whole: bool
    refusal: Refusal | None
    read: bool
    counts: dict[str, int]
    rows: list[PreviewedRowView]
    quarantined: list[PreviewedRowView]
    reasons: list[ReasonView]
    warnings: list[ReasonView]
    control_totals: list[TotalView]
    trailer: TrailerVerdictView | None
    ignored_columns: list[str]
    differences: DifferencesView | None


def version_view(stored: MappingVersion) -> VersionView:
    """A version as lists show it."""
    return VersionView(version=stored.version, made_by=stored.made_by, made_at=stored.made_at)


def mapping_view(stored: MappingVersion) -> MappingView:
    """A version as it is shown alone."""
    return MappingView(version=stored.version, made_by=stored.made_by, made_at=stored.made_at, mapping=stored.document)


def discovery_view(found: Discovery) -> DiscoveryView:
    """What was discovered."""
    suggestion = found.suggestion
    return DiscoveryView(
        format=found.format,
        encoding_confidence=found.encoding_confidence,
        rows=found.rows,
        columns=[_column_view(each) for each in found.columns],
        mapping=found.mapping,
        fields=[
            ProposedView(
                target=each.target, source=each.document["source"], confidence=each.confidence, notes=list(each.notes)
            )
            for each in suggestion.fields
        ],
        missing=[
            MissingView(
                pointer=each.pointer,
                target=each.target,
                sentence=each.sentence,
                candidates=list(each.candidates),
                required=each.required,
            )
            for each in suggestion.missing
        ],
        unused=list(suggestion.unused),
        notes=list(found.notes),
    )


def preview_view(found: Preview, *, business_date: date, name_expected: bool | None, whole: bool) -> PreviewView:
    """What a sample would become."""
    return PreviewView(
        business_date=business_date,
        name_expected=name_expected,
        whole=whole,
        refusal=_refusal(found.refusal),
        read=found.read,
        counts=found.counts,
        rows=[_row_view(row) for row in found.rows],
        quarantined=[_row_view(row) for row in found.rejected],
        reasons=[ReasonView(**asdict(each.reason), rows=each.rows) for each in found.reasons],
        warnings=[ReasonView(**asdict(each.reason), rows=each.rows) for each in found.warnings],
        control_totals=[TotalView(**asdict(total)) for total in found.totals],
        trailer=None if found.trailer is None else TrailerVerdictView(**asdict(found.trailer)),
        ignored_columns=list(found.ignored),
        differences=None if found.differences is None else _differences_view(found.differences),
    )


def _column_view(column: Profile) -> ColumnView:
    return ColumnView(
        name=column.name,
        kind=column.kind,
        rows=column.rows,
        filled=column.filled,
        distinct=column.distinct,
        longest=column.longest,
        shapes=[ShapeView(shape=shape, rows=rows) for shape, rows in column.shapes],
        date_formats=list(column.date_formats),
        codes=list(column.codes),
    )


def _row_view(row: PreviewedRow) -> PreviewedRowView:
    return PreviewedRowView(
        line=row.line, before=row.before, after=row.after, reasons=list(row.reasons), warnings=list(row.warnings)
    )


def _differences_view(found: Differences) -> DifferencesView:
    counts = {name: getattr(found, name) for name in DifferencesView.model_fields if name != "refusal"}
    return DifferencesView(**counts, refusal=_refusal(found.refusal))


def _refusal(refused: FileRefused | None) -> Refusal | None:
    if refused is None:
        return None
    place = {name: refused.extra[name] for name in ("line", "byte") if name in refused.extra}
    return Refusal(code=refused.code, reason=refused.detail, **place)
