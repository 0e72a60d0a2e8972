"""Endpoints are checked before they are kept, and their secrets are shown once."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import partial

import pytest
from standardwebhooks import Webhook

from chalicelib.feed import egress, endpoints
from chalicelib.feed.egress import ForbiddenAddress
from chalicelib.feed.endpoints import Change
from chalicelib.feed.events import find_events
from chalicelib.feed.model import Endpoint
from chalicelib.feed.signing import sign
from chalicelib.platform.clock import utc_now
from chalicelib.platform.errors import Conflict, Invalid, NotFound, Unavailable
from chalicelib.platform.requests import counted

URL = "https://93.184.215.14/hooks"
"""A public address in figures, so that no test looks a name up."""


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("http://169.254.169.254/latest/meta-data/", "metadata"),
        ("https://169.254.169.254/", "metadata"),
        ("https://10.1.2.3/hooks", "private"),
        ("https://172.16.0.9/hooks", "private"),
        ("https://192.168.1.1/hooks", "private"),
        ("https://[fd00::1]/hooks", "private"),
        ("https://[::ffff:10.0.0.1]/hooks", "IPv4-mapped private"),
        ("ftp://93.184.215.14/hooks", "scheme"),
        ("http://93.184.215.14/hooks", "scheme"),
        ("https://user:pass@93.184.215.14/hooks", "userinfo"),
        ("https://93.184.215.14:6379/", "port"),
    ],
)
def test_an_endpoint_on_a_forbidden_address_is_refused_with_the_rule(tenant, now, url, rule):
    with pytest.raises(ForbiddenAddress) as refused:
        endpoints.create_endpoint(tenant, url, now=now)
    assert refused.value.problem()["rule"] == rule
    assert (refused.value.status, refused.value.pointer) == (422, "/url")
    assert endpoints.list_endpoints(tenant) == []


def test_a_name_that_leads_to_a_private_address_is_refused(tenant, now, monkeypatch):
    leads_inside = partial(egress.resolve, resolver=lambda *_, **__: [(0, 0, 0, "", ("10.0.0.7", 443))])
    monkeypatch.setattr(egress, "resolve", leads_inside)
    with pytest.raises(ForbiddenAddress) as refused:
        endpoints.create_endpoint(tenant, "https://hooks.bank.example/", now=now)
    assert refused.value.rule == "private"


def test_a_host_that_does_not_exist_is_the_urls_fault(tenant, now, monkeypatch):
    monkeypatch.setattr(egress, "resolve", partial(egress.resolve, resolver=lambda *_, **__: []))
    with pytest.raises(Invalid) as refused:
        endpoints.create_endpoint(tenant, "https://hooks.bank.example/", now=now)
    assert refused.value.pointer == "/url"


def test_a_pattern_that_matches_nothing_is_refused_with_its_place(tenant, now):
    with pytest.raises(Invalid) as refused:
        endpoints.create_endpoint(tenant, URL, event_types=["case.*", "cases.*"], now=now)
    assert refused.value.pointer == "/event_types/1"
    assert "case.*" in refused.value.detail


def test_a_secret_is_shown_once_and_kept_sealed(tenant, now):
    made, secret = endpoints.create_endpoint(tenant, URL, now=now)
    assert secret.startswith("whsec_")
    stored = endpoints.find_endpoint(tenant, made.sk)
    assert secret.removeprefix("whsec_") not in json.dumps(stored.to_dynamodb_dict(), default=repr)
    assert endpoints.signing_secrets(tenant, stored, now=now) == [secret]


def test_a_rotated_secret_and_the_one_before_it_both_verify_for_a_day(tenant, now):
    made, old = endpoints.create_endpoint(tenant, URL, now=now)
    rotated, new = endpoints.rotate_secret(tenant, made.sk, now=now)
    secrets = endpoints.signing_secrets(tenant, rotated, now=now + timedelta(hours=23, minutes=59))
    assert secrets == [new, old]
    assert endpoints.signing_secrets(tenant, rotated, now=now + timedelta(hours=24)) == [new]


def test_a_change_is_refused_when_the_endpoint_has_moved_on(tenant, now):
    made, _ = endpoints.create_endpoint(tenant, URL, now=now)
    changed = endpoints.change_endpoint(tenant, made.sk, Change(description="core system"), now=now, version=1)
    assert (changed.description, changed.version) == ("core system", 2)
    with pytest.raises(Conflict):
        endpoints.change_endpoint(tenant, made.sk, Change(enabled=False), now=now, version=1)
    disabled = endpoints.change_endpoint(tenant, made.sk, Change(enabled=False), now=now)
    assert (disabled.enabled, disabled.disabled_reason) == (False, "endpoint_disabled")
    enabled = endpoints.change_endpoint(tenant, made.sk, Change(enabled=True, event_types=["case.*"]), now=now)
    assert (enabled.enabled, enabled.disabled_reason, enabled.event_types) == (True, None, ["case.*"])
    with pytest.raises(ForbiddenAddress):
        endpoints.change_endpoint(tenant, made.sk, Change(url="https://10.0.0.1/"), now=now)


def test_an_endpoint_is_not_enabled_when_what_was_kept_cannot_be_sent(tenant, now, queue):
    made, _ = endpoints.create_endpoint(tenant, URL, now=now)
    endpoints.change_endpoint(tenant, made.sk, Change(enabled=False), now=now)
    queue.refuse = lambda _: True
    with pytest.raises(Unavailable):
        endpoints.change_endpoint(tenant, made.sk, Change(enabled=True), now=now)
    assert not endpoints.find_endpoint(tenant, made.sk).enabled


def test_a_deleted_endpoint_is_gone_and_no_late_report_brings_it_back(tenant, now):
    made, _ = endpoints.create_endpoint(tenant, URL, now=now)
    endpoints.delete_endpoint(tenant, made.sk)
    endpoints.disable(tenant, made.sk, "endpoint_gone", now=now)
    endpoints.rest(tenant, made.sk, until=now)
    assert endpoints.list_endpoints(tenant) == []
    for verb in (endpoints.find_endpoint, endpoints.delete_endpoint):
        with pytest.raises(NotFound):
            verb(tenant, made.sk)


def test_a_tenant_has_no_more_endpoints_than_its_plan_gives_even_when_two_are_created_at_once(tenant, now, monkeypatch):
    for _ in range(2):
        endpoints.create_endpoint(tenant, URL, now=now, at_most=3)
    listed = endpoints.list_endpoints

    def overtaken(tenant):
        found = listed(tenant)
        monkeypatch.setattr(endpoints, "list_endpoints", listed)
        endpoints.create_endpoint(tenant, URL, now=now, at_most=3)
        return found

    monkeypatch.setattr(endpoints, "list_endpoints", overtaken)
    with pytest.raises(Conflict, match="3"):
        endpoints.create_endpoint(tenant, URL, now=now, at_most=3)
    assert len(listed(tenant)) == 3


def test_the_same_wish_under_the_same_key_is_the_same_endpoint_with_the_same_secret(tenant, now):
    made, secret = endpoints.create_endpoint(tenant, URL, event_types=["case.*"], now=now, key="k1")
    later = now + timedelta(hours=1)
    with counted() as requests:
        again, shown = endpoints.create_endpoint(tenant, URL, event_types=["case.*"], now=later, key="k1")
    assert (again.sk, again.created_at, shown) == (made.sk, now, secret)
    assert requests == {"GetItem": 1}
    other, another_secret = endpoints.create_endpoint(tenant, URL, event_types=["case.*"], now=later, key="k2")
    assert other.sk != made.sk
    assert another_secret != secret
    # In order of their making, which ids made from keys do not show.
    assert [each.sk for each in endpoints.list_endpoints(tenant)] == [made.sk, other.sk]


@pytest.mark.parametrize(
    "other",
    [{"url": URL + "/2"}, {"description": "core"}, {"event_types": ["*"]}, {"event_types": ["payment.*", "case.*"]}],
)
def test_another_wish_under_the_same_key_is_refused(tenant, now, other):
    wish = {"url": URL, "event_types": ["case.*", "payment.*"]}
    made, _ = endpoints.create_endpoint(tenant, **wish, now=now, key="k1")
    with pytest.raises(Conflict, match="Idempotency-Key"):
        endpoints.create_endpoint(tenant, **{**wish, **other}, now=now, key="k1")
    assert [each.sk for each in endpoints.list_endpoints(tenant)] == [made.sk]


def test_a_repeated_wish_shows_the_endpoint_as_it_is_by_now_and_no_secret_that_was_rotated(tenant, now):
    made, _ = endpoints.create_endpoint(tenant, URL, now=now, key="k1")
    endpoints.change_endpoint(tenant, made.sk, Change(description="core system"), now=now)
    endpoints.rotate_secret(tenant, made.sk, now=now)
    again, shown = endpoints.create_endpoint(tenant, URL, now=now, key="k1")
    assert (again.description, shown) == ("core system", None)


def test_two_calls_with_one_key_at_once_make_one_endpoint(tenant, now, monkeypatch):
    listed, first = endpoints.list_endpoints, []

    def overtaken(tenant):
        found = listed(tenant)
        monkeypatch.setattr(endpoints, "list_endpoints", listed)
        first.append(endpoints.create_endpoint(tenant, URL, now=now, key="k1"))
        return found

    monkeypatch.setattr(endpoints, "list_endpoints", overtaken)
    second, secret = endpoints.create_endpoint(tenant, URL, now=now, key="k1")
    assert [(each.sk, shown) for each, shown in first] == [(second.sk, secret)]
    assert len(listed(tenant)) == 1


def test_a_test_event_is_for_one_endpoint_only_and_refused_for_a_disabled_one(tenant, now):
    made, _ = endpoints.create_endpoint(tenant, URL, event_types=["case.*"], now=now)
    other, _ = endpoints.create_endpoint(tenant, URL, now=now)
    event_id = endpoints.send_test(tenant, made.sk, now=now)
    event = find_events(tenant, [event_id])[event_id]
    assert [endpoints.wants(each, event.type, event.only_endpoint) for each in (made, other)] == [True, False]
    endpoints.change_endpoint(tenant, made.sk, Change(enabled=False), now=now)
    with pytest.raises(Conflict):
        endpoints.send_test(tenant, made.sk, now=now)


def test_creating_costs_three_requests_and_listing_one(tenant, now):
    with counted() as requests:
        endpoints.create_endpoint(tenant, URL, now=now)
    assert requests == {"GetItem": 1, "Query": 1, "TransactWriteItems": 1}
    with counted() as requests:
        endpoints.list_endpoints(tenant)
    assert requests == {"Query": 1}


def test_a_message_with_two_signatures_is_accepted_by_either_secret(tenant):
    made, old = endpoints.create_endpoint(tenant, URL, now=utc_now())
    rotated, new = endpoints.rotate_secret(tenant, made.sk, now=utc_now())
    secrets = endpoints.signing_secrets(tenant, rotated, now=utc_now())
    headers = sign(secrets, "evt_1", int(utc_now().timestamp()), b'{"a":1}')
    assert Webhook(old).verify(b'{"a":1}', headers) == Webhook(new).verify(b'{"a":1}', headers) == {"a": 1}


def test_endpoints_of_one_tenant_are_not_those_of_another(tenant, other_tenant, now):
    endpoints.create_endpoint(tenant, URL, now=now)
    assert endpoints.list_endpoints(other_tenant) == []
    assert tenant.bind(Endpoint) is not other_tenant.bind(Endpoint)
