"""The files of an export: objects under the tenant's prefix and key, with names and links by which they are fetched.

An object is named by the part that wrote it, which is never used twice. A reader sees another name, counted by kind
from zero: how often workers died on the way shows in the former only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chalicelib.leaving.export_record import StoredFile, proper_files
from chalicelib.platform.errors import Unavailable
from chalicelib.platform.tenant import Tenant

LINK_SECONDS = 15 * 60
"""How long a link works: less than the credentials that it is made with are certain to last."""

FOLDER = "exports"
MANIFEST_NAME = "manifest.json"

_BLOCK = 1 << 20
_DELETED_AT_ONCE = 1_000


@dataclass(frozen=True)
class NamedFile:
    """A file and the name that it has for readers, such as `accounts-00000.jsonl`."""

    name: str
    file: StoredFile


def named(files: Iterable[StoredFile]) -> Iterator[NamedFile]:
    """The files that are handed out, each with its name; in the order given, which is that of their parts."""
    counts = Counter[tuple[str, str]]()
    for file in proper_files(files):
        number = counts[file.kind, file.format]
        counts[file.kind, file.format] += 1
        yield NamedFile(f"{file.kind}-{number:05d}.{file.format}", file)


def object_key(tenant: Tenant, export_id: str, object_name: str) -> str:
    """The key of an object of an export."""
    return tenant.object_key(FOLDER, export_id, object_name)


def upload(tenant: Tenant, export_id: str, file: StoredFile, path: Path) -> None:
    """Writes a file's object."""
    with path.open("rb") as content:
        tenant.write_object(object_key(tenant, export_id, file.object_name), content)


def download(tenant: Tenant, export_id: str, file: StoredFile, into: Path) -> None:
    """Reads a file's object, a block at a time."""
    key = object_key(tenant, export_id, file.object_name)
    body = tenant.s3.get_object(Bucket=tenant.bucket, Key=key)["Body"]
    with into.open("wb") as out:
        for block in body.iter_chunks(_BLOCK):
            out.write(block)


def link(tenant: Tenant, export_id: str, object_name: str, name: str) -> str:
    """A URL that gives whoever has it the object for `LINK_SECONDS`, under the name that readers know."""
    parameters = {
        "Bucket": tenant.bucket,
        "Key": object_key(tenant, export_id, object_name),
        "ResponseContentDisposition": f'attachment; filename="{name}"',
    }
    return tenant.s3.generate_presigned_url("get_object", Params=parameters, ExpiresIn=LINK_SECONDS)


def delete_objects(tenant: Tenant, export_id: str, *, keep: Iterable[str] = (), before: int | None = None) -> None:
    """Deletes the export's objects but those named in `keep`, and only those of parts `before` that number, if it is
    given. Raises Unavailable when S3 leaves any of the others."""
    kept = {object_key(tenant, export_id, name) for name in keep}
    end = None if before is None else object_key(tenant, export_id, f"{before:08d}")
    going = [{"Key": key} for key in _keys(tenant, export_id) if key not in kept and (end is None or key < end)]
    for start in range(0, len(going), _DELETED_AT_ONCE):
        some: dict[str, Any] = {"Objects": going[start : start + _DELETED_AT_ONCE], "Quiet": True}
        if left := tenant.s3.delete_objects(Bucket=tenant.bucket, Delete=some).get("Errors"):
            raise Unavailable(f"S3 did not delete {len(left)} objects of an export: {left[0].get('Code')}")


def _keys(tenant: Tenant, export_id: str) -> Iterator[str]:
    pages = tenant.s3.get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=tenant.bucket, Prefix=object_key(tenant, export_id, "")):
        for found in page.get("Contents", []):
            yield found["Key"]
