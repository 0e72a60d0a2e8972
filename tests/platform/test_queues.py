"""A batch of messages: those that fail come back, and the log says where, with ids and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chalicelib.platform import telemetry
from chalicelib.platform.errors import Gone
from chalicelib.platform.queues import work_through
from chalicelib.tenancy import TenantErased


def batch(*bodies: str) -> dict[str, Any]:
    records = [{"messageId": f"m{n}", "body": body, "eventSource": "aws:sqs"} for n, body in enumerate(bodies)]
    return {"Records": records}


@pytest.fixture
def logged(monkeypatch) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    monkeypatch.setattr(telemetry.logger, "error", lambda _, extra: lines.append(extra))
    return lines


def test_only_the_messages_that_failed_come_back(logged) -> None:
    seen: list[dict[str, Any]] = []

    def work(message: dict[str, Any]) -> None:
        seen.append(message)
        if message["chunk"] == 1:
            raise ValueError("Anna Lee, 13800000000")

    bodies = [json.dumps({"tenant_id": "ten_1", "chunk": n, "note": "free text"}) for n in range(3)]
    assert work_through(batch(*bodies), None, work) == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
    assert [message["chunk"] for message in seen] == [0, 1, 2]
    [line] = logged
    assert (line["tenant_id"], line["chunk"], line["error"]) == ("ten_1", 1, "ValueError")
    assert line["where"][-1].endswith(" work")
    assert "Anna" not in str(line)
    assert "free text" not in str(line)


def test_a_batch_that_fails_whole_comes_back_without_failing_the_function(logged) -> None:
    answer = work_through(batch("{}", "not JSON"), None, lambda message: message["tenant_id"])
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m0"}, {"itemIdentifier": "m1"}]}
    assert [line["error"] for line in logged] == ["KeyError", "JSONDecodeError"]


def test_a_message_for_who_was_erased_is_done_and_one_for_what_is_only_gone_comes_back(logged) -> None:
    def work(message: dict[str, Any]) -> None:
        raise {"erased": TenantErased, "gone": Gone}[message["what"]]("no longer")

    answer = work_through(batch('{"what": "erased"}', '{"what": "gone", "tenant_id": "ten_1"}'), None, work)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
    assert [(line["error"], line["tenant_id"]) for line in logged] == [("Gone", "ten_1")]


def test_one_batch_knows_nothing_of_the_failures_of_another(logged) -> None:
    assert work_through(batch("{}"), None, lambda message: message["tenant_id"])["batchItemFailures"]
    assert work_through(batch("{}"), None, lambda _: None) == {"batchItemFailures": []}
