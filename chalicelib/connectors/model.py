"""The items of a tenant's `connector` table: connectors, mappings, runs, chunk receipts, quarantined rows and their
replays, pushes."""

from __future__ import annotations

from pynamodb.attributes import BinaryAttribute, BooleanAttribute, JSONAttribute, UnicodeAttribute, UTCDateTimeAttribute

from chalicelib.platform.attributes import DateAttribute, IntegerAttribute, StringsAttribute
from chalicelib.platform.store import TenantModel

CONNECTORS = "connectors"
MAPPING, RUN, CHUNK, QUARANTINE, PUSH = "mapping#", "run#", "chunk#", "quarantine#", "push#"
REPLAY = "replay#"

PLANNING, APPLYING = "planning", "applying"
COMPLETED, REFUSED, DUPLICATE = "completed", "refused", "duplicate"
"""A run is `planning` until its delta is stored, then `applying`; the other three are where it can end."""

ACCEPTED = "accepted"
APPLIED, PARTLY_APPLIED, NOT_APPLIED = "applied", "partly_applied", "not_applied"
"""A push receipt is `accepted` until its rows were worked through; the other three say whether all, some or none of
them are booked."""


WAITING, REPAIRED = "waiting", "repaired"
REPLAYED, DISCARDED, EXPIRED = "replayed", "discarded", "expired"
"""A quarantined row is `waiting` until it is `repaired` (its text is corrected), `replayed` (it is applied) or
`discarded` (somebody said why it never will be). What waits too long is `expired`, which nobody has to write."""


class Connector(TenantModel):
    """A source of files (`pk` "connectors", `sk` its id) and what was last applied of it.

    `mapping` is the document in force, of which `mapping_version` is the version, and `preset` the name that it gives
    itself. While `paused` no run is started; from `deleted_at` on there is nothing but what it left behind.
    `active_run` is the one run that may be at work; `claimed_until` is when a worker that says nothing more counts as
    dead and another may continue its run (absent once the run waits for its chunks only). The `last_…` attributes
    change together, when a run is completed: a file's changes all but `last_replay`, a replay's that one, the snapshot
    and the keys that are unsettled beside it. `replays` are the turns of replays that wait, the next one first;
    `replaying` is the run whose quarantined rows the active run replays.
    """

    class Meta:
        table_kind = "connector"

    name = UnicodeAttribute()
    preset = UnicodeAttribute()
    mapping = JSONAttribute()
    mapping_version = IntegerAttribute()
    paused = BooleanAttribute(default=False)
    deleted_at = UTCDateTimeAttribute(null=True)
    active_run = UnicodeAttribute(null=True)
    claimed_until = UTCDateTimeAttribute(null=True)
    last_run = UnicodeAttribute(null=True)
    last_business_date = DateAttribute(null=True)
    last_sha256 = UnicodeAttribute(null=True)
    last_snapshot = UnicodeAttribute(null=True)
    last_unsettled = UnicodeAttribute(null=True)
    last_replay = UnicodeAttribute(null=True)
    replays = StringsAttribute(null=True)
    replaying = UnicodeAttribute(null=True)
    created_at = UTCDateTimeAttribute()
    version = IntegerAttribute(default=1)


class MappingVersion(TenantModel):
    """A version of a connector's mapping (`pk` the connector, `sk` "mapping#" and the version in ten digits), who made
    it and when. It stays as long as the connector's runs do, because they name it."""

    class Meta:
        table_kind = "connector"

    version = IntegerAttribute()
    document = JSONAttribute()
    made_by = UnicodeAttribute()
    made_at = UTCDateTimeAttribute()


class Run(TenantModel):
    """One file's way through a connector (`pk` the connector, `sk` "run#" and the run's id), or that of rows of an
    earlier run, `replay_of`, which are replayed: `replay` is whose turn it is, `replay_next` the line behind which rows
    are left for another turn, `outcomes_sha256` the digest of what was found of each row.

    `attempt` counts the workers that took the run on; only the latest may change it while it is planned. `given_back`
    counts those of them that AWS failed and that gave their claim back. `verdict` is how a run that applies nothing
    will end; it is stored before the file is moved. `counts` to `ignored_columns` and `timings` (milliseconds by step)
    are what planning found; `carried` counts accounts whose row is quarantined and that therefore keep what was applied
    last. `applied` and `requests` (by phase and operation) are summed from the chunks' receipts at the end. `etag` is
    that of the object that was claimed, then of the one that was read: no other is ever moved.
    """

    class Meta:
        table_kind = "connector"

    status = UnicodeAttribute()
    attempt = IntegerAttribute()
    given_back = IntegerAttribute(default=0)
    object_key = UnicodeAttribute()
    file_name = UnicodeAttribute()
    etag = UnicodeAttribute()
    business_date = DateAttribute(null=True)
    mapping_version = IntegerAttribute()
    sha256 = UnicodeAttribute(null=True)
    bytes = IntegerAttribute(null=True)
    verdict = JSONAttribute(null=True)
    counts = JSONAttribute(null=True)
    carried = IntegerAttribute(default=0)
    control_totals = JSONAttribute(null=True)
    trailer = JSONAttribute(null=True)
    reasons = JSONAttribute(null=True)
    warnings = JSONAttribute(null=True)
    ignored_columns = JSONAttribute(null=True)
    timings = JSONAttribute(default=dict)
    chunks = IntegerAttribute(default=0)
    chunks_done = IntegerAttribute(default=0)
    rows_applied = IntegerAttribute(default=0)
    snapshot = UnicodeAttribute(null=True)
    unsettled = UnicodeAttribute(null=True)
    quarantine_until = UTCDateTimeAttribute(null=True)
    rows_replayed = IntegerAttribute(default=0)
    rows_discarded = IntegerAttribute(default=0)
    replay = UnicodeAttribute(null=True)
    replay_of = UnicodeAttribute(null=True)
    replay_next = IntegerAttribute(null=True)
    outcomes_sha256 = UnicodeAttribute(null=True)
    manifest_sha256 = UnicodeAttribute(null=True)
    applied = JSONAttribute(null=True)
    requests = JSONAttribute(default=dict)
    requests_expected = IntegerAttribute(default=0)
    reconciled = BooleanAttribute(null=True)
    discrepancies = JSONAttribute(null=True)
    started_at = UTCDateTimeAttribute()
    planned_at = UTCDateTimeAttribute(null=True)
    finished_at = UTCDateTimeAttribute(null=True)

    @property
    def id(self) -> str:
        """The run's id, which sorts by the time it was claimed."""
        return self.sk.removeprefix(RUN)

    @property
    def deaths(self) -> int:
        """How many workers let their claim run out, which is all that is ever heard of a dead one."""
        return self.attempt - 1 - self.given_back


class ChunkReceipt(TenantModel):
    """Says that a chunk is applied (`pk` the run, `sk` "chunk#000001"): how many rows, what they did, what it cost."""

    class Meta:
        table_kind = "connector"

    rows = IntegerAttribute()
    applied = JSONAttribute()
    requests = JSONAttribute()
    requests_expected = IntegerAttribute()
    applied_at = UTCDateTimeAttribute()


class QuarantinedRow(TenantModel):
    """A row that was not accepted (`pk` the run, `sk` "quarantine#" and its line in ten digits).

    `reasons` are those that stand now, by `mapping_version`; they name fields and rules and no values. Where they are
    not those of the run any more, `first_reasons` are. The row's text is in `sealed`, or its beginning where the text's
    length `raw_bytes` (UTF-8) is more than is kept; the text that it was corrected to is in `corrected`, and what
    somebody wrote on discarding it in `note`. `replay_run` is the run that replayed it last, whether or not it could be
    applied. From `forget_after` (epoch seconds) on it is expired, and DynamoDB deletes it.
    """

    class Meta:
        table_kind = "connector"

    line = IntegerAttribute()
    status = UnicodeAttribute(default=WAITING)
    reasons = JSONAttribute()
    first_reasons = JSONAttribute(null=True)
    mapping_version = IntegerAttribute()
    sealed = BinaryAttribute(legacy_encoding=False)
    raw_bytes = IntegerAttribute()
    corrected = BinaryAttribute(legacy_encoding=False, null=True)
    note = BinaryAttribute(legacy_encoding=False, null=True)
    replay_run = UnicodeAttribute(null=True)
    changed_by = UnicodeAttribute(null=True)
    changed_at = UTCDateTimeAttribute(null=True)
    forget_after = IntegerAttribute(null=True)
    version = IntegerAttribute(default=1)

    @staticmethod
    def key_of(line: int) -> str:
        """The `sk` of the row on a line."""
        return f"{QUARANTINE}{line:010d}"


class Replay(TenantModel):
    """A request to replay quarantined rows (`pk` the connector, `sk` "replay#" and its id): all that wait, or those
    with a reason against `field` or of the kind `code`, or the one on `line`; of `runs` runs, of which `runs_left` are
    still to come. `replayed` and `kept` count rows that were applied and rows that stay quarantined.
    """

    class Meta:
        table_kind = "connector"

    run = UnicodeAttribute(null=True)
    line = IntegerAttribute(null=True)
    field = UnicodeAttribute(null=True)
    code = UnicodeAttribute(null=True)
    runs = IntegerAttribute()
    runs_left = IntegerAttribute()
    replayed = IntegerAttribute(default=0)
    kept = IntegerAttribute(default=0)
    requested_by = UnicodeAttribute()
    requested_at = UTCDateTimeAttribute()
    finished_at = UTCDateTimeAttribute(null=True)

    @property
    def id(self) -> str:
        """The request's id."""
        return self.sk.removeprefix(REPLAY)


class PushReceipt(TenantModel):
    """Rows that were pushed (`pk` the connector, `sk` "push#" and the receipt's id) and what became of each.

    `sha256` is the digest of the rows, which are kept as the object `object_key`. `outcomes` has an entry a row, in
    their order, once they were worked through.
    """

    class Meta:
        table_kind = "connector"

    status = UnicodeAttribute()
    sha256 = UnicodeAttribute()
    object_key = UnicodeAttribute()
    rows = IntegerAttribute()
    outcomes = JSONAttribute(null=True)
    received_at = UTCDateTimeAttribute()
    finished_at = UTCDateTimeAttribute(null=True)

    @property
    def id(self) -> str:
        """The receipt's id."""
        return self.sk.removeprefix(PUSH)
