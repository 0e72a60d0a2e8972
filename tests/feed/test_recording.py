"""Two functions that hold the same message: of what they record, the more final result stands."""

from __future__ import annotations

import itertools

import pytest

from chalicelib.feed import endpoints
from chalicelib.feed.handlers import feed_deliver
from chalicelib.feed.messages import Message
from chalicelib.feed.model import ABANDONED, DELIVERED, DELIVERY_SK, FAILED, PENDING, Delivery
from chalicelib.feed.recording import KEPT_ATTEMPTS, Result, add_attempt, delivery_id, find_deliveries, record
from chalicelib.platform.clock import utc_now
from chalicelib.platform.errors import Unavailable
from chalicelib.platform.ids import new_id

FINALITY = {PENDING: 0, FAILED: 0, ABANDONED: 1, DELIVERED: 2}


@pytest.fixture
def twice(tenant, emit, receiver, queue, context):
    """Delivers one event in a function that is overtaken, while it posts, by another one with the same message.

    Takes what the receiver answers to the one that is overtaken and to the other; returns the delivery.
    """

    def deliver(overtaken: int, overtaking: int) -> Delivery:
        endpoint, _ = endpoints.create_endpoint(tenant, receiver.url(), now=utc_now())
        event_id = emit(tenant)
        batch = queue.batch([Message(tenant.id, event_id, endpoint.sk)])

        def answer() -> int:
            receiver.answers["/hooks"] = overtaking
            assert feed_deliver(batch, context) == {"batchItemFailures": []}
            return overtaken

        receiver.answers["/hooks"] = answer
        assert feed_deliver(batch, context) == {"batchItemFailures": []}
        assert len(receiver.received) == 2
        return find_deliveries(tenant, [pk := delivery_id(tenant, event_id, endpoint.sk)])[pk]

    return deliver


def test_an_accepted_delivery_is_not_made_pending_by_a_failure_recorded_later(twice, queue):
    delivery = twice(503, 200)
    assert (delivery.status, delivery.made, delivery.next_attempt_at) == ("delivered", 1, None)
    assert queue.sent == []


def test_an_acceptance_recorded_after_a_failure_stands_with_both_attempts(twice, queue, context):
    delivery = twice(200, 503)
    assert (delivery.status, delivery.made, delivery.next_attempt_at) == ("delivered", 2, None)
    assert [each["status"] for each in delivery.attempts] == [503, 200]
    assert [message["attempt"] for message, _ in queue.sent] == [2]  # asked for before, and worth nothing now
    queue.sent = [({**message, "due": None}, delay) for message, delay in queue.sent]
    assert feed_deliver(queue.take(), context) == {"batchItemFailures": []}
    assert queue.sent == []


def test_two_failures_of_one_attempt_count_once_and_are_followed_by_one_attempt(twice, queue):
    delivery = twice(503, 503)
    assert (delivery.status, delivery.made) == ("pending", 1)
    # Both ask for it, as either may die before it does; the two messages are the same.
    first, second = (message for message, _ in queue.sent)
    assert first == second
    assert first["attempt"] == 2


@pytest.fixture
def result(tenant, now):
    """Makes a result with one attempt, for a delivery that nobody has stored when it was read."""

    def make(event_id: str, endpoint_id: str, status: str) -> Result:
        delivery = tenant.bind(Delivery)(
            delivery_id(tenant, event_id, endpoint_id),
            DELIVERY_SK,
            endpoint_id=endpoint_id,
            event_id=event_id,
            event_type="case.opened",
            status=status,
            updated_at=now,
        )
        add_attempt(delivery, {"of": status})
        return Result(Message(tenant.id, event_id, endpoint_id), delivery, None, {"of": status})

    return make


def test_of_two_results_the_more_final_one_is_stored_whichever_was_first(tenant, result):
    pairs = list(itertools.product(FINALITY, FINALITY))
    event_id, endpoint_ids = new_id("evt"), [new_id("ep") for _ in pairs]

    def results(statuses):
        return [result(event_id, *each) for each in zip(endpoint_ids, statuses, strict=True)]

    stored, later = zip(*pairs, strict=True)
    record(tenant, results(stored))
    standing = {message.endpoint_id: delivery for message, delivery in record(tenant, results(later))}
    found = find_deliveries(tenant, [delivery_id(tenant, event_id, each) for each in endpoint_ids])
    assert len(found) == len(pairs)
    for (before, after), endpoint_id in zip(pairs, endpoint_ids, strict=True):
        delivery = found[delivery_id(tenant, event_id, endpoint_id)]
        won = FINALITY[after] > FINALITY[before]
        assert delivery.status == (after if won else before)
        assert [each["of"] for each in delivery.attempts] == ([before, after] if won else [before])
        assert (standing[endpoint_id].status, standing[endpoint_id].made) == (delivery.status, delivery.made)


def test_only_the_latest_attempts_are_kept_and_all_are_counted(tenant, now):
    delivery = tenant.bind(Delivery)(new_id("dlv"), DELIVERY_SK)
    for number in range(KEPT_ATTEMPTS + 3):
        add_attempt(delivery, {"number": number})
    assert delivery.made == KEPT_ATTEMPTS + 3
    assert [each["number"] for each in delivery.attempts] == list(range(3, KEPT_ATTEMPTS + 3))


def test_when_others_are_faster_every_time_nothing_is_recorded(tenant, result, monkeypatch):
    monkeypatch.setattr("chalicelib.feed.recording.commit", lambda _, groups: groups)
    wanted = result(new_id("evt"), new_id("ep"), DELIVERED)
    with pytest.raises(Unavailable):
        record(tenant, [wanted])
    assert find_deliveries(tenant, [wanted.delivery.pk]) == {}
