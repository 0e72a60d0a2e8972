"""`make demo-lifecycle`: one institution's whole life, with Stripe's time moved forward.

It signs up, tries, pays, stops paying, is limited and suspended, pays again, leaves, takes everything along and is
erased. Each state's promises are tried on the way. The last line printed is one JSON object, and the exit code is 0
only if every promise held and nothing of the institution is left.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from chalicelib.tenancy.access import KEPT_SECONDS
from infra.demo import departure, mailbox, operator, roles, scenario
from infra.demo.client import Refused, TookTooLong, wait_for
from infra.demo.findings import Findings, check_cases, check_report, expected_counts
from infra.demo.operator import Operator
from infra.demo.scenario import Institution
from infra.local import processes, stack

console = Console(width=118)

ROWS = 6000
"""Customers in the extracts: more of them owe than the starter plan includes cases, so that usage is metered."""

MONTHS = ("2005-04", "2005-05", "2005-06")
ENDED = {"completed", "refused", "failed", "duplicate"}


@dataclass
class Life:
    """What is known of the institution as the demonstration goes on."""

    here: stack.Stack
    operator: Operator
    address: str
    findings: Findings = field(default_factory=Findings)
    states: list[str] = field(default_factory=list[str])

    def reached(self, bank: Institution, state: str, *, seconds: float = 120) -> None:
        """Waits until the institution is in a state, and notes it."""

        def there() -> bool | None:
            return True if bank.api.get("/v1/tenant")["state"] == state else None

        wait_for(f"the state {state}", there, seconds=seconds)
        self.note(state)

    def note(self, state: str) -> None:
        """Says and remembers a state."""
        self.states.append(state)
        console.print(f"  state: [bold cyan]{state}[/]")

    def work(self, bank: Institution, **time_forward: float) -> None:
        """Moves billing time forward, if it is given, and has the hour's work done."""
        if time_forward:
            moment = self.operator.advance(bank.tenant_id, **time_forward)
            console.print(f"  billing time: {moment:%Y-%m-%d %H:%M}")
        self.operator.do_the_hours_work(bank.tenant_id)

    def count_an_hour(self, bank: Institution) -> None:
        """Lets an hour of billing time pass and waits until its usage is counted and with Stripe."""
        before = len(self.operator.counted(bank.tenant_id))
        self.work(bank, hours=1)
        wait_for(
            "the hour's count",
            lambda: True if len(self.operator.counted(bank.tenant_id)) > before else None,
        )

    def wait_for_the_gate(self) -> None:
        """A container believes for some seconds what it read of a tenant's state."""
        time.sleep(KEPT_SECONDS + 0.5)

    def refuses(self, what: str, call: Any, *arguments: Any) -> None:
        """Notes it when something is let through that the tenant's state should not allow."""
        try:
            call(*arguments)
        except Refused as refused:
            self.findings.same(what, refused.problem.get("type", "").rpartition("/")[2], "not-in-this-state")
            console.print(f"  refused: {what} — {refused.problem['detail']}")
            return
        self.findings.wrong.append(f"{what} was let through")

    def mailed(self, words: str) -> None:
        """Notes it when no mail with these words in its subject reached the owner."""
        found = wait_for(
            f"a mail about {words}",
            lambda: next(
                (m.subject for m in mailbox.mails_to(self.here.aws_url, self.address) if words in m.subject), None
            ),
        )
        console.print(f"  mail: {found}")


def main() -> int:
    """Plays it; the last line printed is its summary."""
    began = time.monotonic()
    here = stack.default_stack()
    life = Life(here, Operator.of(here), f"owner+{int(time.time())}@harbour-bank.example")
    with tempfile.TemporaryDirectory() as scratch:
        try:
            summary = _play(life, Path(scratch))
        except (Refused, TookTooLong, processes.NotStarted, roles.RolesDiffer) as error:
            console.print(f"[bold red]the demonstration stopped: {error}[/]")
            return 1
    for sentence in life.findings.wrong:
        console.print(f"[bold red]✗ {sentence}[/]")
    if not life.findings.wrong:
        console.print("[bold green]✓ every state kept its promises, and nothing is left[/]")
    print(json.dumps({**summary, "seconds": round(time.monotonic() - began, 1)}))
    return 1 if life.findings.wrong else 0


def _play(life: Life, scratch: Path) -> dict[str, Any]:
    manifest = scenario.generate_extracts(scratch, months=MONTHS, rows=ROWS)
    files = [scratch / month["name"] for month in manifest["files"]]

    _scene("Harbour Bank signs up: a form, a code in the mailbox, a checkout with a trial")
    applicant = scenario.apply(life.here, name="Harbour Bank", email=life.address, plan="starter")
    life.note(applicant.claim.get(applicant.path)["state"])
    bank = scenario.subscribe(applicant)
    life.reached(bank, "trialing")
    rival = scenario.sign_up(life.here, name="Meridian Credit", email=life.address.replace("harbour-bank", "meridian"))

    _scene("In the trial everything works: a file is read, cases open, and each hour's cases are counted")
    beginning = scenario.events_of_the_beginning(bank)
    pid, received = scenario.begin_receiving(bank, scratch)
    try:
        connector = scenario.join_core_banking(bank)
        _load(life, bank, connector, manifest, files, month=0)
        for _ in range(3):
            life.count_an_hour(bank)

        _scene("The trial ends and the first period is paid")
        life.work(bank, days=14)
        life.reached(bank, "active")
        life.mailed("全部开通")

        _scene("The card is declined at the renewal: everything goes on, and the owner is warned")
        life.operator.let_card_be_declined(bank.tenant_id)
        life.work(bank, days=31)
        life.reached(bank, "past_due")
        life.mailed("付款失败")
        _load(life, bank, connector, manifest, files, month=1)
        life.count_an_hour(bank)

        _scene("Two weeks later connectors pause; reading and webhooks go on")
        life.work(bank, days=14)
        life.reached(bank, "limited")
        life.wait_for_the_gate()
        life.refuses("a run", bank.api.post, f"/v1/connectors/{connector}/runs")
        waiting = scenario.drop(bank, connector, files[2])
        console.print(f"  {waiting} is dropped and waits")

        _scene("Two more weeks, and only reading and export are left")
        life.work(bank, days=14)
        life.reached(bank, "suspended")
        life.wait_for_the_gate()
        life.refuses("a new endpoint", bank.api.post, "/v1/webhook-endpoints", {"url": "https://example.com/"})
        console.print(f"  still read: {len(bank.api.get('/v1/cases?status=open')['items'])} cases on the first page")
        life.findings.none_of("runs begun while paused", len(_runs(bank, connector)) - 2)

        _scene("It pays in the portal: everything is open at once, and the paused connector catches up")
        paid = operator.pay_in_portal(bank.api.post("/v1/billing/portal")["url"])
        console.print(f"  {paid} open invoices paid")
        life.reached(bank, "active")
        report = wait_for("the waiting file's run", lambda: _third_run(bank, connector), seconds=180)
        _check(life, bank, connector, manifest, report, month=2)
        life.count_an_hour(bank)

        events = scenario.created_events(bank)
        due = {event: kind for event, kind in events.items() if event not in beginning}
        told = scenario.wait_for_deliveries(received, due, seconds=240)
        life.findings.none_of("events missing at the receiver", len(due.keys() - told.verified))
        life.findings.none_of("signatures that did not verify", told.refused)
        life.findings.same(
            "tenant.payment_failed events", sum(t == "tenant.payment_failed" for t in events.values()), 1
        )

        _scene("Another tenant's credentials are tried on everything that is Harbour Bank's; every route as every role")
        attempts = operator.try_to_reach(life.here, rival, bank)
        denied = sum(attempt.denied for attempt in attempts)
        life.findings.same("cross-tenant attempts denied", denied, len(attempts))
        routes = roles.check_every_route()
        console.print(
            f"  {denied} of {len(attempts)} attempts denied; {routes:,} pairs of route and role as the table says"
        )

        left = departure.leave(life, bank, scratch)
    finally:
        processes.end_group(pid)
    return {
        "states": life.states,
        "invoices": left.invoices,
        "meter_reported": left.reported,
        "meter_counted": left.counted,
        "exported_files": left.exported_files,
        "export_verified": left.export_verified,
        "residue": left.residue,
        "routes_checked": routes,
        "cross_tenant_denied": denied,
        "cross_tenant_attempts": len(attempts),
    }


def _load(
    life: Life, bank: Institution, connector: str, manifest: dict[str, Any], files: list[Path], *, month: int
) -> None:
    report = scenario.drop_and_run(bank, connector, files[month])
    _check(life, bank, connector, manifest, report, month=month)


def _check(
    life: Life, bank: Institution, connector: str, manifest: dict[str, Any], report: dict[str, Any], *, month: int
) -> None:
    """A run's report against the trailer and against DuckDB over the source data: nothing lost, nothing doubled."""
    rows = scenario.quarantined(bank, connector, report["id"])
    check_report(life.findings, manifest["files"][month], report, rows)
    check_cases(life.findings, manifest["files"][month], expected_counts(manifest)[month], report["applied"])
    counts, applied = report["counts"], report["applied"]
    console.print(
        f"  {report['file_name']}: {counts['read']:,} rows, {counts['changed']:,} changed, "
        f"{applied['cases_opened']:,} cases opened, {applied['cases_closed']:,} closed"
    )


def _runs(bank: Institution, connector: str) -> list[dict[str, Any]]:
    return list(bank.api.pages(f"/v1/connectors/{connector}/runs"))


def _third_run(bank: Institution, connector: str) -> dict[str, Any] | None:
    """The report of the third run, once it has ended."""
    runs = _runs(bank, connector)
    if len(runs) < 3 or runs[0]["status"] not in ENDED:
        return None
    return bank.api.get(f"/v1/connectors/{connector}/runs/{runs[0]['id']}/report")


def _scene(title: str) -> None:
    console.print(f"\n[bold]{title}[/]")


if __name__ == "__main__":
    sys.exit(main())
