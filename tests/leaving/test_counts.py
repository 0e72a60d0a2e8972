"""What is counted in a tenant's name is left by the erasure, and gone when its certificate says that it is."""

from __future__ import annotations

import json
import tomllib
from datetime import timedelta

import boto3

from chalicelib.identity import abuse, invitations
from chalicelib.platform.clock import utc_now
from chalicelib.platform.documents import path
from chalicelib.platform.settings import settings
from chalicelib.tenancy import gate
from tests.identity.crowd import address, caller, owner_of

DELETES_WITHIN = timedelta(days=3)
"""AWS speaks of a few days after an item's time, and mostly needs less than two."""


def test_every_count_that_names_a_tenant_lapses_by_itself_within_the_days_that_the_certificate_says(tenant) -> None:
    now, by = utc_now(), caller(owner_of(tenant.id, utc_now()))
    gate.spend(f"rate#{tenant.id}", 100, now)
    gate.spend(f"rate#{tenant.id}#bill", 100, now)
    user = invitations.invite(tenant.id, email=address(), name=None, role="collector", by=by, now=now)
    invitations.invite_again(tenant.id, user.pk, by=by, now=now)
    abuse.admit_checkout(tenant.id, address(), now=now)

    pages = boto3.client("dynamodb").get_paginator("scan").paginate(TableName=settings().shared_table("limits"))
    items = [item for page in pages for item in page["Items"]]
    named = [item for item in items if tenant.id in json.dumps(item) or user.pk in json.dumps(item)]
    [told] = [each for each in _remains() if each["where"] == "rate limits of the cell"]
    kept = {item["pk"]["S"].partition("#")[0]: int(item["forget_after"]["N"]) for item in named}
    assert kept.keys() == {"rate", "invitations", "invitation", "checkout"}
    assert max(kept.values()) <= (now + timedelta(days=told["days"]) - DELETES_WITHIN).timestamp()
    assert max(kept.values()) <= (now + timedelta(hours=26)).timestamp()


def _remains() -> list[dict]:
    return tomllib.loads(path("erasure.toml").read_text(encoding="utf-8"))["remains"]
