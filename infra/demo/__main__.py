"""`make demo`: plays the scenes on the running local stack, checks what came of them, and ends with one JSON line.

Exit code 0 means that nothing was lost, doubled, forged or reachable by another tenant.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from infra.demo import isolation, operator, scenario
from infra.demo.client import Refused, TookTooLong
from infra.demo.findings import Findings, check_cases, check_report, expected_counts
from infra.demo.scenario import Institution
from infra.local import processes, stack

console = Console(width=118)


def main() -> int:
    """Plays the demonstration; the last line printed is its summary."""
    began = time.monotonic()
    here = stack.default_stack()
    with tempfile.TemporaryDirectory() as scratch:
        try:
            summary, findings = _play(here, Path(scratch))
        except (Refused, TookTooLong, processes.NotStarted) as error:
            console.print(f"[bold red]the demonstration stopped: {error}[/]")
            return 1
    for sentence in findings.wrong:
        console.print(f"[bold red]✗ {sentence}[/]")
    if not findings.wrong:
        console.print("[bold green]✓ every count agrees with the trailers and with DuckDB over the source data[/]")
    print(json.dumps({**summary, "seconds": round(time.monotonic() - began, 1)}))
    return 1 if findings.wrong else 0


def _play(here: stack.Stack, scratch: Path) -> tuple[dict[str, Any], Findings]:
    findings = Findings()
    _scene("Harbour Bank and Meridian Credit sign up, pay, and get tables and keys of their own")
    bank = scenario.sign_up(here, name="Harbour Bank", email=_fresh_email("harbour-bank"))
    rival = scenario.sign_up(here, name="Meridian Credit", email=_fresh_email("meridian-credit"))
    console.print(f"  {bank.name}: tenant {bank.tenant_id}\n  {rival.name}: tenant {rival.tenant_id}")

    _scene("Harbour Bank's core system exports six months, and a receiver waits for webhooks")
    manifest = scenario.generate_extracts(scratch)
    beginning = scenario.events_of_the_beginning(bank)
    pid, received_file = scenario.begin_receiving(bank, scratch)
    try:
        connector = scenario.join_core_banking(bank)
        reports = _run_months(bank, connector, manifest, scratch, findings)

        _scene("A repayment is booked now, and pushed")
        case = scenario.repay(bank, connector, "2005-10-03")
        console.print(f"  case {case['id']} closed: {case['close_reason']}")

        _scene("Every event reaches the bank's receiver, verified by the public package")
        events = {id: kind for id, kind in scenario.created_events(bank).items() if id not in beginning}
        with console.status("waiting for deliveries") as status:
            received = scenario.wait_for_deliveries(
                received_file,
                events,
                seconds=300,
                tell=lambda here: status.update(f"{here:,} of {len(events):,} events received"),
            )
    finally:
        processes.end_group(pid)
    _show_events(scenario.by_type(events))
    missing = events.keys() - received.verified
    findings.none_of("events missing at the receiver", len(missing))
    findings.none_of("signatures that did not verify", received.refused)
    findings.none_of("cases whose event sequence has a gap", received.gaps)

    _scene("Meridian Credit's credentials are tried on all that is Harbour Bank's, and on what tenants share")
    attempts = operator.try_to_reach(here, rival, bank)
    denied = sum(attempt.denied for attempt in attempts)
    _show_attempts(attempts)
    findings.same("cross-tenant attempts denied", denied, len(attempts))

    opened, closed, still_open = _tally(reports, findings, manifest, bank)
    return {
        "tenant": bank.tenant_id,
        "rows_read": sum(r["counts"]["read"] for r in reports),
        "rows_quarantined": sum(r["counts"]["quarantined"] for r in reports),
        "accounts": sum(r["counts"]["new"] - r["counts"]["removed"] for r in reports),
        "cases_opened": opened,
        "cases_closed": closed,
        "cases_open": still_open,
        "events_created": len(events),
        "events_delivered": len(events.keys() & received.verified),
        "signatures_verified": len(received.verified),
        "events_missing": len(missing),
        "cross_tenant_attempts": len(attempts),
        "cross_tenant_denied": denied,
    }, findings


def _run_months(
    bank: Institution, connector: str, manifest: dict[str, Any], folder: Path, findings: Findings
) -> list[dict[str, Any]]:
    reports: list[dict[str, Any]] = []
    for month, wanted in zip(manifest["files"], expected_counts(manifest), strict=True):
        _scene(f"{month['name']} is dropped: {month['rows']:,} rows")
        began = time.monotonic()
        report = scenario.drop_and_run(bank, connector, folder / month["name"])
        rows = scenario.quarantined(bank, connector, report["id"])
        _show_report(report, rows, time.monotonic() - began)
        check_report(findings, month, report, rows)
        check_cases(findings, month, wanted, report["applied"])
        reports.append(report)
    return reports


def _tally(
    reports: list[dict[str, Any]], findings: Findings, manifest: dict[str, Any], bank: Institution
) -> tuple[int, int, int]:
    """Cases opened, closed and open in all; the pushed repayment closed one more than the files did."""
    wanted = expected_counts(manifest)[-1]
    opened = sum(r["applied"]["cases_opened"] for r in reports)
    closed = sum(r["applied"]["cases_closed"] for r in reports) + 1
    still_open = sum(1 for _ in bank.api.pages("/v1/cases?status=open&limit=200"))
    findings.same("open cases in the store", still_open, wanted["open"] - 1)
    findings.same("opened less closed", opened - closed, still_open)
    known = sum(r["counts"]["new"] - r["counts"]["removed"] for r in reports)
    findings.same("accounts", known, wanted["accounts"])
    return opened, closed, still_open


def _fresh_email(name: str) -> str:
    """An address nobody has signed up with, so that the demonstration can be played again on the same stack."""
    return f"owner+{int(time.time())}@{name}.example"


def _scene(title: str) -> None:
    console.print(f"\n[bold]{title}[/]")


def _show_report(report: dict[str, Any], rows: list[dict[str, Any]], seconds: float) -> None:
    counts, applied = report["counts"], report["applied"]
    table = Table(box=None, pad_edge=True)
    for heading in ("read", "new", "changed", "unchanged", "removed", "quarantined"):
        table.add_column(heading, justify="right")
    for heading in ("opened", "closed", "events"):
        table.add_column(heading, justify="right", style="cyan")
    table.add_column("requests", justify="right")
    table.add_column("at most", justify="right")
    table.add_column("seconds", justify="right")
    table.add_row(
        *(f"{counts[name]:,}" for name in ("read", "new", "changed", "unchanged", "removed", "quarantined")),
        *(f"{applied[name]:,}" for name in ("cases_opened", "cases_closed", "events_created")),
        f"{report['requests']['total']:,}",
        f"{report['requests']['expected']:,}",
        f"{seconds:.0f}",
    )
    console.print(table)
    if not counts["unchanged"]:
        console.print("  requests: to DynamoDB; at most: what the new and changed rows can need, by arithmetic")
    unchanged = counts["unchanged"]
    if unchanged:
        beyond = report["requests"]["beyond_expected"]
        console.print(
            f"  DynamoDB requests beyond what the changed rows need, for {unchanged:,} unchanged rows: {beyond}"
        )
    if rows:
        reason = rows[0]["reasons"][0]
        console.print(f"  e.g. line {rows[0]['line']} waits in quarantine: {reason['field']} {reason['code']}")


def _show_events(kinds: dict[str, int]) -> None:
    for kind, number in sorted(kinds.items()):
        console.print(f"  {number:>7,}  {kind}")


def _show_attempts(attempts: list[isolation.Attempt]) -> None:
    """One line for each kind of call, with what it was tried on."""
    calls: dict[str, list[isolation.Attempt]] = {}
    for attempt in attempts:
        calls.setdefault(attempt.what.partition(" ")[0], []).append(attempt)
    for call, made in calls.items():
        targets = dict.fromkeys(attempt.what.split()[1] for attempt in made)
        denied = sum(attempt.denied for attempt in made)
        console.print(f"  {call:<32} {denied:>3} of {len(made):>3} denied: {', '.join(targets)}")
        for attempt in made:
            if not attempt.denied:
                console.print(f"    [bold red]{attempt.what}: {attempt.outcome}[/]")
    console.print("  what Meridian Credit may do to its own tables, objects and key was allowed there")


if __name__ == "__main__":
    sys.exit(main())
