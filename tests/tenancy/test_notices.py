"""Telling a tenant's people and receivers of its moves: each once and in order, whatever is killed, late or at once."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from boto3.dynamodb.types import TypeDeserializer
from botocore.exceptions import ClientError

from chalicelib.billing import find_plan
from chalicelib.feed import catalogue
from chalicelib.identity import add_owner, forget_people
from chalicelib.platform import aws as clients
from chalicelib.platform import mail
from chalicelib.platform.clock import rfc3339, utc_now
from chalicelib.platform.errors import Conflict, NotFound
from chalicelib.platform.ids import new_id
from chalicelib.platform.settings import settings
from chalicelib.platform.tenant import Tenant
from chalicelib.tenancy import State, announce, credentials, find_tenant, notices, records, tell_trial_ending
from chalicelib.tenancy.provisioning import provision
from chalicelib.tenancy.states import TRANSITIONS, Cause
from infra.demo.mailbox import Received, mails_to
from tests.billing.subscribers import Killed, Saboteur

NOW = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
TOLD = [(before, cause, after) for (before, cause), after in TRANSITIONS.items() if cause != Cause.ERASED]
"""Every move that there is somebody to be told of."""


def moved(number: int, before: State, cause: Cause, after: State, at: datetime = NOW) -> dict[str, Any]:
    """An announcement as the lifecycle writes it."""
    return {"n": number, "before": before.value, "state": after.value, "cause": cause.value, "at": rfc3339(at)}


def failed(number: int) -> dict[str, Any]:
    return moved(number, State.ACTIVE, Cause.PAYMENT_FAILED, State.PAST_DUE)


def paid(number: int) -> dict[str, Any]:
    return moved(number, State.PAST_DUE, Cause.PAID, State.ACTIVE)


def to_be_told(tenant_id: str, announcements: Sequence[dict[str, Any]]) -> None:
    model = records()
    find_tenant(tenant_id).update(actions=[model.announcements.set(list(announcements)), model.version.add(1)])


def left_to_tell(tenant_id: str) -> list[int]:
    return [each["n"] for each in find_tenant(tenant_id).announcements]


def items(tenant: Tenant, kind: str, prefix: str) -> list[dict[str, Any]]:
    """What is stored in a table of the tenant's under keys that begin so."""
    name, read = settings().tenant_table(tenant.id, kind), TypeDeserializer().deserialize
    pages = boto3.client("dynamodb").get_paginator("scan").paginate(TableName=name)
    found = [{key: read(value) for key, value in item.items()} for page in pages for item in page["Items"]]
    return [item for item in found if item["pk"].startswith(prefix)]


def events(tenant: Tenant) -> list[dict[str, Any]]:
    """The tenant's events: type and data, in the order in which they happened."""
    stored = sorted(items(tenant, "feed", "evt_"), key=lambda item: item["occurred_at"])
    return [{"type": item["type"], **_data(item)} for item in stored]


def _data(item: dict[str, Any]) -> dict[str, Any]:
    return json.loads(item["data"]) if isinstance(item["data"], str) else dict(item["data"])


def told_moves(tenant: Tenant) -> list[int]:
    """The moves that there are events of, in their numbers' order, each as often as there is one."""
    return sorted(int(event["move"]) for event in events(tenant) if "move" in event)


def mails(address: str) -> list[Received]:
    """Our own letters to an address; the user pool sends a first password besides."""
    received = mails_to(os.environ["AWS_ENDPOINT_URL"], address)
    return [letter for letter in received if "Duebridge" in letter.subject]


def owner_of(tenant: Tenant) -> str:
    return find_tenant(tenant.id).owner_email


def test_a_move_is_told_by_an_event_a_leaf_and_a_mail_and_struck_out(tenant):
    to_be_told(tenant.id, [failed(1)])
    assert announce(tenant.id) == 1
    assert events(tenant) == [
        {
            "type": "tenant.payment_failed",
            "tenant_id": tenant.id,
            "move": 1,
            "connectors_paused_on": "2026-12-09",
            "reading_only_on": "2026-12-23",
            "closing_on": "2027-01-24",
        }
    ]
    (leaf,) = items(tenant, "ledger", "leaf#")
    assert (leaf["action"], leaf["subject"], leaf["actor"]) == ("tenant.payment_failed", tenant.id, "duebridge")
    (letter,) = mails(owner_of(tenant))
    for day in ("2026-12-09", "2026-12-23", "2027-01-24"):
        assert day in letter.text
    assert left_to_tell(tenant.id) == []


def test_nothing_to_tell_tells_nothing(tenant):
    assert announce(tenant.id) == 0
    assert events(tenant) == mails(owner_of(tenant)) == []


def test_moves_are_told_in_their_order_and_told_again_not_at_all(tenant, monkeypatch):
    committed: list[str] = []
    real = notices.commit_one

    def noted(store, group, **options) -> bool:
        committed.append(group.key)
        return real(store, group, **options)

    monkeypatch.setattr(notices, "commit_one", noted)
    to_be_told(tenant.id, [failed(1), paid(2), failed(3)])
    assert announce(tenant.id) == 3
    assert announce(tenant.id) == 0
    assert committed == ["state-1", "state-2", "state-3"]
    assert told_moves(tenant) == [1, 2, 3]
    assert len(mails(owner_of(tenant))) == 3


@pytest.mark.parametrize("language", mail.LANGUAGES)
def test_of_every_move_that_there_is_people_are_told_in_their_language_and_receivers_by_the_catalogue(tenant, language):
    model = records()
    find_tenant(tenant.id).update(
        actions=[model.locale.set(language), model.erase_after.set(NOW + timedelta(days=30)), model.version.add(1)]
    )
    to_be_told(tenant.id, [moved(n, before, cause, after) for n, (before, cause, after) in enumerate(TOLD, start=1)])
    assert announce(tenant.id) == len(TOLD)
    for event in events(tenant):
        catalogue.validate(event.pop("type"), event)
    assert told_moves(tenant) == list(range(1, len(TOLD) + 1))
    letters = mail.letters(language)
    for letter, (_, cause, _) in zip(mails(owner_of(tenant)), TOLD, strict=True):
        ending = letters[cause]["subject"].rpartition("}")[2] or letters[cause]["subject"].partition("{")[0]
        assert ending in letter.subject
        assert "Harbour Bank" in letter.subject + letter.text
        assert settings().public_url in letter.text
        assert "{" not in letter.subject + letter.text


def test_days_are_counted_from_when_the_payment_failed_and_not_from_the_step(tenant):
    model = records()
    find_tenant(tenant.id).update(actions=[model.owing_since.set(NOW), model.version.add(1)])
    limited = moved(2, State.PAST_DUE, Cause.LIMITED_BY_TIME, State.LIMITED, NOW + timedelta(days=14))
    to_be_told(tenant.id, [limited])
    announce(tenant.id)
    (letter,) = mails(owner_of(tenant))
    assert "2026-12-23" in letter.text and "2027-01-24" in letter.text


def test_every_owner_is_written_to(tenant):
    other = f"second@{tenant.id.lower().replace('_', '-')}.example"
    add_owner(tenant.id, other)
    to_be_told(tenant.id, [failed(1)])
    announce(tenant.id)
    assert len(mails(owner_of(tenant))) == len(mails(other)) == 1


def test_without_owners_whoever_signed_up_is_written_to(tenant):
    forget_people(tenant.id)
    to_be_told(tenant.id, [failed(1)])
    announce(tenant.id)
    assert len(mails(owner_of(tenant))) == 1


def test_an_owner_whose_mailbox_is_refused_keeps_nobody_from_being_told(tenant, monkeypatch):
    other, real = f"second@{tenant.id.lower().replace('_', '-')}.example", mail.send
    add_owner(tenant.id, other)

    def send(to: str, subject: str, text: str) -> None:
        if to == owner_of(tenant):
            raise ClientError({"Error": {"Code": "MessageRejected", "Message": to}}, "SendEmail")
        real(to, subject, text)

    monkeypatch.setattr(mail, "send", send)
    to_be_told(tenant.id, [failed(1), paid(2)])
    assert announce(tenant.id) == 2
    assert len(mails(other)) == 2


def test_while_no_mail_is_taken_the_event_is_there_once_and_the_mail_comes_later(tenant, monkeypatch):
    def down(*_: str) -> None:
        raise ClientError({"Error": {"Code": "SendingPausedException", "Message": "paused"}}, "SendEmail")

    to_be_told(tenant.id, [failed(1), paid(2)])
    with monkeypatch.context() as broken:
        broken.setattr(mail, "send", down)
        for _ in range(3):
            with pytest.raises(ClientError):
                announce(tenant.id)
    assert (told_moves(tenant), left_to_tell(tenant.id)) == ([1], [1, 2])
    assert announce(tenant.id) == 2
    assert told_moves(tenant) == [1, 2]
    assert len(mails(owner_of(tenant))) == 2


def killed_everywhere(monkeypatch, prepare: Callable[[int], None], work: Callable[[], object], look) -> int:
    """Does a piece of work once for each of its requests, killed at that one and then done again; looks at what came
    of it, and returns how many requests there are."""
    at = 0
    while True:
        at += 1
        prepare(at)
        saboteur = Saboteur(at)
        # As a container that has just begun: opening the tenant is among the requests.
        monkeypatch.setattr(credentials, "_open", OrderedDict())
        try:
            with saboteur.lurking(monkeypatch):
                work()
        except Killed:
            work()
            look(at)
            continue
        look(at)
        return at


def test_killed_at_any_moment_nothing_is_lost_and_no_event_is_doubled(tenant, monkeypatch):
    add_owner(tenant.id, f"second@{tenant.id.lower().replace('_', '-')}.example")

    def prepare(at: int) -> None:
        to_be_told(tenant.id, [failed(2 * at - 1), paid(2 * at)])

    def look(at: int) -> None:
        assert told_moves(tenant) == list(range(1, 2 * at + 1)), f"killed at request {at}"
        assert len(items(tenant, "ledger", "leaf#")) == 2 * at
        assert left_to_tell(tenant.id) == []
        assert len(mails(owner_of(tenant))) >= 2 * at

    assert killed_everywhere(monkeypatch, prepare, lambda: announce(tenant.id), look) > 12


def test_two_workers_at_once_make_each_event_once_and_strike_everything_out(tenant):
    to_be_told(tenant.id, [failed(1), paid(2), failed(3)])
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: announce(tenant.id), range(4)))
    assert told_moves(tenant) == [1, 2, 3]
    assert len(items(tenant, "ledger", "leaf#")) == 3
    assert left_to_tell(tenant.id) == []


def test_a_move_that_is_made_while_another_is_told_is_told_as_well(tenant, monkeypatch):
    real = mail.send_to_all

    def moves_meanwhile(addresses, written, **ids) -> None:
        if find_tenant(tenant.id).announcements == [failed(1)]:
            to_be_told(tenant.id, [failed(1), paid(2)])
        real(addresses, written, **ids)

    monkeypatch.setattr(mail, "send_to_all", moves_meanwhile)
    to_be_told(tenant.id, [failed(1)])
    assert announce(tenant.id) == 2
    assert told_moves(tenant) == [1, 2]


def test_a_record_that_others_keep_changing_is_left_for_the_next_try(tenant, monkeypatch):
    to_be_told(tenant.id, [failed(1)])
    with monkeypatch.context() as busy:
        busy.setattr(records(), "update_if", lambda *_: False)
        with pytest.raises(Conflict):
            announce(tenant.id)
    assert left_to_tell(tenant.id) == [1]
    assert announce(tenant.id) == 1
    assert told_moves(tenant) == [1]


def test_before_its_tables_are_made_a_tenant_is_not_told_and_the_end_of_provisioning_asks_again(aws):
    tenant_id = new_id("ten")
    began = moved(1, State.PENDING, Cause.TRIAL_BEGAN, State.TRIALING)
    records()(
        tenant_id,
        "tenant",
        name="Harbour Bank",
        jurisdiction="CN",
        region="eu-central-1",
        locale="zh_CN",
        currency="CNY",
        owner_email=f"owner@{tenant_id.lower().replace('_', '-')}.example",
        plan="starter",
        state="trialing",
        terms=find_plan("starter").terms.model_dump(mode="json"),
        created_at=NOW,
        announcements=[began],
        moves=1,
    ).save()
    _queued("billing")
    assert announce(tenant_id) == 0
    assert left_to_tell(tenant_id) == [1]

    provision(tenant_id)

    assert {"tenant_id": tenant_id, "action": "announce"} in _queued("billing")
    assert announce(tenant_id) == 1
    tenant = credentials.open_tenant(tenant_id)
    assert [(event["type"], event["cause"]) for event in events(tenant)] == [("tenant.state_changed", "trial_began")]
    assert len(mails(owner_of(tenant))) == 1


def _queued(queue: str) -> list[dict[str, Any]]:
    """Takes what waits in a queue."""
    sqs, url, taken = boto3.client("sqs"), clients.queue_url(queue), []
    while found := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in found:
            taken.append(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return taken


def test_a_tenant_that_is_being_erased_is_told_no_more(tenant):
    to_be_told(tenant.id, [failed(1)])
    find_tenant(tenant.id).update(actions=[records().erasure.set({"begun": {}})])
    assert announce(tenant.id) == 0
    tell_trial_ending(tenant.id, NOW)
    assert mails(owner_of(tenant)) == []


def test_an_unknown_tenant_is_not_found(aws):
    with pytest.raises(NotFound):
        announce(new_id("ten"))


def test_that_the_trial_ends_is_told_once_for_each_day_of_ending(tenant):
    for _ in range(3):
        tell_trial_ending(tenant.id, NOW)
    assert events(tenant) == [{"type": "tenant.trial_ending", "tenant_id": tenant.id, "ends_on": "2026-11-25"}]
    catalogue.validate("tenant.trial_ending", {"tenant_id": tenant.id, "ends_on": "2026-11-25"})
    (letter,) = mails(owner_of(tenant))
    assert "2026-11-25" in letter.subject

    tell_trial_ending(tenant.id, NOW + timedelta(days=7))
    assert len(events(tenant)) == len(mails(owner_of(tenant))) == 2, "the trial was prolonged"


def test_the_event_of_a_trials_end_happens_when_it_is_told_and_not_when_the_trial_ends(tenant):
    tell_trial_ending(tenant.id, utc_now() + timedelta(days=3))
    (event,) = items(tenant, "feed", "evt_")
    assert event["occurred_at"] <= utc_now().isoformat()


def test_a_trials_end_is_told_wherever_the_worker_is_killed(tenant, monkeypatch):
    def look(at: int) -> None:
        assert len(events(tenant)) == len(items(tenant, "ledger", "leaf#")) == at
        assert len(mails(owner_of(tenant))) >= at

    days = iter(range(1000))
    ends: list[datetime] = []

    def prepare(at: int) -> None:
        ends.append(NOW + timedelta(days=next(days)))

    assert killed_everywhere(monkeypatch, prepare, lambda: tell_trial_ending(tenant.id, ends[-1]), look) > 6


def test_before_its_tables_are_made_nobody_is_told_that_a_trial_ends(tenant):
    find_tenant(tenant.id).update(actions=[records().ready.set(False)])
    tell_trial_ending(tenant.id, NOW)
    assert mails(owner_of(tenant)) == []
