"""A worker of an export killed after any of its requests: another one goes on, and the export is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chalicelib.cases import apply_rows
from chalicelib.leaving import export, exports
from chalicelib.platform.clock import utc_now
from chalicelib.platform.tenant import Tenant
from infra.verify_export import verify
from tests.cases.bank import Bank
from tests.faults.saboteur import Killed, Saboteur
from tests.leaving.exporting import fetch, messages, stored, told


def work(tenant: Tenant, saboteur: Saboteur, monkeypatch: pytest.MonkeyPatch) -> None:
    """Works on the queue until it is empty. A killed worker's message comes back, as SQS gives it back."""
    pending = list(messages(tenant))
    while pending:
        message, done = pending.pop(0)
        try:
            with saboteur.lurking(monkeypatch):
                export.continue_export(tenant.id, message["export_id"])
            done()
        except Killed:
            pending.insert(0, (message, done))
        pending += messages(tenant)


def exported(tenant: Tenant, saboteur: Saboteur, monkeypatch: pytest.MonkeyPatch, folder: Path) -> dict[str, Any]:
    """What does not depend on time of an export that was made under sabotage, and that verifies."""
    record = exports.begin_export(tenant.id, requested_by="usr_TEST", now=utc_now())
    work(tenant, saboteur, monkeypatch)
    folder.mkdir()
    manifest = fetch(tenant, exports.find_export(tenant.id, record.id, now=utc_now()), folder)
    assert verify(folder).differences == []
    return {name: manifest[name] for name in ("counts", "columns", "files", "ledger")}


def test_killed_after_any_request_and_gone_on_with_it_is_the_same_export(tenant, now, tmp_path, monkeypatch):
    bank = Bank()
    apply_rows(tenant, [bank.row("A", 5_000, 40), bank.row("B", op="new")], bank.source(), now=now)
    monkeypatch.setattr(export, "WORK_SECONDS", 0.0)
    monkeypatch.setattr(export, "PAGE_ITEMS", 9)
    monkeypatch.setattr(export, "PART_BYTES", 1_500)

    saboteur = Saboteur(None)
    unbroken = exported(tenant, saboteur, monkeypatch, tmp_path / "unbroken")
    assert told(tmp_path / "unbroken") == stored(tenant)
    for at in range(1, saboteur.requests + 1):
        killed = exported(tenant, Saboteur(at), monkeypatch, tmp_path / f"killed-{at}")
        assert killed == unbroken, f"killed after request {at}"
