"""A legal hold is set, seen and released; what it stops is told in test_erasure."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import boto3
import pytest

from chalicelib.leaving import holds
from chalicelib.leaving.erasure import erase
from chalicelib.leaving.handlers import _carry_out
from chalicelib.leaving.holds import Hold
from chalicelib.platform.clock import rfc3339
from chalicelib.platform.errors import Conflict, Forbidden, NotFound
from chalicelib.platform.ids import new_id
from chalicelib.platform.settings import settings
from chalicelib.tenancy import State, find_tenant, records
from tests.billing.payments import messages
from tests.identity import crowd
from tests.leaving.departing import departing, erase_with_billing, letters_to, person
from tests.leaving.http import Http

NOW = datetime(2005, 9, 30, 16, 0, tzinfo=UTC)


def leaves_of(tenant) -> list[dict]:
    return boto3.client("dynamodb").scan(TableName=settings().tenant_table(tenant.id, "ledger"))["Items"]


def test_a_hold_is_set_replaced_and_released(tenant) -> None:
    assert holds.hold_of(find_tenant(tenant.id)) is None
    holds.set_hold(person(tenant.id, "usr_1"), reason="court order 7", now=NOW)
    assert holds.hold_of(find_tenant(tenant.id)) == Hold("court order 7", "usr_1", NOW, "owner")
    holds.set_hold(person(tenant.id, "usr_2"), reason="court order 8", now=NOW)
    assert holds.hold_of(find_tenant(tenant.id)) == Hold("court order 8", "usr_2", NOW, "owner")
    holds.release_hold(person(tenant.id, "usr_1"), now=NOW)
    holds.release_hold(person(tenant.id, "usr_1"), now=NOW)
    assert holds.hold_of(find_tenant(tenant.id)) is None


def test_who_sets_and_releases_a_hold_is_in_the_ledger(tenant) -> None:
    holds.set_hold(person(tenant.id, "usr_1"), reason="court order 7", now=NOW)
    holds.release_hold(person(tenant.id, "usr_2"), now=NOW)
    holds.release_hold(person(tenant.id, "usr_3"), now=NOW)
    assert sorted((leaf["action"]["S"], leaf["actor"]["S"], leaf["subject"]["S"]) for leaf in leaves_of(tenant)) == [
        ("legal_hold.released", "usr_2", tenant.id),
        ("legal_hold.set", "usr_1", tenant.id),
    ]


def test_a_hold_whose_release_cannot_be_proved_stays(tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    holds.set_hold(person(tenant.id, "usr_1"), reason="court order 7", now=NOW)
    monkeypatch.setattr(holds, "commit_one", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        holds.release_hold(person(tenant.id, "usr_1"), now=NOW)
    assert find_tenant(tenant.id).legal_hold is not None


def test_a_hold_that_is_set_while_another_is_released_stays(tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    holds.set_hold(person(tenant.id, "usr_1"), reason="court order 7", now=NOW)
    real = holds.commit_one

    def slow(*given):
        monkeypatch.setattr(holds, "commit_one", real)
        holds.set_hold(person(tenant.id, "usr_2"), reason="court order 8", now=NOW)
        return real(*given)

    monkeypatch.setattr(holds, "commit_one", slow)
    with pytest.raises(Conflict):
        holds.release_hold(person(tenant.id, "usr_1"), now=NOW)
    assert holds.hold_of(find_tenant(tenant.id)) == Hold("court order 8", "usr_2", NOW, "owner")


def test_an_unknown_tenant_has_no_hold_and_gets_no_record(aws: None) -> None:
    tenant_id = new_id("ten")
    with pytest.raises(NotFound):
        holds.release_hold(person(tenant_id, "usr_1"), now=NOW)
    with pytest.raises(NotFound):
        holds.set_hold(person(tenant_id, "usr_1"), reason="x", now=NOW)
    with pytest.raises(NotFound):
        find_tenant(tenant_id)


def test_once_the_erasure_began_a_hold_is_refused() -> None:
    tenant_id = departing()
    erase(tenant_id)
    with pytest.raises(Conflict):
        holds.set_hold(person(tenant_id, "usr_1"), reason="court order 7", now=NOW)
    assert erase_with_billing(tenant_id) == State.ERASED
    with pytest.raises(Conflict):
        holds.set_hold(person(tenant_id, "usr_1"), reason="court order 7", now=NOW)
    assert find_tenant(tenant_id).legal_hold is None


def test_the_routes_set_show_and_release_it(tenant, http: Http) -> None:
    key = http.key(tenant.id, "holds:write", "tenant:read")
    assert http.get(key, "/v1/tenant/legal-hold")[1]["held"] is False
    status, shown = http.put(key, "/v1/tenant/legal-hold", {"reason": " court order 7 "})
    assert (status, shown["held"], shown["reason"]) == (200, True, "court order 7")
    assert shown["set_by"].startswith("key_")
    assert http.get(key, "/v1/tenant/legal-hold")[1] == shown
    assert http.delete(key, "/v1/tenant/legal-hold") == (204, None)
    assert http.get(key, "/v1/tenant/legal-hold")[1]["held"] is False


def test_a_hold_can_be_set_while_the_tenant_is_closing(http: Http) -> None:
    tenant_id = departing()
    key = http.key(tenant_id, "holds:write")
    status, shown = http.put(key, "/v1/tenant/legal-hold", {"reason": "court order 7"})
    assert (status, shown["erase_after"]) == (200, "2005-10-01T00:00:00Z")


AUDITOR = "usr_auditor"
KEY = None


@pytest.mark.parametrize(
    ("setter", "lifter", "rule"),
    [
        ("auditor", "auditor", None),
        ("auditor", "owner", "set_by_auditor"),
        ("auditor", KEY, "set_by_auditor"),
        ("owner", "owner", None),
        ("owner", "auditor", None),
        ("owner", KEY, "set_by_person"),
        (KEY, KEY, None),
        (KEY, "owner", None),
        (KEY, "auditor", None),
    ],
)
@pytest.mark.parametrize("way", ["released", "replaced"])
def test_who_may_lift_whose_hold(tenant, setter: str | None, lifter: str | None, rule: str | None, way: str) -> None:
    first = holds.set_hold(person(tenant.id, "usr_or_key_1", setter), reason="court order 7", now=NOW)
    by = person(tenant.id, "usr_or_key_2", lifter)

    def lift() -> None:
        if way == "released":
            holds.release_hold(by, now=NOW)
        else:
            holds.set_hold(by, reason="nothing of weight", now=NOW)

    if rule is None:
        lift()
        assert holds.hold_of(find_tenant(tenant.id)) != first
        return
    with pytest.raises(Forbidden) as refused:
        lift()
    assert refused.value.problem()["rule"] == rule
    assert holds.hold_of(find_tenant(tenant.id)) == first
    assert [leaf["action"]["S"] for leaf in leaves_of(tenant)] == ["legal_hold.set"], "what was refused proves nothing"


def test_a_hold_from_before_roles_were_noted_is_an_auditors(tenant) -> None:
    stored = {"reason": "court order 7", "set_by": "usr_1", "set_at": "2005-09-30T16:00:00Z"}
    records()(tenant.id, "tenant").update(actions=[records().legal_hold.set(stored)])
    with pytest.raises(Forbidden):
        holds.release_hold(person(tenant.id, "usr_1"), now=NOW)
    holds.release_hold(person(tenant.id, "usr_2", "auditor"), now=NOW)


def asked_for(tenant_id: str) -> list[dict]:
    """What the queue `leaving` is asked for a tenant, taken out of it."""
    return [message for message in messages("leaving") if message["tenant_id"] == tenant_id]


def worked(*asked: dict) -> None:
    for message in asked:
        _carry_out(message)


def test_the_operators_message_releases_that_hold_and_no_later_one(tenant) -> None:
    holds.set_hold(person(tenant.id, AUDITOR, "auditor"), reason="court order 7", now=NOW)
    message = {"tenant_id": tenant.id, "action": "release_hold", "set_at": rfc3339(NOW), "reference": "ticket 12"}
    worked(message)
    assert find_tenant(tenant.id).legal_hold is None
    later = holds.set_hold(person(tenant.id, AUDITOR, "auditor"), reason="court order 8", now=NOW + timedelta(hours=1))
    worked(message, message)
    assert holds.hold_of(find_tenant(tenant.id)) == later
    told = sorted((leaf["action"]["S"], leaf["actor"]["S"]) for leaf in leaves_of(tenant))
    assert told == [
        ("legal_hold.released", "operator"),
        ("legal_hold.set", AUDITOR),
        ("legal_hold.set", AUDITOR),
    ]


@pytest.mark.parametrize("language", ["en", "zh_CN"])
def test_every_owner_and_auditor_is_told_by_whom_and_nobody_else_is(tenant, now, language: str) -> None:
    records()(tenant.id, "tenant").update(actions=[records().locale.set(language)])
    owner = crowd.owner_of(tenant.id, now)
    auditor = crowd.colleague(tenant.id, "auditor", crowd.caller(owner), now)
    admin = crowd.colleague(tenant.id, "admin", crowd.caller(owner), now)
    messages("leaving")
    before = {each.pk: len(mailed_to(each.email)) for each in (owner, auditor, admin)}
    for number, change in enumerate((holds_now, holds.release_hold), start=1):
        change(crowd.caller(auditor), now=now)
        worked(*asked_for(tenant.id))
        got = [len(mailed_to(each.email)) - before[each.pk] for each in (owner, auditor, admin)]
        assert got == [number, number, 0]
        letter = mailed_to(owner.email)[-1]
        assert auditor.email in letter
        assert "Chen" not in letter, "the reason may name somebody"


def holds_now(by, *, now) -> None:
    holds.set_hold(by, reason="dispute with Mr Chen", now=now)


def mailed_to(address: str) -> list[str]:
    """The letters of which an address is the receiver."""
    return [letter for letter in letters_to(address) if address in json.dumps(json.loads(letter)["To"])]


def test_a_release_whose_letters_cannot_be_asked_for_leaves_the_hold(tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    holds.set_hold(person(tenant.id), reason="court order 7", now=NOW)
    monkeypatch.setattr(holds, "send", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        holds.release_hold(person(tenant.id), now=NOW)
    assert find_tenant(tenant.id).legal_hold is not None


@pytest.mark.parametrize("reason", ["", " ", "x" * 501, None, 7])
def test_a_hold_needs_a_reason(tenant, http: Http, reason: object) -> None:
    key = http.key(tenant.id, "holds:write")
    status, problem = http.put(key, "/v1/tenant/legal-hold", {"reason": reason})
    assert (status, problem["pointer"]) == (422, "/reason")
