"""Tries one tenant's credentials on another tenant's tables, objects and key; IAM must refuse every attempt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from chalicelib.platform.aws import client_of
from chalicelib.platform.settings import settings
from chalicelib.platform.tenant import DATA_KEY, Tenant, encryption_context

TABLES = ("connector", "cases", "feed", "ledger")
_REFUSALS = {"AccessDenied", "AccessDeniedException", "403"}


@dataclass(frozen=True)
class Attempt:
    """One thing tried, and how it ended: `denied` by IAM, or what came instead."""

    what: str
    outcome: str

    @property
    def denied(self) -> bool:
        return self.outcome == "denied"


def try_to_reach(intruder: Tenant, victim: Tenant) -> list[Attempt]:
    """Every attempt with its outcome. The same calls on the intruder's own resources are allowed, so that a refusal
    is IAM's judgement of the tenant and not of the call; what does not work there either counts as an attempt that
    was not denied."""
    attempts: list[Attempt] = []
    for what, act in _acts(intruder):
        own = outcome_of(lambda act=act: act(intruder))
        if own != "allowed":
            attempts.append(Attempt(f"{what} (its own)", own))
        attempts.append(Attempt(what, outcome_of(lambda act=act: act(victim))))
    return attempts


def _acts(intruder: Tenant) -> list[tuple[str, Callable[[Tenant], Any]]]:
    dynamodb, s3 = client_of(intruder.session, "dynamodb"), intruder.s3
    kms = client_of(intruder.session, "kms")
    nothing = {"pk": {"S": "isolation-check"}, "sk": {"S": "isolation-check"}}

    def table(of: Tenant, kind: str) -> str:
        return settings().tenant_table(of.id, kind)

    acts: list[tuple[str, Callable[[Tenant], Any]]] = []
    for kind in TABLES:
        calls: dict[str, Callable[[str], Any]] = {
            "GetItem": lambda name: dynamodb.get_item(TableName=name, Key=nothing),
            "PutItem": lambda name: dynamodb.put_item(TableName=name, Item=nothing),
            "Query": lambda name: dynamodb.query(
                TableName=name, KeyConditionExpression="pk = :pk", ExpressionAttributeValues={":pk": nothing["pk"]}
            ),
            "BatchGetItem": lambda name: dynamodb.batch_get_item(RequestItems={name: {"Keys": [nothing]}}),
            "TransactWriteItems": lambda name: dynamodb.transact_write_items(
                TransactItems=[{"Put": {"TableName": name, "Item": nothing}}]
            ),
            "DeleteItem": lambda name: dynamodb.delete_item(TableName=name, Key=nothing),
        }
        acts += [(f"{call} {kind}", lambda of, do=do, kind=kind: do(table(of, kind))) for call, do in calls.items()]
    mine = intruder.encryption  # so that a refusal is of the prefix, and not of the other's key
    acts += [
        (
            "PutObject prefix",
            lambda of: s3.put_object(Bucket=of.bucket, Key=of.object_key("check"), Body=b"", **mine),
        ),
        ("GetObject prefix", lambda of: s3.get_object(Bucket=of.bucket, Key=of.object_key("drop", ".keep"))),
        ("ListObjects prefix", lambda of: s3.list_objects_v2(Bucket=of.bucket, Prefix=f"{of.id}/")),
        ("DeleteObject prefix", lambda of: s3.delete_object(Bucket=of.bucket, Key=of.object_key("check"))),
        (
            "Decrypt key",
            lambda of: kms.decrypt(
                CiphertextBlob=of.wrapped_keys[DATA_KEY],
                KeyId=of.key_arn,
                EncryptionContext=encryption_context(of.id, DATA_KEY),
            ),
        ),
        ("GenerateDataKey key", lambda of: kms.generate_data_key(KeyId=of.key_arn, KeySpec="AES_256")),
    ]
    return acts


def outcome_of(act: Callable[[], Any]) -> str:
    """How a call to AWS ended: `allowed`, `denied` by IAM, or the code of another error."""
    try:
        act()
    except ClientError as error:
        code = error.response["Error"]["Code"]
        return "denied" if code in _REFUSALS else code
    return "allowed"
