"""Who may do what: roles and their scopes, read from `tenants/permissions.toml` once per container.

The names stand here as types, so that a misspelt one is found before it runs; which role carries which scope stands
only in the file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast, get_args

PERMISSIONS_FILE = Path(__file__).parents[2] / "tenants" / "permissions.toml"

Role = Literal[
    "owner",
    "admin",
    "supervisor",
    "collector",
    "risk_analyst",
    "customer_relations_agent",
    "credit_officer",
    "auditor",
]
ROLES: tuple[Role, ...] = get_args(Role)

KeyScope = Literal[
    "billing:read",
    "billing:write",
    "cases:read",
    "cases:write",
    "connectors:read",
    "connectors:write",
    "exports:read",
    "exports:write",
    "feed:read",
    "feed:write",
    "holds:write",
    "keys:read",
    "keys:write",
    "rules:read",
    "rules:write",
    "tenant:leave",
    "tenant:read",
    "users:read",
    "users:write",
]
Scope = KeyScope | Literal["self"]
"""What a person may carry: what an API key may, and `self`, which is about the person who is signed in."""

KEY_SCOPES: frozenset[str] = frozenset(get_args(KeyScope))
SELF = "self"
SCOPES: frozenset[str] = KEY_SCOPES | {SELF}

_CARRIES, _LACKS = "x", "-"


class PermissionsInvalid(Exception):
    """The permission table is not one; the deployment is wrong, not the call."""


@dataclass(frozen=True)
class RoleRow:
    """A role: its name by language, what it is in a few words, and the scopes that its people carry once they have
    signed in, with a second factor where one is needed."""

    name: Mapping[str, str]
    what: str
    second_factor: bool
    scopes: frozenset[str]


@dataclass(frozen=True)
class Permissions:
    """The table: every role, and what each scope allows."""

    roles: Mapping[str, RoleRow]
    scopes: Mapping[str, str]


def read_permissions(path: Path = PERMISSIONS_FILE) -> Permissions:
    """The table of a file. Raises PermissionsInvalid where it does not fit the roles and scopes that the code knows."""
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    roles, rows = cast("dict[str, Any]", document["roles"]), cast("dict[str, Any]", document["scopes"])
    if tuple(roles) != ROLES:
        raise PermissionsInvalid(f"the roles are {list(roles)}; expected in this order are {list(ROLES)}")
    if rows.keys() != SCOPES:
        raise PermissionsInvalid(f"these scopes stand on one side only: {sorted(rows.keys() ^ SCOPES)}")
    marks = {scope: cast("str", row[0]).split() for scope, row in rows.items()}
    for scope, row in marks.items():
        if len(row) != len(ROLES) or set(row) - {_CARRIES, _LACKS}:
            raise PermissionsInvalid(f"the row of {scope} needs {len(ROLES)} marks, each {_CARRIES} or {_LACKS}")
    return Permissions(
        roles={
            role: RoleRow(
                about["name"],
                about["is"],
                about["second_factor"],
                frozenset(scope for scope, row in marks.items() if row[column] == _CARRIES),
            )
            for column, (role, about) in enumerate(roles.items())
        },
        scopes={scope: row[1] for scope, row in rows.items()},
    )


@cache
def permissions() -> Permissions:
    """The table in force."""
    return read_permissions()


def scopes_of(role: str) -> frozenset[str]:
    """The scopes that people of a role carry. Raises KeyError for a role that does not exist."""
    return permissions().roles[role].scopes


MFA_ROLES = frozenset(role for role, row in permissions().roles.items() if row.second_factor)
"""The roles whose people carry nothing but `self` until they sign in with a second factor."""
