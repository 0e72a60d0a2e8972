"""The destructive steps of an erasure. Each removes what is there, and finds nothing to do when it is run again."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError
from pynamodb.expressions.update import Action

from chalicelib.identity import forget_keys, forget_people, owners_of
from chalicelib.leaving import residue
from chalicelib.platform.aws import client
from chalicelib.platform.clock import rfc3339
from chalicelib.platform.settings import settings
from chalicelib.platform.telemetry import logger
from chalicelib.tenancy import TenantRecord, records

KEY_WAITS_DAYS = 7
"""Between the order to delete a key and its end, the least that KMS allows. The key is of no use from the order on."""

Outcome = dict[str, Any]
"""What a step leaves in the record for the certificate, as JSON."""


def keep_addresses(record: TenantRecord) -> Outcome:
    """Notes where the certificate is to be sent: the owners' addresses, before the owners are forgotten."""
    addresses = sorted({owner.email for owner in owners_of(record.pk)})
    return {"to": addresses or [record.owner_email]}


def remove_keys(record: TenantRecord) -> Outcome:
    """Removes the tenant's API keys: from here on no machine of the tenant gets in."""
    forget_keys(record.pk)
    return {}


def remove_people(record: TenantRecord) -> Outcome:
    """Removes the tenant's people, what they are found by, and their sign-ins: from here on nobody gets in."""
    forget_people(record.pk)
    return {}


def stop_feed(record: TenantRecord) -> Outcome:
    """Ends the mapping of the tenant's stream onto the dispatcher."""
    for mapping in residue.feed_mappings(record.pk):
        with _passing_over("ResourceNotFoundException"):
            client("lambda").delete_event_source_mapping(UUID=mapping)
    return {}


def table_remover(kind: str) -> Callable[[TenantRecord], Outcome]:
    """The step that deletes one of the tenant's tables and waits until it is gone."""

    def remove(record: TenantRecord) -> Outcome:
        _remove_table(settings().tenant_table(record.pk, kind))
        return {}

    return remove


def remove_other_tables(record: TenantRecord) -> Outcome:
    """Deletes the tables that an operator restored beside the tenant's own."""
    for name in residue.other_tables(record.pk):
        _remove_table(name)
    return {}


def remove_backups(record: TenantRecord) -> Outcome:
    """Deletes what an operator backed up of the tenant's tables. What DynamoDB made by itself expires by itself."""
    for backup in residue.backups(record.pk):
        with _passing_over("BackupNotFoundException"):
            client("dynamodb").delete_backup(BackupArn=backup["BackupArn"])
    return {}


def doom_key(record: TenantRecord) -> Outcome:
    """Orders the deletion of the tenant's key. What was written under it, wherever a copy may be, is unreadable."""
    kms = client("kms")
    for arn, key in residue.tenant_keys(record).items():
        if not residue.is_doomed(key):
            kms.schedule_key_deletion(KeyId=arn, PendingWindowInDays=KEY_WAITS_DAYS)
    # Asked and not remembered: a try that was killed here had given the order already.
    doomed = residue.tenant_keys(record)
    return {"deleted_on": {arn: rfc3339(key["DeletionDate"]) for arn, key in doomed.items() if "DeletionDate" in key}}


def remove_objects(record: TenantRecord) -> Outcome:
    """Deletes every version of every object, every delete marker and every unfinished upload under the prefix."""
    s3, bucket = client("s3"), settings().bucket
    for upload in _uploads(record.pk):
        with _passing_over("NoSuchUpload"):
            s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    # Always the first page, until there is none: a listing that goes on behind a version just deleted could skip some.
    while batch := _versions(record.pk):
        refused = s3.delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True}).get("Errors")
        if refused:
            raise NotDeleted(f"{len(refused)} of {len(batch)} versions, the first for {refused[0].get('Code')}")
    return {}


def remove_entries(record: TenantRecord) -> Outcome:
    """Removes what the registry holds beside the record: the tenant's exports. A worker that finds its export's record
    gone stops."""
    model = records()
    for sk in residue.registry_entries(record.pk):
        model(record.pk, sk).delete()
    return {}


def scrub(record: TenantRecord) -> Outcome:
    """Takes out of the registry's record what says something of people or unlocks something. Ids, the plan, dates and
    what the bill was made from stay."""
    model = records()
    changes: list[Action] = [model.name.set(residue.NAMELESS), model.ready.set(False), model.version.add(1)]
    changes += [getattr(model, name).remove() for name in residue.PERSONAL]
    record.update(actions=changes)
    logger.info("registry scrubbed", extra={"tenant_id": record.pk})
    return {}


class NotDeleted(Exception):
    """S3 refused to delete some of a tenant's object versions; the erasure is tried again."""


def _remove_table(name: str) -> None:
    """Deletes a table and waits until it is gone.

    Its point-in-time recovery is switched off first: of a table that is deleted with it, DynamoDB would keep a backup
    for 35 days.
    """
    dynamodb, patience = client("dynamodb"), {"Delay": 1, "MaxAttempts": 45}
    table = residue.describe_table(name)
    if table is None:
        return
    if table["TableStatus"] != "DELETING":
        dynamodb.update_continuous_backups(
            TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False}
        )
        if table.get("DeletionProtectionEnabled"):
            dynamodb.update_table(TableName=name, DeletionProtectionEnabled=False)
            dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig=patience)
        dynamodb.delete_table(TableName=name)
    dynamodb.get_waiter("table_not_exists").wait(TableName=name, WaiterConfig=patience)


def _versions(tenant_id: str) -> list[dict[str, str]]:
    """At most a thousand versions and delete markers, which is what one request deletes."""
    page = client("s3").list_object_versions(
        Bucket=settings().bucket, Prefix=residue.object_prefix(tenant_id), MaxKeys=1000
    )
    found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
    return [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]


def _uploads(tenant_id: str) -> Iterator[dict[str, Any]]:
    pages = client("s3").get_paginator("list_multipart_uploads")
    for page in pages.paginate(Bucket=settings().bucket, Prefix=residue.object_prefix(tenant_id)):
        yield from page.get("Uploads", [])


@contextmanager
def _passing_over(code: str) -> Generator[None]:
    """Passes over AWS saying that the thing is not there: an earlier try of the same step removed it."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] != code:
            raise
