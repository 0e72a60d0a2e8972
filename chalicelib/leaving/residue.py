"""Every place where something of a tenant can lie, and how much there is. It reads and changes nothing.

Erasure empties these places; before it issues its certificate it asks here whether they are empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from chalicelib.identity import left_of, sign_ins_left
from chalicelib.platform.aws import client
from chalicelib.platform.settings import settings
from chalicelib.tenancy import TenantRecord, find_tenant, keys_tagged, records, steps

ADDRESSES = "addresses"
"""The step of an erasure that keeps the owners' addresses, so that they can be sent the certificate."""

CERTIFICATE = "certificate"
"""The `sk` of a tenant's certificate of erasure in the registry."""

SYSTEM_BACKUPS = "system_backups"
"""The place of backups that DynamoDB makes by itself when a table is deleted that has point-in-time recovery. Nobody
can delete them: they expire after 35 days, and are listed among what remains until then."""

NAMELESS = "erased"
"""What stands in the registry for the name of a tenant that was erased."""

PERSONAL = (
    "owner_email",
    "claim_hash",
    "verification",
    "wrapped_data_key",
    "wrapped_index_key",
    "announcements",
    "provisioned",
    "intended",
    "checkout_session_id",
    "legal_hold",
)
"""The members of a registry record, beside the name, that say something of people or unlock something of the tenant."""


@dataclass(frozen=True)
class Place:
    """A place, and how many things of the tenant were found in it."""

    where: str
    found: int


def residue(tenant_id: str) -> list[Place]:
    """Every place with what is in it now, the empty ones too. Raises NotFound for an unknown tenant."""
    record = find_tenant(tenant_id)
    return [Place(where, count(record)) for where, count in _places().items()]


def table_kinds() -> list[str]:
    """The kinds of a tenant's tables, as provisioning makes them."""
    return [name.removeprefix("table:") for name, _ in steps() if name.startswith("table:")]


def describe_table(name: str) -> Mapping[str, Any] | None:
    """What DynamoDB says of a table, or None when there is no such table."""
    try:
        return client("dynamodb").describe_table(TableName=name)["Table"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return None
        raise


def other_tables(tenant_id: str) -> list[str]:
    """The names of tables that carry the tenant's id and are of no kind: those that an operator restored."""
    mark, kinds = settings().tenant_table(tenant_id, ""), table_kinds()
    pages = client("dynamodb").get_paginator("list_tables").paginate()
    names = [name for page in pages for name in page["TableNames"] if name.startswith(mark)]
    return [name for name in names if name.removeprefix(mark) not in kinds]


def backups(tenant_id: str) -> Iterator[Mapping[str, Any]]:
    """The backups that people made of a tenant's tables, also of those that were deleted and those that an operator
    restored."""
    return (found for found in _backups(tenant_id) if found["BackupType"] != "SYSTEM")


def system_backups(tenant_id: str) -> Iterator[Mapping[str, Any]]:
    """The backups that DynamoDB made by itself of a tenant's tables; each says when it expires."""
    return (found for found in _backups(tenant_id) if found["BackupType"] == "SYSTEM")


def _backups(tenant_id: str) -> Iterator[Mapping[str, Any]]:
    # All are looked through, since of a table that is gone nobody knows the name.
    mark = settings().tenant_table(tenant_id, "")
    for page in client("dynamodb").get_paginator("list_backups").paginate(BackupType="ALL"):
        for found in page["BackupSummaries"]:
            if found["TableName"].startswith(mark) and found["BackupStatus"] != "DELETED":
                yield found


def feed_mappings(tenant_id: str) -> list[str]:
    """The mappings of the tenant's streams onto the dispatcher that are not being deleted. Asked of the function, since
    a stream cannot be named once its table is gone."""
    stream_of = f"table/{settings().tenant_table(tenant_id, '')}"
    pages = client("lambda").get_paginator("list_event_source_mappings")
    return [
        mapping["UUID"]
        for page in pages.paginate(FunctionName=settings().feed_dispatch_arn)
        for mapping in page["EventSourceMappings"]
        if stream_of in mapping["EventSourceArn"] and mapping["State"] != "Deleting"
    ]


def tenant_keys(record: TenantRecord) -> dict[str, Mapping[str, Any]]:
    """The tenant's KMS keys by ARN as KMS describes them: the recorded one and whatever else carries its tag."""
    arns = set(keys_tagged(record.pk))
    if record.key_arn is not None:
        arns.add(record.key_arn)
    described = {arn: _describe_key(arn) for arn in sorted(arns)}
    return {arn: key for arn, key in described.items() if key is not None}


def _describe_key(arn: str) -> Mapping[str, Any] | None:
    try:
        return client("kms").describe_key(KeyId=arn)["KeyMetadata"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "NotFoundException":
            return None
        raise


def is_doomed(key: Mapping[str, Any]) -> bool:
    """Whether a key waits for its deletion: nothing can be read with it any more, though KMS still lists it."""
    return key["KeyState"] in ("PendingDeletion", "PendingReplicaDeletion")


def object_prefix(tenant_id: str) -> str:
    """What the key of every object of a tenant starts with. Ids have a fixed length: it is no other tenant's."""
    return f"{tenant_id}/"


def registry_entries(tenant_id: str) -> list[str]:
    """The `sk` of what the registry keeps of a tenant beside its record and its certificate (its exports)."""
    listed = records().query(tenant_id, attributes_to_get=["pk", "sk"], consistent_read=True)
    return [item.sk for item in listed if item.sk not in ("tenant", CERTIFICATE)]


def _places() -> dict[str, Callable[[TenantRecord], int]]:
    tables = {f"table:{kind}": _table_counter(kind) for kind in table_kinds()}
    return {
        "api_keys": lambda record: _count_credentials(record, of_keys=True),
        "people": lambda record: _count_credentials(record, of_keys=False),
        "sign_in_users": lambda record: sign_ins_left(record.pk, _addresses(record)),
        "feed_mapping": lambda record: len(feed_mappings(record.pk)),
        **tables,
        "other_tables": lambda record: len(other_tables(record.pk)),
        "backups": lambda record: sum(1 for _ in backups(record.pk)),
        SYSTEM_BACKUPS: lambda record: sum(1 for _ in system_backups(record.pk)),
        "key": lambda record: sum(not is_doomed(key) for key in tenant_keys(record).values()),
        "objects": _count_versions,
        "uploads": _count_uploads,
        "exports": lambda record: len(registry_entries(record.pk)),
        "stripe_customer": lambda record: int(bool(record.customer_id) and record.customer_deleted_at is None),
        "registry": _count_personal,
    }


def _count_credentials(record: TenantRecord, *, of_keys: bool) -> int:
    """What the tenant has in the table of credentials: API keys and their ring, or people and their headcount."""
    return sum(count for kind, count in left_of(record.pk).items() if kind.startswith("api-key") == of_keys)


def _addresses(record: TenantRecord) -> list[str]:
    """The owners' addresses, which outlive their people until the certificate is sent to them."""
    return record.erasure.get(ADDRESSES, {}).get("to", [])


def _table_counter(kind: str) -> Callable[[TenantRecord], int]:
    return lambda record: int(describe_table(settings().tenant_table(record.pk, kind)) is not None)


def _count_versions(record: TenantRecord) -> int:
    pages = client("s3").get_paginator("list_object_versions")
    return sum(
        len(page.get("Versions", [])) + len(page.get("DeleteMarkers", []))
        for page in pages.paginate(Bucket=settings().bucket, Prefix=object_prefix(record.pk))
    )


def _count_uploads(record: TenantRecord) -> int:
    pages = client("s3").get_paginator("list_multipart_uploads")
    return sum(
        len(page.get("Uploads", []))
        for page in pages.paginate(Bucket=settings().bucket, Prefix=object_prefix(record.pk))
    )


def _count_personal(record: TenantRecord) -> int:
    members = [record.name != NAMELESS, ADDRESSES in record.erasure]
    return sum(members) + sum(bool(getattr(record, name)) for name in PERSONAL)
