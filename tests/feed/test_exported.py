"""What events, endpoints and deliveries look like in an export."""

from __future__ import annotations

import pytest

from chalicelib.feed import EXPORTED, endpoints, log
from chalicelib.feed.model import DELIVERY_SK, Delivery
from chalicelib.feed.recording import delivery_id
from tests.connectors.tables import items


@pytest.fixture
def rows(tenant, now, emit) -> dict[str, list[dict]]:
    """The rows of an endpoint and one event on its way to it, by kind; each item is of exactly one kind."""
    endpoint, _ = endpoints.create_endpoint(tenant, "http://127.0.0.1:9009/hook", now=now, key="once")
    endpoints.rotate_secret(tenant, endpoint.sk, now=now)
    event_id = emit(tenant)
    log.append(tenant, [event_id])
    tenant.bind(Delivery)(
        delivery_id(tenant, event_id, endpoint.sk),
        DELIVERY_SK,
        endpoint_id=endpoint.sk,
        event_id=event_id,
        event_type="case.opened",
        attempts=[{"at": "2005-09-30T16:00:00.000Z", "status": 500, "kind": None, "milliseconds": 3}],
        updated_at=now,
    ).save()
    found: dict[str, list[dict]] = {}
    for item in items(tenant, "feed"):
        [kind] = [kind for kind in EXPORTED if kind.fits("feed", item)]
        found.setdefault(kind.name, []).append(kind.row(tenant.vault, item))
    return found


def test_an_endpoint_is_told_without_its_secrets(rows):
    [endpoint] = rows["endpoints"]
    assert (endpoint["url"], endpoint["event_types"]) == ("http://127.0.0.1:9009/hook", ["*"])
    assert endpoint["previous_until"] is not None
    assert not {name for name in endpoint if "secret" in name or "digest" in name}
    assert endpoint["other_attributes"] is None


def test_an_event_its_place_in_the_log_and_its_delivery_are_told(rows):
    [event], [delivery], [page] = rows["events"], rows["deliveries"], rows["log_pages"]
    assert (page["page"], page["event_ids"]) == (1, [event["id"]])
    assert (delivery["event_id"], delivery["endpoint_id"]) == (event["id"], rows["endpoints"][0]["id"])
    assert [attempt["status"] for attempt in delivery["attempts"]] == [500]
    assert event["data"]
