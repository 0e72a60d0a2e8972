"""A tenant that has something in every place where a tenant can have something, and is due for erasure."""

from __future__ import annotations

import contextlib
import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import boto3
import pytest

from chalicelib.identity import api_keys, people
from chalicelib.leaving.erasure import erase
from chalicelib.leaving.model import ExportRecord
from chalicelib.platform.http import Caller
from chalicelib.platform.settings import settings
from chalicelib.platform.store import SharedModel, shared
from chalicelib.tenancy import State, find_tenant, records
from chalicelib.tenancy.provisioning import TENANT_TAG
from tests.conftest import BUCKET, SENDER, provisioned

LONG_AGO = datetime(2005, 9, 1, tzinfo=UTC)
ISSUER = "https://issuer.example"


@dataclass(frozen=True)
class Claims:
    """What an issuer says of a person who signs in."""

    email: str
    issuer: str = ISSUER
    email_verified: bool = True

    @property
    def subject(self) -> str:
        return f"subject of {self.email}"


class UsageItem(SharedModel):
    """A billing record, as far as erasure sees it."""

    class Meta:
        table_kind = "billing-events"


@contextlib.contextmanager
def versioned_bucket() -> Iterator[None]:
    """The bucket as the template makes it: it keeps every version."""
    s3 = boto3.client("s3")
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    yield
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"})


def departing(name: str = "Harbour Bank", *, state: str = State.CLOSING) -> str:
    """The id of a tenant with something in every place, whose time is over."""
    tenant = provisioned(name)
    model, moment = records(), datetime.now(UTC)
    model(tenant.id, "tenant").update(
        actions=[
            model.state.set(state),
            model.closing_at.set(LONG_AGO),
            model.erase_after.set(LONG_AGO + timedelta(days=30)),
            model.customer_id.set("cus_of_the_unit_tests"),
            model.claim_hash.set("spent:hash"),
            model.verification.set({"code_hash": "hash"}),
            model.announcements.set([{"n": 1, "before": "active", "state": "closing", "cause": "left", "at": "now"}]),
            model.checkout_session_id.set("cs_of_the_unit_tests"),
        ]
    )
    _fill_objects(tenant)
    _fill_registry(tenant.id)
    _fill_people(tenant.id, moment)
    _restore_as_operators_do(settings().tenant_table(tenant.id, "cases"))
    return tenant.id


def person(tenant_id: str, subject: str = "usr_1", role: str = "owner") -> Caller:
    """Somebody who calls, as the authorizer shows them."""
    return Caller(tenant_id, subject, frozenset({"holds:write"}), role=role)


def forgotten_by_billing(tenant_id: str) -> None:
    """What the worker of `billing` does with the message to forget the customer, as far as the registry shows it."""
    model = records()
    model(tenant_id, "tenant").update(actions=[model.customer_deleted_at.set(datetime.now(UTC))])


def erase_with_billing(tenant_id: str) -> State:
    """Erases a tenant, and forgets its customer when that is asked for."""
    state = erase(tenant_id)
    if state != State.ERASED and find_tenant(tenant_id).erasure:
        forgotten_by_billing(tenant_id)
        state = erase(tenant_id)
    return state


def letters_to(address: str) -> list[str]:
    """The texts of what was mailed to an address."""
    endpoint = boto3.client("sesv2").meta.endpoint_url
    with urllib.request.urlopen(f"{endpoint}/_ministack/ses/messages") as answer:
        messages = [
            message
            for account in json.load(answer)["messages"].values()
            for message in account
            if message["Source"] == SENDER
        ]
    return [json.dumps(message) for message in messages if address in json.dumps(message)]


def traces(tenant_id: str, *, address: str) -> dict[str, int]:
    """What there is of a tenant, found in other ways than the product's: by looking through everything."""
    dynamodb, kms = boto3.client("dynamodb"), boto3.client("kms")
    tables = [n for page in dynamodb.get_paginator("list_tables").paginate() for n in page["TableNames"]]
    credentials = [
        item
        for page in dynamodb.get_paginator("scan").paginate(TableName=settings().shared_table("credentials"))
        for item in page["Items"]
        if tenant_id in json.dumps(item, default=str)
    ]
    keys = boto3.client("resourcegroupstaggingapi").get_resources(
        TagFilters=[{"Key": TENANT_TAG, "Values": [tenant_id]}], ResourceTypeFilters=["kms:key"]
    )["ResourceTagMappingList"]
    usable = [k for k in keys if kms.describe_key(KeyId=k["ResourceARN"])["KeyMetadata"]["Enabled"]]
    s3 = boto3.client("s3")
    versions = [
        version
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=BUCKET)
        for version in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if version["Key"].startswith(tenant_id)
    ]
    uploads = [u for u in s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) if u["Key"].startswith(tenant_id)]
    mappings = [
        mapping
        for page in boto3.client("lambda").get_paginator("list_event_source_mappings").paginate()
        for mapping in page["EventSourceMappings"]
        if tenant_id in mapping["EventSourceArn"]
    ]
    signed_up = boto3.client("cognito-idp").list_users(
        UserPoolId=settings().user_pool_id, Filter=f'email = "{address}"'
    )["Users"]
    return {
        "tables": sum(tenant_id in name for name in tables),
        "backups": sum(tenant_id in b["TableName"] for b in dynamodb.list_backups()["BackupSummaries"]),
        "credentials": len(credentials),
        "usable keys": len(usable),
        "versions": len(versions),
        "uploads": len(uploads),
        "mappings": len(mappings),
        "sign-ins": len(signed_up),
    }


def _restore_as_operators_do(table: str) -> None:
    """A table beside another one, and a backup of each, as docs/operations.md on going back in time makes them."""
    dynamodb = boto3.client("dynamodb")
    described = dynamodb.describe_table(TableName=table)["Table"]
    dynamodb.create_table(
        TableName=f"{table}-restored",
        KeySchema=described["KeySchema"],
        AttributeDefinitions=[
            each
            for each in described["AttributeDefinitions"]
            if each["AttributeName"] in {key["AttributeName"] for key in described["KeySchema"]}
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    for name in (table, f"{table}-restored"):
        dynamodb.create_backup(TableName=name, BackupName="before-swap")


def _fill_objects(tenant) -> None:
    for content in (b"first", b"second"):
        tenant.write_object(tenant.object_key("drop", "loans.csv"), content)
    tenant.write_object(tenant.object_key("staging", "gone.csv"), b"gone")
    tenant.s3.delete_object(Bucket=BUCKET, Key=tenant.object_key("staging", "gone.csv"))
    boto3.client("s3").create_multipart_upload(Bucket=BUCKET, Key=tenant.object_key("exports", "big.parquet"))


def _fill_registry(tenant_id: str) -> None:
    shared().bind(ExportRecord)(
        tenant_id,
        "export#exp_1",
        state="completed",
        requested_by="key_1",
        requested_at=LONG_AGO,
        touched_at=LONG_AGO,
        expires_at=LONG_AGO,
    ).save()
    for hour in ("usage#2005-08-01T10", "reconciliation#2005-08-01"):
        shared().bind(UsageItem)(tenant_id, hour).save()


def _fill_people(tenant_id: str, now: datetime) -> None:
    api_keys.create(tenant_id, name="nightly", scopes={"cases:read"}, now=now)
    owner = find_tenant(tenant_id).owner_email
    assert people.bind(Claims(owner), now=now) is not None


def expect_nothing(tenant_id: str, address: str) -> None:
    """Fails with what is left, where anything is."""
    left = {where: count for where, count in traces(tenant_id, address=address).items() if count}
    if left:
        pytest.fail(f"{tenant_id} left {left}")
