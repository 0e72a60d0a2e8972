"""What the operator of a stack does and sees behind the API: moves Stripe's time, and has the hour's work done at once.

Time is moved as in Stripe's own test mode: each customer lives on a test clock, which the official SDK advances.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.parse
import urllib.request
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import boto3
import stripe

from chalicelib.billing.plans import METER_EVENT
from chalicelib.billing.stripe_client import make_client
from infra.demo import isolation
from infra.demo.client import TookTooLong, wait_for
from infra.demo.scenario import Institution
from infra.local.stack import STAGE, Stack, environment
from infra.paths import ROOT

PREFIX = f"duebridge-{STAGE}"


@dataclass(frozen=True)
class Operator:
    """The operator of one local stack, with its keys to AWS and to Stripe."""

    here: Stack
    payments: stripe.StripeClient

    @classmethod
    def of(cls, here: Stack) -> Operator:
        """The operator, with the key that the stack's Stripe was begun with."""
        keys = json.loads((here.folder / "stripe-keys.json").read_text(encoding="utf-8"))
        return cls(here, make_client(keys["api_key"], here.stripe_url))

    def record(self, tenant_id: str) -> dict[str, Any]:
        """The tenant's entry in the registry, as DynamoDB writes it."""
        key = {"pk": {"S": tenant_id}, "sk": {"S": "tenant"}}
        return self.aws("dynamodb").get_item(TableName=f"{PREFIX}-tenants", Key=key, ConsistentRead=True)["Item"]

    def aws(self, service: str) -> Any:
        """A client of the stack's AWS."""
        with environment(self.here):
            return boto3.client(service)

    def advance(self, tenant_id: str, **time: float) -> datetime:
        """Moves the tenant's billing time forward (`days`, `hours`) and waits until Stripe has done what fell due."""
        clock_id = self.record(tenant_id)["test_clock_id"]["S"]
        clocks = self.payments.v1.test_helpers.test_clocks
        target = clocks.retrieve(clock_id).frozen_time + int(timedelta(**time).total_seconds())
        clocks.advance(clock_id, {"frozen_time": target})
        wait_for("Stripe's clock", lambda: True if clocks.retrieve(clock_id).status == "ready" else None)
        return datetime.fromtimestamp(target)

    def do_the_hours_work(self, tenant_id: str) -> None:
        """Asks for what the hourly schedule asks for, for one tenant, now."""
        queue = self.aws("sqs")
        url = queue.get_queue_url(QueueName=f"{PREFIX}-billing")["QueueUrl"]
        message = {"tenant_id": tenant_id, "action": "hour"}
        queue.send_message(QueueUrl=url, MessageBody=json.dumps(message), MessageGroupId=tenant_id)

    def let_card_be_declined(self, tenant_id: str) -> None:
        """From now on the card of the tenant's customer is refused."""
        customer = self.record(tenant_id)["customer_id"]["S"]
        body = json.dumps({"declines": True}).encode()
        url = f"{self.here.stripe_url}/_local/customers/{customer}/card"
        with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=20) as answer:  # noqa: S310
            answer.read()

    def counted(self, tenant_id: str) -> dict[str, int]:
        """Case-hours beyond the included ones by hour, as Duebridge counted them."""
        pages = (
            self.aws("dynamodb")
            .get_paginator("query")
            .paginate(
                TableName=f"{PREFIX}-billing-events",
                KeyConditionExpression="pk = :tenant AND begins_with(sk, :usage)",
                ExpressionAttributeValues={":tenant": {"S": tenant_id}, ":usage": {"S": "usage#"}},
            )
        )
        return {item["sk"]["S"]: int(item["case_hours"]["N"]) for page in pages for item in page["Items"]}

    def reported(self, customer: str) -> int:
        """Case-hours that Stripe's meter has of the customer, in all time."""
        meters = self.payments.v1.billing.meters
        (meter,) = [each for each in meters.list({"status": "active"}).data if each.event_name == METER_EVENT]
        span = {"customer": customer, "start_time": 1_700_000_000 // 60 * 60, "end_time": 2_000_000_000 // 60 * 60}
        summaries = meters.event_summaries.list(meter.id, span)  # pyright: ignore[reportArgumentType]
        return int(sum(each.aggregated_value for each in summaries.auto_paging_iter()))

    def invoices(self, customer: str) -> list[stripe.Invoice]:
        """The customer's invoices, newest first."""
        return list(self.payments.v1.invoices.list({"customer": customer, "limit": 100}).auto_paging_iter())


def pay_in_portal(url: str) -> int:
    """Replaces the card by one that works and pays what is open, on the portal's page; returns how many invoices."""
    _post(url, {"action": "card", "card": "accepted"})
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310
        page = answer.read().decode()
    due = list(dict.fromkeys(re.findall(r'name="invoice" value="(in_\w+)"', page)))
    for invoice in due:
        _post(url, {"action": "pay", "invoice": invoice})
    return len(due)


def _post(url: str, form: dict[str, str]) -> None:
    request = urllib.request.Request(url, data=urllib.parse.urlencode(form).encode())  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        answer.read()


def residue(here: Stack, tenant_id: str) -> list[tuple[int, str]]:
    """What is left of a tenant, place by place, as `python -m infra.residue` finds it with the operator's rights."""
    finished = subprocess.run(
        [sys.executable, "-m", "infra.residue", tenant_id, "--stage", STAGE],
        cwd=ROOT,
        env={**os.environ, **here.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line.split(maxsplit=1) for line in finished.stdout.splitlines()]
    if not lines:
        raise TookTooLong(f"infra.residue told nothing: {finished.stderr[-500:]}")
    return [(int(found), where) for found, where in lines]


def try_to_reach(here: Stack, intruder: Institution, victim: Institution) -> list[isolation.Attempt]:
    """Tries one tenant's credentials on another tenant, as a deployed function would: its role's credentials, its
    settings, the product's own way to open a tenant."""
    with environment(here):
        function = boto3.client("lambda").get_function_configuration(FunctionName=f"{PREFIX}-api_handler")
        os.environ.update(function["Environment"]["Variables"])
        role = boto3.client("sts").assume_role(RoleArn=function["Role"], RoleSessionName="demonstration")["Credentials"]
        os.environ.update(
            AWS_ACCESS_KEY_ID=role["AccessKeyId"],
            AWS_SECRET_ACCESS_KEY=role["SecretAccessKey"],
            AWS_SESSION_TOKEN=role["SessionToken"],
        )
        boto3.setup_default_session()  # the one in use still has the root's credentials
        try:
            from chalicelib.tenancy import open_tenant  # reads the settings that were just put in place

            return isolation.try_to_reach(open_tenant(intruder.tenant_id), open_tenant(victim.tenant_id))
        finally:
            del os.environ["AWS_SESSION_TOKEN"]
            boto3.setup_default_session()
