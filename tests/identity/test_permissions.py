"""The permission table: what it says of each role, and that a wrong one is refused where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from chalicelib.identity.permissions import (
    KEY_SCOPES,
    MFA_ROLES,
    PERMISSIONS_FILE,
    ROLES,
    SCOPES,
    SELF,
    PermissionsInvalid,
    permissions,
    read_permissions,
    scopes_of,
)
from infra import check, permissions_page

READING = {scope for scope in SCOPES if scope.endswith(":read")}


def test_an_owner_may_everything() -> None:
    assert scopes_of("owner") == SCOPES


def test_an_admin_may_all_but_leave_and_hold() -> None:
    assert SCOPES - scopes_of("admin") == {"tenant:leave", "holds:write"}


def test_an_auditor_reads_everything_and_writes_only_exports_and_holds() -> None:
    assert scopes_of("auditor") == READING | {SELF, "exports:write", "holds:write"}


@pytest.mark.parametrize("role", ROLES)
def test_everybody_sees_themselves_and_their_tenant(role) -> None:
    assert {SELF, "tenant:read"} <= scopes_of(role)


@pytest.mark.parametrize(
    ("scope", "who"),
    [
        ("tenant:leave", {"owner"}),
        ("billing:write", {"owner", "admin"}),
        ("users:write", {"owner", "admin"}),
        ("keys:write", {"owner", "admin"}),
        ("holds:write", {"owner", "auditor"}),
        ("cases:write", {"owner", "admin", "supervisor", "collector", "customer_relations_agent"}),
        ("rules:write", {"owner", "admin", "supervisor", "risk_analyst"}),
    ],
)
def test_what_changes_much_is_for_few(scope, who) -> None:
    assert {role for role in ROLES if scope in scopes_of(role)} == who


@pytest.mark.parametrize("role", ROLES)
def test_whoever_writes_something_also_reads_it(role) -> None:
    written = {scope.removesuffix("write") + "read" for scope in scopes_of(role) if scope.endswith(":write")}
    assert written & SCOPES <= scopes_of(role)


def test_those_who_could_do_most_harm_need_a_second_factor() -> None:
    assert {"owner", "admin", "supervisor", "auditor"} == MFA_ROLES


def test_keys_carry_all_but_what_is_about_a_person() -> None:
    assert {SELF} == SCOPES - KEY_SCOPES


def test_every_role_has_a_name_in_both_languages_and_every_scope_a_meaning() -> None:
    table = permissions()
    assert all(set(row.name) == {"en", "zh_CN"} and all(row.name.values()) and row.what for row in table.roles.values())
    assert all(table.scopes.values())
    assert len({row.name["zh_CN"] for row in table.roles.values()}) == len(ROLES)


def test_a_role_that_does_not_exist_has_no_scopes_to_give() -> None:
    with pytest.raises(KeyError):
        scopes_of("root")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("[roles.auditor]", "[roles.inspector]", "the roles are"),
        ('"holds:write"    ', '"holds:writes"   ', "holds:write"),
        ('"holds:write"      = ["x  -', '"holds:write"      = ["x  - -', "the row of holds:write needs 8 marks"),
        ('"holds:write"      = ["x  -', '"holds:write"      = ["x  y', "the row of holds:write needs 8 marks"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_where_it_is_wrong(tmp_path: Path, old, new, says) -> None:
    text = PERMISSIONS_FILE.read_text(encoding="utf-8")
    assert old in text
    wrong = tmp_path / "permissions.toml"
    wrong.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(PermissionsInvalid, match=says):
        read_permissions(wrong)


def test_the_page_shows_every_role_scope_and_route() -> None:
    endpoints = [each for each in check.ENDPOINTS if "users" in each.path] or check.ENDPOINTS
    page = permissions_page.page(permissions(), endpoints)
    assert [name for name in (*ROLES, *SCOPES) if f"`{name}`" not in page] == []
    assert [each for each in endpoints if f"`{each.method} {each.path}`" not in page] == []
