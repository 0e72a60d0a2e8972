"""What is kept of exports in the shared table `tenants`: no row of them, and their place in a table only sealed."""

from __future__ import annotations

from datetime import datetime

from pynamodb.attributes import BinaryAttribute, JSONAttribute, UnicodeAttribute, UTCDateTimeAttribute

from chalicelib.platform.attributes import IntegerAttribute
from chalicelib.platform.store import SharedModel

EXPORT, PART = "export#", "export-part#"
LOCK_SK = "export-lock"

RUNNING, COMPLETED, EXPIRED = "running", "completed", "expired"


class ExportRecord(SharedModel):
    """An export (`pk` the tenant, `sk` "export#" and the export's id).

    `position` is how far it has come, sealed with the tenant's key because it holds keys of the tenant's items. `begun`
    counts the parts that workers began, dead ones' included, so that no two ever write one object. `rows` (by kind) and
    `tables` (each with `begun_at` and `finished_at`) grow with it; `ledger` and `manifest` are there in the end.
    `touched_at` is when a worker was last heard of; `emptied_at` is when the files of an expired export were deleted.
    """

    class Meta:
        table_kind = "tenants"

    state = UnicodeAttribute()
    requested_by = UnicodeAttribute()
    requested_at = UTCDateTimeAttribute()
    touched_at = UTCDateTimeAttribute()
    finished_at = UTCDateTimeAttribute(null=True)
    expires_at = UTCDateTimeAttribute()
    emptied_at = UTCDateTimeAttribute(null=True)
    position = BinaryAttribute(legacy_encoding=False, null=True)
    begun = IntegerAttribute(default=0)
    rows = JSONAttribute(default=dict)
    tables = JSONAttribute(default=dict)
    ledger = JSONAttribute(null=True)
    manifest = JSONAttribute(null=True)
    version = IntegerAttribute(default=1)

    @property
    def id(self) -> str:
        """The export's id, which sorts by the time it was asked for."""
        return self.sk.removeprefix(EXPORT)

    def state_at(self, now: datetime) -> str:
        """The state at a moment: what is kept for a time has expired then, whether or not that was recorded yet."""
        return EXPIRED if self.state == COMPLETED and now >= self.expires_at else self.state


class ExportPart(SharedModel):
    """The files of one part of an export (`pk` the tenant, `sk` "export-part#", the export's id, "#" and the part's
    number in eight digits), each as `StoredFile` has it."""

    class Meta:
        table_kind = "tenants"

    files = JSONAttribute()


class ExportLock(SharedModel):
    """Names the tenant's one running export (`pk` the tenant, `sk` "export-lock"); `running` is absent without one."""

    class Meta:
        table_kind = "tenants"

    running = UnicodeAttribute(null=True)


def part_sk(export_id: str, part: int | None = None) -> str:
    """The `sk` of a part, or what those of all parts of an export begin with."""
    return f"{PART}{export_id}#" + ("" if part is None else f"{part:08d}")
