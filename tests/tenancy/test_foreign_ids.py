"""An id of another tenant's is answered like one that nobody ever had: the same status and text, by the same requests
to AWS in the same order with answers of the same size, so that not even the time it takes tells which ids exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.httpsession import URLLib3Session
from chalice.test import Client

from app import app
from chalicelib.identity import api_keys
from chalicelib.leaving.certificate import new_token
from chalicelib.platform.clock import utc_now
from chalicelib.platform.http import ENDPOINTS, Endpoint, write_cursor
from chalicelib.platform.ids import new_id
from chalicelib.tenancy import PENDING, State, records
from infra.demo.roles import ungated
from tests.conftest import provisioned
from tests.leaving.exporting import furnish
from tests.strangers import QUERIES, UNMADE, body_of, ids_of, never_made, without_ids

ON_IDS = [each for each in ENDPOINTS if each.scope is not None and "{" in each.path]
WITH_A_TOKEN = [each for each in ENDPOINTS if each.claim and "{" in each.path]
PLACES = {"/v1/api-keys": "api-key#{key_id}", "/v1/users": "user#{user_id}", "/v1/exports": "export#{export_id}"}
"""The lists that are kept in tables of all tenants, and what their cursors hold."""


@dataclass(frozen=True)
class Answer:
    """What came back, and which requests to AWS were made for it: each as it was sent, without ids, and the size
    of its answer."""

    status: int
    document: Any
    requests: list[str] = field(compare=False)


@dataclass(frozen=True)
class Api:
    """The API with one credential, through Chalice's own client and the real authorizer."""

    client: Any
    token: str

    def get(self, path: str) -> Any:
        return self._done("GET", path, None)

    def post(self, path: str, body: Any = None) -> Any:
        return self._done("POST", path, body)

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """What is answered, whatever it is, and the requests that it took."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        raw = b"" if body is None else json.dumps(body).encode()
        with requests_to_aws() as requests:
            answer = self.client.request(method, path, headers=headers, body=raw)
        return Answer(answer.status_code, json.loads(answer.body) if answer.body else None, requests)

    def _done(self, method: str, path: str, body: Any) -> Any:
        answer = self.ask(method, path, body)
        assert answer.status < 300, (method, path, answer)
        return answer.document


_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+")
"""When a call was made may stand in what it asks for, and says nothing of the id."""


@contextmanager
def requests_to_aws() -> Iterator[list[str]]:
    """Every request that anything in this process sends to AWS meanwhile, in order."""
    seen: list[str] = []
    send = URLLib3Session.send

    def noting(session: URLLib3Session, request: Any) -> Any:
        answer = send(session, request)
        seen.append(f"{_told(request)} {_size(request, answer)}")
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(URLLib3Session, "send", noting)
        yield seen


def _told(request: Any) -> str:
    body = request.body.decode() if isinstance(request.body, bytes) else request.body or ""
    told = f"{request.method} {_operation(request) or urlsplit(request.url).path} {body}"
    return _MOMENT.sub("…", without_ids(told))


def _size(request: Any, answer: Any) -> int:
    """How many bytes DynamoDB answered: what it found and would not be seen in a count of requests."""
    return len(answer.content) if _operation(request).startswith("DynamoDB") else 0


def _operation(request: Any) -> str:
    target = request.headers.get("X-Amz-Target", b"")
    return target.decode() if isinstance(target, bytes) else target


@pytest.fixture(scope="module")
def client(aws: None) -> Iterator[Any]:
    # What the gate draws of a rate, and how long it believes what it read, is no matter of the id.
    with ungated(), Client(app, stage_name="unit") as made:
        yield made.http


def api_of(client: Any, tenant_id: str) -> Api:
    return Api(client, api_keys.create(tenant_id, name="test", scopes=api_keys.SCOPES, now=utc_now())[0])


@pytest.fixture(scope="module")
def bank(client: Any) -> Api:
    """An institution that has something of every kind."""
    tenant = provisioned("Harbour Bank")
    furnish(tenant, datetime(2005, 9, 30, 16, 0, tzinfo=UTC))
    return api_of(client, tenant.id)


@pytest.fixture(scope="module")
def ids(bank: Api) -> dict[str, str]:
    """Something of the bank's for each parameter of a path."""
    return ids_of(bank, connector=bank.get("/v1/connectors")["items"][0]["id"])


@pytest.fixture(scope="module")
def rival(client: Any) -> Api:
    """Another institution, which asks after the bank's."""
    return api_of(client, provisioned("Meridian Credit").id)


@pytest.fixture(scope="module")
def own_connector(rival: Api) -> str:
    return rival.post("/v1/connectors", {"name": "Of my own", "preset": "cn-core-banking-delimited"})["id"]


def in_turn(api: Api, method: str, path: str, ids: dict[str, str], body: Any = None) -> tuple[Answer, Answer]:
    """The answers to the same call with somebody's ids and with those of nobody's. A call before them, with other ids
    of nobody's, has that read which a container reads once."""
    _, theirs, nobodys = (
        api.ask(method, path.format(**each), body) for each in (never_made(ids, 1), ids, never_made(ids))
    )
    return theirs, nobodys


@pytest.mark.parametrize("endpoint", ON_IDS, ids=lambda each: f"{each.method} {each.path}")
def test_anothers_id_is_answered_as_one_that_nobody_ever_had(rival: Api, ids: dict[str, str], endpoint: Endpoint):
    body = body_of(None if endpoint.body is None else endpoint.body.__name__)

    theirs, nobodys = in_turn(rival, endpoint.method, endpoint.path, ids, body)

    assert theirs.status == 404
    assert theirs == nobodys
    assert theirs.requests == nobodys.requests
    assert not {id for id in ids.values() if id in json.dumps(theirs.document)}


@pytest.mark.parametrize(
    "endpoint",
    [each for each in ON_IDS if each.method == "GET" and UNMADE not in each.path],
    ids=lambda each: each.path,
)
def test_the_ids_are_real_for_their_owner_finds_them(bank: Api, ids: dict[str, str], endpoint: Endpoint):
    assert bank.ask("GET", endpoint.path.format(**ids)).status == 200


@pytest.mark.parametrize("path", QUERIES)
def test_anothers_id_in_a_query_or_beside_ones_own_finds_what_an_id_of_nobodys_finds(
    rival: Api, own_connector: str, ids: dict[str, str], path: str
):
    theirs, nobodys = in_turn(rival, "GET", path.replace("{own_connector}", own_connector), ids)

    assert theirs == nobodys
    assert theirs.requests == nobodys.requests
    assert theirs.status == 404 or theirs.document == {"items": [], "cursor": None}


@pytest.mark.parametrize("path", PLACES)
def test_a_cursor_at_anothers_place_in_a_shared_table_leads_to_nothing_of_theirs(
    bank: Api, rival: Api, ids: dict[str, str], path: str
):
    theirs, place = bank.get(f"{path}?limit=200")["items"], PLACES[path].format(**ids)

    found = rival.get(f"{path}?cursor={write_cursor({'sk': place})}")["items"]
    refused = rival.ask("GET", f"{path}?cursor={write_cursor({'pk': bank.get('/v1/tenant')['id'], 'sk': place})}")

    assert theirs
    assert not {each["id"] for each in found} & {each["id"] for each in theirs}
    assert (refused.status, refused.document["pointer"]) == (422, "/cursor")


def test_a_collector_named_by_anothers_id_is_taken_like_any_other_name(rival: Api, ids: dict[str, str]):
    def put(collector: str) -> Answer:
        document = {"collectors": [{"id": collector, "capacity": 10}]}
        return rival.ask("PUT", "/v1/rules/assignment", document)

    _, theirs, nobodys = (put(each["user_id"]) for each in (never_made(ids, 1), ids, never_made(ids)))

    assert (theirs.status, nobodys.status) == (200, 200)
    # The document is stored, so that the requests' bodies differ by more than ids.
    assert [each.split()[1] for each in theirs.requests] == [each.split()[1] for each in nobodys.requests]


@pytest.fixture(scope="module")
def registered(client: Any) -> dict[str, str]:
    """A tenant in every state in which somebody holds a token for it, or may have held one."""
    model, found = records(), {}
    for state in (PENDING, State.ACTIVE, State.CLOSING, State.ERASED):
        found[state] = new_id("ten")
        model(
            found[state],
            "tenant",
            name="Harbour Bank",
            jurisdiction="CN",
            region="eu-central-1",
            locale="zh_CN",
            currency="CNY",
            owner_email=f"owner@{found[state].lower().replace('_', '-')}.example",
            plan="starter",
            state=state,
            claim_hash=new_token()[1],
            certificate_hash=new_token()[1],
            created_at=utc_now(),
        ).save()
    return found


@pytest.mark.parametrize("state", [PENDING, State.ACTIVE, State.CLOSING, State.ERASED])
@pytest.mark.parametrize("endpoint", WITH_A_TOKEN, ids=lambda each: f"{each.method} {each.path}")
def test_a_token_that_is_not_the_tenants_tells_nothing_of_whether_the_tenant_exists(
    client: Any, registered: dict[str, str], endpoint: Endpoint, state: str
):
    body = body_of(None if endpoint.body is None else endpoint.body.__name__)
    stranger = Api(client, new_token()[0])

    theirs, nobodys = in_turn(stranger, endpoint.method, endpoint.path, {"tenant_id": registered[state]}, body)

    assert theirs.status == 404
    assert theirs == nobodys
    assert theirs.requests == nobodys.requests


def test_every_route_with_an_id_is_among_those_that_are_tried():
    tried = {(each.method, each.path) for each in (*ON_IDS, *WITH_A_TOKEN)}
    with_an_id = {(each.method, each.path) for each in ENDPOINTS if "{" in each.path}

    # The page that Stripe's checkout leads back to is the same for everybody, and reads nothing.
    assert with_an_id - tried == {("GET", "/signup/{tenant_id}")}
    assert len(ON_IDS) >= 20


def test_the_page_behind_the_checkout_reads_nothing(client: Any, registered: dict[str, str]):
    with requests_to_aws() as requests:
        answers = [
            client.request("GET", f"/signup/{tenant_id}").status_code
            for tenant_id in (*registered.values(), new_id("ten"), "nobody")
        ]

    assert set(answers) == {200}
    assert requests == []
