"""What the API shows of exports."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from chalicelib.leaving.exports import Downloads
from chalicelib.leaving.model import ExportRecord
from chalicelib.platform.http import View, write_cursor


class ExportView(View):
    """An export. `rows` counts by kind what is written so far; `expires_at` is when the files are deleted."""

    id: str
    state: Literal["running", "completed", "expired"]
    requested_by: str
    requested_at: datetime
    finished_at: datetime | None
    expires_at: datetime
    rows: dict[str, int]


class FileView(View):
    """A file of an export; `sha256` is hexadecimal. `url` gives it to whoever has the link, until links expire."""

    name: str
    kind: str
    format: Literal["jsonl", "parquet"]
    rows: int
    bytes: int
    sha256: str
    url: str


class ManifestView(View):
    """The manifest, which lists all files with their digests, and the root that the leaves' proofs lead to."""

    name: str
    bytes: int
    sha256: str
    url: str


class ExportDetail(ExportView):
    """An export, and once it is complete a page of its files; `cursor` asks for the next page (null: it is the last).
    Until then there are no files."""

    manifest: ManifestView | None
    files: list[FileView]
    cursor: str | None
    links_expire_at: datetime | None


def export_view(record: ExportRecord, *, now: datetime) -> ExportView:
    """An export's record as the API shows it."""
    return ExportView.model_validate(_shown(record, now))


def export_detail(record: ExportRecord, found: Downloads | None, *, now: datetime) -> ExportDetail:
    """An export with the links to its files (None while it is running)."""
    if found is None or record.manifest is None:
        return ExportDetail.model_validate(
            {**_shown(record, now), "manifest": None, "files": [], "cursor": None, "links_expire_at": None}
        )
    return ExportDetail.model_validate(
        {
            **_shown(record, now),
            "manifest": {
                "name": found.manifest_name,
                "bytes": record.manifest["bytes"],
                "sha256": record.manifest["sha256"],
                "url": found.manifest_url,
            },
            "files": [
                {
                    "name": each.named.name,
                    "kind": each.named.file.kind,
                    "format": each.named.file.format,
                    "rows": each.named.file.rows,
                    "bytes": each.named.file.bytes,
                    "sha256": each.named.file.sha256,
                    "url": each.url,
                }
                for each in found.files
            ],
            "cursor": write_cursor(found.cursor),
            "links_expire_at": found.links_expire_at,
        }
    )


def _shown(record: ExportRecord, now: datetime) -> dict[str, object]:
    return {
        "id": record.id,
        "state": record.state_at(now),
        "requested_by": record.requested_by,
        "requested_at": record.requested_at,
        "finished_at": record.finished_at,
        "expires_at": record.expires_at,
        "rows": record.rows,
    }
