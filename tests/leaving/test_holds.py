"""A legal hold is set, seen and released; what it stops is told in test_erasure."""

from __future__ import annotations

from datetime import UTC, datetime

import boto3
import pytest

from chalicelib.leaving import holds
from chalicelib.leaving.erasure import erase
from chalicelib.leaving.holds import Hold
from chalicelib.platform.errors import Conflict, NotFound
from chalicelib.platform.ids import new_id
from chalicelib.platform.settings import settings
from chalicelib.tenancy import State, find_tenant
from tests.leaving.departing import departing, erase_with_billing
from tests.leaving.http import Http

NOW = datetime(2005, 9, 30, 16, 0, tzinfo=UTC)


def test_a_hold_is_set_replaced_and_released(tenant) -> None:
    assert holds.hold_of(find_tenant(tenant.id)) is None
    holds.set_hold(tenant.id, reason="court order 7", set_by="usr_1", now=NOW)
    assert holds.hold_of(find_tenant(tenant.id)) == Hold("court order 7", "usr_1", NOW)
    holds.set_hold(tenant.id, reason="court order 8", set_by="usr_2", now=NOW)
    assert holds.hold_of(find_tenant(tenant.id)) == Hold("court order 8", "usr_2", NOW)
    holds.release_hold(tenant.id, released_by="usr_1", now=NOW)
    holds.release_hold(tenant.id, released_by="usr_1", now=NOW)
    assert holds.hold_of(find_tenant(tenant.id)) is None


def test_who_sets_and_releases_a_hold_is_in_the_ledger(tenant) -> None:
    holds.set_hold(tenant.id, reason="court order 7", set_by="usr_1", now=NOW)
    holds.release_hold(tenant.id, released_by="usr_2", now=NOW)
    holds.release_hold(tenant.id, released_by="usr_3", now=NOW)
    leaves = boto3.client("dynamodb").scan(TableName=settings().tenant_table(tenant.id, "ledger"))["Items"]
    assert sorted((leaf["action"]["S"], leaf["actor"]["S"], leaf["subject"]["S"]) for leaf in leaves) == [
        ("legal_hold.released", "usr_2", tenant.id),
        ("legal_hold.set", "usr_1", tenant.id),
    ]


def test_a_hold_whose_release_cannot_be_proved_stays(tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    holds.set_hold(tenant.id, reason="court order 7", set_by="usr_1", now=NOW)
    monkeypatch.setattr(holds, "commit_one", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        holds.release_hold(tenant.id, released_by="usr_1", now=NOW)
    assert find_tenant(tenant.id).legal_hold is not None


def test_a_hold_that_is_set_while_another_is_released_stays(tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    holds.set_hold(tenant.id, reason="court order 7", set_by="usr_1", now=NOW)
    real = holds.commit_one

    def slow(*given):
        monkeypatch.setattr(holds, "commit_one", real)
        holds.set_hold(tenant.id, reason="court order 8", set_by="usr_2", now=NOW)
        return real(*given)

    monkeypatch.setattr(holds, "commit_one", slow)
    with pytest.raises(Conflict):
        holds.release_hold(tenant.id, released_by="usr_1", now=NOW)
    assert holds.hold_of(find_tenant(tenant.id)) == Hold("court order 8", "usr_2", NOW)


def test_an_unknown_tenant_has_no_hold_and_gets_no_record(aws: None) -> None:
    tenant_id = new_id("ten")
    with pytest.raises(NotFound):
        holds.release_hold(tenant_id, released_by="usr_1", now=NOW)
    with pytest.raises(NotFound):
        holds.set_hold(tenant_id, reason="x", set_by="usr_1", now=NOW)
    with pytest.raises(NotFound):
        find_tenant(tenant_id)


def test_once_the_erasure_began_a_hold_is_refused() -> None:
    tenant_id = departing()
    erase(tenant_id)
    with pytest.raises(Conflict):
        holds.set_hold(tenant_id, reason="court order 7", set_by="usr_1", now=NOW)
    assert erase_with_billing(tenant_id) == State.ERASED
    with pytest.raises(Conflict):
        holds.set_hold(tenant_id, reason="court order 7", set_by="usr_1", now=NOW)
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


@pytest.mark.parametrize("reason", ["", " ", "x" * 501, None, 7])
def test_a_hold_needs_a_reason(tenant, http: Http, reason: object) -> None:
    key = http.key(tenant.id, "holds:write")
    status, problem = http.put(key, "/v1/tenant/legal-hold", {"reason": reason})
    assert (status, problem["pointer"]) == (422, "/reason")
