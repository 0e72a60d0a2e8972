"""Connectors over HTTP and through the functions' own entry points, with the real app and authorizer."""

from __future__ import annotations

import json
import urllib.request

import pytest
from chalice.test import Client

from chalicelib.identity import api_keys
from chalicelib.platform import aws
from chalicelib.platform.clock import utc_now
from tests.connectors.institution import PRESET, Loan, extract, file_name, late


class Api:
    """Calls the API as one tenant, and plays the triggers of the two queues."""

    def __init__(self, client: Client, tenant) -> None:
        self._client, self._tenant = client, tenant
        scopes = ["connectors:read", "connectors:write"]
        self._key, _ = api_keys.create(tenant.id, name="test", scopes=scopes, now=utc_now())

    def __call__(self, method: str, path: str, body: object = None, *, raw: bool = False, **headers: str):
        answer = self._client.http.request(
            method,
            path,
            headers={"Authorization": f"Bearer {self._key}", "Content-Type": "application/json", **headers},
            body=b"" if body is None else json.dumps(body).encode(),
        )
        return answer.status_code, answer.body if raw else json.loads(answer.body)

    def work(self) -> None:
        while any([self._trigger("sync", "sync_plan"), self._trigger("sync-chunks", "sync_apply")]):
            pass

    def _trigger(self, queue: str, function: str) -> bool:
        sqs, url = aws.client("sqs"), aws.queue_url(queue)
        received = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1).get("Messages", [])
        for each in received:
            if json.loads(each["Body"])["tenant_id"] == self._tenant.id:
                record = {"messageId": each["MessageId"], "body": each["Body"], "eventSource": "aws:sqs"}
                assert self.invoke(function, {"Records": [record]}) == {"batchItemFailures": []}
            sqs.delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])
        return bool(received)

    def invoke(self, function: str, event: dict):
        return self._client.lambda_.invoke(function, event).payload


@pytest.fixture
def api(tenant):
    # A blueprint can be registered only once in a process, so this is the one app there is.
    from app import app

    with Client(app, stage_name="unit") as client:
        yield Api(client, tenant)


def put(place: dict, content: bytes) -> None:
    """Sends a file as a customer's program does, by what the API answered alone."""
    request = urllib.request.Request(place["url"], data=content, method=place["method"], headers=place["headers"])
    urllib.request.urlopen(request, timeout=10)


def test_from_preset_to_report_and_quarantine(api):
    status, made = api("POST", "/v1/connectors", {"name": "core banking", "preset": PRESET})
    assert (status, made["last_applied"], made["mapping"]["preset"]) == (201, None, PRESET)
    path = f"/v1/connectors/{made['id']}"
    assert [c["id"] for c in api("GET", "/v1/connectors")[1]["items"]] == [made["id"]]

    status, place = api("POST", f"{path}/uploads", {"file_name": file_name("20050430")})
    assert (status, place["method"]) == (201, "PUT")
    content = extract([Loan(n, balance="-" if n == 5 else "5000") for n in range(1, 40)] + [late(40)])
    put(place, content)

    assert api("POST", f"{path}/runs")[0] == 202
    api.work()
    [run] = api("GET", f"{path}/runs")[1]["items"]
    assert (run["status"], run["file_name"]) == ("completed", file_name("20050430"))
    assert api("GET", f"{path}/runs/{run['id']}") == (200, run)
    report = api("GET", f"{path}/runs/{run['id']}/report")[1]
    assert report["counts"] == {"read": 40, "new": 39, "changed": 0, "unchanged": 0, "removed": 0, "quarantined": 1}
    assert report["reconciled"]
    assert report["requests"]["beyond_expected"] <= 2, "a tenant's first chunk stores the two default rule documents"
    assert [reason["code"] for reason in report["reasons"]] == ["not_an_amount"]
    [row] = api("GET", f"{path}/quarantine?run={run['id']}")[1]["items"]
    assert (row["line"], row["reasons"][0]["field"]) == (6, "account.balance")
    assert api("GET", path)[1]["last_applied"]["business_date"] == "2005-04-30"


def test_a_quarantined_row_is_corrected_replayed_and_shown_as_replayed(api):
    path = f"/v1/connectors/{api('POST', '/v1/connectors', {'name': 'a', 'preset': PRESET})[1]['id']}"
    place = api("POST", f"{path}/uploads", {"file_name": file_name("20050430")})[1]
    put(place, extract([Loan(n, balance="-" if n in (5, 7) else "5000") for n in range(1, 50)]))
    api("POST", f"{path}/runs")
    api.work()
    [run] = api("GET", f"{path}/runs")[1]["items"]
    first, second = (f"{path}/quarantine/{run['id']}/{line}" for line in (6, 8))
    status, row = api("GET", first)
    assert (status, row["status"], row["values"]["当前余额"]) == (200, "waiting", "-")
    status, half = api("PUT", first, {"values": {"当前余额": "+1"}}, **{"If-Match": str(row["version"])})
    assert (status, half["accepted"], [r["code"] for r in half["reasons"]]) == (200, False, ["not_an_amount"])
    assert api("PUT", first, {"values": {"当前余额": "1"}}, **{"If-Match": str(row["version"])})[0] == 409
    status, whole = api("PUT", first, {"values": {"当前余额": " 1 "}})
    assert (status, whole["accepted"], whole["corrected"].split("||")[10]) == (200, True, " 1 ")
    assert api("PUT", first, {"values": {"余额": "1"}})[1]["pointer"] == "/values/余额"
    assert api("PUT", first, {"values": {"当前余额": "1"}, "text": "x"})[0] == 422
    assert api("POST", f"{second}/discard", {"note": "written off"})[1]["status"] == "discarded"

    status, asked = api("POST", f"{path}/quarantine/replay", {"code": "not_an_amount"}, **{"Idempotency-Key": "k"})
    assert (status, asked["status"], asked["runs_left"]) == (202, "waiting", 1)
    api.work()
    status, done = api("GET", f"{path}/replays/{asked['id']}")
    assert (status, done["status"], done["replayed"], done["kept"]) == (200, "done", 1, 0)
    assert api("POST", f"{first}/replay")[0] == 409
    rows = api("GET", f"{path}/quarantine?run={run['id']}&status=replayed")[1]["items"]
    assert [row["line"] for row in rows] == [6]
    assert api("GET", f"{path}/quarantine?run={run['id']}&status=lost")[1]["pointer"] == "/status"
    report = api("GET", f"{path}/runs/{run['id']}/report")[1]["quarantine"]
    assert {name: report[name] for name in ("waiting", "replayed", "discarded", "expired")} == {
        "waiting": 0,
        "replayed": 1,
        "discarded": 1,
        "expired": 0,
    }
    assert [r["replay_of"] for r in api("GET", f"{path}/runs")[1]["items"]] == [run["id"], None]
    for missing in ("0", "9", "x", "12345678901"):
        assert api("POST", f"{path}/quarantine/{run['id']}/{missing}/replay")[0] == 404


def test_a_push_over_http_is_accepted_then_applied(api):
    path = f"/v1/connectors/{api('POST', '/v1/connectors', {'name': 'a', 'preset': PRESET})[1]['id']}"
    row = {"kind": "repayment", "account": "62", "repayment_id": "R1", "amount": "1.00", "currency": "CNY"}
    status, problem = api("POST", f"{path}/push", {"rows": [row | {"booked_on": "2005-05-03", "amount": "1.005"}]})
    assert (status, problem["pointer"]) == (422, "/rows/0/amount")
    rows = {"rows": [row | {"booked_on": "2005-05-03"}]}
    status, receipt = api("POST", f"{path}/push", rows, **{"Idempotency-Key": "k"})
    assert (status, receipt["status"], receipt["rows"]) == (202, "accepted", None)
    assert api("POST", f"{path}/push", rows, **{"Idempotency-Key": "k"})[1]["receipt"] == receipt["receipt"]
    api.work()
    status, done = api("GET", f"{path}/push/{receipt['receipt']}")
    assert (status, done["status"]) == (200, "not_applied")
    assert [(r["row"], r["status"], r["reason"]) for r in done["rows"]] == [(0, "quarantined", "not-found")]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "pointer"),
    [
        ("POST", "/v1/connectors", {"name": "a", "preset": "cobol-tape"}, 422, "/preset"),
        ("POST", "/v1/connectors", {"name": "", "preset": PRESET}, 422, "/name"),
        ("GET", "/v1/connectors/con_01J00000000000000000000000", None, 404, None),
        ("POST", "/v1/connectors/con_01J00000000000000000000000/runs", None, 404, None),
        ("GET", "/v1/connectors/con_01J00000000000000000000000/runs", None, 404, None),
        ("GET", "/v1/connectors/con_01J00000000000000000000000/quarantine", None, 404, None),
    ],
)
def test_a_call_that_cannot_be_answered_says_why(api, method, path, body, status, pointer):
    got, problem = api(method, path, body)
    assert (got, problem.get("pointer")) == (status, pointer)
    assert problem["detail"]


def test_another_tenants_connector_is_not_found(api, other_tenant, tenant):
    made = api("POST", "/v1/connectors", {"name": "a", "preset": PRESET})[1]
    stranger = Api(api._client, other_tenant)
    assert stranger("GET", f"/v1/connectors/{made['id']}")[0] == 404
    assert stranger("GET", "/v1/connectors")[1]["items"] == []


def test_the_schedules_event_wakes_connectors_with_waiting_files(api):
    made = api("POST", "/v1/connectors", {"name": "a", "preset": PRESET})[1]
    place = api("POST", f"/v1/connectors/{made['id']}/uploads", {"file_name": file_name("20050430")})[1]
    put(place, extract([Loan(1)]))
    assert api.invoke("sync_plan", {"source": "aws.events", "detail-type": "Scheduled Event"})["woken"] >= 1
    api.work()
    assert [r["status"] for r in api("GET", f"/v1/connectors/{made['id']}/runs")[1]["items"]] == ["completed"]
