"""A tenant's credentials reach its own resources and are refused everywhere else, by IAM and not by our code."""

import json
from collections import OrderedDict

import pytest

from chalicelib.platform.ids import new_id
from chalicelib.platform.settings import settings
from chalicelib.tenancy import credentials
from chalicelib.tenancy.credentials import MAX_SESSION_POLICY, RENEW_BEFORE, session_policy
from infra.demo.isolation import try_to_reach


def test_every_attempt_on_another_tenant_is_denied_and_the_same_on_its_own_is_allowed(tenant, other_tenant) -> None:
    attempts = try_to_reach(other_tenant, tenant)
    assert len(attempts) >= 18
    assert [a for a in attempts if not a.denied] == []


def test_the_session_policy_fits_into_what_sts_accepts(aws: None) -> None:
    key = settings().arn("kms", "key/" + "0" * 36)
    policy = json.dumps(session_policy(settings(), new_id("ten"), key), separators=(",", ":"))
    assert len(policy) < MAX_SESSION_POLICY * 0.75


def test_the_session_policy_names_no_resource_that_another_tenants_name_could_match(aws: None) -> None:
    mine, other = new_id("ten"), new_id("ten")
    policy = session_policy(settings(), mine, settings().arn("kms", "key/mine"))
    for statement in policy["Statement"]:
        assert statement["Resource"] != "*"
        assert other not in json.dumps(statement)


@pytest.mark.parametrize("service", ["sqs", "iam", "lambda", "secretsmanager"])
def test_a_tenants_session_may_do_nothing_else(tenant, service: str) -> None:
    calls = {
        "sqs": lambda c: c.list_queues(),
        "iam": lambda c: c.list_roles(),
        "lambda": lambda c: c.list_functions(),
        "secretsmanager": lambda c: c.get_secret_value(SecretId=settings().api_key_secret_name),
    }
    from botocore.exceptions import ClientError

    with pytest.raises(ClientError, match=r"(?i)denied|not authorized"):
        calls[service](tenant.session.client(service))


def test_credentials_are_renewed_before_any_function_could_outlive_them(repository) -> None:
    stage = json.loads((repository / ".chalice" / "config.json").read_text())["stages"]["cell"]
    longest = max(stage["lambda_timeout"], *(f["lambda_timeout"] for f in stage["lambda_functions"].values()))
    assert RENEW_BEFORE.total_seconds() > longest


def test_a_container_keeps_only_so_many_tenants_open(tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "MAX_OPEN", 2)
    monkeypatch.setattr(credentials, "_open", OrderedDict(first=tenant, second=tenant))
    assert credentials.open_tenant(tenant.id).id == tenant.id
    assert list(credentials._open) == ["second", (tenant.id, "work")]
