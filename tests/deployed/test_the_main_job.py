"""The main job through HTTP on the deployed stack: from signing up to a verified webhook for every change of a case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.demo import client, mailbox, scenario
from infra.demo.client import Client, Refused, wait_for
from infra.demo.findings import Findings, check_cases, check_report, expected_counts
from infra.demo.scenario import Institution
from infra.local.stack import Stack
from tests.deployed.backstage import PREFIX, items, stored_events, tenant_items
from tests.deployed.backstage import client as aws
from tests.deployed.conftest import Extracts

pytestmark = pytest.mark.deployed

APPLICATION = {
    "organisation": "Northern Leasing",
    "jurisdiction": "CN",
    "region": "eu-central-1",
    "locale": "zh_CN",
    "currency": "CNY",
    "email": "owner@northern-leasing.example",
    "plan": "growth",
}


def test_an_institution_signs_up_pays_is_set_up_and_gets_its_key_once(stack: Stack):
    made = Client(stack.url).post("/v1/signup", APPLICATION)
    claimant, path = Client(stack.url, made["claim_token"]), f"/v1/signup/{made['tenant_id']}"
    before = claimant.get(path)
    with pytest.raises(Refused) as too_early:
        claimant.post(f"{path}/claim")

    opened = claimant.post(f"{path}/verify", {"code": mailbox.code_for(stack.aws_url, APPLICATION["email"])})
    proved = claimant.get(path)
    resumed = claimant.post(f"{path}/checkout")
    client.pay(resumed["checkout_url"])
    after = wait_for("provisioning", lambda: found if (found := claimant.get(path))["ready"] else None)
    key = claimant.post(f"{path}/claim")
    with pytest.raises(Refused) as again:
        claimant.post(f"{path}/claim")

    assert (before["state"], before["email_verified"], before["ready"]) == ("pending", False, False)
    assert before["steps_done"] == proved["steps_done"] == 0
    assert (proved["email_verified"], proved["state"]) == (True, "pending")
    assert resumed == opened, "a checkout that was left is gone back to"
    assert (too_early.value.status, too_early.value.problem["state"]) == (409, "pending")
    assert after["steps_done"] == after["steps_total"] > 0
    assert again.value.status == 410
    assert key["api_key"] not in str(again.value.problem)
    tenant = Client(stack.url, key["api_key"]).get("/v1/tenant")
    assert (tenant["id"], tenant["name"], tenant["ready"]) == (made["tenant_id"], "Northern Leasing", True)
    wait_for("the mail that the trial has begun", lambda: _mail_of(stack, APPLICATION["email"], "试用已开始"))


def test_each_institution_has_tables_under_a_key_of_its_own(stack: Stack, bank: Institution, rival: Institution):
    registry = items(stack, "tenants")
    keys: list[set[str]] = []
    for tenant_id in (bank.tenant_id, rival.tenant_id):
        tables = [
            aws(stack, "dynamodb").describe_table(TableName=f"{PREFIX}-t-{tenant_id}-{kind}")["Table"]
            for kind in ("connector", "cases", "feed", "ledger")
        ]
        keys.append({table["SSEDescription"]["KMSMasterKeyArn"] for table in tables})
        assert keys[-1] == {registry[tenant_id, "tenant"]["key_arn"]["S"]}
        assert all(table["DeletionProtectionEnabled"] for table in tables)

    assert not keys[0] & keys[1]


def test_a_connector_is_made_from_a_preset_with_the_mapping_in_it(bank: Institution, core_banking: str):
    made = bank.api.get(f"/v1/connectors/{core_banking}")

    assert made["preset"] == scenario.PRESET
    assert made["mapping"]["format"]["encoding"] == "gb18030"
    assert "逾期金额" in {field["source"] for field in made["mapping"]["fields"]}
    assert core_banking in {connector["id"] for connector in bank.api.get("/v1/connectors")["items"]}


def test_the_reports_agree_with_the_manifest_and_with_an_independent_count(
    bank: Institution, core_banking: str, extracts: Extracts, april: dict[str, Any], may: dict[str, Any]
):
    findings = Findings()
    manifest = extracts.manifest
    wanted = expected_counts(manifest)
    for month, counts, report in zip(manifest["files"], wanted, [april, may], strict=True):
        rows = scenario.quarantined(bank, core_banking, report["id"])
        check_report(findings, month, report, rows)
        check_cases(findings, month, counts, report["applied"])

    assert not findings.wrong
    assert may["counts"]["unchanged"] == manifest["files"][1]["identical_to_previous"] > 0
    assert sum(r["counts"]["new"] - r["counts"]["removed"] for r in (april, may)) == wanted[-1]["accounts"]


def test_each_quarantined_row_is_shown_with_the_field_the_reason_and_what_is_accepted(
    bank: Institution, core_banking: str, extracts: Extracts, april: dict[str, Any]
):
    lines = extracts.file(0).read_text(encoding="gb18030").splitlines()

    rows = scenario.quarantined(bank, core_banking, april["id"])

    assert len(rows) == april["counts"]["quarantined"] > 0
    for row in rows:
        assert row["raw"] == lines[row["line"] - 1]
        assert row["reasons"]
        assert all(reason["code"] and reason["accepted"] for reason in row["reasons"])


def test_both_rows_of_an_account_that_stands_twice_in_a_file_are_quarantined(
    bank: Institution, core_banking: str, extracts: Extracts, april: dict[str, Any]
):
    planned = extracts.manifest["files"][0]["quarantined"]
    twice = [row["line"] for row in planned if row["reason_kind"] == "duplicate_account"]

    rows = scenario.quarantined(bank, core_banking, april["id"])

    refused = [row["line"] for row in rows if "duplicate_key" in {reason["code"] for reason in row["reasons"]}]
    assert sorted(refused) == sorted(twice)
    assert len(twice) == 2


def test_a_run_reports_its_requests_and_unchanged_rows_cost_none(april: dict[str, Any], may: dict[str, Any]):
    for report in (april, may):
        requests = report["requests"]
        assert requests["total"] == sum(requests["by_operation"].values()) > 0
        assert requests["beyond_expected"] == 0
        assert set(report["timings"]) >= {"read", "stage", "delta", "apply"}

    assert may["counts"]["unchanged"] > 0
    assert may["requests"]["total"] < april["requests"]["total"]


def test_the_open_cases_are_as_many_as_the_independent_count_says(
    bank: Institution, extracts: Extracts, repaid: dict[str, Any]
):
    found = [case["id"] for case in bank.api.pages("/v1/cases?status=open&limit=20")]

    assert len(found) == len(set(found)) == expected_counts(extracts.manifest)[-1]["open"] - 1
    assert repaid["id"] not in found


def test_a_case_shows_its_borrower_as_the_file_has_it_and_is_found_by_phone(
    bank: Institution, extracts: Extracts, repaid: dict[str, Any]
):
    account = repaid["accounts"][0]
    rows = [line.split("||") for line in extracts.file(1).read_text(encoding="gb18030").splitlines()]
    row = next(dict(zip(rows[0], columns, strict=True)) for columns in rows if columns[0] == account["key"])

    found = bank.api.post("/v1/cases/search", {"phone": row["手机号码"]})

    assert repaid["borrower"]["name"] == row["客户姓名"]
    assert repaid["borrower"]["id_number"] == row["证件号码"]
    assert repaid["id"] in {case["id"] for case in found["items"]}


def test_a_pushed_repayment_closes_its_case_and_counts_once_however_often_it_is_pushed(
    stack: Stack, bank: Institution, core_banking: str, repaid: dict[str, Any]
):
    account = bank.api.get(f"/v1/accounts/{repaid['accounts'][0]['id']}")
    events = stored_events(stack, bank.tenant_id)
    row = {
        "kind": "repayment",
        "account": account["key"],
        "repayment_id": "counter-2005-06-01-0001",
        "amount": f"{account['repayments'][0]['amount'] / 100:.2f}",
        "currency": account["currency"],
        "booked_on": account["repayments"][0]["booked_on"],
    }

    pushed = bank.api.post(f"/v1/connectors/{core_banking}/push", {"rows": [row]}, {"Idempotency-Key": "once-more"})
    receipt = _worked_through(bank, core_banking, pushed["receipt"])

    assert (repaid["status"], account["overdue_amount"], account["days_past_due"]) == ("closed", 0, 0)
    assert repaid["close_reason"]
    assert receipt["status"] == "applied"
    assert bank.api.get(f"/v1/accounts/{account['id']}") == account
    assert stored_events(stack, bank.tenant_id) == events


def test_a_file_delivered_twice_changes_nothing(
    stack: Stack, bank: Institution, core_banking: str, extracts: Extracts, repaid: dict[str, Any]
):
    cases, events = tenant_items(stack, bank.tenant_id, "cases"), stored_events(stack, bank.tenant_id)

    report = scenario.drop_and_run(bank, core_banking, extracts.file(1))

    assert (report["status"], report["rows_applied"], report["chunks"]) == ("duplicate", 0, 0)
    assert tenant_items(stack, bank.tenant_id, "cases") == cases
    assert stored_events(stack, bank.tenant_id) == events


def test_a_file_older_than_the_last_one_applied_is_refused(
    stack: Stack, bank: Institution, core_banking: str, extracts: Extracts, may: dict[str, Any], repaid: dict[str, Any]
):
    cases = tenant_items(stack, bank.tenant_id, "cases")

    report = scenario.drop_and_run(bank, core_banking, extracts.file(0))

    assert (report["status"], report["refusal"]["code"]) == ("refused", "older_than_applied")
    assert "2005-05-31" in report["refusal"]["reason"]
    assert tenant_items(stack, bank.tenant_id, "cases") == cases
    assert bank.api.get(f"/v1/connectors/{core_banking}")["last_applied"]["run_id"] == may["id"]


def test_every_event_reaches_the_receiver_verified_and_each_case_in_sequence(
    stack: Stack,
    bank: Institution,
    received: Path,
    april: dict[str, Any],
    may: dict[str, Any],
    repaid: dict[str, Any],
):
    stored = stored_events(stack, bank.tenant_id)

    events = wait_for(
        "dispatch of every event",
        lambda: found if stored <= (found := scenario.created_events(bank)).keys() else None,
    )
    # The beginning of the trial was told before there was a receiver.
    due = {id: type for id, type in events.items() if not type.startswith("tenant.")}
    arrived = scenario.wait_for_deliveries(received, due, seconds=90)

    kinds = scenario.by_type(events)
    applied = [april["applied"], may["applied"]]
    assert kinds["case.opened"] == kinds["case.assigned"] == sum(each["cases_opened"] for each in applied)
    assert kinds["case.closed"] == sum(each["cases_closed"] for each in applied) + 1
    assert kinds["case.updated"] == sum(each["cases_updated"] for each in applied)
    assert (kinds["connector.run_completed"], kinds["payment.received"]) == (2, 1)
    assert kinds["tenant.state_changed"] == 1
    assert not due.keys() - arrived.verified
    assert (arrived.refused, arrived.gaps) == (0, 0)


def test_what_became_of_an_event_can_be_looked_up(bank: Institution, received: Path, may: dict[str, Any]):
    event = next(each for each in bank.api.get("/v1/events")["items"] if each["type"] == "case.opened")
    scenario.wait_for_deliveries(received, {event["id"]: event["type"]}, seconds=60)

    (delivery,) = wait_for("the attempt's record", lambda: _delivered(bank, event["id"]))

    assert delivery["event_id"] == event["id"]
    assert delivery["attempts"]


def _mail_of(stack: Stack, address: str, words: str) -> str | None:
    return next((mail.subject for mail in mailbox.mails_to(stack.aws_url, address) if words in mail.subject), None)


def _worked_through(bank: Institution, connector: str, receipt_id: str) -> dict[str, Any]:
    path = f"/v1/connectors/{connector}/push/{receipt_id}"
    return wait_for("the pushed rows", lambda: found if (found := bank.api.get(path))["status"] != "accepted" else None)


def _delivered(bank: Institution, event_id: str) -> list[dict[str, Any]] | None:
    found = bank.api.get(f"/v1/deliveries?event_id={event_id}")["items"]
    return found if found and all(each["status"] == "delivered" for each in found) else None
