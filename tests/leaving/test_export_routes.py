"""Exports over HTTP and through the function's own entry point, with the real app and authorizer."""

from __future__ import annotations

import json
import urllib.request

import pytest

from chalicelib.leaving import expire_exports, handlers
from chalicelib.platform.clock import parse_rfc3339
from chalicelib.platform.http import write_cursor
from chalicelib.platform.ids import new_id
from chalicelib.tenancy import forget_access, records
from infra.verify_export import main
from tests.leaving.exporting import exported, furnish, messages

READ, WRITE = "exports:read", "exports:write"


def leave(*waiting: dict) -> dict:
    """The function's answer to messages of the queue `leaving`."""
    records = [
        {"messageId": str(number), "body": json.dumps(message), "eventSource": "aws:sqs"}
        for number, message in enumerate(waiting)
    ]
    return handlers.leave({"Records": records}, None)


def put_in_state(tenant, state: str) -> None:
    records()(tenant.id, "tenant").update(actions=[records().state.set(state)])
    forget_access(tenant.id)


def fetch(http, key: str, path: str, folder) -> None:
    """Fetches all that an export's document links to, a few files a page."""
    files, cursor = [], ""
    while cursor is not None:
        detail = http.get(key, f"{path}?limit=7{cursor and f'&cursor={cursor}'}")[1]
        assert len(detail["files"]) <= 7
        files, cursor = [*files, *detail["files"]], detail["cursor"]
    for file in [detail["manifest"], *files]:
        with urllib.request.urlopen(file["url"], timeout=10) as answer:
            assert file["name"] in answer.headers["Content-Disposition"]
            (folder / file["name"]).write_bytes(answer.read())


@pytest.mark.parametrize("state", ["active", "limited", "suspended", "closing"])
def test_from_the_request_to_the_verified_files(tenant, now, http, tmp_path, state):
    furnish(tenant, now)
    put_in_state(tenant, state)
    key = http.key(tenant.id, READ, WRITE)
    status, begun = http.post(key, "/v1/exports", None)
    assert (status, begun["state"], begun["finished_at"]) == (202, "running", None)
    path = f"/v1/exports/{begun['id']}"
    status, running = http.get(key, path)
    assert (status, running["files"], running["manifest"]) == (200, [], None)
    status, refused = http.post(key, "/v1/exports", None)
    assert (status, refused["export_id"]) == (409, begun["id"])

    for message, done in list(messages(tenant)):
        assert leave(message) == {"batchItemFailures": []}
        done()
    status, complete = http.get(key, path)
    assert (status, complete["state"]) == (200, "completed")
    fetch(http, key, path, tmp_path)
    assert main([str(tmp_path)]) == 0
    [listed] = http.get(key, "/v1/exports")[1]["items"]
    assert listed == {name: complete[name] for name in listed}

    expire_exports(tenant.id, now=parse_rfc3339(complete["expires_at"]))
    status, gone = http.get(key, path)
    assert (status, gone["export_id"]) == (410, begun["id"])
    assert [each["state"] for each in http.get(key, "/v1/exports")[1]["items"]] == ["expired"]


def test_to_read_exports_is_not_to_begin_them(tenant, http):
    assert http.post(http.key(tenant.id, READ), "/v1/exports", None)[0] == 403
    assert http.get(http.key(tenant.id, WRITE), "/v1/exports")[0] == 403


def test_an_export_that_does_not_exist_and_one_of_somebody_else_are_answered_alike(tenant, other_tenant, http):
    theirs = http.post(http.key(other_tenant.id, WRITE), "/v1/exports", None)[1]["id"]
    key = http.key(tenant.id, READ)
    assert http.get(key, f"/v1/exports/{theirs}") == http.get(key, f"/v1/exports/{new_id('exp')}")
    assert http.get(key, f"/v1/exports/{theirs}")[0] == 404


@pytest.mark.parametrize("position", [{"file": -1}, {"file": True}, {"file": 10**30}, {"file": "1"}, {"pk": "x"}])
def test_a_page_of_files_that_no_page_named_is_refused(tenant, http, position):
    exported(tenant)
    key = http.key(tenant.id, READ)
    [made] = http.get(key, "/v1/exports")[1]["items"]
    status, problem = http.get(key, f"/v1/exports/{made['id']}?cursor={write_cursor(position)}")
    assert (status, problem["pointer"]) == (422, "/cursor")


def test_the_function_expires_exports_and_refuses_what_it_does_not_know(tenant):
    assert leave({"tenant_id": tenant.id, "action": "expire_exports"}) == {"batchItemFailures": []}
    failed = leave({"tenant_id": tenant.id, "action": "dance"})
    assert failed == {"batchItemFailures": [{"itemIdentifier": "0"}]}


def test_of_an_erased_tenant_no_export_goes_on(tenant):
    put_in_state(tenant, "erased")
    message = {"tenant_id": tenant.id, "action": "export", "export_id": new_id("exp")}
    assert leave(message) == {"batchItemFailures": []}
