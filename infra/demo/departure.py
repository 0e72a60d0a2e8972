"""The last scenes of `make demo-lifecycle`: an institution cancels, takes everything along, and is erased."""

from __future__ import annotations

import hashlib
import json
import urllib.request
from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from rich.console import Console

from infra import verify_export
from infra.demo import operator
from infra.demo.client import Client, Refused, wait_for
from infra.demo.scenario import Institution

if TYPE_CHECKING:
    from infra.demo.lifecycle import Life

console = Console(width=118)


@dataclass(frozen=True)
class Departed:
    """What is to be said of an institution that is gone."""

    invoices: int
    counted: int
    reported: int
    exported_files: int
    export_verified: bool
    residue: list[str]


def leave(life: Life, bank: Institution, scratch: Path) -> Departed:
    """From the cancellation to the certificate, each promise tried on the way."""
    customer = life.operator.record(bank.tenant_id)["customer_id"]["S"]

    _scene("It cancels, thinks better of it, and cancels again: the tenant closes with the period")
    bank.api.post("/v1/billing/cancellation")
    bank.api.call("DELETE", "/v1/billing/cancellation")
    life.findings.same("cancellation undone", bank.api.get("/v1/billing/subscription")["cancel_at"], None)
    ends = bank.api.post("/v1/billing/cancellation")["cancel_at"]
    console.print(f"  the subscription ends {ends}")
    life.work(bank, days=31)
    life.reached(bank, "closing")

    _scene("It takes everything along: JSON Lines, Parquet, a manifest with digests, the ledger with proofs")
    files, verified = _export(life, bank, scratch / "export")
    left = bank.api.post("/v1/tenant/leave", {"confirm": bank.name})
    counted, reported = _meters(life, bank, customer)
    invoices = life.operator.invoices(customer)
    for invoice in reversed(invoices):
        console.print(
            f"  invoice {invoice.number}: {invoice.amount_due / 100:,.2f} {invoice.currency}, {invoice.status}"
        )

    _scene("A legal hold stops the erasure, for as long as it is in force")
    bank.api.put("/v1/tenant/legal-hold", {"reason": "Court order 2026-117, filed with the legal department"})
    life.work(bank, days=31)
    life.findings.same("state under a hold", _settled_state(life, bank), "closing")
    bank.api.call("DELETE", "/v1/tenant/legal-hold")

    _scene("The hold ends, and everything is erased")
    life.work(bank)
    certificate = wait_for(
        "the certificate of erasure", lambda: _certificate(life, bank, left["certificate_token"]), seconds=240
    )
    life.note("erased")
    life.findings.same("the certificate's signature", _signature_holds(certificate), True)
    life.mailed("数据删除证明")
    for step in certificate["document"]["erased"]:
        console.print(f"  {step['found']:>8,}  {step['place']} erased at {step['finished_at']}")
    console.print("  what is left, place by place:")
    residue = _residue(life, bank)
    life.findings.same("residue", residue, [])
    life.wait_for_the_gate()
    try:
        bank.api.get("/v1/tenant")
        life.findings.wrong.append("the API key of an erased tenant still works")
    except Refused as refused:
        # The authorizer's answers are kept for a minute: until then the key is known and its tenant is gone.
        life.findings.same("the erased tenant's key", refused.status in (401, 403, 404, 410), True)
    return Departed(len(invoices), counted, reported, files, verified, residue)


def _export(life: Life, bank: Institution, folder: Path) -> tuple[int, bool]:
    """Makes an export, fetches it, and checks it off line."""
    path = f"/v1/exports/{bank.api.post('/v1/exports')['id']}"
    made = wait_for(
        "the export", lambda: found if (found := bank.api.get(path))["state"] == "completed" else None, seconds=240
    )
    folder.mkdir()
    files = _files(bank, path)
    for file in [made["manifest"], *files]:
        with urllib.request.urlopen(file["url"], timeout=60) as answer:  # noqa: S310 - a link of the stack's own
            content = answer.read()
        (folder / file["name"]).write_bytes(content)
        life.findings.same(f"digest of {file['name']}", hashlib.sha256(content).hexdigest(), file["sha256"])
    verified = verify_export.verify(folder)
    for difference in verified.differences:
        life.findings.wrong.append(f"export: {difference}")
    for kind in verified.kinds:
        console.print(f"  {kind.rows:>8,}  {kind.kind}")
    return len(files), not verified.differences


def _files(bank: Institution, path: str) -> list[dict[str, Any]]:
    """Every file of an export with its link, page by page."""
    page = bank.api.get(f"{path}?limit=200")
    files: list[dict[str, Any]] = page["files"]
    while page["cursor"]:
        page = bank.api.get(f"{path}?limit=200&cursor={page['cursor']}")
        files += page["files"]
    return files


def _meters(life: Life, bank: Institution, customer: str) -> tuple[int, int]:
    """Case-hours beyond the included ones: as Duebridge counted them, and as Stripe's meter has them."""
    counted = sum(life.operator.counted(bank.tenant_id).values())
    reported = life.operator.reported(customer)
    life.findings.same("case-hours reported to Stripe", reported, counted)
    if not counted:
        life.findings.wrong.append("no usage was metered: the demonstration shows nothing of it")
    console.print(f"  {counted:,} case-hours beyond the included ones counted, {reported:,} on Stripe's meter")
    return counted, reported


def _settled_state(life: Life, bank: Institution) -> str:
    """The state once the hour's work that was asked for is done: the queue of billing is empty."""
    queue = life.operator.aws("sqs")
    url = queue.get_queue_url(QueueName=f"{operator.PREFIX}-billing")["QueueUrl"]
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]

    def empty() -> bool | None:
        there = queue.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return True if not sum(int(there[name]) for name in names) else None

    wait_for("the hour's work", empty, seconds=60)
    return bank.api.get("/v1/tenant")["state"]


def _certificate(life: Life, bank: Institution, token: str) -> dict[str, Any] | None:
    try:
        return Client(life.here.url, token).get(f"/v1/certificates/{bank.tenant_id}")
    except Refused as refused:
        if refused.status == 409:
            return None
        raise


def _signature_holds(certificate: dict[str, Any]) -> bool:
    """Checks the certificate as whoever gets it would: over the canonical bytes, with the key that came along."""
    text = json.dumps(certificate["document"], ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    key = load_pem_public_key(certificate["public_key"].encode())
    assert isinstance(key, EllipticCurvePublicKey)
    try:
        key.verify(b64decode(certificate["signature"]), text, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return hashlib.sha256(text).hexdigest() == certificate["digest"]


def _residue(life: Life, bank: Institution) -> list[str]:
    """Looks in every place, and says what was found."""
    places = operator.residue(life.here, bank.tenant_id)
    for found, where in places:
        console.print(f"  {found:>8}  {where}")
    return [f"{where}: {found}" for found, where in places if found]


def _scene(title: str) -> None:
    console.print(f"\n[bold]{title}[/]")
