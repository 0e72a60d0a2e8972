"""What the demonstration found out, held against counts that nobody in the product made."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from decimal import Decimal
from types import ModuleType
from typing import Any

from infra.paths import TENANTS


@dataclass
class Findings:
    """Everything that did not agree, in sentences. Empty means that the demonstration held."""

    wrong: list[str] = field(default_factory=list[str])

    def same(self, what: str, found: object, wanted: object) -> None:
        """Notes a disagreement between what Duebridge says and what an independent source says."""
        if found != wanted:
            self.wrong.append(f"{what}: {found}, and it should be {wanted}")

    def none_of(self, what: str, found: int) -> None:
        """Notes that something which must not exist does."""
        if found:
            self.wrong.append(f"{what}: {found}, and there should be none")


def expected_counts(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Per month: accounts, cases opened, closed and open, counted by DuckDB straight from the source data."""
    return _module("expected").count_cases(manifest)


def check_report(findings: Findings, month: dict[str, Any], report: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """A run's report against the file's manifest, its trailer, and itself."""
    name = month["name"]
    counts = report["counts"]
    findings.same(f"{name} status", report["status"], "completed")
    findings.same(f"{name} rows read", counts["read"], month["rows"])
    findings.same(f"{name} quarantined lines", sorted(row["line"] for row in rows), _lines(month["quarantined"]))
    findings.none_of(f"{name} quarantined rows without a reason", sum(1 for row in rows if not row["reasons"]))
    findings.same(
        f"{name} rows accounted for",
        counts["new"] + counts["changed"] + counts["unchanged"] + counts["quarantined"],
        counts["read"],
    )
    findings.same(f"{name} trailer total", Decimal(report["trailer"]["total"]), Decimal(month["total"]))
    findings.same(f"{name} reconciled", report["reconciled"], True)


def check_cases(findings: Findings, month: dict[str, Any], wanted: dict[str, Any], applied: dict[str, Any]) -> None:
    """Cases opened and closed by a run against the independent count."""
    findings.same(f"{month['name']} cases opened", applied["cases_opened"], wanted["opened"])
    findings.same(f"{month['name']} cases closed", applied["cases_closed"], wanted["closed"])


def _lines(quarantined: list[dict[str, Any]]) -> list[int]:
    return sorted(row["line"] for row in quarantined)


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, TENANTS / "samples" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
