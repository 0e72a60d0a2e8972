"""Provisioning: the steps that give a tenant its own key, tables, objects, stream and owner, each safe to repeat.

A step is recorded in the registry when it is done. A worker killed anywhere leaves either a finished step or one that
finds on the next try what it had already made; nothing is ever made twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from chalicelib.platform.aws import client, send
from chalicelib.platform.settings import settings
from chalicelib.platform.telemetry import logger
from chalicelib.platform.tenant import DATA_KEY, INDEX_KEY, encryption_context
from chalicelib.tenancy.registry import TenantRecord, find_tenant, records
from chalicelib.tenancy.states import ALLOWED, State
from chalicelib.tenancy.tables import TENANT_TABLES, TableSpec

TENANT_TAG = "duebridge-tenant"
CLAIM_TIME = timedelta(seconds=300)
"""How long a worker has a tenant for itself: the function's time-out, shorter than its queue hides a message."""
Step = tuple[str, Callable[[TenantRecord], str]]


def begin_provisioning(tenant_id: str) -> None:
    """Asks for a tenant that has paid (or whose trial began) to be provisioned. Asking again is harmless."""
    send("tenant-lifecycle", tenant_id, [{"tenant_id": tenant_id, "action": "provision"}])


def provision_alone(tenant_id: str, *, now: datetime) -> None:
    """Provisions, unless another worker is at it: that one has a message of its own, which comes back if it dies.

    Two at once would only be in each other's way, but for the key: what was just made is not found by its tag yet.
    Raises what `provision` raises.
    """
    model = records()
    until = now + CLAIM_TIME
    free = model.provisioning_until.does_not_exist() | (model.provisioning_until <= now)
    if not model(tenant_id, "tenant").update_if(model.pk.exists() & free, [model.provisioning_until.set(until)]):
        logger.info("another worker is provisioning", extra={"tenant_id": tenant_id})
        return
    try:
        provision(tenant_id)
    finally:
        model(tenant_id, "tenant").update_if(model.provisioning_until == until, [model.provisioning_until.remove()])


def provision(tenant_id: str) -> TenantRecord:
    """Does what is still to do and returns the record, `ready` at the end.

    Raises AWS's own error (a WaiterError while AWS is slow); calling again continues. A tenant that has neither paid
    nor begun a trial gets nothing, and one that is being erased gets nothing back.
    """
    record = find_tenant(tenant_id)
    if record.erasure or not ALLOWED[State(record.state)]:
        logger.warning("provisioning refused", extra={"tenant_id": tenant_id, "state": record.state})
        return record
    for name, run in steps():
        if name in record.provisioned:
            continue
        if record.intended != name:
            _record(record, intended=name)
        made = run(record)
        _record(record, provisioned={**record.provisioned, name: made}, intended=None)
        logger.info("provisioned", extra={"tenant_id": tenant_id, "step": name})
    if not record.ready:
        _record(record, ready=True)
    # What brought the tenant here could not be told before it had a feed.
    send("billing", tenant_id, [{"tenant_id": tenant_id, "action": "announce"}])
    return record


def steps() -> list[Step]:
    """The steps in order. Printed, they are the plan; `provisioned` on the record says how far it is carried out."""
    tables: list[Step] = [(f"table:{spec.kind}", _table_step(spec)) for spec in TENANT_TABLES]
    return [
        ("key", _make_key),
        ("data-keys", _make_data_keys),
        *tables,
        ("prefix", _make_prefix),
        ("feed-mapping", _make_feed_mapping),
        ("owner", _make_owner),
    ]


def _record(record: TenantRecord, **changes: Any) -> None:
    model = records()
    actions = [getattr(model, name).set(value) for name, value in changes.items() if value is not None]
    actions += [getattr(model, name).remove() for name, value in changes.items() if value is None]
    record.update(actions=[*actions, model.version.add(1)], condition=model.version == record.version)


def _make_key(record: TenantRecord) -> str:
    kms = client("kms")
    # KMS has no idempotency token. If an earlier try was killed here, the key it made carries the tenant's tag.
    found = next(keys_tagged(record.pk), None)
    arn: str = (
        found
        or kms.create_key(
            Description=f"Duebridge tenant {record.pk}",
            Tags=[{"TagKey": TENANT_TAG, "TagValue": record.pk}, {"TagKey": "stage", "TagValue": settings().stage}],
        )["KeyMetadata"]["Arn"]
    )
    _record(record, key_arn=arn)
    return arn


def keys_tagged(tenant_id: str) -> Iterator[str]:
    """The ARNs of the KMS keys that carry the tenant's tag; one that was just made may be missing for a moment."""
    pages = client("resourcegroupstaggingapi").get_paginator("get_resources")
    for page in pages.paginate(
        TagFilters=[{"Key": TENANT_TAG, "Values": [tenant_id]}], ResourceTypeFilters=["kms:key"]
    ):
        for resource in page["ResourceTagMappingList"]:
            yield resource["ResourceARN"]


def _make_data_keys(record: TenantRecord) -> str:
    if record.wrapped_data_key is not None:
        return ""
    # Both are made and recorded in one write: a try that was killed before it leaves nothing behind.
    wrapped = {
        purpose: client("kms").generate_data_key_without_plaintext(
            KeyId=record.key_arn, KeySpec="AES_256", EncryptionContext=encryption_context(record.pk, purpose)
        )["CiphertextBlob"]
        for purpose in (DATA_KEY, INDEX_KEY)
    }
    _record(record, wrapped_data_key=wrapped[DATA_KEY], wrapped_index_key=wrapped[INDEX_KEY])
    return ""


def _table_step(spec: TableSpec) -> Callable[[TenantRecord], str]:
    def make(record: TenantRecord) -> str:
        name = settings().tenant_table(record.pk, spec.kind)
        dynamodb = client("dynamodb")
        assert record.key_arn
        with _already("ResourceInUseException"):
            dynamodb.create_table(**spec.create_arguments(name, record.key_arn, {TENANT_TAG: record.pk}))
        dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 45})
        dynamodb.update_continuous_backups(
            TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
        if spec.expires is not None:
            _let_items_expire(name, spec.expires)
        return name

    return make


def _let_items_expire(table_name: str, attribute: str) -> None:
    dynamodb = client("dynamodb")
    now = dynamodb.describe_time_to_live(TableName=table_name)["TimeToLiveDescription"]
    if now["TimeToLiveStatus"] not in ("ENABLED", "ENABLING"):
        # DynamoDB refuses to be told what it does already.
        dynamodb.update_time_to_live(
            TableName=table_name, TimeToLiveSpecification={"Enabled": True, "AttributeName": attribute}
        )


def _make_prefix(record: TenantRecord) -> str:
    key = f"{record.pk}/drop/.keep"
    client("s3").put_object(
        Bucket=settings().bucket,
        Key=key,
        Body=b"",
        ServerSideEncryption="aws:kms",
        SSEKMSKeyId=record.key_arn,
    )
    return key


def _make_feed_mapping(record: TenantRecord) -> str:
    table = client("dynamodb").describe_table(TableName=settings().tenant_table(record.pk, "feed"))["Table"]
    stream, function = table["LatestStreamArn"], settings().feed_dispatch_arn
    functions = client("lambda")
    found = functions.list_event_source_mappings(EventSourceArn=stream, FunctionName=function)["EventSourceMappings"]
    if found:
        return found[0]["UUID"]
    # Only new events wake the dispatcher; deliveries and endpoints live in the same table.
    pattern = '{"eventName":["INSERT"],"dynamodb":{"Keys":{"pk":{"S":[{"prefix":"evt_"}]}}}}'
    return functions.create_event_source_mapping(
        EventSourceArn=stream,
        FunctionName=function,
        StartingPosition="TRIM_HORIZON",
        BatchSize=500,
        MaximumBatchingWindowInSeconds=0,
        BisectBatchOnFunctionError=True,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        DestinationConfig={"OnFailure": {"Destination": settings().feed_dispatch_dead_arn}},
        FilterCriteria={"Filters": [{"Pattern": pattern}]},
    )["UUID"]


def _make_owner(record: TenantRecord) -> str:
    # Identity stands on tenancy; only here, when a tenant comes to be, does tenancy ask it for something.
    from chalicelib.identity import add_owner

    return add_owner(record.pk, record.owner_email).pk


class _already:
    """Passes over AWS saying that the thing is there: an earlier try of the same step made it."""

    def __init__(self, code: str) -> None:
        self._code = code

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        return isinstance(error, ClientError) and error.response["Error"]["Code"] == self._code
