"""The owner leaves: at once, knowingly, and with a token for the certificate."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import boto3
import pytest

from chalicelib.leaving.erasure import erase
from chalicelib.leaving.leave import leave
from chalicelib.platform.aws import queue_url
from chalicelib.platform.errors import Conflict, Invalid, NotFound
from chalicelib.platform.ids import new_id
from chalicelib.tenancy import State, find_tenant, records, terms_of
from tests.leaving.departing import departing
from tests.leaving.http import Http

NOW = datetime(2005, 9, 30, 16, 0, tzinfo=UTC)


@pytest.fixture
def billing(aws: None) -> Iterator[list[dict]]:
    """What was sent to billing by the time it is looked at, once the queue was emptied."""
    _taken()
    messages: list[dict] = []
    yield messages


def _taken() -> list[dict]:
    sqs, taken = boto3.client("sqs"), []
    while found := sqs.receive_message(QueueUrl=queue_url("billing"), MaxNumberOfMessages=10).get("Messages"):
        for message in found:
            sqs.delete_message(QueueUrl=queue_url("billing"), ReceiptHandle=message["ReceiptHandle"])
            taken.append(json.loads(message["Body"]))
    return taken


def test_a_tenant_that_leaves_closes_at_once_and_its_subscription_is_to_be_cancelled(tenant, billing) -> None:
    left = leave(tenant.id, confirm="Harbour Bank", now=NOW)
    record = find_tenant(tenant.id)
    assert (record.state, record.closing_at) == (State.CLOSING, NOW)
    assert left.erase_after == record.erase_after == NOW + timedelta(days=terms_of(record).delays.erased_after)
    assert {"tenant_id": tenant.id, "action": "cancel"} in _taken()


@pytest.mark.parametrize("confirm", ["", "harbour bank", "Harbour", "Harbour Bank!", "ten_1", "Harbour  Bank"])
def test_with_another_name_nothing_happens_and_the_answer_does_not_depend_on_it(tenant, billing, confirm) -> None:
    with pytest.raises(Invalid) as refused:
        leave(tenant.id, confirm=confirm, now=NOW)
    assert refused.value.detail == "confirm must be the institution's name, as GET /v1/tenant shows it"
    assert refused.value.pointer == "/confirm"
    assert find_tenant(tenant.id).state == State.ACTIVE
    assert _taken() == []


@pytest.mark.parametrize("name", ["港湾银行", "Café Crédit", "🏦", "../x", "admin"])
def test_any_name_can_be_confirmed_however_its_letters_are_composed(tenant, name: str) -> None:
    import unicodedata

    model = records()
    model(tenant.id, "tenant").update(actions=[model.name.set(unicodedata.normalize("NFC", name))])
    leave(tenant.id, confirm=f" {unicodedata.normalize('NFD', name)} ", now=NOW)
    assert find_tenant(tenant.id).state == State.CLOSING


def test_leaving_again_moves_nothing_and_gives_another_token(tenant, billing) -> None:
    first = leave(tenant.id, confirm="Harbour Bank", now=NOW)
    kept = find_tenant(tenant.id).certificate_hash
    again = leave(tenant.id, confirm="Harbour Bank", now=NOW + timedelta(days=3))
    assert again.erase_after == first.erase_after
    assert again.certificate_token != first.certificate_token
    assert find_tenant(tenant.id).certificate_hash != kept
    assert _taken().count({"tenant_id": tenant.id, "action": "cancel"}) == 2


def test_the_token_is_kept_only_as_a_hash(tenant) -> None:
    left = leave(tenant.id, confirm="Harbour Bank", now=NOW)
    stored = boto3.client("dynamodb").get_item(
        TableName=records().Meta.table_name, Key={"pk": {"S": tenant.id}, "sk": {"S": "tenant"}}
    )
    assert left.certificate_token not in str(stored["Item"])


def test_once_the_erasure_began_there_is_nothing_to_leave() -> None:
    tenant_id = departing()
    erase(tenant_id)
    with pytest.raises((Conflict, Invalid)):
        leave(tenant_id, confirm="Harbour Bank", now=NOW)


def test_a_tenant_that_is_not_set_up_cannot_leave(tenant) -> None:
    model = records()
    model(tenant.id, "tenant").update(actions=[model.state.set(State.PENDING)])
    with pytest.raises(Conflict):
        leave(tenant.id, confirm="Harbour Bank", now=NOW)
    with pytest.raises(NotFound):
        leave(new_id("ten"), confirm="Harbour Bank", now=NOW)


def test_the_route_answers_when_the_data_is_erased_and_the_token_once(tenant, http: Http) -> None:
    key = http.key(tenant.id, "tenant:leave", "tenant:read")
    status, left = http.post(key, "/v1/tenant/leave", {"confirm": "Harbour Bank"})
    assert (status, left["tenant_id"], left["state"]) == (200, tenant.id, "closing")
    assert datetime.fromisoformat(left["erase_after"]) == find_tenant(tenant.id).erase_after
    assert len(left["certificate_token"]) == 43
    status, shown = http.get(key, "/v1/tenant")
    assert (status, shown["state"]) == (200, "closing")
    assert left["certificate_token"] not in str(shown)


@pytest.mark.parametrize("state", [State.PAST_DUE, State.LIMITED, State.SUSPENDED])
def test_a_tenant_that_owes_can_leave(tenant, http: Http, state: State) -> None:
    model = records()
    model(tenant.id, "tenant").update(actions=[model.state.set(state)])
    key = http.key(tenant.id, "tenant:leave")
    assert http.post(key, "/v1/tenant/leave", {"confirm": "Harbour Bank"})[0] == 200


@pytest.mark.parametrize(
    "body", [{}, {"confirm": None}, {"confirm": "Harbour Bank", "now": True}, {"confirm": "x" * 201}]
)
def test_the_route_refuses_a_body_that_is_not_one(tenant, http: Http, body: dict) -> None:
    assert http.post(http.key(tenant.id, "tenant:leave"), "/v1/tenant/leave", body)[0] == 422
    assert find_tenant(tenant.id).state == State.ACTIVE


def test_a_key_without_the_scope_cannot_leave(tenant, http: Http) -> None:
    key = http.key(tenant.id, "tenant:read", "billing:write")
    assert http.post(key, "/v1/tenant/leave", {"confirm": "Harbour Bank"})[0] == 403
