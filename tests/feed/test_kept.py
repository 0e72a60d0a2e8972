"""What was kept while an endpoint was disabled is sent when it is enabled."""

from __future__ import annotations

from collections import Counter

import pytest

from chalicelib.feed import deliver as deliver_module
from chalicelib.feed import endpoints, kept
from chalicelib.feed.endpoints import Change
from chalicelib.feed.handlers import feed_deliver
from chalicelib.feed.messages import Message, Resend
from chalicelib.feed.recording import delivery_id, find_deliveries
from chalicelib.platform.clock import utc_now
from chalicelib.platform.ids import new_id

NOTHING_FAILED = {"batchItemFailures": []}


@pytest.fixture
def endpoint(tenant, receiver, queue):
    made, _ = endpoints.create_endpoint(tenant, receiver.url(), now=utc_now())
    return made


@pytest.fixture
def switch(tenant, endpoint):
    """Enables or disables the endpoint."""
    return lambda on: endpoints.change_endpoint(tenant, endpoint.sk, Change(enabled=on), now=utc_now())


@pytest.fixture
def arrive(tenant, endpoint, emit, queue, context):
    """Brings events to the endpoint as it is; returns their ids."""

    def events(count: int) -> list[str]:
        ids = [emit(tenant) for _ in range(count)]
        assert feed_deliver(queue.batch(Message(tenant.id, i, endpoint.sk) for i in ids), context) == NOTHING_FAILED
        return ids

    return events


@pytest.fixture
def work_off(queue, context):
    """Works through the queue until it is empty, whatever is delayed in it."""

    def work() -> None:
        while queue.sent:
            queue.sent = [({**message, "due": None}, delay) for message, delay in queue.sent]
            assert feed_deliver(queue.take(), context) == NOTHING_FAILED

    return work


@pytest.fixture
def found(tenant, endpoint):
    """The deliveries of some events to the endpoint."""

    def deliveries(ids):
        return find_deliveries(tenant, [delivery_id(tenant, i, endpoint.sk) for i in ids]).values()

    return deliveries


def test_enabling_an_endpoint_sends_what_was_kept_a_moment_later(switch, arrive, work_off, found, receiver, queue):
    before = arrive(1)
    switch(False)
    ids = arrive(3)
    assert {(each.status, each.reason) for each in found(ids)} == {("pending", "endpoint_disabled")}
    switch(True)
    [(_, delay)] = queue.sent
    assert delay == 10
    work_off()
    assert Counter(each.id for each in receiver.received) == Counter([*before, *ids])
    assert {(each.status, each.reason, each.made) for each in found(ids)} == {("delivered", None, 1)}


def test_a_long_list_is_sent_page_by_page_and_each_delivery_once(
    tenant, endpoint, switch, arrive, work_off, receiver, queue, context, monkeypatch
):
    monkeypatch.setattr(kept, "PAGE", 2)
    before = arrive(3)
    switch(False)
    ids = arrive(4)
    switch(True)
    assert feed_deliver(queue.take(), context) == NOTHING_FAILED
    # Two that were delivered before make the first page, so nothing of it is sent; the rest of the list follows.
    [(document, delay)] = queue.sent
    assert (document["endpoint_id"], document["resend_after"]["event_id"], delay) == (endpoint.sk, before[1], 0)
    work_off()
    assert Counter(each.id for each in receiver.received) == Counter([*before, *ids])


def test_what_a_receiver_had_refused_with_410_goes_on_with_the_next_attempt(
    tenant, endpoint, switch, arrive, work_off, found, receiver, queue, context
):
    receiver.answers["/hooks"] = 410
    ids = arrive(1)
    receiver.answers["/hooks"] = 200
    switch(True)
    # The message of the first attempt, should it come twice, finds that there is more to do.
    assert feed_deliver(queue.batch([Message(tenant.id, ids[0], endpoint.sk)]), context) == NOTHING_FAILED
    assert len(receiver.received) == 2
    work_off()
    [delivery] = found(ids)
    assert (delivery.status, delivery.made, [each["status"] for each in delivery.attempts]) == (
        "delivered",
        2,
        [410, 200],
    )
    assert len(receiver.received) == 2


def test_what_is_recorded_as_kept_just_after_its_endpoint_was_enabled_is_sent(
    switch, arrive, work_off, found, receiver, monkeypatch
):
    switch(False)
    record = deliver_module.record

    def enabled_meanwhile(*arguments):
        monkeypatch.setattr(deliver_module, "record", record)
        switch(True)
        work_off()
        return record(*arguments)

    monkeypatch.setattr(deliver_module, "record", enabled_meanwhile)
    ids = arrive(2)
    work_off()
    assert {each.status for each in found(ids)} == {"delivered"}
    assert len(receiver.received) == 2


def test_a_410_whose_endpoint_could_not_be_disabled_is_not_forgotten(
    switch, arrive, work_off, found, receiver, monkeypatch, tenant, endpoint
):
    disable = endpoints.disable

    def fails_once(*_, **__):
        monkeypatch.setattr(endpoints, "disable", disable)
        raise deliver_module.Unavailable("busy")

    monkeypatch.setattr(endpoints, "disable", fails_once)
    receiver.answers["/hooks"] = 410
    ids = arrive(1)
    assert endpoints.find_endpoint(tenant, endpoint.sk).enabled
    work_off()
    assert not endpoints.find_endpoint(tenant, endpoint.sk).enabled
    [delivery] = found(ids)
    assert (delivery.status, delivery.reason, delivery.made) == ("pending", "endpoint_gone", 2)


def test_nothing_is_sent_for_an_endpoint_that_is_disabled_again_or_gone(
    tenant, switch, arrive, receiver, queue, context
):
    switch(False)
    arrive(1)
    switch(True)
    switch(False)
    gone = Resend(tenant.id, new_id("ep"))
    elsewhere = Resend(new_id("ten"), new_id("ep"))
    queue.sent += [(each.document(), 0) for each in (gone, elsewhere)]
    assert feed_deliver(queue.take(), context) == NOTHING_FAILED
    assert queue.sent == receiver.received == []
