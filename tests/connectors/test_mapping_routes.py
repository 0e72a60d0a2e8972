"""Mappings over HTTP: from a sample to a connector of one's own, previewed, changed, paused and deleted."""

from __future__ import annotations

from base64 import b64encode

import pytest
from chalice.test import Client

from chalicelib.connectors.discover import discover
from chalicelib.connectors.samples import Sample
from tests.connectors.delivery import document, with_field
from tests.connectors.institution import PRESET, Loan, extract, file_name, late
from tests.connectors.test_routes import Api, put

LOANS = [Loan(n, balance=str(5000 + n)) for n in range(1, 40)] + [late(40)]


@pytest.fixture
def api(tenant):
    from app import app

    with Client(app, stage_name="unit") as client:
        yield Api(client, tenant)


def sample(content: bytes) -> str:
    return b64encode(content).decode()


def made(api, **body: object) -> str:
    """The path of a new connector."""
    status, answer = api("POST", "/v1/connectors", {"name": "own"} | (body or {"preset": PRESET}))
    assert status == 201, answer
    return f"/v1/connectors/{answer['id']}"


def dropped(api, path: str, day: str, content: bytes) -> None:
    put(api("POST", f"{path}/uploads", {"file_name": file_name(day)})[1], content)


def test_a_system_never_seen_before_is_joined_from_a_sample(api):
    content = extract(LOANS)
    asked = {"sample": sample(content), "whole": True, "file_name": file_name("20050430")}
    status, found = api("POST", "/v1/connectors/discover", asked)
    assert (status, found["format"]["encoding"], found["rows"], found["missing"]) == (200, "gb18030", 40, [])
    assert min(field["confidence"] for field in found["fields"]) >= 0.9
    assert "张伟" not in str(found)

    path = made(api, mapping=found["mapping"])
    dropped(api, path, "20050430", content)
    status, seen = api("POST", f"{path}/preview", {"file": file_name("20050430"), "rows": 2})
    assert (status, seen["business_date"], seen["name_expected"], seen["whole"]) == (200, "2005-04-30", True, True)
    assert (seen["refusal"], seen["counts"]["accepted"], seen["trailer"]["total_agrees"]) == (None, 40, True)
    assert [row["after"]["account.balance"] for row in seen["rows"]] == [500_100, 500_200]

    assert api("POST", f"{path}/runs")[0] == 202
    api.work()
    [run] = api("GET", f"{path}/runs")[1]["items"]
    assert (run["status"], run["counts"]["new"]) == ("completed", 40)


def test_what_a_waiting_file_is_can_be_asked_too(api):
    path = made(api)
    dropped(api, path, "20050430", extract(LOANS))
    status, found = api("POST", f"{path}/discover", {"file": file_name("20050430")})
    assert (status, found["format"]["trailer"]["total_field"]) == (200, "account.balance")
    status, found = api("POST", f"{path}/discover", {"sample": sample(extract(LOANS)), "whole": True})
    assert (status, found["rows"]) == (200, 40)


def test_a_mapping_is_read_changed_and_its_versions_kept(api):
    path = made(api)
    status, first = api("GET", f"{path}/mapping")
    assert (status, first["version"], first["mapping"]["preset"]) == (200, 1, PRESET)
    wanted = first["mapping"] | {"max_removed_share": 0.5}
    status, second = api("PUT", f"{path}/mapping", wanted, **{"If-Match": "1"})
    assert (status, second["version"], second["mapping"]["max_removed_share"]) == (200, 2, 0.5)
    status, problem = api("PUT", f"{path}/mapping", wanted | {"max_removed_share": 0.6}, **{"If-Match": "1"})
    assert (status, problem["current_version"]) == (409, 2)
    assert [each["version"] for each in api("GET", f"{path}/mapping/versions")[1]["items"]] == [2, 1]
    assert api("GET", f"{path}/mapping/versions/1") == (200, first)
    assert api("GET", path)[1]["mapping_version"] == 2


def test_a_candidate_is_compared_with_the_mapping_in_force(api):
    path = made(api)
    dropped(api, path, "20050430", extract(LOANS))
    candidate = api("GET", f"{path}/mapping")[1]["mapping"]
    candidate["fields"] = [field for field in candidate["fields"] if field["target"] != "account.branch"]
    asked = {"file": file_name("20050430"), "mapping": candidate, "rows": 1}
    status, seen = api("POST", f"{path}/preview", asked)
    assert (status, len(seen["rows"]), seen["ignored_columns"]) == (200, 1, ["机构号"])
    assert seen["differences"] == {
        "same": 0,
        "changed": 40,
        "only_in_force": 0,
        "only_candidate": 0,
        "fields": {"account.branch": 40},
        "refusal": None,
    }
    assert api("GET", f"{path}/mapping")[1]["version"] == 1, "nothing was put in force"
    assert api("GET", f"{path}/runs")[1]["items"] == []


def test_every_problem_of_a_mapping_is_named_with_its_place(api):
    wrong = document(fields=with_field("borrower.phone", pattern="a\0"), colour="red")
    status, problem = api("POST", "/v1/connectors", {"name": "own", "mapping": wrong})
    assert (status, problem["type"].rsplit("/", 1)[-1]) == (422, "mapping-invalid")
    pointers = {each["pointer"] for each in problem["problems"]}
    assert pointers == {"/mapping/fields/3/pattern", "/mapping/colour"}
    status, problem = api("PUT", f"{made(api)}/mapping", wrong)
    assert {each["pointer"] for each in problem["problems"]} == {"/fields/3/pattern", "/colour"}


def test_the_schema_is_served(api):
    status, schema = api("GET", "/v1/mapping-schema")
    assert (status, schema["title"], schema["$schema"][-14:]) == (200, "Mapping", "2020-12/schema")


def test_a_connector_is_paused_goes_on_and_is_deleted(api):
    path = made(api)
    status, paused = api("PATCH", path, {"paused": True, "name": "core"})
    assert (status, paused["paused"], paused["name"]) == (200, True, "core")
    dropped(api, path, "20050430", extract(LOANS))
    assert api("POST", f"{path}/runs")[0] == 409
    assert api("PATCH", path, {"paused": False})[0] == 200
    api.work()
    [run] = api("GET", f"{path}/runs")[1]["items"]
    assert run["status"] == "completed", "letting it go on is enough to have the files read that waited"
    assert api("DELETE", path, raw=True) == (204, b"")
    assert api("DELETE", path, raw=True) == (204, b"")
    assert api("GET", "/v1/connectors")[1]["items"] == []
    assert api("GET", path)[1]["deleted_at"] is not None
    assert api("GET", f"{path}/runs/{run['id']}/report")[1]["reconciled"]
    for method, end, body in (
        ("POST", "/runs", None),
        ("POST", "/uploads", {"file_name": file_name("20050531")}),
        ("PUT", "/mapping", document()),
        ("PATCH", "", {"paused": True}),
        ("POST", "/preview", {"sample": sample(b"a"), "whole": True}),
    ):
        assert api(method, path + end, body)[0] == 410, end


@pytest.mark.parametrize(
    ("method", "end", "body", "status", "pointer"),
    [
        ("POST", "", {"name": "a"}, 422, ""),
        ("POST", "", {"name": "a", "preset": PRESET, "mapping": {}}, 422, ""),
        ("POST", "", {"name": "a", "mapping": {}}, 422, "/mapping/source"),
        ("POST", "/discover", {"sample": "?"}, 422, "/sample"),
        ("POST", "/discover", {"sample": sample(b"PK\x03\x04")}, 422, "/sample"),
        ("POST", "/{id}/discover", {}, 422, ""),
        ("POST", "/{id}/discover", {"file": "nothing.txt"}, 404, "/file"),
        ("POST", "/{id}/preview", {"file": "../../x"}, 404, "/file"),
        ("POST", "/{id}/preview", {"file": "a", "sample": "YQ=="}, 422, ""),
        ("POST", "/{id}/preview", {"sample": "YQ==", "rows": 51}, 422, "/rows"),
        ("POST", "/{id}/preview", {"sample": "YQ==", "business_date": 1}, 422, "/business_date"),
        ("POST", "/{id}/preview", {"sample": "YQ==", "mapping": {}}, 422, "/mapping/source"),
        ("PUT", "/{id}/mapping", [], 422, ""),
        ("PATCH", "/{id}", {"paused": "no way"}, 422, "/paused"),
        ("GET", "/{id}/mapping/versions/9", None, 404, None),
        ("GET", "/{id}/mapping/versions/first", None, 404, None),
        ("GET", "/con_01J00000000000000000000000/mapping", None, 404, None),
        ("GET", "/con_01J00000000000000000000000/mapping/versions", None, 404, None),
        ("POST", "/con_01J00000000000000000000000/preview", {"sample": "YQ=="}, 404, None),
        ("DELETE", "/con_01J00000000000000000000000", None, 404, None),
    ],
)
def test_a_call_that_cannot_be_answered_says_why(api, method, end, body, status, pointer):
    path = f"/v1/connectors{end}"
    if "{id}" in path:
        path = path.replace("/v1/connectors/{id}", made(api))
    got, problem = api(method, path, body)
    assert (got, problem.get("pointer")) == (status, pointer)
    assert problem["detail"]


def test_the_answers_of_discover_are_what_the_verb_found(api):
    content = extract(LOANS)
    answer = api("POST", "/v1/connectors/discover", {"sample": sample(content), "whole": True})[1]
    found = discover(Sample(content, True))
    assert answer["mapping"] == found.mapping
    assert [column["shapes"][0]["rows"] for column in answer["columns"]] == [c.shapes[0][1] for c in found.columns]
