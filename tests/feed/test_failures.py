"""What fails is reported to the queue or stream, and leaves ids and the kind of failure in the log, and no content."""

from __future__ import annotations

import json
from collections import OrderedDict
from types import SimpleNamespace

import pytest

from chalicelib.feed import deliver as deliver_module
from chalicelib.feed import endpoints
from chalicelib.feed.handlers import feed_deliver, feed_dispatch
from chalicelib.feed.messages import Message, Resend
from chalicelib.platform.clock import utc_now
from chalicelib.platform.ids import new_id
from chalicelib.tenancy import credentials, records

CONTENT = "Wang Xiaoming 13800138000"


class Trouble(Exception):
    """Something that nobody foresaw, with content in its words."""


def trouble(*_, **__):
    raise Trouble(CONTENT)


@pytest.fixture
def logged(caplog):
    """The members of the one line that was logged with a message; no line of the log may hold the content."""

    def line(message: str) -> dict[str, object]:
        [found] = [vars(record) for record in caplog.records if record.getMessage() == message]
        assert CONTENT not in repr([vars(record) for record in caplog.records])
        return found

    return line


@pytest.fixture
def due(tenant, emit, receiver, queue):
    """A batch of one message, with its event and endpoint."""
    endpoint, _ = endpoints.create_endpoint(tenant, receiver.url(), now=utc_now())
    event_id = emit(tenant)
    batch = queue.batch([Message(tenant.id, event_id, endpoint.sk)])
    return SimpleNamespace(batch=batch, event_id=event_id, endpoint_id=endpoint.sk)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("chalicelib.feed.deliver.open_tenant", "tenant not reached"),
        ("chalicelib.feed.deliver.make_attempt", "attempt broke"),
        ("chalicelib.feed.deliver.record", "deliveries not recorded"),
    ],
)
def test_a_delivery_that_fails_here_comes_again_and_is_named_in_the_log(
    tenant, due, context, logged, monkeypatch, broken, message
):
    monkeypatch.setattr(deliver_module, "_STORE_ERRORS", (Trouble,))
    monkeypatch.setattr(broken, trouble)
    assert feed_deliver(due.batch, context) == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    line = logged(message)
    assert (line["tenant_id"], line["event_ids"], line["endpoint_ids"], line["error"]) == (
        tenant.id,
        [due.event_id],
        [due.endpoint_id],
        "Trouble",
    )


def test_an_attempt_that_the_queue_does_not_take_is_named_in_the_log(tenant, due, receiver, queue, context, logged):
    receiver.answers["/hooks"] = 503
    queue.refuse = lambda _: True
    assert feed_deliver(due.batch, context) == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    line = logged("messages not sent")
    assert (line["event_ids"], line["endpoint_ids"], line["error"]) == ([due.event_id], [due.endpoint_id], "Unsent")


def test_events_that_cannot_be_dispatched_come_again_and_are_named_in_the_log(
    tenant, due, stream, context, logged, monkeypatch
):
    monkeypatch.setattr("chalicelib.feed.handlers.open_tenant", trouble)
    batch = stream(tenant, [due.event_id])
    number = batch["Records"][0]["dynamodb"]["SequenceNumber"]
    assert feed_dispatch(batch, context) == {"batchItemFailures": [{"itemIdentifier": number}]}
    line = logged("events not dispatched")
    assert (line["tenant_id"], line["event_ids"], line["error"]) == (tenant.id, [due.event_id], "Trouble")


def test_kept_deliveries_that_cannot_be_sent_hold_up_no_others_and_are_named_in_the_log(
    tenant, due, queue, receiver, context, logged, monkeypatch
):
    wish = {"messageId": "kept", "body": json.dumps(Resend(tenant.id, due.endpoint_id).document())}
    monkeypatch.setattr("chalicelib.feed.kept.page_of", trouble)
    answer = feed_deliver({"Records": [wish, *due.batch["Records"]]}, context)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "kept"}]}
    assert len(receiver.received) == 1
    line = logged("kept deliveries not sent")
    assert (line["tenant_id"], line["endpoint_id"], line["error"]) == (tenant.id, due.endpoint_id, "Trouble")


@pytest.mark.parametrize(
    "body",
    [
        CONTENT,
        json.dumps({"tenant_id": CONTENT}),
        json.dumps(
            {"tenant_id": new_id("ten"), "event_id": new_id("evt"), "endpoint_id": new_id("ep"), "attempt": 1}
            | {"due": CONTENT}
        ),
        json.dumps({"tenant_id": new_id("ten"), "endpoint_id": new_id("ep"), "resend_after": CONTENT}),
        "[" * 100_000,
    ],
    ids=["text", "wrong id", "wrong time", "wrong place", "deep"],
)
def test_a_message_that_is_none_of_ours_is_not_repeated_in_the_log(aws, context, logged, body):
    batch = {"Records": [{"messageId": "m0", "body": body}]}
    assert feed_deliver(batch, context) == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    assert logged("not a delivery message")["message_id"] == "m0"


@pytest.fixture
def erased(tenant, due, monkeypatch):
    """The tenant after its erasure has begun, in a container that has not worked for it before."""
    model = records()
    model(tenant.id, "tenant").update(actions=[model.erasure.set({"begun": {"at": "2005-09-30T16:00:00Z"}})])
    monkeypatch.setattr(credentials, "_open", OrderedDict())
    return tenant


def test_what_waits_for_an_erased_tenant_is_dropped_and_blocks_no_queue(erased, due, queue, context, receiver):
    assert feed_deliver(due.batch, context) == {"batchItemFailures": []}
    assert feed_deliver(queue.batch([Resend(erased.id, due.endpoint_id).document()]), context) == {
        "batchItemFailures": []
    }
    assert receiver.at() == []


def test_the_stream_of_an_erased_tenant_is_not_repeated_for_a_day(tenant, due, emit, stream, erased, context):
    assert feed_dispatch(stream(tenant, [due.event_id]), context) == {"batchItemFailures": []}
