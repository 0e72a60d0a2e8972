"""A tenant's credentials are renewed in time, and kept for so many tenants only. What they reach: test_isolation."""

import json
from collections import OrderedDict

import pytest

from chalicelib.tenancy import credentials
from chalicelib.tenancy.credentials import RENEW_BEFORE


def test_credentials_are_renewed_before_any_function_could_outlive_them(repository) -> None:
    stage = json.loads((repository / ".chalice" / "config.json").read_text())["stages"]["cell"]
    longest = max(stage["lambda_timeout"], *(f["lambda_timeout"] for f in stage["lambda_functions"].values()))
    assert RENEW_BEFORE.total_seconds() > longest


def test_a_container_keeps_only_so_many_tenants_open(tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "MAX_OPEN", 2)
    monkeypatch.setattr(credentials, "_open", OrderedDict(first=tenant, second=tenant))
    assert credentials.open_tenant(tenant.id).id == tenant.id
    assert list(credentials._open) == ["second", (tenant.id, "work")]
