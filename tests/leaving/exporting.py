"""A tenant that has an item of every model, and what plays the worker of exports and the one who fetches them."""

from __future__ import annotations

import json
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import boto3

from chalicelib.connectors import push
from chalicelib.connectors.replay import Selection, request_replay
from chalicelib.feed import endpoints, log
from chalicelib.feed.model import DELIVERY_SK, Delivery
from chalicelib.feed.recording import delivery_id
from chalicelib.identity import api_keys, stored_credentials
from chalicelib.leaving import export, exports
from chalicelib.leaving.export_files import MANIFEST_NAME
from chalicelib.leaving.kinds import CREDENTIALS, row_of
from chalicelib.leaving.model import ExportRecord
from chalicelib.platform import aws
from chalicelib.platform.clock import utc_now
from chalicelib.platform.settings import settings
from chalicelib.platform.tenant import Tenant
from tests.connectors.institution import Institution, Loan, late
from tests.connectors.tables import KINDS, Item, items

_PROOF = ("leaf_index", "proof")
BROKEN = Loan(5, balance="-")
UNKNOWN: Item = {
    "pk": {"S": "from-the-future"},
    "sk": {"S": "1"},
    "text": {"S": "said"},
    "count": {"N": "12"},
    "rate": {"N": "0.25"},
    "bytes": {"B": b"\x00\xff"},
    "nested": {"M": {"list": {"L": [{"NULL": True}, {"BOOL": True}]}, "set": {"SS": ["b", "a"]}}},
}


def furnish(tenant: Tenant, now: datetime) -> Institution:
    """Gives the tenant, beside its owner, an API key, accounts, cases, a quarantined row, its replay, a pushed
    repayment, an endpoint, a delivery, a page of the log, and an item that no model knows."""
    bank = Institution(tenant, now)
    bank.deliver("20050430", [*(BROKEN if n == 5 else Loan(n) for n in range(1, 39)), late(39), late(40)])
    push.push(
        tenant, bank.connector_id, [push.PushedRow(late(39).key, "R1", 100_000, "CNY", date(2005, 5, 2))], now=now
    )
    request_replay(tenant, bank.connector_id, Selection(), by="usr_TEST", now=now)
    bank.work()
    endpoint, _ = endpoints.create_endpoint(tenant, "http://127.0.0.1:9009/hook", now=now)
    event_ids = [item["pk"]["S"] for item in items(tenant, "feed") if item["sk"]["S"] == "event"]
    log.append(tenant, event_ids)
    tenant.bind(Delivery)(
        delivery_id(tenant, event_ids[0], endpoint.sk),
        DELIVERY_SK,
        endpoint_id=endpoint.sk,
        event_id=event_ids[0],
        event_type="case.opened",
        updated_at=now,
    ).save()
    api_keys.create(tenant.id, name="of the core banking", scopes=["connectors:write"], now=now)
    put_raw(tenant, "cases", UNKNOWN)
    return bank


def put_raw(tenant: Tenant, kind: str, item: Item) -> None:
    """Writes an item as DynamoDB has it, whatever the models say."""
    boto3.client("dynamodb").put_item(TableName=settings().tenant_table(tenant.id, kind), Item=item)


def stored(tenant: Tenant) -> dict[str, Counter[str]]:
    """The row, as text, of every item that the tenant has, by kind: read at once and in no parts."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    owned = [(table, item) for table in KINDS for item in items(tenant, table)]
    for table, item in [*owned, *((CREDENTIALS, item) for item in stored_credentials(tenant.id))]:
        kind, row = row_of(tenant, table, item)
        found[kind][json.dumps(row, sort_keys=True)] += 1
    return dict(found)


def told(folder: Path) -> dict[str, Counter[str]]:
    """The rows that an export's JSON Lines have, as `stored` has them: leaves without what proves them."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for path in folder.glob("*.jsonl"):
        kind = path.name.rpartition("-")[0]
        for row in _rows_of(path):
            found[kind][json.dumps({n: v for n, v in row.items() if n not in _PROOF}, sort_keys=True)] += 1
    return dict(found)


def messages(tenant: Tenant) -> Iterator[tuple[dict[str, Any], Callable[[], None]]]:
    """The tenant's messages in the queue `leaving`, each with what says that it is done with."""
    sqs, url = aws.client("sqs"), aws.queue_url("leaving")
    while received := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for each in received:
            message, handle = json.loads(each["Body"]), each["ReceiptHandle"]

            def done(handle: str = handle) -> None:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=handle)

            if message["tenant_id"] == tenant.id:
                yield message, done
            else:
                done()  # left behind by another test's tenant


def work(tenant: Tenant) -> int:
    """Works on every message of the tenant's exports until none is left; returns how many there were."""
    worked = 0
    while waiting := list(messages(tenant)):
        for message, done in waiting:
            assert message["action"] == "export"
            export.continue_export(tenant.id, message["export_id"])
            done()
            worked += 1
    return worked


def exported(tenant: Tenant) -> ExportRecord:
    """A complete export of the tenant."""
    record = exports.begin_export(tenant.id, requested_by="usr_TEST", now=utc_now())
    work(tenant)
    return exports.find_export(tenant.id, record.id, now=utc_now())


def fetch(tenant: Tenant, record: ExportRecord, folder: Path) -> dict[str, Any]:
    """Fetches all files of an export by its links, as a customer's program does; returns the manifest."""
    found = exports.downloads(tenant, record, limit=10_000, cursor=None, now=utc_now())
    links = {each.named.name: each.url for each in found.files} | {MANIFEST_NAME: found.manifest_url}
    for name, url in links.items():
        with urllib.request.urlopen(url, timeout=10) as answer:
            (folder / name).write_bytes(answer.read())
    return json.loads((folder / MANIFEST_NAME).read_bytes())


def rows(folder: Path, kind: str) -> list[dict[str, Any]]:
    """The rows of a kind, as its JSON Lines have them."""
    return [row for path in sorted(folder.glob(f"{kind}-*.jsonl")) for row in _rows_of(path)]


def _rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]
