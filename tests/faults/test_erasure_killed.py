"""A worker that erases a tenant is killed after each of its requests: the next ones end where an unbroken run does."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import botocore.client
import pytest

from chalicelib.leaving.certificate import certificate_for
from chalicelib.leaving.erasure import erase, steps
from chalicelib.leaving.leave import leave
from chalicelib.platform.clock import utc_now
from chalicelib.tenancy import State, find_tenant
from infra.residue import everywhere
from tests.leaving.departing import (
    departing,
    erase_with_billing,
    expect_nothing,
    forgotten_by_billing,
    versioned_bucket,
)


class Killed(BaseException):
    """What a killed worker sees of it: nothing that `except Exception` could catch."""


@pytest.fixture(autouse=True)
def _versions(aws: None):
    with versioned_bucket():
        yield


@contextlib.contextmanager
def killed_after(requests: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kills the worker after AWS has carried out that many requests, and before it hears of the last one."""
    real, left = botocore.client.BaseClient._make_api_call, [requests]

    def call(client: Any, operation: str, arguments: Any) -> Any:
        answer = real(client, operation, arguments)
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(botocore.client.BaseClient, "_make_api_call", call)
        yield


def leaver() -> tuple[str, str, str]:
    """The id of a tenant that left and is due, the token of its certificate, and its owner's address."""
    tenant_id = departing()
    address = find_tenant(tenant_id).owner_email
    return tenant_id, leave(tenant_id, confirm="Harbour Bank", now=utc_now()).certificate_token, address


def end_of(tenant_id: str, token: str) -> dict[str, Any]:
    """What an erasure ends in, without what differs between any two tenants and times."""
    record = find_tenant(tenant_id)
    document = json.loads(certificate_for(tenant_id, token).document)
    return {
        "record": {
            name: value
            for name, value in record.attribute_values.items()
            if name.endswith("_id") or name in ("name", "plan", "state", "ready", "currency", "announcements")
        },
        "steps": list(record.erasure),
        "found": {entry["place"]: (entry["found"], entry["left"]) for entry in document["erased"]},
        "says": sorted(document),
        "left": [place for place in everywhere(tenant_id) if place.found],
    }


def test_killed_after_every_request_the_next_worker_goes_on_to_the_same_end(monkeypatch: pytest.MonkeyPatch) -> None:
    unbroken, token, _ = leaver()
    erase_with_billing(unbroken)
    expected = end_of(unbroken, token)

    tenant_id, token, address = leaver()
    kills, patience, known = 0, 1, ""
    while True:
        # Of each step, a worker is killed after the first request, the next one after the second, until it is done.
        try:
            with killed_after(patience, monkeypatch):
                state = erase(tenant_id)
        except Killed:
            kills += 1
            done = find_tenant(tenant_id).erasure
            patience, known = (1 if json.dumps(done) != known else patience + 1), json.dumps(done)
            continue
        if state == State.ERASED:
            break
        forgotten_by_billing(tenant_id)
        patience = 1
    assert kills > 3 * len(steps())
    assert end_of(tenant_id, token) == expected
    expect_nothing(tenant_id, address)


def test_two_workers_at_once_end_like_one() -> None:
    tenant_id, token, address = leaver()
    forgotten_by_billing(tenant_id)
    with ThreadPoolExecutor(max_workers=2) as workers:
        tried = [workers.submit(erase, tenant_id) for _ in range(2)]
        # One may find that the other was in its way; its message comes back.
        failed = [work for work in tried if work.exception() is not None]
    assert len(failed) < 2
    assert erase(tenant_id) == State.ERASED
    expect_nothing(tenant_id, address)
    assert end_of(tenant_id, token)["left"] == []
