"""The four tables of a tenant, and the shared ones, as data: what to create, and what each index is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class TableSpec:
    """One kind of table. Every table is keyed by `pk` and `sk`; `indexes` maps an index to its hash and range keys.
    Items are deleted once the moment in their attribute `expires` (epoch seconds) has passed, where it names one."""

    kind: str
    indexes: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    streamed: bool = False
    expires: str | None = None

    def create_arguments(self, table_name: str, key_arn: str, tags: Mapping[str, str]) -> dict[str, Any]:
        """What DynamoDB's CreateTable takes: on demand, encrypted under `key_arn`, protected against deletion."""
        names = sorted({"pk", "sk", *(name for keys in self.indexes.values() for name in keys)})
        arguments: dict[str, Any] = {
            "TableName": table_name,
            "AttributeDefinitions": [{"AttributeName": n, "AttributeType": "S"} for n in names],
            "KeySchema": _key_schema(("pk", "sk")),
            "BillingMode": "PAY_PER_REQUEST",
            "SSESpecification": {"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": key_arn},
            "DeletionProtectionEnabled": True,
            "Tags": [{"Key": k, "Value": v} for k, v in tags.items()],
        }
        if self.indexes:
            arguments["GlobalSecondaryIndexes"] = [
                {"IndexName": name, "KeySchema": _key_schema(keys), "Projection": {"ProjectionType": "ALL"}}
                for name, keys in self.indexes.items()
            ]
        if self.streamed:
            arguments["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
        return arguments


TENANT_TABLES = (
    TableSpec("connector", expires="forget_after"),
    TableSpec(
        "cases",
        indexes={
            "by_assignee": ("assignee", "queue_key"),
            "by_status": ("status", "pk"),
            "by_name": ("name_index",),
            "by_phone": ("phone_index",),
            "by_id_number": ("id_number_index",),
        },
    ),
    TableSpec("feed", indexes={"by_endpoint": ("endpoint_id", "event_id")}, streamed=True),
    TableSpec("ledger"),
)


def _key_schema(names: tuple[str, ...]) -> list[dict[str, str]]:
    return [{"AttributeName": n, "KeyType": t} for n, t in zip(names, ("HASH", "RANGE"), strict=False)]
