"""A tenant's tables as they are stored, for tests that compare states."""

from __future__ import annotations

from typing import Any

import boto3

from chalicelib.platform.settings import settings
from chalicelib.platform.tenant import Tenant

KINDS = ("connector", "cases", "feed", "ledger")
Item = dict[str, dict[str, Any]]


def items(tenant: Tenant, kind: str) -> list[Item]:
    """Every item of one of the tenant's tables, as DynamoDB has it, in order of its keys."""
    table = settings().tenant_table(tenant.id, kind)
    found = [
        item
        for page in boto3.client("dynamodb").get_paginator("scan").paginate(TableName=table)
        for item in page["Items"]
    ]
    return sorted(found, key=lambda item: (item["pk"]["S"], item["sk"]["S"]))


def count(tenant: Tenant, kind: str, sk: str) -> int:
    """How many items have that sort key."""
    return sum(item["sk"]["S"] == sk for item in items(tenant, kind))


def events(tenant: Tenant) -> list[dict[str, Any]]:
    """The type and data of every event, in no order."""
    from chalicelib.feed.model import Event

    model = tenant.bind(Event)
    stored = (model.from_raw_data(item) for item in items(tenant, "feed") if item["sk"]["S"] == "event")
    return [{"type": event.type, "data": dict(event.data)} for event in stored]
