"""What is asked of the API under ids that are not the caller's: every operation on an id, and ids that nobody has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol

from chalicelib.connectors.mapping import load_preset
from chalicelib.platform.ids import new_id

BODIES: dict[str, Any] = {
    "AnySample": {"sample": "YSxiCjEsMgo="},
    "Change": {"name": "Somebody Else"},
    "Code": {"code": "000000"},
    "ConnectorChange": {"name": "Another's"},
    "DiscardBody": {"note": "Known to be wrong at the source"},
    "EndpointChange": {"enabled": False},
    "MappingDocument": load_preset("cn-core-banking-delimited").model_dump(mode="json"),
    "NewUpload": {"file_name": "CORE_LOAN_20051231.txt"},
    "PreviewRequest": {"sample": "YSxiCjEsMgo=", "rows": 1},
    "Push": {
        "rows": [
            {
                "kind": "repayment",
                "account": "1",
                "repayment_id": "1",
                "currency": "TWD",
                "amount": "1",
                "booked_on": "2005-12-31",
            }
        ]
    },
    "RepairBody": {"text": "corrected"},
    "ReplayBody": {},
    "Rotation": {"overlap_hours": 1},
}
"""A body that is accepted, for each schema that an operation on an id takes."""

QUERIES = (
    "/v1/cases?assignee={user_id}",
    "/v1/cases?assignee={case_id}",
    "/v1/deliveries?endpoint_id={endpoint_id}",
    "/v1/deliveries?event_id={event_id}",
    "/v1/connectors/{own_connector}/quarantine?run={run_id}",
    "/v1/connectors/{own_connector}/runs/{run_id}",
    "/v1/connectors/{own_connector}/runs/{run_id}/report",
    "/v1/connectors/{own_connector}/push/{receipt_id}",
)
"""Where an id stands in a query, or beside one of the caller's own."""

UNMADE = "{replay_id}"
"""The one parameter for which the caller has nothing: replaying a row would change what other tests look at."""

_ID = re.compile(r"(?<=_)[0-9A-Z]{26}\b")


class Api(Protocol):
    """The API as one institution calls it."""

    def get(self, path: str) -> Any: ...

    def post(self, path: str, body: Any = None) -> Any: ...


def ids_of(api: Api, *, connector: str) -> dict[str, str]:
    """Something of the caller's for each parameter of a path. The caller's connector has run, and the caller has an
    open case, an endpoint that something was to be delivered to, people, and API keys; an export is begun unless there
    is one."""

    def first(path: str) -> dict[str, Any]:
        return api.get(path)["items"][0]

    case = first("/v1/cases?status=open&limit=1")["id"]
    found = api.get(f"/v1/cases/{case}")
    endpoint = first("/v1/webhook-endpoints")["id"]
    delivery = first(f"/v1/deliveries?endpoint_id={endpoint}&limit=1")
    exports = api.get("/v1/exports")["items"]
    refused = first(f"/v1/connectors/{connector}/quarantine?limit=1")
    return {
        "connector_id": connector,
        "run_id": refused["run_id"],
        "line": str(refused["line"]),
        "version": "1",
        "replay_id": new_id("run"),
        "receipt_id": api.post(f"/v1/connectors/{connector}/push", BODIES["Push"])["receipt"],
        "case_id": case,
        "account_id": found["accounts"][0]["id"],
        "borrower_id": found["borrower_id"],
        "endpoint_id": endpoint,
        "delivery_id": delivery["id"],
        "event_id": delivery["event_id"],
        "key_id": first("/v1/api-keys")["id"],
        "user_id": first("/v1/users")["id"],
        "export_id": (exports[0] if exports else api.post("/v1/exports"))["id"],
    }


def never_made(ids: Mapping[str, str], number: int = 0) -> dict[str, str]:
    """For each id one of the same form that nobody has; each number gives others."""
    return {name: _ID.sub(f"{number:025d}Z", text) for name, text in ids.items()}


def without_ids(text: str) -> str:
    """A text in which every id reads the same."""
    return _ID.sub("…", text)


def body_of(schema: str | None) -> Any:
    """What is sent where a body of that schema is asked for. Raises KeyError for a schema without one."""
    return None if schema is None else BODIES[schema]
