"""Events commit with the change that they tell of, and are polled as they are sent."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from chalicelib.feed import event_put, log
from chalicelib.feed.catalogue import event_type
from chalicelib.feed.dispatch import Fresh, dispatch
from chalicelib.feed.events import body, find_events
from chalicelib.feed.log import Position
from chalicelib.feed.model import LOG_PK, Event, LogPage
from chalicelib.platform.commit import Check, Group, commit_one
from chalicelib.platform.requests import counted

DATA = event_type("case.opened").example


def test_an_event_stands_in_the_transaction_of_its_change(tenant, now):
    put = event_put(tenant, "case.opened", DATA, now=now)
    model = tenant.bind(Event)
    impossible = Check(model, "evt_none", "event", model.pk.exists())
    assert not commit_one(tenant.store, Group("refused", [put, impossible]))
    assert find_events(tenant, [put.item.pk]) == {}
    assert commit_one(tenant.store, Group("accepted", [put]))
    stored = find_events(tenant, [put.item.pk])[put.item.pk]
    assert (stored.type, stored.occurred_at, stored.schema_version) == ("case.opened", now, 1)
    assert json.loads(body(stored)) == {"type": "case.opened", "timestamp": "2005-09-30T16:00:00.000Z", "data": DATA}


def test_an_event_that_could_stop_the_feed_is_refused_before_its_change_commits(tenant, now):
    with pytest.raises(KeyError, match="no event type"):
        event_put(tenant, "case.vanished", {}, now=now)
    with pytest.raises(ValueError, match="JSON"):
        event_put(tenant, "case.opened", {**DATA, "days_past_due": float("nan")}, now=now)


def test_polling_follows_the_order_of_dispatch_and_not_of_ids(tenant, emit, queue):
    first, second, third = (emit(tenant) for _ in range(3))
    dispatch(tenant, [Fresh(third, "1")], now=datetime.now(UTC))
    seen = log.read(tenant, Position(), limit=10)
    assert [each.event_id for each in seen.events] == [third]
    assert not seen.more
    dispatch(tenant, [Fresh(first, "2"), Fresh(second, "3")], now=datetime.now(UTC))
    assert [each.event_id for each in log.read(tenant, seen.position, limit=10).events] == [first, second]


def test_a_reader_who_goes_on_from_each_answer_sees_every_event_once(tenant, emit, queue):
    ids = [emit(tenant) for _ in range(7)]
    for start in range(0, 7, 3):
        log.append(tenant, ids[start : start + 3])
    seen, position, more = [], Position(), True
    while more:
        part = log.read(tenant, position, limit=2)
        assert len(part.events) <= 2
        seen += [each.event_id for each in part.events]
        position, more = part.position, part.more
    assert seen == ids
    assert log.read(tenant, position, limit=2).events == []
    log.append(tenant, [late := emit(tenant)])
    assert [each.event_id for each in log.read(tenant, position, limit=2).events] == [late]


def test_a_page_waits_until_the_page_before_it_is_there(tenant, emit, queue):
    first, second = emit(tenant), emit(tenant)
    tenant.bind(LogPage)(LOG_PK, "page#000000000002", event_ids=[second]).save()
    assert log.read(tenant, Position(), limit=10).events == []
    tenant.bind(LogPage)(LOG_PK, "page#000000000001", event_ids=[first]).save()
    assert [each.event_id for each in log.read(tenant, Position(), limit=10).events] == [first, second]


def test_a_page_number_taken_by_another_writer_is_not_written_over(tenant, emit, queue, monkeypatch):
    mine, theirs = emit(tenant), emit(tenant)
    recent = log._recent

    def overtaken(model):
        found = recent(model)
        monkeypatch.setattr(log, "_recent", recent)
        log.append(tenant, [theirs])
        return found

    monkeypatch.setattr(log, "_recent", overtaken)
    log.append(tenant, [mine])
    assert [each.event_id for each in log.read(tenant, Position(), limit=10).events] == [theirs, mine]


def test_an_event_that_stands_in_the_log_twice_stops_no_reader(tenant, emit, queue):
    ids = [emit(tenant) for _ in range(3)]
    pages = [ids[:2], [ids[0], ids[2], ids[2]], [ids[1]]]
    for number, page in enumerate(pages, start=1):
        tenant.bind(LogPage)(LOG_PK, f"page#{number:012d}", event_ids=page).save()
    everything = log.read(tenant, Position(), limit=10)
    assert [each.event_id for each in everything.events] == ids
    assert (everything.position, everything.more) == (Position(4), False)
    part = log.read(tenant, Position(), limit=3)
    assert [each.event_id for each in part.events] == ids[:2]
    assert (part.position, part.more) == (Position(2, 1), True)
    assert [each.event_id for each in log.read(tenant, part.position, limit=2).events] == [ids[2]]


def test_an_event_told_of_twice_at_once_is_logged_once(tenant, emit, queue):
    first, second = emit(tenant), emit(tenant)
    log.append(tenant, [first, second, first])
    assert tenant.bind(LogPage).find(LOG_PK, "page#000000000001").event_ids == [first, second]


def test_polling_costs_two_requests(tenant, emit, queue):
    log.append(tenant, [emit(tenant) for _ in range(5)])
    with counted() as requests:
        log.read(tenant, Position(), limit=50)
    assert requests == {"Query": 1, "BatchGetItem": 1}
