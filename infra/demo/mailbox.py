"""The mail that the local stack sent, as those who got it would see it."""

from __future__ import annotations

import json
import re
import urllib.request
from dataclasses import dataclass
from typing import Any

from infra.demo.client import wait_for

_CODE = re.compile(r"\b(\d{6})\b")


@dataclass(frozen=True)
class Received:
    """One mail: its subject and its text."""

    subject: str
    text: str


def mails_to(aws_url: str, address: str) -> list[Received]:
    """The mails to an address, oldest first, as MiniStack kept them."""
    with urllib.request.urlopen(f"{aws_url}/_ministack/ses/messages", timeout=20) as answer:  # noqa: S310
        sent: dict[str, list[dict[str, Any]]] = json.load(answer)["messages"]
    return [
        Received(each["Subject"], each.get("BodyText") or json.dumps(each, ensure_ascii=False))
        for kept in sent.values()
        for each in kept
        if address in each["To"]
    ]


def codes_for(aws_url: str, address: str) -> list[str]:
    """The verification codes that were mailed to an address, oldest first."""
    return [found[1] for mail in mails_to(aws_url, address) if (found := _CODE.search(mail.subject))]


def code_for(aws_url: str, address: str) -> str:
    """The newest verification code that was mailed to an address; waits for the first one."""

    def newest() -> str | None:
        return (codes_for(aws_url, address) or [None])[-1]

    return wait_for(f"a code in the mailbox of {address}", newest, seconds=30)
