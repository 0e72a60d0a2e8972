"""Fixtures for all tests: a MiniStack with IAM enforced, the shared resources on it, and provisioned tenants."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pytest

from infra.local import ministack, processes

STAGE = "unit"
PREFIX = f"duebridge-{STAGE}"
BUCKET = f"{PREFIX}-data-{ministack.ACCOUNT}"
TENANT_ROLE = f"{PREFIX}-tenant-data"
SENDER = "duebridge@unit-tests.example"


@pytest.fixture
def now() -> datetime:
    """A fixed moment on the last business date of the sample data."""
    return datetime(2005, 9, 30, 16, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def ministack_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = processes.free_port()
    pid = ministack.start(port, folder=tmp_path_factory.mktemp("ministack"))
    yield port
    processes.end_group(pid)


@pytest.fixture(scope="session")
def aws(ministack_port: int) -> Iterator[None]:
    """The environment of a deployed function, pointing at this session's MiniStack, with the shared resources made."""
    variables = {
        **ministack.ROOT_CREDENTIALS,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ministack_port}",
        "AWS_REGION": ministack.REGION,
        "AWS_DEFAULT_REGION": ministack.REGION,
        "DUEBRIDGE_STAGE": STAGE,
        "DUEBRIDGE_ACCOUNT": ministack.ACCOUNT,
        "DUEBRIDGE_PARTITION": "aws",
        "DUEBRIDGE_BUCKET": BUCKET,
        "DUEBRIDGE_TENANT_ROLE_ARN": f"arn:aws:iam::{ministack.ACCOUNT}:role/{TENANT_ROLE}",
        "DUEBRIDGE_FEED_DISPATCH_ARN": (
            f"arn:aws:lambda:{ministack.REGION}:{ministack.ACCOUNT}:function:{PREFIX}-feed_dispatch"
        ),
        "DUEBRIDGE_FEED_DISPATCH_DEAD_ARN": (
            f"arn:aws:sqs:{ministack.REGION}:{ministack.ACCOUNT}:{PREFIX}-feed-dispatch-dead"
        ),
        "DUEBRIDGE_STRIPE_SECRET": f"{PREFIX}/stripe",
        "DUEBRIDGE_API_KEY_SECRET": f"{PREFIX}/api-keys",
        "DUEBRIDGE_PUBLIC_URL": "http://localhost:8000",
        "DUEBRIDGE_LOOPBACK_ENDPOINTS": "true",
        "DUEBRIDGE_MAIL_SENDER": SENDER,
        "POWERTOOLS_LOG_LEVEL": "WARNING",
    }
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    from chalicelib.platform.settings import settings

    settings.cache_clear()
    os.environ["DUEBRIDGE_USER_POOL_ID"] = boto3.client("cognito-idp").create_user_pool(
        PoolName=PREFIX, UsernameAttributes=["email"]
    )["UserPool"]["Id"]
    _make_shared_resources()
    yield
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _make_shared_resources() -> None:
    from chalicelib.platform.settings import QUEUES

    dynamodb = boto3.client("dynamodb")
    for kind in ("tenants", "credentials", "billing-events", "limits"):
        dynamodb.create_table(
            TableName=f"{PREFIX}-{kind}",
            AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in ("pk", "sk")],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            BillingMode="PAY_PER_REQUEST",
        )
    boto3.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": ministack.REGION})
    for queue in (*QUEUES, "feed-dispatch-dead"):
        boto3.client("sqs").create_queue(QueueName=f"{PREFIX}-{queue}")
    kms = boto3.client("kms")
    signing = kms.create_key(
        KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY", Tags=[{"TagKey": "stage", "TagValue": STAGE}]
    )
    os.environ["DUEBRIDGE_CERTIFICATE_KEY_ARN"] = signing["KeyMetadata"]["Arn"]
    boto3.client("sesv2").create_email_identity(EmailIdentity=SENDER)
    secrets = boto3.client("secretsmanager")
    stripe = {"api_key": "sk_test_local", "webhook_secret": "whsec_local_unit_tests"}
    secrets.create_secret(Name=f"{PREFIX}/stripe", SecretString=json.dumps(stripe))
    secrets.create_secret(Name=f"{PREFIX}/api-keys", SecretString=json.dumps({"pepper": "of-the-unit-tests"}))
    iam = boto3.client("iam")
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{ministack.ACCOUNT}:root"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    iam.create_role(RoleName=TENANT_ROLE, AssumeRolePolicyDocument=json.dumps(trust))
    iam.put_role_policy(RoleName=TENANT_ROLE, PolicyName="data", PolicyDocument=json.dumps(_tenant_role_policy()))
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("index.py", "def handler(event, context):\n    return {}\n")
    # A function for streams to be mapped onto; unit tests call the real dispatcher themselves.
    boto3.client("lambda").create_function(
        FunctionName=f"{PREFIX}-feed_dispatch",
        Runtime="python3.11",
        Role=f"arn:aws:iam::{ministack.ACCOUNT}:role/{TENANT_ROLE}",
        Handler="index.handler",
        Code={"ZipFile": code.getvalue()},
    )


def _tenant_role_policy() -> dict:
    """The tenant role's own policy as the template has it, with this stage's names in it."""
    from infra.template import tenant_role_policy

    return tenant_role_policy(stage=STAGE, bucket=BUCKET)


def provisioned(name: str):
    """A tenant made by the product's own provisioning."""
    from chalicelib.billing import find_plan
    from chalicelib.platform.ids import new_id
    from chalicelib.tenancy import ACTIVE, open_tenant, records
    from chalicelib.tenancy.provisioning import provision

    tenant_id = new_id("ten")
    records()(
        tenant_id,
        "tenant",
        name=name,
        jurisdiction="CN",
        region=ministack.REGION,
        locale="zh_CN",
        currency="TWD",
        owner_email=f"owner@{tenant_id.lower().replace('_', '-')}.example",
        plan="starter",
        state=ACTIVE,
        interval="month",
        terms=find_plan("starter").terms.model_dump(mode="json"),
        created_at=datetime(2005, 4, 1, tzinfo=UTC),
    ).save()
    provision(tenant_id)
    # The emulator would delete what expires in 2005, where tests live, as long expired.
    boto3.client("dynamodb").update_time_to_live(
        TableName=f"{PREFIX}-t-{tenant_id}-connector",
        TimeToLiveSpecification={"Enabled": False, "AttributeName": "forget_after"},
    )
    return open_tenant(tenant_id)


@pytest.fixture
def tenant(aws: None):
    return provisioned("Harbour Bank")


@pytest.fixture
def other_tenant(aws: None):
    return provisioned("Meridian Credit")


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory):
    """The whole local stack, deployed from this working tree on free ports, for the tests in tests/deployed."""
    from infra.local import stack as local

    begun = local.temporary_stack(tmp_path_factory.mktemp("stack"))
    try:
        local.up(begun, say=lambda _: None)
        yield begun
    finally:
        local.down(begun, say=lambda _: None)
