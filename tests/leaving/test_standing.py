"""Who lost access a moment ago, while the authorizer remembers them, neither ends nor empties a tenant with it."""

from __future__ import annotations

import pytest

from chalicelib.identity import api_keys, authorizer, key_ring
from chalicelib.leaving import exports, holds
from chalicelib.platform.clock import utc_now
from chalicelib.platform.http import Caller
from chalicelib.tenancy import find_tenant
from tests.leaving.departing import person
from tests.leaving.http import Http


@pytest.fixture
def remembered(tenant, http: Http, monkeypatch: pytest.MonkeyPatch) -> str:
    """A key that was revoked after the authorizer's last answer about it."""
    token = http.key(tenant.id, *api_keys.SCOPES)
    context = authorizer._of_key(token, utc_now())
    by = Caller(tenant.id, context["subject"], api_keys.SCOPES)
    http.key(tenant.id, "keys:write")
    key_ring.revoke_key(tenant.id, by.subject, by=by, now=utc_now())
    monkeypatch.setattr(authorizer, "_of_key", lambda *_: context)
    return token


def test_with_a_key_that_was_revoked_a_moment_ago_nobody_leaves(tenant, http: Http, remembered: str) -> None:
    assert http.get(remembered, "/v1/tenant/legal-hold")[0] == 200, "the authorizer does not know yet"
    before = find_tenant(tenant.id)
    assert http.post(remembered, "/v1/tenant/leave", {"confirm": tenant.name})[0] == 401
    after = find_tenant(tenant.id)
    assert (after.state, after.version) == (before.state, before.version)


def test_with_a_key_that_was_revoked_a_moment_ago_nobody_lifts_a_hold(tenant, http: Http, remembered: str) -> None:
    holds.set_hold(person(tenant.id, "usr_x"), reason="order 7", now=utc_now())
    assert http.delete(remembered, "/v1/tenant/legal-hold")[0] == 401
    assert holds.hold_of(find_tenant(tenant.id)) is not None


def test_with_a_key_that_was_revoked_a_moment_ago_nobody_begins_an_export(tenant, http: Http, remembered: str) -> None:
    assert http.post(remembered, "/v1/exports", None)[0] == 401
    assert exports.list_exports(tenant.id, limit=10, cursor=None)[0] == []
