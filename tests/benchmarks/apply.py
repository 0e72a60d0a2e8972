"""How fast rows are applied, against bare `batch_write_item` of the same items on the same store.

    python tests/benchmarks/apply.py --endpoint http://localhost:8000 [--rows 5000] [--rounds 5]

The budget: at least 0.8 of the bare rate. Bare is boto3's low-level client, 25 items a request, given the very items
that applying writes, already in DynamoDB's own form: no sealing, no model, no decision. Rounds alternate, and the
medians are compared. The last line is one JSON object. The store's tables are made and deleted here.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

BUDGET = 0.8
CHUNK_ROWS = 500
NOW = datetime(2005, 9, 30, 16, 0, tzinfo=UTC)
ON = date(2005, 9, 30)


def prepare_environment(endpoint: str) -> None:
    """Settings of a deployment that consists of nothing but the store at `endpoint`."""
    names = ("ACCOUNT", "BUCKET", "TENANT_ROLE_ARN", "STRIPE_SECRET", "API_KEY_SECRET", "PUBLIC_URL")
    os.environ.update(
        {f"DUEBRIDGE_{name}": "none" for name in names},
        DUEBRIDGE_STAGE="bench",
        DUEBRIDGE_PARTITION="aws",
        AWS_REGION="eu-central-1",
        AWS_DEFAULT_REGION="eu-central-1",
        AWS_ACCESS_KEY_ID="bench",
        AWS_SECRET_ACCESS_KEY="bench",
        AWS_ENDPOINT_URL_DYNAMODB=endpoint,
        POWERTOOLS_LOG_LEVEL="WARNING",
    )


def open_bench_tenant() -> Any:
    """A tenant whose tables were just made, with keys that are used for nothing else."""
    import boto3

    from chalicelib.platform.ids import new_id
    from chalicelib.platform.sealing import Vault
    from chalicelib.platform.settings import settings
    from chalicelib.platform.store import TenantStore
    from chalicelib.platform.tenant import Tenant
    from chalicelib.tenancy.tables import TENANT_TABLES

    session = boto3.Session()
    tenant_id = new_id("ten")
    client = session.client("dynamodb")
    for spec in TENANT_TABLES:
        arguments = spec.create_arguments(settings().tenant_table(tenant_id, spec.kind), "none", {})
        for unknown in ("SSESpecification", "DeletionProtectionEnabled", "Tags", "StreamSpecification"):
            arguments.pop(unknown, None)
        client.create_table(**arguments)
    store = TenantStore(tenant_id, session._session, "eu-central-1", None)
    tenant = Tenant(tenant_id, "Bench", "none", {}, session, store)
    vars(tenant)["vault"] = Vault(tenant_id, os.urandom(32), os.urandom(32))
    return tenant


def delete_tables(tenant: Any) -> None:
    client = tenant.session.client("dynamodb")
    for name in client.list_tables()["TableNames"]:
        if tenant.id in name:
            client.delete_table(TableName=name)


def chunks(count: int, overdue_percent: int) -> Iterator[list[Any]]:
    """New accounts of new borrowers, the given part of them 55 days past due, in chunks as the connectors cut them."""
    from chalicelib.cases import Row

    def row(n: int) -> Row:
        late = n % 100 < overdue_percent
        return Row.model_validate(
            {
                "op": "new",
                "line": n + 2,
                "account": {
                    "key": f"{n:016d}",
                    "number": f"{n:016d}",
                    "product": "CC-STD",
                    "branch": f"{1001 + n % 12}",
                    "currency": "TWD",
                    "credit_limit": 20_000_000,
                    "balance": 3_913_00 + n,
                    "overdue_amount": 100_000 + n if late else 0,
                    "last_paid_amount": 0,
                    "oldest_due_date": ON - timedelta(55) if late else None,
                },
                "borrower": {
                    "key": f"C{n:08d}",
                    "name": "王小明",
                    "id_number": f"11010119800101{n:04d}",
                    "phone": f"1380013{n:04d}",
                    "address": "北京市朝阳区建国路七十七号",
                },
                "borrower_changed": True,
            }
        )

    rows = [row(n) for n in range(count)]
    for start in range(0, count, CHUNK_ROWS):
        yield rows[start : start + CHUNK_ROWS]


def apply_all(tenant: Any, work: Sequence[list[Any]]) -> None:
    from chalicelib.cases import Source, apply_rows
    from chalicelib.platform.ids import new_id

    connector_id, run_id = new_id("con"), new_id("run")
    for number, rows in enumerate(work):
        apply_rows(tenant, rows, Source(connector_id, run_id, number, ON), now=NOW)


def write_bare(client: Any, table: str, items: Sequence[dict[str, Any]]) -> None:
    for start in range(0, len(items), 25):
        requests = [{"PutRequest": {"Item": item}} for item in items[start : start + 25]]
        answer = client.batch_write_item(RequestItems={table: requests})
        assert not answer.get("UnprocessedItems")


def account_and_borrower_items(tenant: Any, work: Sequence[list[Any]]) -> list[dict[str, Any]]:
    """The items that applying writes for every row, in DynamoDB's form."""
    from chalicelib.cases import Source
    from chalicelib.cases.items import account_item, borrower_item, name_rows
    from chalicelib.cases.model import Account, Borrower
    from chalicelib.platform.ids import new_id

    source = Source(new_id("con"), new_id("run"), 0, ON)
    named = [n for rows in work for n in name_rows(tenant.vault, source.connector_id, rows)]
    account, borrower = tenant.bind(Account), tenant.bind(Borrower)
    accounts = [account_item(account, tenant.vault, n, source).serialize() for n in named]
    return accounts + [borrower_item(borrower, tenant.vault, n, source).serialize() for n in named]


def seconds(action: Callable[[], None]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def requests_of_a_chunk(tenant: Any, work: Sequence[list[Any]]) -> dict[str, int]:
    """What one chunk costs by the name of the request, once the tenant has rules."""
    from chalicelib.platform import requests

    with requests.counted() as sent:
        apply_all(tenant, work[:1])
    return dict(sent)


def measure(tenant: Any, count: int, rounds: int, overdue_percent: int) -> dict[str, Any]:
    """The medians of `rounds` alternating rounds, in rows a second, and their ratio."""
    work = list(chunks(count, overdue_percent))
    client = tenant.session.client("dynamodb")
    table = tenant.store.table_name(_account_model())
    write_bare(client, table, account_and_borrower_items(tenant, work[:1]))
    apply_all(tenant, work[:1])
    bare, applied = list[float](), list[float]()
    for _ in range(rounds):
        items = account_and_borrower_items(tenant, work)
        bare.append(count / seconds(lambda items=items: write_bare(client, table, items)))
        applied.append(count / seconds(lambda: apply_all(tenant, work)))
    ratio = statistics.median(applied) / statistics.median(bare)
    return {
        "overdue_percent": overdue_percent,
        "rows": count,
        "bare_rows_per_second": round(statistics.median(bare)),
        "applied_rows_per_second": round(statistics.median(applied)),
        "ratio": round(ratio, 2),
        "requests_per_chunk": requests_of_a_chunk(tenant, work),
    }


def _account_model() -> Any:
    from chalicelib.cases.model import Account

    return Account


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Apply rows, against bare batch_write_item on the same store.")
    parser.add_argument("--endpoint", required=True, help="where DynamoDB Local listens")
    parser.add_argument("--rows", type=int, default=5000, help="how many rows a round applies (5000)")
    parser.add_argument("--rounds", type=int, default=5, help="how many rounds of each (5)")
    parser.add_argument("--show-only", action="store_true", help="do not fail when the budget is missed")
    options = parser.parse_args(arguments)
    prepare_environment(options.endpoint)
    tenant = open_bench_tenant()
    try:
        # Rows that decide nothing are what the budget is about; the second line shows what decisions cost.
        results = [measure(tenant, options.rows, options.rounds, percent) for percent in (0, 10)]
    finally:
        delete_tables(tenant)
    for result in results:
        print(
            f"{result['overdue_percent']:>3} % overdue: {result['applied_rows_per_second']} rows/s applied, "
            f"{result['bare_rows_per_second']} rows/s bare, ratio {result['ratio']} {result['requests_per_chunk']}"
        )
    print(json.dumps({"benchmark": "apply", "budget": BUDGET, "ratio": results[0]["ratio"], "measured": results}))
    return 0 if options.show_only or results[0]["ratio"] >= BUDGET else 1


if __name__ == "__main__":
    sys.exit(main())
