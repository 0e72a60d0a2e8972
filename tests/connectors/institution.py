"""An institution for tests: it writes core-banking files, drops them, and plays the queues' Lambda triggers."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from chalicelib.connectors.advance import advance
from chalicelib.connectors.apply import apply_chunk
from chalicelib.connectors.connectors import create_connector, find_connector, mapping_of
from chalicelib.connectors.drop import upload
from chalicelib.connectors.model import Run
from chalicelib.connectors.push import apply_push
from chalicelib.connectors.runs import list_runs, request_run
from chalicelib.platform import aws
from chalicelib.platform.tenant import Tenant

PRESET = "cn-core-banking-delimited"
HEADINGS = (
    "账号||客户号||客户姓名||证件号码||手机号码||联系地址||产品代码||机构号||币种||"
    "授信额度||当前余额||逾期金额||最早逾期日||上期还款额"
)


@dataclass(frozen=True)
class Loan:
    """A line of the file. Amounts are as they are written there."""

    number: int
    balance: str = "5000"
    overdue: str = "0"
    due: str = ""
    phone: str = "13800000000"

    @property
    def key(self) -> str:
        return f"62{self.number:014d}"

    @property
    def line(self) -> str:
        return "||".join(
            (
                self.key,
                f"C{self.number:08d}",
                "张伟",
                "110101198001010017",
                self.phone,
                "北京市朝阳区一号",
                "CC-STD",
                "0101",
                "CNY",
                "20000",
                self.balance,
                self.overdue,
                self.due,
                "0",
            )
        )


def late(number: int, overdue: str = "1000", due: str = "20050301", **changes: Any) -> Loan:
    """A loan far beyond any trigger."""
    return Loan(number, overdue=overdue, due=due, **changes)


def extract(loans: Iterable[Loan], *, count: int | None = None, encoding: str = "gb18030") -> bytes:
    """The file's bytes, with a trailer that agrees unless `count` says otherwise."""
    lines = list(loans)
    total = sum(int(loan.balance) for loan in lines if loan.balance.lstrip("-").isdigit())
    trailer = f"TRL||{len(lines) if count is None else count}||{total}"
    return "\n".join([HEADINGS, *(loan.line for loan in lines), trailer, ""]).encode(encoding)


def file_name(day: str) -> str:
    return f"CORE_LOAN_{day}.txt"


@dataclass
class Institution:
    """A tenant with one connector; `clock` moves a second with every message that is worked on."""

    tenant: Tenant
    clock: datetime
    connector_id: str = field(init=False)

    def __post_init__(self) -> None:
        self.connector_id = create_connector(self.tenant, "core banking", PRESET, now=self.clock).sk

    def drop(self, day: str, content: bytes, name: str | None = None) -> None:
        """Puts a file where it waits, the way a customer does."""
        mapping = mapping_of(find_connector(self.tenant, self.connector_id))
        place = upload(self.tenant, self.connector_id, mapping, name or file_name(day), now=self.clock)
        request = urllib.request.Request(place.url, data=content, method="PUT", headers=place.headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200

    def run(self) -> Run:
        """Asks for a run, works until the queues are empty, and returns the newest run."""
        request_run(self.tenant, self.connector_id)
        self.work()
        return self.runs()[0]

    def deliver(self, day: str, loans: Iterable[Loan]) -> Run:
        self.drop(day, extract(loans))
        return self.run()

    def runs(self) -> list[Run]:
        return list_runs(self.tenant, self.connector_id, limit=100, cursor=None)[0]

    def work(self) -> None:
        """Works on every message of this tenant, as the functions would, until none is left."""
        while messages := [*self.messages("sync"), *self.messages("sync-chunks")]:
            for message, done in messages:
                self.handle(message)
                done()

    def handle(self, message: dict[str, Any]) -> None:
        self.clock += timedelta(seconds=1)
        if "push" in message:
            apply_push(self.tenant, message["connector_id"], message["push"], now=self.clock)
        elif "chunk" in message:
            apply_chunk(
                self.tenant,
                message["connector_id"],
                message["run_id"],
                message["chunk"],
                message["sha256"],
                now=self.clock,
            )
        else:
            advance(self.tenant, message["connector_id"], now=self.clock)

    def messages(self, queue: str) -> Iterator[tuple[dict[str, Any], Callable[[], None]]]:
        """The tenant's messages that wait in a real queue, each with what says that it is done with."""
        sqs, url = aws.client("sqs"), aws.queue_url(queue)
        while received := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for each in received:
                message, handle = json.loads(each["Body"]), each["ReceiptHandle"]

                def done(handle: str = handle) -> None:
                    sqs.delete_message(QueueUrl=url, ReceiptHandle=handle)

                if message["tenant_id"] == self.tenant.id:
                    yield message, done
                else:
                    done()  # left behind by another test's tenant
