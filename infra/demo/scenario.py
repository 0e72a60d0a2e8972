"""The scenes of the demonstration, in order. Each takes what the earlier ones made and returns what the later need."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from infra.demo import client, mailbox
from infra.demo.client import Client, wait_for
from infra.local import processes
from infra.local.stack import Stack
from infra.paths import ROOT, TENANTS

SAMPLES = TENANTS / "samples"
INSTITUTION = SAMPLES / "harbour-bank"
PRESET = "cn-core-banking-delimited"
RUN_ENDS = {"completed", "refused", "failed", "duplicate"}


@dataclass(frozen=True)
class Institution:
    """A tenant as its own people have it: its id, and a client with its API key."""

    tenant_id: str
    name: str
    api: Client


def generate_extracts(folder: Path, *, months: Sequence[str] = (), rows: int | None = None) -> dict[str, Any]:
    """Writes the monthly extracts and returns the manifest that says what is in them: all six months (or those
    named, as `2005-04`) and all customers (or the first `rows`)."""
    command = [sys.executable, str(SAMPLES / "generate.py"), "--out", str(folder)]
    command += ["--months", *months] if months else []
    command += [] if rows is None else ["--rows", str(rows)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Applicant:
    """Who signed up: the tenant's id, the claim token's client, and the page to subscribe on."""

    tenant_id: str
    name: str
    claim: Client
    checkout_url: str

    @property
    def path(self) -> str:
        """Where the sign-up is seen."""
        return f"/v1/signup/{self.tenant_id}"


def apply(here: Stack, *, name: str, email: str, plan: str = "growth") -> Applicant:
    """Fills in the sign-up and proves the mailbox with the code that was mailed to it."""
    details = tomllib.loads((INSTITUTION / "institution.toml").read_text(encoding="utf-8"))
    made = Client(here.url).post(
        "/v1/signup",
        {
            "organisation": name,
            "jurisdiction": details["jurisdiction"],
            "region": details["region"],
            "locale": details["locale"],
            "currency": "CNY",
            "email": email,
            "plan": plan,
        },
    )
    claim = Client(here.url, made["claim_token"])
    code = mailbox.code_for(here.aws_url, email)
    page = claim.post(f"/v1/signup/{made['tenant_id']}/verify", {"code": code})
    return Applicant(made["tenant_id"], name, claim, page["checkout_url"])


def subscribe(applicant: Applicant) -> Institution:
    """Pays on the checkout page, waits for provisioning and claims the API key."""
    client.pay(applicant.checkout_url)
    wait_for(
        f"provisioning of {applicant.name}",
        lambda: True if applicant.claim.get(applicant.path)["ready"] else None,
        seconds=180,
    )
    key = applicant.claim.post(f"{applicant.path}/claim")
    return Institution(applicant.tenant_id, applicant.name, Client(applicant.claim.base, key["api_key"]))


def sign_up(here: Stack, *, name: str, email: str) -> Institution:
    """From the form to the first API key."""
    return subscribe(apply(here, name=name, email=email))


def begin_receiving(institution: Institution, folder: Path) -> tuple[int, Path]:
    """Registers a webhook endpoint and starts a receiver for it; returns the receiver's pid and its file."""
    port, received = processes.free_port(), folder / "received.jsonl"
    endpoint = institution.api.post(
        "/v1/webhook-endpoints",
        {"url": f"http://127.0.0.1:{port}/duebridge", "description": "core banking", "event_types": ["*"]},
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.demo.receiver", "--port", str(port), "--out", str(received)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdin is not None
    process.stdin.write(endpoint["secret"] + "\n")
    process.stdin.close()
    processes.wait_until(lambda: processes.is_taken(port), "the receiver", received)
    return process.pid, received


def join_core_banking(institution: Institution) -> str:
    """Puts the institution's rules in force and makes the connector from the preset; returns its id."""
    for kind in ("triggers", "assignment"):
        document = tomllib.loads((INSTITUTION / f"{kind}.toml").read_text(encoding="utf-8"))
        institution.api.put(f"/v1/rules/{kind}", document)
    made = institution.api.post("/v1/connectors", {"name": "Core banking, monthly", "preset": PRESET})
    return made["id"]


def drop(institution: Institution, connector: str, file: Path) -> str:
    """Drops a file where the connector finds it; returns its name."""
    upload = institution.api.post(f"/v1/connectors/{connector}/uploads", {"file_name": file.name})
    client.put_file(upload, file)
    return file.name


def drop_and_run(institution: Institution, connector: str, file: Path) -> dict[str, Any]:
    """Drops a file, asks for a run, waits for its end and returns its report."""
    path = f"/v1/connectors/{connector}"
    before = {run["id"] for run in institution.api.pages(f"{path}/runs")}
    drop(institution, connector, file)
    institution.api.post(f"{path}/runs")

    def ended() -> dict[str, Any] | None:
        for run in institution.api.get(f"{path}/runs")["items"]:
            if run["id"] not in before and run["status"] in RUN_ENDS:
                return run
        return None

    run = wait_for(f"the run over {file.name}", ended, seconds=300, pause=0.5)
    return institution.api.get(f"{path}/runs/{run['id']}/report")


def quarantined(institution: Institution, connector: str, run_id: str) -> list[dict[str, Any]]:
    """Every quarantined row of a run, with its reasons."""
    return list(institution.api.pages(f"/v1/connectors/{connector}/quarantine?run={run_id}&limit=200"))


def repay(institution: Institution, connector: str, booked_on: str) -> dict[str, Any]:
    """Pushes one repayment that clears an open case, and returns the case as it is once it has closed."""
    page = institution.api.get("/v1/cases?status=open&limit=1")
    opened = institution.api.get(f"/v1/cases/{page['items'][0]['id']}")
    account = opened["accounts"][0]
    receipt = institution.api.post(
        f"/v1/connectors/{connector}/push",
        {
            "rows": [
                {
                    "kind": "repayment",
                    "account": account["key"],
                    "repayment_id": f"counter-{booked_on}-0001",
                    "amount": str(Decimal(account["overdue_amount"]).scaleb(-2)),
                    "currency": account["currency"],
                    "booked_on": booked_on,
                }
            ]
        },
        {"Idempotency-Key": f"repayment-{booked_on}-0001"},
    )
    pushed = f"/v1/connectors/{connector}/push/{receipt['receipt']}"
    applied = wait_for("the pushed repayment", lambda: _unless_accepted(institution.api.get(pushed)), seconds=60)
    if applied["status"] != "applied":
        raise client.TookTooLong(f"the repayment was {applied['status']}: {applied['rows']}")

    def closed() -> dict[str, Any] | None:
        case = institution.api.get(f"/v1/cases/{opened['id']}")
        return case if case["status"] == "closed" else None

    return wait_for("the case's closing", closed, seconds=60)


def _unless_accepted(receipt: dict[str, Any]) -> dict[str, Any] | None:
    return None if receipt["status"] == "accepted" else receipt


def events_of_the_beginning(institution: Institution) -> dict[str, str]:
    """What the institution was told before it could have a receiver: that its trial began, or that it is paid for."""
    return wait_for("the first event", lambda: created_events(institution) or None, seconds=60)


def created_events(institution: Institution) -> dict[str, str]:
    """Every event of the tenant, id to type, by polling the feed to its end."""
    events: dict[str, str] = {}
    after = ""
    while True:
        page = institution.api.get(f"/v1/events?limit=200{'&after=' + after if after else ''}")
        events |= {event["id"]: event["type"] for event in page["items"]}
        if not page["has_more"]:
            return events
        after = page["cursor"]


@dataclass(frozen=True)
class Received:
    """What the receiver noted: verified ids, refused messages, and cases whose sequence has a gap."""

    verified: frozenset[str]
    refused: int
    gaps: int

    @classmethod
    def read(cls, file: Path) -> Received:
        """From the receiver's file."""
        notes = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []
        good = [note for note in notes if note["verified"]]
        sequences: dict[str, set[int]] = {}
        for note in good:
            if note.get("sequence"):
                sequences.setdefault(note["case_id"], set()).add(note["sequence"])
        gaps = sum(1 for seen in sequences.values() if seen != set(range(1, len(seen) + 1)))
        return cls(frozenset(note["id"] for note in good), len(notes) - len(good), gaps)


def _say_nothing(_: int) -> None:
    """For those who wait in silence."""


def wait_for_deliveries(
    file: Path, events: dict[str, str], *, seconds: float, tell: Callable[[int], None] = _say_nothing
) -> Received:
    """Waits until the receiver has every event, or nothing more comes for a while; tells how many it has."""
    last, still = -1, 0

    def all_here() -> Received | None:
        nonlocal last, still
        received = Received.read(file)
        still = still + 1 if len(received.verified) == last else 0
        last = len(received.verified)
        tell(last)
        return received if not (events.keys() - received.verified) or still > 60 else None

    return wait_for("delivery of every event", all_here, seconds=seconds, pause=1)


def by_type(events: dict[str, str]) -> Counter[str]:
    """How many events there are of each type."""
    return Counter(events.values())
