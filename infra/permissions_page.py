"""docs/permissions.md, rendered from the permission table and the routes as they are declared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from chalicelib.identity.permissions import Permissions
from chalicelib.platform.http import Endpoint

_INTRODUCTION = """\
# Permissions

What each role may do. Written by `make openapi` from [the table](../tenants/permissions.toml) and the routes; change
these. `make check` says when this page is not what they say, and a test asks every route as every role.

- A person has one role, and a role carries scopes. Every route behind a sign-in names the one scope that it needs.
- Roles with a second factor carry nothing but `self` until their person has signed in with one.
- Nobody gives, changes or removes a role that carries more than they do, and only an owner makes, changes or removes an
  owner. So an owner appoints auditors: an admin does not carry `holds:write`.
- Once an owner has joined, there is always one who has.
- An API key carries scopes of its own, of those that its maker carries, and never `self`.
"""


def page(permissions: Permissions, endpoints: Iterable[Endpoint]) -> str:
    """The page for a table and the given endpoints."""
    ordered = sorted(endpoints, key=lambda each: (each.path, each.method))
    behind = [each for each in ordered if each.scope is not None]
    public = [each for each in ordered if each.scope is None]
    return "\n".join(
        [
            _INTRODUCTION,
            "## Roles\n",
            *_roles(permissions),
            "\n## Scopes\n",
            *_scopes(permissions),
            "\n## Routes behind a sign-in\n",
            *_routes(permissions, behind),
            "\n## Routes for everybody\n",
            *_public(public),
            "",
        ]
    )


def _roles(permissions: Permissions) -> list[str]:
    rows = [
        [f"`{role}`", row.name["zh_CN"], row.what, "yes" if row.second_factor else "no"]
        for role, row in permissions.roles.items()
    ]
    return _table(["Role", "Name", "Who", "Second factor"], rows)


def _scopes(permissions: Permissions) -> list[str]:
    rows = [
        [f"`{scope}`", allows, *("x" if scope in row.scopes else "" for row in permissions.roles.values())]
        for scope, allows in permissions.scopes.items()
    ]
    return _table(["Scope", "Allows to", *(_short(role) for role in permissions.roles)], rows)


def _routes(permissions: Permissions, endpoints: Sequence[Endpoint]) -> list[str]:
    rows = [
        [
            f"`{each.method} {each.path}`",
            f"`{each.scope}`",
            *("x" if each.scope in row.scopes else "" for row in permissions.roles.values()),
        ]
        for each in endpoints
    ]
    return _table(["Route", "Scope", *(_short(role) for role in permissions.roles)], rows)


def _public(endpoints: Sequence[Endpoint]) -> list[str]:
    rows = [
        [f"`{each.method} {each.path}`", "a token that was shown once" if each.claim else "nothing", each.summary]
        for each in endpoints
    ]
    return _table(["Route", "Asks for", "What"], rows)


def _short(role: str) -> str:
    return role.replace("_", " ")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [_row(head), _row(["---"] * len(head)), *(_row(row) for row in rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
