"""The object-store drop: where files wait, how they are put there, and where they go when they are done with.

A connector's files lie under `{tenant}/drop/{connector}/`: `incoming/` while they wait, then `applied/{run}/` or
`refused/{run}/` (a duplicate goes to `applied/`: its content is). A file is at most 5 GB, what S3 takes and copies in
one request.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from chalicelib.connectors.mapping import Mapping
from chalicelib.platform.errors import Invalid, NotFound
from chalicelib.platform.telemetry import logger
from chalicelib.platform.tenant import Tenant

UPLOAD_TIME = timedelta(minutes=15)
MAX_FILE_NAME = 200
ENCRYPTION_HEADERS = {
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
}
"""What a PUT says in its headers of each member of `Tenant.encryption`."""


@dataclass(frozen=True)
class Upload:
    """A URL that takes one file by PUT until `expires_at`. `headers` are part of the signature: without them, or with
    other values, S3 refuses the file, so that none is ever stored under another key than the tenant's."""

    url: str
    headers: dict[str, str]
    expires_at: datetime


@dataclass(frozen=True)
class WaitingFile:
    """A file in `incoming/`. `etag` tells it from another one that takes its place under the same name.
    `business_date` is None when its name is not one that the mapping expects."""

    key: str
    name: str
    etag: str
    business_date: date | None

    @property
    def turn(self) -> tuple[date, str]:
        """What files wait in order of: the oldest business date first. Names not expected go before all, because
        nothing has to wait for them."""
        return self.business_date or date.min, self.name


def upload(tenant: Tenant, connector_id: str, mapping: Mapping, file_name: str, *, now: datetime) -> Upload:
    """A place for a file of the connector.

    Raises Invalid, pointing at `/file_name`, for a name that the mapping does not expect or that would lead elsewhere.
    """
    _check_name(mapping, file_name)
    # The URL is signed with the tenant's session, so it ends with that session at the latest.
    session_end = tenant.store.expires_at
    expires_at = now + UPLOAD_TIME if session_end is None else min(now + UPLOAD_TIME, session_end)
    url: str = tenant.s3.generate_presigned_url(
        "put_object",
        Params={"Bucket": tenant.bucket, "Key": _incoming(tenant, connector_id) + file_name, **tenant.encryption},
        ExpiresIn=int(UPLOAD_TIME.total_seconds()),
    )
    headers = {ENCRYPTION_HEADERS[member]: value for member, value in tenant.encryption.items()}
    return Upload(url, headers, expires_at)


def waiting(tenant: Tenant, connector_id: str, mapping: Mapping) -> list[WaitingFile]:
    """The files that wait, the next one first."""
    prefix = _incoming(tenant, connector_id)
    files = [
        WaitingFile(listed["Key"], name, listed["ETag"], mapping.source.business_date(name))
        for listed in _listed(tenant, prefix)
        if (name := listed["Key"].rsplit("/", 1)[-1])
    ]
    return sorted(files, key=lambda file: file.turn)


def is_anything_waiting(tenant: Tenant, connector_id: str) -> bool:
    """Whether there is any file, for the price of one request."""
    answer = tenant.s3.list_objects_v2(Bucket=tenant.bucket, Prefix=_incoming(tenant, connector_id), MaxKeys=1)
    return bool(answer.get("Contents"))


def open_file(tenant: Tenant, key: str) -> tuple[Any, str] | None:
    """The file's bytes as a stream and its ETag; None when the file is gone."""
    if not any(listed["Key"] == key for listed in _listed(tenant, key)):
        return None
    answer = tenant.s3.get_object(Bucket=tenant.bucket, Key=key)
    return answer["Body"], answer["ETag"]


def read_beginning(tenant: Tenant, connector_id: str, file_name: str, at_most: int) -> tuple[bytes, bool]:
    """The first bytes of a waiting file, and whether these are all. Raises NotFound where no such file waits."""
    key = _incoming(tenant, connector_id) + file_name
    size = next((listed["Size"] for listed in _listed(tenant, key) if listed["Key"] == key), None)
    if size is None:
        raise NotFound("no file of that name waits", pointer="/file")
    if size == 0:
        return b"", True
    answer = tenant.s3.get_object(Bucket=tenant.bucket, Key=key, Range=f"bytes=0-{at_most - 1}")
    return answer["Body"].read(), size <= at_most


def put_away(tenant: Tenant, key: str, etag: str, connector_id: str, folder: str, run_id: str) -> str:
    """Moves a file out of `incoming/` to `folder/{run}/`, under the tenant's key, and returns where it is then.

    Repeating it is harmless. A file that was replaced since it was claimed or read (its ETag is not `etag`) stays where
    it is: it is another file and waits for its own run.
    """
    target = tenant.object_key("drop", connector_id, folder, run_id, key.rsplit("/", 1)[-1])
    listed = next((o for o in _listed(tenant, key) if o["Key"] == key), None)
    if listed is None:
        return target
    ids = {"tenant_id": tenant.id, "connector_id": connector_id, "run_id": run_id}
    if listed["ETag"] != etag:
        logger.warning("a file was replaced after it was claimed or read", extra=ids)
        return target
    try:
        tenant.s3.copy_object(
            Bucket=tenant.bucket,
            Key=target,
            CopySource={"Bucket": tenant.bucket, "Key": key},
            CopySourceIfMatch=etag,
            **tenant.encryption,
        )
        tenant.s3.delete_object(Bucket=tenant.bucket, Key=key, IfMatch=etag)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("PreconditionFailed", "412"):
            raise
        logger.warning("a file was replaced while it was moved", extra=ids)
    return target


def _check_name(mapping: Mapping, file_name: str) -> None:
    safe = 0 < len(file_name) <= MAX_FILE_NAME and file_name.isprintable() and not set(file_name) & set("/\\")
    if not safe or file_name in (".", ".."):
        raise Invalid(
            f"the file name must be 1 to {MAX_FILE_NAME} printable characters without / or \\", pointer="/file_name"
        )
    if mapping.source.business_date(file_name) is None:
        raise Invalid(
            f"the connector expects file names that match {mapping.source.file_pattern} with a day of the calendar "
            "as business_date (YYYYMMDD)",
            pointer="/file_name",
            file_pattern=mapping.source.file_pattern,
        )


def _incoming(tenant: Tenant, connector_id: str) -> str:
    return tenant.object_key("drop", connector_id, "incoming", "")


def _listed(tenant: Tenant, prefix: str) -> Iterator[dict[str, Any]]:
    # Existence is asked for by listing: a GET of what is not there would be answered 403, because the tenant may list
    # its own prefix only and S3 tells "not found" just to those who may list the whole bucket.
    for page in tenant.s3.get_paginator("list_objects_v2").paginate(Bucket=tenant.bucket, Prefix=prefix):
        yield from page.get("Contents", [])
