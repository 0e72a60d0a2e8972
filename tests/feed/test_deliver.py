"""Deliveries, to a real receiver that verifies with the published library."""

from __future__ import annotations

import json
import threading
from datetime import timedelta

import pytest
from botocore.exceptions import BotoCoreError

from chalicelib.feed import deliver as deliver_module
from chalicelib.feed import deliveries, egress, endpoints, log
from chalicelib.feed.deliver import deliver
from chalicelib.feed.endpoints import Change
from chalicelib.feed.handlers import feed_deliver, feed_dispatch
from chalicelib.feed.log import Position
from chalicelib.feed.messages import Message, parse
from chalicelib.feed.model import Delivery
from chalicelib.feed.recording import delivery_id, find_deliveries
from chalicelib.platform.clock import parse_rfc3339, utc_now
from chalicelib.platform.errors import Conflict, Invalid, NotFound
from chalicelib.platform.ids import new_id
from chalicelib.platform.requests import counted

NOTHING_FAILED = {"batchItemFailures": []}


def delivery_of(tenant, event_id, endpoint) -> Delivery:
    pk = delivery_id(tenant, event_id, endpoint.sk)
    return find_deliveries(tenant, [pk])[pk]


@pytest.fixture
def endpoint_at(tenant, receiver):
    """Makes an endpoint at a path of the receiver; returns it and its secret."""
    return lambda path="/hooks", **options: endpoints.create_endpoint(
        tenant, receiver.url(path), now=utc_now(), **options
    )


@pytest.fixture
def dispatched(tenant, emit, stream, context, queue):
    """Emits an event and dispatches it; returns its id."""

    def dispatch() -> str:
        event_id = emit(tenant)
        assert feed_dispatch(stream(tenant, [event_id]), context) == NOTHING_FAILED
        return event_id

    return dispatch


def test_an_event_is_delivered_once_and_verifies(tenant, endpoint_at, dispatched, receiver, queue, context):
    endpoint, secret = endpoint_at()
    event_id = dispatched()
    assert feed_deliver(queue.take(), context) == NOTHING_FAILED
    [request] = receiver.received
    assert request.id == event_id
    assert request.verified(secret)["type"] == "case.opened"
    delivery = delivery_of(tenant, event_id, endpoint)
    assert (delivery.status, delivery.made, delivery.next_attempt_at) == ("delivered", 1, None)
    assert {k: v for k, v in delivery.attempts[0].items() if k in ("status", "kind")} == {
        "status": 200,
        "kind": "answered",
    }
    assert queue.sent == []


def test_an_event_dispatched_twice_is_the_same_delivery(tenant, endpoint_at, emit, stream, receiver, queue, context):
    endpoint_at()
    event_id = emit(tenant)
    for _ in range(2):
        feed_dispatch(stream(tenant, [event_id]), context)
    assert len(queue.sent) == 2
    feed_deliver(queue.take(), context)
    feed_dispatch(stream(tenant, [event_id]), context)
    feed_deliver(queue.take(), context)
    assert [request.id for request in receiver.received] == [event_id]


def test_a_copy_that_is_sent_all_the_same_carries_the_same_id(
    tenant, endpoint_at, dispatched, receiver, queue, context, monkeypatch
):
    endpoint, _ = endpoint_at()
    event_id = dispatched()
    batch = queue.take()
    with monkeypatch.context() as patch:
        patch.setattr(tenant.store.connection, "transact_write_items", _broken)
        patch.setattr(deliver_module, "open_tenant", lambda _: tenant)
        failed = feed_deliver(batch, context)
    # It was posted but could not be recorded, so the message comes again.
    assert failed == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    assert feed_deliver(batch, context) == NOTHING_FAILED
    assert [request.id for request in receiver.received] == [event_id, event_id]
    assert delivery_of(tenant, event_id, endpoint).status == "delivered"


def _broken(*_, **__):
    raise BotoCoreError


def test_a_receiver_that_was_down_gets_the_event_at_the_next_attempt(
    tenant, endpoint_at, dispatched, receiver, queue, context
):
    endpoint, secret = endpoint_at()
    receiver.answers["/hooks"] = 503
    event_id = dispatched()
    assert feed_deliver(queue.take(), context) == NOTHING_FAILED
    delivery = delivery_of(tenant, event_id, endpoint)
    assert (delivery.status, delivery.made, delivery.attempts[0]["status"]) == ("pending", 1, 503)
    [(follow_up, delay)] = queue.sent
    assert (follow_up["attempt"], follow_up["event_id"]) == (2, event_id)
    assert 5 <= delay <= 7
    assert parse_rfc3339(follow_up["due"]) == delivery.next_attempt_at.replace(
        microsecond=delivery.next_attempt_at.microsecond // 1000 * 1000
    )

    receiver.answers["/hooks"] = 200
    queue.sent.clear()
    due_now = Message(tenant.id, event_id, endpoint.sk, 2)
    assert feed_deliver(queue.batch([due_now]), context) == NOTHING_FAILED
    assert [request.verified(secret)["type"] for request in receiver.received] == ["case.opened"] * 2
    assert {request.id for request in receiver.received} == {event_id}
    assert delivery_of(tenant, event_id, endpoint).status == "delivered"
    assert queue.sent == []


def test_a_message_that_comes_early_goes_back_with_the_rest_of_its_delay(tenant, receiver, queue, context, endpoint_at):
    endpoint, _ = endpoint_at()
    hours_ahead = Message(tenant.id, new_id("evt"), endpoint.sk, 5, utc_now() + timedelta(hours=2))
    soon = Message(tenant.id, new_id("evt"), endpoint.sk, 2, utc_now() + timedelta(seconds=40))
    with counted() as requests:
        assert feed_deliver(queue.batch([hours_ahead, soon]), context) == NOTHING_FAILED
    assert not requests
    [(first, longest), (second, rest)] = sorted(queue.sent, key=lambda each: -each[1])
    assert (first["attempt"], longest) == (5, 900)
    assert second["attempt"] == 2
    assert 30 <= rest <= 40
    assert receiver.received == []


def test_a_delivery_fails_for_good_after_eight_attempts_and_can_be_retried(
    tenant, endpoint_at, dispatched, receiver, queue, context
):
    endpoint, _ = endpoint_at()
    receiver.answers["/hooks"] = 500
    event_id = dispatched()
    queue.sent.clear()
    for attempt in range(1, 9):
        feed_deliver(queue.batch([Message(tenant.id, event_id, endpoint.sk, attempt)]), context)
    delivery = delivery_of(tenant, event_id, endpoint)
    assert (delivery.status, delivery.reason, delivery.made) == ("failed", "attempts_exhausted", 8)
    assert [message["attempt"] for message, _ in queue.sent] == [2, 3, 4, 5, 6, 7, 8]

    receiver.answers["/hooks"] = 204
    queue.sent.clear()
    assert deliveries.retry(tenant, delivery.pk, now=utc_now()).status == "pending"
    assert feed_deliver(queue.take(), context) == NOTHING_FAILED
    assert delivery_of(tenant, event_id, endpoint).status == "delivered"
    with pytest.raises(Conflict):
        deliveries.retry(tenant, delivery.pk, now=utc_now())


def test_a_follow_up_that_could_not_be_sent_is_sent_when_its_message_comes_again(
    tenant, endpoint_at, dispatched, receiver, queue, context
):
    endpoint, _ = endpoint_at()
    receiver.answers["/hooks"] = 503
    event_id = dispatched()
    batch = queue.take()
    queue.refuse = lambda _: True
    assert feed_deliver(batch, context) == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    queue.refuse = lambda _: False
    assert feed_deliver(batch, context) == NOTHING_FAILED
    assert [message["attempt"] for message, _ in queue.sent] == [2]
    assert len(receiver.received) == 1
    assert delivery_of(tenant, event_id, endpoint).made == 1


def test_a_receiver_that_says_410_is_sent_nothing_more(tenant, endpoint_at, dispatched, receiver, queue, context):
    endpoint, _ = endpoint_at()
    receiver.answers["/hooks"] = 410
    first = dispatched()
    feed_deliver(queue.take(), context)
    found = endpoints.find_endpoint(tenant, endpoint.sk)
    assert (found.enabled, found.disabled_reason) == (False, "endpoint_gone")
    second = dispatched()
    assert feed_deliver(queue.take(), context) == NOTHING_FAILED
    assert len(receiver.received) == 1
    for event_id, made in ((first, 1), (second, 0)):
        delivery = delivery_of(tenant, event_id, endpoint)
        assert (delivery.status, delivery.reason, delivery.made) == ("pending", "endpoint_gone", made)
    assert queue.sent == []


def test_a_disabled_endpoint_is_posted_nothing_until_it_is_enabled_and_retried(
    tenant, endpoint_at, dispatched, receiver, queue, context
):
    endpoint, secret = endpoint_at()
    endpoints.change_endpoint(tenant, endpoint.sk, Change(enabled=False), now=utc_now())
    event_id = dispatched()
    assert feed_deliver(queue.take(), context) == NOTHING_FAILED
    delivery = delivery_of(tenant, event_id, endpoint)
    assert (delivery.status, delivery.reason, delivery.made) == ("pending", "endpoint_disabled", 0)
    assert receiver.received == queue.sent == []
    with pytest.raises(Conflict):
        deliveries.retry(tenant, delivery.pk, now=utc_now())

    endpoints.change_endpoint(tenant, endpoint.sk, Change(enabled=True), now=utc_now())
    deliveries.retry(tenant, delivery.pk, now=utc_now())
    feed_deliver(queue.take(), context)
    assert [request.verified(secret)["type"] for request in receiver.received] == ["case.opened"]
    delivery = delivery_of(tenant, event_id, endpoint)
    assert (delivery.status, delivery.reason) == ("delivered", None)


def test_a_deleted_endpoint_is_posted_nothing(tenant, endpoint_at, dispatched, receiver, queue, context):
    endpoint, _ = endpoint_at()
    event_id = dispatched()
    endpoints.delete_endpoint(tenant, endpoint.sk)
    assert feed_deliver(queue.take(), context) == NOTHING_FAILED
    delivery = delivery_of(tenant, event_id, endpoint)
    assert (delivery.status, delivery.reason) == ("abandoned", "endpoint_deleted")
    assert receiver.received == []
    with pytest.raises(Conflict):
        deliveries.retry(tenant, delivery.pk, now=utc_now())


def test_a_receiver_can_refuse_one_message_for_good(tenant, endpoint_at, dispatched, receiver, queue, context):
    endpoint, _ = endpoint_at()
    receiver.answers["/hooks"] = 422
    receiver.answer_headers["/hooks"] = {"webhook-delivery": "abort-message"}
    event_id = dispatched()
    feed_deliver(queue.take(), context)
    delivery = delivery_of(tenant, event_id, endpoint)
    assert (delivery.status, delivery.reason) == ("abandoned", "refused_by_receiver")
    assert queue.sent == []


def test_a_rotated_secret_signs_beside_the_old_one(tenant, endpoint_at, dispatched, receiver, queue, context):
    endpoint, old = endpoint_at()
    _, new = endpoints.rotate_secret(tenant, endpoint.sk, now=utc_now())
    dispatched()
    feed_deliver(queue.take(), context)
    [request] = receiver.received
    assert request.verified(old) == request.verified(new)


def test_an_endpoint_whose_host_turned_private_is_not_connected_to(
    tenant, endpoint_at, dispatched, receiver, queue, context, monkeypatch
):
    endpoint, _ = endpoint_at()
    event_id = dispatched()

    def turned(*_, **__):
        raise egress.ForbiddenAddress("metadata", "The host leads to an address that is not public (metadata).")

    monkeypatch.setattr(egress, "resolve", turned)
    feed_deliver(queue.take(), context)
    delivery = delivery_of(tenant, event_id, endpoint)
    assert (delivery.status, delivery.attempts[0]["kind"]) == ("pending", "forbidden-address")
    assert receiver.received == []


def test_an_endpoint_that_hangs_rests_and_does_not_hold_up_the_others(
    tenant, endpoint_at, emit, stream, receiver, queue, context, monkeypatch
):
    healthy, _ = endpoint_at("/healthy")
    hanging, _ = endpoint_at("/hanging")
    all_healthy = threading.Event()
    # Nothing hangs longer than it takes to deliver to the healthy endpoint: it would for ever if that had to wait.
    receiver.answers["/hanging"] = lambda: 503 if all_healthy.wait(20) else 500

    def healthy_answer() -> int:
        if len(receiver.at("/healthy")) == 20:
            all_healthy.set()
        return 200

    receiver.answers["/healthy"] = healthy_answer
    monkeypatch.setattr("chalicelib.feed.attempt.SLOW_SECONDS", 0.0)
    ids = [emit(tenant) for _ in range(20)]
    feed_dispatch(stream(tenant, ids), context)
    assert feed_deliver(queue.take(), context) == NOTHING_FAILED

    assert {delivery_of(tenant, i, healthy).status for i in ids} == {"delivered"}
    failed = [delivery_of(tenant, i, hanging) for i in ids]
    assert {each.status for each in failed} == {"pending"}
    tried = len(receiver.at("/hanging"))
    assert {a["status"] for each in failed for a in each.attempts} == {503}  # no 500: nobody waited in vain
    assert 3 <= tried < 20
    # What was not posted was not attempted: the same attempt is due when the endpoint has rested.
    assert sorted(each.made for each in failed) == [0] * (20 - tried) + [1] * tried
    until = endpoints.find_endpoint(tenant, hanging.sk).resting_until
    assert {each.next_attempt_at for each in failed if each.made == 0} == {until}
    assert sorted(message["attempt"] for message, _ in queue.sent) == [1] * (20 - tried) + [2] * tried

    # The next batch leaves it alone too, until somebody asks for a retry.
    queue.sent.clear()
    feed_dispatch(stream(tenant, [late := emit(tenant)]), context)
    feed_deliver(queue.take(), context)
    assert len(receiver.at("/hanging")) == tried
    deliveries.retry(tenant, delivery_of(tenant, late, hanging).pk, now=utc_now())
    assert endpoints.find_endpoint(tenant, hanging.sk).resting_until is None


def test_an_endpoint_that_rests_for_ever_fails_its_delivery_in_the_end_and_a_retry_begins_anew(
    tenant, endpoint_at, dispatched, receiver, queue
):
    endpoint, _ = endpoint_at()
    event_id = dispatched()
    moment, messages = utc_now(), [parse(json.dumps(document)) for document, _ in queue.sent]
    for _ in range(100):
        queue.sent.clear()
        endpoints.rest(tenant, endpoint.sk, until=moment + timedelta(seconds=60))
        assert deliver(messages, remaining_seconds=lambda: 300, clock=lambda at=moment: at) == set()
        delivery = delivery_of(tenant, event_id, endpoint)
        if delivery.status != "pending":
            break
        [(document, _)] = queue.sent
        messages, moment = [parse(json.dumps(document))], delivery.next_attempt_at
        assert (document["attempt"], delivery.made) == (1, 0)
    assert (delivery.status, delivery.reason) == ("failed", "endpoint_did_not_answer")
    assert (delivery.made, delivery.attempts, queue.sent, receiver.received) == (0, [], [], [])

    deliveries.retry(tenant, delivery.pk, now=moment)
    endpoints.rest(tenant, endpoint.sk, until=moment + timedelta(seconds=60))
    messages = [parse(json.dumps(document)) for document, _ in queue.sent]
    deliver(messages, remaining_seconds=lambda: 300, clock=lambda: moment)
    assert delivery_of(tenant, event_id, endpoint).status == "pending"


def test_no_post_begins_when_the_functions_time_is_nearly_up(tenant, endpoint_at, dispatched, receiver, queue, context):
    endpoint_at()
    dispatched()
    context.remaining = 20_000
    assert feed_deliver(queue.take(), context) == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    assert receiver.received == []


def test_a_message_that_is_none_comes_back_until_it_is_a_dead_letter(tenant, endpoint_at, dispatched, queue, context):
    endpoint_at()
    dispatched()
    batch = queue.take()
    wrong = [
        '"text"',
        "{",
        '{"tenant_id": "ten_x"}',
        json.dumps({**json.loads(batch["Records"][0]["body"]), "attempt": 0}),
    ]
    batch["Records"] += [{"messageId": f"wrong{i}", "body": body} for i, body in enumerate(wrong)]
    failed = feed_deliver(batch, context)["batchItemFailures"]
    assert [each["itemIdentifier"] for each in failed] == ["wrong0", "wrong1", "wrong2", "wrong3"]


def test_a_batch_of_two_tenants_reaches_both_and_an_unknown_one_hurts_neither(
    tenant, other_tenant, emit, stream, receiver, queue, context
):
    secrets = {}
    for each in (tenant, other_tenant):
        _, secrets[each.id] = endpoints.create_endpoint(each, receiver.url(f"/{each.id}"), now=utc_now())
        feed_dispatch(stream(each, [emit(each)]), context)
    nobody = Message(new_id("ten"), new_id("evt"), new_id("ep"))
    batch = queue.take()
    batch["Records"] += [{"messageId": "nobody", "body": json.dumps(nobody.document())}]
    assert feed_deliver(batch, context) == NOTHING_FAILED
    for each in (tenant, other_tenant):
        [request] = receiver.at(f"/{each.id}")
        assert request.verified(secrets[each.id])


def test_a_tenant_that_cannot_be_reached_does_not_stop_another(
    tenant, other_tenant, emit, stream, receiver, queue, context, monkeypatch
):
    for each in (tenant, other_tenant):
        endpoints.create_endpoint(each, receiver.url(f"/{each.id}"), now=utc_now())
        feed_dispatch(stream(each, [emit(each)]), context)
    opened = deliver_module.open_tenant

    def open_but_one(tenant_id):
        if tenant_id == tenant.id:
            raise RuntimeError("its key is disabled")
        return opened(tenant_id)

    monkeypatch.setattr(deliver_module, "open_tenant", open_but_one)
    assert feed_deliver(queue.take(), context) == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    assert (len(receiver.at(f"/{tenant.id}")), len(receiver.at(f"/{other_tenant.id}"))) == (0, 1)


def test_what_is_polled_is_byte_for_byte_what_was_posted(tenant, endpoint_at, dispatched, receiver, queue, context):
    endpoint_at()
    event_id = dispatched()
    feed_deliver(queue.take(), context)
    [polled] = log.read(tenant, Position(), limit=10).events
    [request] = receiver.received
    assert (polled.event_id, polled.body) == (event_id, request.body)


def test_delivering_a_hundred_costs_three_reads_and_one_write(
    tenant, endpoint_at, emit, stream, receiver, queue, context
):
    endpoint_at()
    feed_dispatch(stream(tenant, [emit(tenant) for _ in range(100)]), context)
    batch = queue.take()
    with counted() as requests:
        assert feed_deliver(batch, context) == NOTHING_FAILED
    assert len(receiver.received) == 100
    assert requests == {"BatchGetItem": 2, "Query": 1, "TransactWriteItems": 1}


def test_deliveries_are_listed_by_endpoint_and_by_event(tenant, endpoint_at, emit, stream, receiver, queue, context):
    one, _ = endpoint_at("/one")
    two, _ = endpoint_at("/two")
    ids = sorted(emit(tenant) for _ in range(5))
    feed_dispatch(stream(tenant, ids), context)
    feed_deliver(queue.take(), context)
    listed, position = deliveries.list_for_endpoint(tenant, one.sk, limit=3)
    rest, end = deliveries.list_for_endpoint(tenant, one.sk, limit=3, cursor=position)
    assert [each.event_id for each in [*listed, *rest]] == ids[::-1]
    assert end is None
    assert [each.endpoint_id for each in deliveries.list_for_event(tenant, ids[0])] == sorted([one.sk, two.sk])
    with pytest.raises(Invalid):
        deliveries.list_for_endpoint(tenant, one.sk, limit=3, cursor={"event_id": "x"})
    with pytest.raises(NotFound):
        deliveries.retry(tenant, new_id("dlv"), now=utc_now())
