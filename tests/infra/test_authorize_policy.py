"""What the authorizer may write, with IAM enforced: it binds a first sign-in whole, notes the use of a key, and no
more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from chalicelib.platform.ids import new_id
from infra.local import ministack
from infra.template import filled
from tests.conftest import BUCKET, PREFIX, STAGE

TABLE = f"{PREFIX}-credentials"
ROLE = "authorize-of-the-unit-tests"
POLICY = Path(__file__).resolve().parents[2] / ".chalice" / "policies" / "authorize.json"


@pytest.fixture
def dynamodb(aws: None):
    """DynamoDB with the authorizer's own permissions."""
    iam, root = boto3.client("iam"), f"arn:aws:iam::{ministack.ACCOUNT}:root"
    trust = {"Effect": "Allow", "Principal": {"AWS": root}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))
    document = json.dumps(filled(json.loads(POLICY.read_text()), stage=STAGE, bucket=BUCKET))
    iam.put_role_policy(RoleName=ROLE, PolicyName="own", PolicyDocument=document)
    session = boto3.client("sts").assume_role(
        RoleArn=f"arn:aws:iam::{ministack.ACCOUNT}:role/{ROLE}", RoleSessionName="authorize"
    )["Credentials"]
    yield boto3.client(
        "dynamodb",
        aws_access_key_id=session["AccessKeyId"],
        aws_secret_access_key=session["SecretAccessKey"],
        aws_session_token=session["SessionToken"],
    )
    iam.delete_role_policy(RoleName=ROLE, PolicyName="own")
    iam.delete_role(RoleName=ROLE)


def key(pk: str, sk: str) -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def named(pk: str, sk: str) -> dict[str, Any]:
    return {"TableName": TABLE, "Key": key(pk, sk)}


def put(pk: str, sk: str) -> dict[str, Any]:
    return {"TableName": TABLE, "Item": key(pk, sk)}


SET = {"UpdateExpression": "SET a = :a", "ExpressionAttributeValues": {":a": {"S": "x"}}}


def test_a_first_sign_in_is_bound_in_one_transaction_and_the_use_of_a_key_noted(dynamodb) -> None:
    dynamodb.transact_write_items(
        TransactItems=[
            {"Update": named(new_id("usr"), "user") | SET},
            {"Put": put(f"identity#{new_id('x')}", "identity")},
            {"Update": named(new_id("ten"), "people") | SET},
        ]
    )
    dynamodb.update_item(**named(new_id("key"), "api-key"), **SET)
    dynamodb.get_item(**named(new_id("key"), "api-key"))


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("put_item", put("key_x", "api-key")),
        ("put_item", put("usr_x", "user")),
        ("delete_item", named("usr_x", "user")),
        ("query", {"TableName": TABLE, "KeyConditionExpression": "pk = x"}),
        ("scan", {"TableName": TABLE}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_nothing_is_made_outside_of_that_and_nothing_listed_or_deleted(dynamodb, operation, arguments) -> None:
    with pytest.raises(ClientError) as refused:
        getattr(dynamodb, operation)(**arguments)
    assert refused.value.response["Error"]["Code"] == "AccessDeniedException"


def test_what_is_written_is_held_to_the_items_that_it_is_about() -> None:
    """MiniStack knows no `LeadingKeys`, so that is held here and enforced by AWS alone."""
    about = {each["Sid"]: each for each in json.loads(POLICY.read_text())["Statement"] if "Condition" in each}
    asked = {sid: each["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"] for sid, each in about.items()}
    # How AWS names the keys of a transaction's parts is not documented: whether each part is asked for its own key or
    # for those of all parts, this holds.
    assert asked == {"NoteUseOfKeys": ["key_*"], "BindFirstSignIns": ["identity#*", "ten_*", "usr_*"]}
    writes = {"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"}
    for each in json.loads(POLICY.read_text())["Statement"]:
        assert "Condition" in each or not writes & set(each["Action"])
