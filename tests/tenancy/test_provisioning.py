"""Provisioning completes from wherever it was interrupted, and makes nothing twice."""

from datetime import UTC, datetime

import boto3
import pytest

from chalicelib.platform import aws
from chalicelib.platform.errors import Conflict, NotFound
from chalicelib.platform.ids import new_id
from chalicelib.platform.settings import settings
from chalicelib.tenancy import ACTIVE, PENDING, find_tenant, open_tenant, provisioning, records, steps
from chalicelib.tenancy.provisioning import CLAIM_TIME, TENANT_TAG, provision, provision_alone


def registered(state: str = ACTIVE) -> str:
    tenant_id = new_id("ten")
    records()(
        tenant_id,
        "tenant",
        name="Harbour Bank",
        jurisdiction="CN",
        region="eu-central-1",
        locale="zh_CN",
        currency="TWD",
        owner_email=f"owner@{tenant_id.lower().replace('_', '-')}.example",
        plan="starter",
        state=state,
        created_at=datetime(2005, 4, 1, tzinfo=UTC),
    ).save()
    return tenant_id


class Killed(BaseException):
    """The worker went away; like a real kill, no `except Exception` sees it."""


class _KilledAfter:
    """Lets a number of AWS calls through, and then the worker is gone: right after the call took effect."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    def __call__(self, **_: object) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed


CLIENTS = ("kms", "dynamodb", "s3", "lambda", "cognito-idp", "resourcegroupstaggingapi")


@pytest.fixture
def killer(aws: None, monkeypatch: pytest.MonkeyPatch):
    """Arms every client that provisioning uses, and the registry's own connection."""
    from chalicelib.platform.store import shared

    armed = _KilledAfter(10**9)
    emitters = [clients.meta.events for clients in map(_client, CLIENTS)]
    emitters.append(shared().connection.client.meta.events)
    for events in emitters:
        events.register("after-call", armed)
    yield armed
    for events in emitters:
        events.unregister("after-call", armed)


def _client(service: str):
    return aws.client(service)


def made_for(tenant_id: str) -> dict[str, int]:
    """What exists for a tenant, counted where it lives."""
    tables = boto3.client("dynamodb").get_paginator("list_tables").paginate()
    names = [n for page in tables for n in page["TableNames"] if tenant_id in n]
    keys = boto3.client("resourcegroupstaggingapi").get_resources(
        TagFilters=[{"Key": TENANT_TAG, "Values": [tenant_id]}], ResourceTypeFilters=["kms:key"]
    )["ResourceTagMappingList"]
    # In pages: a session of tests provisions more tenants than one answer lists.
    listed = boto3.client("lambda").get_paginator("list_event_source_mappings")
    mappings = [
        mapping
        for page in listed.paginate(FunctionName=settings().feed_dispatch_arn)
        for mapping in page["EventSourceMappings"]
    ]
    owner = find_tenant(tenant_id).owner_email
    users = boto3.client("cognito-idp").list_users(UserPoolId=settings().user_pool_id, Filter=f'email = "{owner}"')
    return {
        "tables": len(names),
        "keys": len(keys),
        "mappings": sum(tenant_id in m["EventSourceArn"] for m in mappings),
        "owners": len(users["Users"]),
    }


ONE_OF_EACH = {"tables": 4, "keys": 1, "mappings": 1, "owners": 1}


def test_a_paid_tenant_gets_one_of_each(aws: None) -> None:
    tenant_id = registered()
    record = provision(tenant_id)
    assert record.ready
    assert list(record.provisioned) == [name for name, _ in steps()]
    assert made_for(tenant_id) == ONE_OF_EACH


def test_quarantined_rows_expire_by_the_tables_own_clock(aws: None) -> None:
    tenant_id = registered()
    provision(tenant_id)
    table = settings().tenant_table(tenant_id, "connector")
    told = boto3.client("dynamodb").describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    assert told == {"TimeToLiveStatus": "ENABLED", "AttributeName": "forget_after"}


def test_provisioning_again_changes_nothing(aws: None) -> None:
    tenant_id = registered()
    first = provision(tenant_id)
    again = provision(tenant_id)
    assert again.provisioned == first.provisioned
    assert again.version == first.version
    assert made_for(tenant_id) == ONE_OF_EACH


def test_a_tenant_that_has_not_paid_gets_nothing(aws: None) -> None:
    tenant_id = registered(PENDING)
    assert not provision(tenant_id).ready
    assert made_for(tenant_id) == {"tables": 0, "keys": 0, "mappings": 0, "owners": 0}


def test_killed_after_any_call_it_completes_on_the_next_try(killer: _KilledAfter) -> None:
    calls = 0
    while True:
        tenant_id = registered()
        killer.left = calls
        try:
            provision(tenant_id)
        except Killed:
            killer.left = 10**9
            assert provision(tenant_id).ready, f"killed after {calls} calls"
            assert made_for(tenant_id) == ONE_OF_EACH, f"killed after {calls} calls"
            calls += 1
            continue
        break
    assert calls > 2 * len(steps())


def test_tables_are_encrypted_protected_recoverable_and_only_the_feed_streams_keys(aws: None) -> None:
    tenant_id = registered()
    record = provision(tenant_id)
    dynamodb = boto3.client("dynamodb")
    for kind in ("connector", "cases", "feed", "ledger"):
        name = settings().tenant_table(tenant_id, kind)
        table = dynamodb.describe_table(TableName=name)["Table"]
        assert table["SSEDescription"]["KMSMasterKeyArn"] == record.key_arn
        assert table["DeletionProtectionEnabled"] is True
        backups = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
        assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
        stream = table.get("StreamSpecification", {})
        assert stream.get("StreamViewType") == ("KEYS_ONLY" if kind == "feed" else None)


def test_a_tenant_cannot_be_opened_before_it_is_ready_nor_an_unknown_one(aws: None) -> None:
    with pytest.raises(Conflict):
        open_tenant(registered())
    with pytest.raises(NotFound):
        open_tenant(new_id("ten"))


NOW = datetime(2026, 11, 25, tzinfo=UTC)


def test_while_one_worker_is_at_it_another_leaves_the_tenant_alone(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant_id = registered()
    begun: list[str] = []

    def provision_and_be_overtaken(tenant_id: str):
        begun.append(tenant_id)
        provision_alone(tenant_id, now=NOW)
        return provision(tenant_id)

    monkeypatch.setattr(provisioning, "provision", provision_and_be_overtaken)
    provision_alone(tenant_id, now=NOW)
    assert begun == [tenant_id]
    assert made_for(tenant_id) == ONE_OF_EACH


def test_a_worker_that_died_keeps_the_tenant_to_itself_no_longer_than_it_could_have_lived(killer) -> None:
    tenant_id = registered()
    killer.left = 3
    with pytest.raises(Killed):
        provision_alone(tenant_id, now=NOW)
    killer.left = 10**9
    provision_alone(tenant_id, now=NOW + CLAIM_TIME)
    assert find_tenant(tenant_id).ready
    assert made_for(tenant_id) == ONE_OF_EACH


def test_a_step_that_fails_gives_the_tenant_back(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant_id = registered()
    with monkeypatch.context() as broken:
        broken.setattr(provisioning, "provision", lambda _: (_ for _ in ()).throw(TimeoutError))
        with pytest.raises(TimeoutError):
            provision_alone(tenant_id, now=NOW)
    provision_alone(tenant_id, now=NOW)
    assert find_tenant(tenant_id).ready


def test_a_message_about_a_tenant_that_never_was_makes_none(aws: None) -> None:
    tenant_id = new_id("ten")
    provision_alone(tenant_id, now=NOW)
    with pytest.raises(NotFound):
        find_tenant(tenant_id)
