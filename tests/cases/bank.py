"""A small bank for tests of cases: rows as a connector would make them, and what the tenant's tables then hold."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

import boto3

from chalicelib.cases import Row, Source
from chalicelib.platform.ids import new_id
from chalicelib.platform.settings import settings
from chalicelib.platform.tenant import Tenant

ON = date(2005, 9, 30)


class Bank:
    """One connector's accounts. Ids of runs grow, as ULIDs do."""

    def __init__(self, on: date = ON) -> None:
        self.connector_id = new_id("con")
        self.on = on

    def source(self, chunk: int = 0, *, run: int = 1, on: date | None = None) -> Source:
        """The source of a chunk of the bank's `run`-th run."""
        return Source(self.connector_id, f"run_{self.connector_id[4:26]}{run:04d}", chunk, on or self.on)

    def row(
        self,
        account: str,
        overdue: int = 0,
        days: int = 0,
        *,
        borrower: str | None = None,
        before: int | None = None,
        op: str = "changed",
        on: date | None = None,
        currency: str = "TWD",
        **person: str,
    ) -> Row:
        """A row of an account that is `days` late with `overdue`; the borrower is the account's own if not given."""
        due = (on or self.on) - timedelta(days) if overdue else None
        who = borrower or f"of {account}"
        return Row.model_validate(
            {
                "op": op,
                "line": 1,
                "account": {
                    "key": account,
                    "number": f"62{account}",
                    "product": "CC-STD",
                    "branch": "1001",
                    "currency": currency,
                    "credit_limit": 200_000,
                    "balance": 100_000,
                    "overdue_amount": overdue,
                    "last_paid_amount": 0,
                    "oldest_due_date": due,
                },
                "borrower": {"key": who, "name": f"Name {who}", "phone": "0912 345 678", **person},
                "borrower_changed": op == "new",
                "before": None if op == "new" else {"overdue_amount": before or 0, "oldest_due_date": None},
            }
        )


def items(tenant: Tenant, kind: str) -> list[dict[str, Any]]:
    """Everything in one of the tenant's tables, raw."""
    table = settings().tenant_table(tenant.id, kind)
    pages = boto3.client("dynamodb").get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    return [item for page in pages for item in page["Items"]]


def events(tenant: Tenant) -> dict[str, list[dict[str, Any]]]:
    """The events of each case (and of none, under ""), in order of their sequence, as {"type", **data}."""
    by_case: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for item in items(tenant, "feed"):
        if item["sk"]["S"] == "event":
            data = json.loads(item["data"]["S"])
            by_case[data.get("case_id", "")].append({"type": item["type"]["S"], **data})
    return {case: sorted(found, key=lambda e: e.get("sequence", 0)) for case, found in by_case.items()}


def cases(tenant: Tenant) -> list[dict[str, Any]]:
    """The stored cases, raw."""
    return [item for item in items(tenant, "cases") if item["sk"]["S"] == "case"]


def summary(tenant: Tenant) -> dict[str, Any]:
    """What must be the same however often the work was interrupted: no ids that are fresh, no times."""
    told = events(tenant)
    stored = items(tenant, "cases")
    return {
        "accounts": sorted(_plain(i, without={"sealed"}) for i in stored if i["sk"]["S"] == "account"),
        "borrowers": sorted(_plain(i, without={"sealed"}) for i in stored if i["sk"]["S"] == "borrower"),
        "cases": sorted(
            (
                i["borrower_id"]["S"],
                i["status"]["S"],
                int(i["overdue_amount"]["N"]),
                int(i["days_past_due"]["N"]),
                int(i["sequence"]["N"]),
                [(e["type"], e["sequence"]) for e in told[i["pk"]["S"]]],
            )
            for i in stored
            if i["sk"]["S"] == "case"
        ),
        "load": sum(int(i["open_cases"]["N"]) for i in stored if i["pk"]["S"] == "workload"),
        "leaves": sorted(leaf["action"]["S"] for leaf in items(tenant, "ledger")),
    }


def assert_sound(tenant: Tenant) -> None:
    """What holds at any time: every case tells its events without a gap, and loads are the open cases by collector."""
    told = events(tenant)
    stored = items(tenant, "cases")
    open_cases: dict[str, int] = defaultdict(int)
    for item in stored:
        if item["sk"]["S"] == "case":
            sequences = [e["sequence"] for e in told[item["pk"]["S"]]]
            assert sequences == list(range(1, int(item["sequence"]["N"]) + 1))
            open_cases[item["assignee"]["S"]] += item["status"]["S"] == "open"
    loads = {i["sk"]["S"]: int(i["open_cases"]["N"]) for i in stored if i["pk"]["S"] == "workload"}
    assert {c: n for c, n in loads.items() if n} == {c: n for c, n in open_cases.items() if n}


def _plain(item: dict[str, Any], *, without: Iterable[str]) -> str:
    return json.dumps({name: value for name, value in item.items() if name not in set(without)}, sort_keys=True)
