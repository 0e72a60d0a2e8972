"""What people and API keys look like in an export."""

from __future__ import annotations

import boto3

from chalicelib.identity import EXPORTED, api_keys, key_ring, people, stored_credentials
from chalicelib.leaving.kinds import row_of
from chalicelib.platform.clock import utc_now
from chalicelib.platform.ids import new_id
from chalicelib.platform.settings import settings
from tests.identity.crowd import key as key_of


def rows(tenant) -> dict[str, list[dict]]:
    """The rows by kind; each item is of exactly one kind."""
    found: dict[str, list[dict]] = {}
    for item in stored_credentials(tenant.id):
        [kind] = [kind for kind in EXPORTED if kind.fits("credentials", item)]
        found.setdefault(kind.name, []).append(kind.row(tenant.vault, item))
    return found


def test_people_and_keys_are_told_without_what_proves_who_they_are(tenant, other_tenant):
    by = key_of(new_id("ten"))
    wish = {"name": "core", "scopes": ["cases:read", "cases:write"], "expires_at": None, "allowed_networks": []}
    key_ring.create_key(tenant.id, by=by, now=utc_now(), **wish)
    api_keys.create(other_tenant.id, name="theirs", scopes=["cases:read"], now=utc_now())
    [user], [key] = rows(tenant)["users"], rows(tenant)["api_keys"]
    assert user.items() >= {"role": "owner", "state": "invited", "email": f"owner@{_host(tenant)}"}.items()
    assert (key["name"], key["scopes"], key["made_by"]) == ("core", ["cases:read", "cases:write"], by.subject)
    assert "secret_hash" not in key
    assert key["other_attributes"] is None


def test_every_key_is_told_and_those_that_were_revoked_too(tenant):
    for number in range(101):
        api_keys.create(tenant.id, name=f"key {number}", scopes=["keys:write"], now=utc_now())
    revoked = rows(tenant)["api_keys"][0]["id"]
    key_ring.revoke_key(tenant.id, revoked, by=key_of(new_id("ten")), now=utc_now())
    told = {key["id"]: key["revoked_at"] for key in rows(tenant)["api_keys"]}
    assert len(told) == 101
    assert [key_id for key_id, revoked_at in told.items() if revoked_at] == [revoked]


def test_what_is_not_as_its_model_says_is_handed_out_as_it_is_stored(tenant):
    _, key = api_keys.create(tenant.id, name="core", scopes=["cases:read"], now=utc_now())
    [user] = people.people_in(tenant.id)
    table, dynamodb = settings().shared_table("credentials"), boto3.client("dynamodb")
    for pk, sk, name in ((key.pk, api_keys.KEY, "scopes"), (user.pk, people.PERSON, "invited_at")):
        dynamodb.update_item(
            TableName=table,
            Key={"pk": {"S": pk}, "sk": {"S": sk}},
            UpdateExpression="SET #name = :broken",
            ExpressionAttributeNames={"#name": name},
            ExpressionAttributeValues={":broken": {"N": "7"}},
        )
    told = [row_of(tenant, "credentials", item) for item in stored_credentials(tenant.id)]
    assert [(kind, row["pk"]) for kind, row in told] == [("other", user.pk), ("other", key.pk)]
    assert [row["attributes"]["tenant_id"] for _, row in told if "tenant_id" in row["attributes"]] == []
    assert "secret_hash" not in told[1][1]["attributes"]
    assert told[1][1]["attributes"]["scopes"] == 7


def _host(tenant) -> str:
    return f"{tenant.id.lower().replace('_', '-')}.example"
