"""A committed event goes to each endpoint that wants it and into the log, however often the stream tells of it."""

from __future__ import annotations

import json

import boto3
import pytest

from chalicelib.feed import endpoints, log
from chalicelib.feed.dispatch import fresh_events, tenant_of
from chalicelib.feed.endpoints import Change
from chalicelib.feed.events import body
from chalicelib.feed.handlers import feed_dispatch
from chalicelib.feed.log import Position
from chalicelib.feed.model import Event
from chalicelib.platform.clock import utc_now
from chalicelib.platform.ids import new_id
from chalicelib.platform.requests import counted
from chalicelib.platform.settings import settings

URL = "https://93.184.215.14/hooks"


def logged(tenant) -> list[str]:
    return [each.event_id for each in log.read(tenant, Position(), limit=100).events]


def test_an_event_goes_to_the_endpoints_whose_filter_wants_it(tenant, emit, stream, queue, context):
    everything, _ = endpoints.create_endpoint(tenant, URL, now=utc_now())
    cases, _ = endpoints.create_endpoint(tenant, URL, event_types=["case.*"], now=utc_now())
    payments, _ = endpoints.create_endpoint(tenant, URL, event_types=["payment.received"], now=utc_now())
    opened, paid = emit(tenant, "case.opened"), emit(tenant, "payment.received")
    assert feed_dispatch(stream(tenant, [opened, paid]), context) == {"batchItemFailures": []}
    assert [(m["event_id"], m["endpoint_id"]) for m, _ in queue.sent] == [
        (opened, everything.sk),
        (opened, cases.sk),
        (paid, everything.sk),
        (paid, payments.sk),
    ]
    assert {(m["tenant_id"], m["attempt"], delay) for m, delay in queue.sent} == {(tenant.id, 1, 0)}
    assert logged(tenant) == [opened, paid]


def test_an_endpoint_created_just_before_an_event_does_not_miss_it(tenant, emit, stream, queue, context):
    feed_dispatch(stream(tenant, [emit(tenant)]), context)
    assert queue.sent == []
    endpoints.create_endpoint(tenant, URL, now=utc_now())
    feed_dispatch(stream(tenant, [emit(tenant)]), context)
    assert len(queue.sent) == 1


def test_a_test_event_goes_to_its_endpoint_only_and_not_into_the_log(tenant, stream, queue, context):
    tried, _ = endpoints.create_endpoint(tenant, URL, event_types=["case.*"], now=utc_now())
    endpoints.create_endpoint(tenant, URL, now=utc_now())
    event_id = endpoints.send_test(tenant, tried.sk, now=utc_now())
    feed_dispatch(stream(tenant, [event_id]), context)
    assert [(m["event_id"], m["endpoint_id"]) for m, _ in queue.sent] == [(event_id, tried.sk)]
    assert logged(tenant) == []


def test_events_dispatched_twice_are_logged_once(tenant, emit, stream, queue, context):
    first, second = emit(tenant), emit(tenant)
    feed_dispatch(stream(tenant, [first]), context)
    feed_dispatch(stream(tenant, [first, second]), context)
    assert logged(tenant) == [first, second]


def test_a_batch_resumes_at_the_first_event_that_was_not_sent(tenant, emit, stream, queue, context):
    endpoints.create_endpoint(tenant, URL, now=utc_now())
    ids = [emit(tenant) for _ in range(25)]
    batch = stream(tenant, ids)
    queue.refuse = lambda message: message["event_id"] == ids[13]
    answer = feed_dispatch(batch, context)
    # Ten messages share a request, so the request that failed began with the eleventh.
    resume_at = batch["Records"][10]["dynamodb"]["SequenceNumber"]
    assert answer == {"batchItemFailures": [{"itemIdentifier": resume_at}]}
    assert logged(tenant) == ids[:10]
    queue.refuse = lambda _: False
    batch["Records"] = batch["Records"][10:]
    assert feed_dispatch(batch, context) == {"batchItemFailures": []}
    assert logged(tenant) == ids
    assert {m["event_id"] for m, _ in queue.sent} == set(ids)


def test_only_new_events_are_dispatched(tenant, emit, stream, queue, context):
    endpoints.create_endpoint(tenant, URL, now=utc_now())
    event_id = emit(tenant)
    others = [("endpoints", new_id("ep")), (new_id("dlv"), "delivery"), ("log", "page#000000000001"), (event_id, "x")]
    assert fresh_events(stream(tenant, others)["Records"]) == []
    assert fresh_events(stream(tenant, [event_id], name="MODIFY")["Records"]) == []
    assert feed_dispatch(stream(tenant, others), context) == {"batchItemFailures": []}
    assert queue.sent == []


@pytest.mark.parametrize("table", ["duebridge-unit-tenants", "duebridge-unit-t-ten_x-feed", "other-{}-feed"])
def test_a_stream_that_is_not_a_tenants_feed_is_refused(aws, table):
    arn = settings().arn("dynamodb", f"table/{table.format(new_id('ten'))}/stream/2026")
    with pytest.raises(ValueError, match="not the stream"):
        tenant_of(arn)


def test_the_tenant_is_the_one_whose_stream_it_is(aws):
    tenant_id = new_id("ten")
    for kind in ("cases", "connector"):
        with pytest.raises(ValueError, match="not the stream"):
            tenant_of(settings().arn("dynamodb", f"table/{settings().tenant_table(tenant_id, kind)}/stream/2026"))
    table = settings().tenant_table(tenant_id, "feed")
    assert tenant_of(settings().arn("dynamodb", f"table/{table}/stream/2026-01-01T00:00:00.000")) == tenant_id


def test_a_feed_that_cannot_be_read_comes_again_from_its_first_event(tenant, emit, stream, queue, context, monkeypatch):
    batch = stream(tenant, [emit(tenant), emit(tenant)])

    def unreadable(*_, **__):
        raise RuntimeError("throttled")

    monkeypatch.setattr(tenant.store.connection, "batch_get_item", unreadable)
    monkeypatch.setattr("chalicelib.feed.handlers.open_tenant", lambda _: tenant)
    first = batch["Records"][0]["dynamodb"]["SequenceNumber"]
    assert feed_dispatch(batch, context) == {"batchItemFailures": [{"itemIdentifier": first}]}


def test_a_disabled_endpoint_is_sent_for_too_so_that_its_delivery_is_kept(tenant, emit, stream, queue, context):
    made, _ = endpoints.create_endpoint(tenant, URL, now=utc_now())
    endpoints.change_endpoint(tenant, made.sk, Change(enabled=False), now=utc_now())
    feed_dispatch(stream(tenant, [emit(tenant)]), context)
    assert len(queue.sent) == 1


def test_dispatching_costs_four_requests_however_many_the_events(tenant, emit, stream, queue, context):
    endpoints.create_endpoint(tenant, URL, now=utc_now())
    batch = stream(tenant, [emit(tenant) for _ in range(30)])
    feed_dispatch(stream(tenant, [emit(tenant)]), context)
    with counted() as requests:
        feed_dispatch(batch, context)
    assert requests == {"BatchGetItem": 1, "Query": 2, "PutItem": 1}


def test_messages_reach_the_real_queue_ten_a_request(tenant, emit, stream, context):
    endpoints.create_endpoint(tenant, URL, now=utc_now())
    ids = {emit(tenant) for _ in range(12)}
    assert feed_dispatch(stream(tenant, sorted(ids)), context) == {"batchItemFailures": []}
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName=settings().queue_name("deliveries"))["QueueUrl"]
    seen: set[str] = set()
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        documents = [json.loads(message["Body"]) for message in messages]
        seen |= {d["event_id"] for d in documents if d["tenant_id"] == tenant.id}
    assert seen == ids


def test_what_is_polled_is_the_body_that_webhooks_carry(tenant, emit, stream, queue, context):
    event_id = emit(tenant)
    feed_dispatch(stream(tenant, [event_id]), context)
    event = tenant.bind(Event).get(event_id, "event")
    assert log.read(tenant, Position(), limit=1).events[0].body == body(event)
