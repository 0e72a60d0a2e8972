"""What a tenant's session may do to what is the tenant's own: each thing, as something to try on another tenant's.

Everything that the tenant role's policy allows is here, and every way to ask for it that leads IAM to another question:
by an index, in a batch or a transaction beside something of one's own, by an ARN for a name, by a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from chalicelib.platform.aws import client_of
from chalicelib.platform.settings import settings
from chalicelib.platform.tenant import DATA_KEY, INDEX_KEY, Tenant, encryption_context
from chalicelib.tenancy.credentials import Purpose
from chalicelib.tenancy.tables import TENANT_TABLES

Item = dict[str, dict[str, Any]]

CHECK: Item = {"pk": {"S": "isolation-check"}, "sk": {"S": "isolation-check"}}
"""The key of the item that is tried on. No item of the product has it."""

ALWAYS: frozenset[Purpose] = frozenset({"work", "export"})
IN_EXPORTS: frozenset[Purpose] = frozenset({"export"})
NEVER: frozenset[Purpose] = frozenset()


@dataclass(frozen=True)
class Act:
    """Something to try: the call and what it is of, the action that IAM is asked about, and how to do it to a tenant's
    resources. `may` says with which credentials a tenant may do it to its own."""

    call: str
    target: str
    action: str
    do: Callable[[Tenant], Any]
    may: frozenset[Purpose] = ALWAYS

    @property
    def what(self) -> str:
        """The act in words."""
        return f"{self.call} {self.target}"


def own_acts(intruder: Tenant) -> Iterator[Act]:
    """Everything that a tenant's session may do, with the intruder's session. In this order the intruder's own
    resources are afterwards as they were."""
    yield from _on_tables(intruder)
    yield from _beside_ones_own(intruder)
    yield from _on_indexes(intruder)
    yield from _on_objects(intruder)
    yield from _on_the_key(intruder)


def table_of(tenant: Tenant, kind: str) -> str:
    """The name of one of a tenant's tables."""
    return settings().tenant_table(tenant.id, kind)


def _on_tables(intruder: Tenant) -> Iterator[Act]:
    dynamodb = client_of(intruder.session, "dynamodb")
    update = {"UpdateExpression": "SET tried = :yes", "ExpressionAttributeValues": {":yes": {"BOOL": True}}}
    by_key = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": CHECK["pk"]}}
    holds = {"ConditionExpression": "attribute_not_exists(nothing)"}

    def transact(table: str, member: str, **arguments: Any) -> Any:
        return dynamodb.transact_write_items(TransactItems=[{member: {"TableName": table, **arguments}}])

    calls: list[tuple[str, str, Callable[[str], Any]]] = [
        ("PutItem", "PutItem", lambda table: dynamodb.put_item(TableName=table, Item=CHECK)),
        ("UpdateItem", "UpdateItem", lambda table: dynamodb.update_item(TableName=table, Key=CHECK, **update)),
        ("GetItem", "GetItem", lambda table: dynamodb.get_item(TableName=table, Key=CHECK)),
        ("GetItem(arn)", "GetItem", lambda table: dynamodb.get_item(TableName=_arn(table), Key=CHECK)),
        ("Query", "Query", lambda table: dynamodb.query(TableName=table, **by_key)),
        ("BatchGetItem", "BatchGetItem", lambda table: dynamodb.batch_get_item(RequestItems={table: _keys()})),
        ("BatchWriteItem", "BatchWriteItem", lambda table: dynamodb.batch_write_item(RequestItems={table: _puts()})),
        ("TransactGet", "GetItem", lambda table: dynamodb.transact_get_items(TransactItems=[_got(table)])),
        ("TransactPut", "PutItem", lambda table: transact(table, "Put", Item=CHECK)),
        ("TransactUpdate", "UpdateItem", lambda table: transact(table, "Update", Key=CHECK, **update)),
        ("TransactCheck", "ConditionCheckItem", lambda table: transact(table, "ConditionCheck", Key=CHECK, **holds)),
        ("TransactDelete", "DeleteItem", lambda table: transact(table, "Delete", Key=CHECK)),
        ("DeleteItem", "DeleteItem", lambda table: dynamodb.delete_item(TableName=table, Key=CHECK)),
    ]
    for spec in TENANT_TABLES:
        for call, action, do in calls:
            yield _on_table(call, spec.kind, action, do)
        yield _on_table("Scan", spec.kind, "Scan", lambda table: dynamodb.scan(TableName=table, Limit=1), IN_EXPORTS)


def _on_table(call: str, kind: str, action: str, do: Callable[[str], Any], may: frozenset[Purpose] = ALWAYS) -> Act:
    return Act(call, kind, f"dynamodb:{action}", lambda of: do(table_of(of, kind)), may)


def _beside_ones_own(intruder: Tenant) -> Iterator[Act]:
    """In one call with a part that is allowed, and that would change nothing."""
    dynamodb, mine = client_of(intruder.session, "dynamodb"), table_of(intruder, "connector")
    delete_mine = {"Delete": {"TableName": mine, "Key": CHECK}}
    holds = {"ConditionExpression": "attribute_not_exists(nothing)"}
    calls: list[tuple[str, str, Callable[[str], Any]]] = [
        (
            "BatchGetItem",
            "BatchGetItem",
            lambda table: dynamodb.batch_get_item(RequestItems={mine: _keys(), table: _keys()}),
        ),
        (
            "BatchWriteItem",
            "BatchWriteItem",
            lambda table: dynamodb.batch_write_item(
                RequestItems={mine: [{"DeleteRequest": {"Key": CHECK}}], table: [{"DeleteRequest": {"Key": CHECK}}]}
            ),
        ),
        (
            "TransactGet",
            "GetItem",
            lambda table: dynamodb.transact_get_items(TransactItems=[_got(mine), _got(table)]),
        ),
        (
            "TransactCheck",
            "ConditionCheckItem",
            lambda table: dynamodb.transact_write_items(
                TransactItems=[delete_mine, {"ConditionCheck": {"TableName": table, "Key": CHECK, **holds}}]
            ),
        ),
        (
            "TransactDelete",
            "DeleteItem",
            lambda table: dynamodb.transact_write_items(
                TransactItems=[delete_mine, {"Delete": {"TableName": table, "Key": CHECK}}]
            ),
        ),
    ]
    for call, action, do in calls:
        yield Act(call, "beside-own", f"dynamodb:{action}", lambda of, do=do: do(table_of(of, "cases")))


def _on_indexes(intruder: Tenant) -> Iterator[Act]:
    dynamodb = client_of(intruder.session, "dynamodb")
    for spec in TENANT_TABLES:
        for index, keys in spec.indexes.items():

            def query(of: Tenant, kind: str = spec.kind, index: str = index, key: str = keys[0]) -> Any:
                return dynamodb.query(
                    TableName=table_of(of, kind),
                    IndexName=index,
                    KeyConditionExpression="#key = :value",
                    ExpressionAttributeNames={"#key": key},
                    ExpressionAttributeValues={":value": CHECK["pk"]},
                )

            def scan(of: Tenant, kind: str = spec.kind, index: str = index) -> Any:
                return dynamodb.scan(TableName=table_of(of, kind), IndexName=index, Limit=1)

            yield Act("Query", f"{spec.kind}/{index}", "dynamodb:Query", query)
            yield Act("Scan", f"{spec.kind}/{index}", "dynamodb:Scan", scan, IN_EXPORTS)


def _on_objects(intruder: Tenant) -> Iterator[Act]:
    s3, bucket = intruder.s3, {"Bucket": intruder.bucket}
    mine = intruder.encryption  # so that a refusal is of the place, and not of the other's key

    def key(of: Tenant) -> str:
        return of.object_key("isolation-check")

    def way_round(of: Tenant) -> str:
        """A key that looks as if it led back to the intruder's own."""
        return of.object_key("..", intruder.id, "isolation-check")

    def put(of: Tenant) -> Any:
        return s3.put_object(Key=key(of), Body=b"", **bucket, **mine)

    def put_round(of: Tenant) -> Any:
        return s3.put_object(Key=way_round(of), Body=b"", **bucket, **mine)

    def copy_from(of: Tenant) -> Any:
        source = {**bucket, "Key": of.object_key("drop", ".keep")}
        return s3.copy_object(Key=key(intruder), CopySource=source, **bucket, **mine)

    def copy_to(of: Tenant) -> Any:
        source = {**bucket, "Key": intruder.object_key("drop", ".keep")}
        return s3.copy_object(Key=key(of), CopySource=source, **bucket, **mine)

    def delete_many(of: Tenant) -> Any:
        return s3.delete_objects(Delete={"Objects": [{"Key": key(intruder)}, {"Key": key(of)}]}, **bucket)

    calls: list[tuple[str, str, str, Callable[[Tenant], Any]]] = [
        ("PutObject", "prefix", "PutObject", put),
        ("PutObject", "prefix-by-dots", "PutObject", put_round),
        ("GetObject", "prefix", "GetObject", lambda of: s3.get_object(Key=of.object_key("drop", ".keep"), **bucket)),
        ("HeadObject", "prefix", "GetObject", lambda of: s3.head_object(Key=of.object_key("drop", ".keep"), **bucket)),
        ("CopyObject", "from-prefix", "GetObject", copy_from),
        ("CopyObject", "to-prefix", "PutObject", copy_to),
        ("ListObjects", "prefix", "ListBucket", lambda of: s3.list_objects_v2(Prefix=f"{of.id}/", **bucket)),
        ("ListObjects", "prefix-by-dots", "ListBucket", lambda of: s3.list_objects_v2(Prefix=way_round(of), **bucket)),
        ("ListObjectsV1", "prefix", "ListBucket", lambda of: s3.list_objects(Prefix=f"{of.id}/drop", **bucket)),
        ("DeleteObject", "prefix-by-dots", "DeleteObject", lambda of: s3.delete_object(Key=way_round(of), **bucket)),
        ("DeleteObjects", "beside-own", "DeleteObject", delete_many),
        ("DeleteObject", "prefix", "DeleteObject", lambda of: s3.delete_object(Key=key(of), **bucket)),
    ]
    for call, target, action, do in calls:
        yield Act(call, target, f"s3:{action}", do)


def _on_the_key(intruder: Tenant) -> Iterator[Act]:
    kms = client_of(intruder.session, "kms")

    def decrypt(of: Tenant, purpose: str, **key: str) -> Any:
        context = encryption_context(of.id, purpose)
        return kms.decrypt(CiphertextBlob=of.wrapped_keys[purpose], EncryptionContext=context, **key)

    calls: list[tuple[str, str, str, Callable[[Tenant], Any]]] = [
        ("Decrypt", "data-key", "Decrypt", lambda of: decrypt(of, DATA_KEY, KeyId=of.key_arn)),
        ("Decrypt", "index-key", "Decrypt", lambda of: decrypt(of, INDEX_KEY, KeyId=of.key_arn)),
        ("Decrypt", "by-bare-id", "Decrypt", lambda of: decrypt(of, DATA_KEY, KeyId=of.key_arn.rpartition("/")[2])),
        ("Decrypt", "without-key-id", "Decrypt", lambda of: decrypt(of, DATA_KEY)),
        (
            "GenerateDataKey",
            "key",
            "GenerateDataKey",
            lambda of: kms.generate_data_key(KeyId=of.key_arn, KeySpec="AES_256"),
        ),
        (
            "GenerateDataKey",
            "under-its-context",
            "GenerateDataKey",
            lambda of: kms.generate_data_key(
                KeyId=of.key_arn, KeySpec="AES_256", EncryptionContext=encryption_context(of.id, DATA_KEY)
            ),
        ),
    ]
    for call, target, action, do in calls:
        yield Act(call, target, f"kms:{action}", do)


def _keys() -> dict[str, Any]:
    return {"Keys": [CHECK]}


def _puts() -> list[dict[str, Any]]:
    return [{"PutRequest": {"Item": CHECK}}]


def _got(table: str) -> dict[str, Any]:
    return {"Get": {"TableName": table, "Key": CHECK}}


def _arn(table: str) -> str:
    return settings().arn("dynamodb", f"table/{table}")
