"""Every route asked as every role: what the permission table says is what the API does.

A call is put to the application as API Gateway would put it, with the context that the authorizer makes of a role. Its
body is larger than any that is accepted: a caller whom the route lets through is told so, and nothing is ever done.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from chalicelib.identity.permissions import ROLES, scopes_of
from chalicelib.platform import http
from chalicelib.platform.http import ENDPOINTS, MAX_BODY_BYTES, Endpoint

_TOO_LARGE = "x" * (MAX_BODY_BYTES + 1)
LET_THROUGH, REFUSED = 413, 403


class RolesDiffer(Exception):
    """The API allows or refuses something otherwise than the permission table says."""


@dataclass(frozen=True)
class Answer:
    """What the application answers: a status and the problem document."""

    status: int
    problem: dict[str, Any]


def check_every_route() -> int:
    """Asks every route as every role and returns how many pairs that were. Raises RolesDiffer listing those that do not
    agree with the table."""
    pairs = [(endpoint, role) for endpoint in every_endpoint() for role in ROLES]
    with ungated():
        differ = [
            f"{role}: {endpoint.method} {endpoint.path}"
            for endpoint, role in pairs
            if not _agrees(endpoint, ask(endpoint, context_of(role)), scopes_of(role))
        ]
    if differ:
        raise RolesDiffer(f"{len(differ)} of {len(pairs)} differ from the table: {', '.join(differ[:10])}")
    return len(pairs)


def every_endpoint() -> list[Endpoint]:
    """Every route of the application."""
    _application()
    return list(ENDPOINTS)


def context_of(role: str) -> dict[str, str]:
    """What the authorizer says of a person who has signed in as their role asks."""
    return {"tenant_id": "ten_x", "subject": "usr_x", "role": role, "scopes": " ".join(sorted(scopes_of(role)))}


def ask(endpoint: Endpoint, context: dict[str, str] | None, *, body: str = _TOO_LARGE) -> Answer:
    """What a route answers to a caller of that context (None: one without a credential)."""
    given = {} if context is None else {"authorizer": context}
    event = {
        "resource": endpoint.path,
        "path": endpoint.path,
        "httpMethod": endpoint.method,
        "headers": {"Content-Type": "application/json"},
        "multiValueHeaders": {"Content-Type": ["application/json"]},
        "multiValueQueryStringParameters": None,
        "pathParameters": dict.fromkeys(re.findall(r"{(\w+)}", endpoint.path), "x"),
        "stageVariables": None,
        "requestContext": {
            "resourcePath": endpoint.path,
            "httpMethod": endpoint.method,
            "identity": {"sourceIp": "127.0.0.1"},
            **given,
        },
        "body": body,
        "isBase64Encoded": False,
    }
    answer = _application()(event, None)
    return Answer(answer["statusCode"], json.loads(answer["body"] or "{}"))


@contextmanager
def ungated() -> Generator[None]:
    """Without the gate that refuses by a tenant's state and rate: here there is no tenant."""
    from chalicelib.tenancy import gate

    http.guard(lambda _endpoint, _caller: {})
    try:
        yield
    finally:
        http.guard(gate.gate)


def _agrees(endpoint: Endpoint, answer: Answer, scopes: frozenset[str]) -> bool:
    if endpoint.scope is None or endpoint.scope in scopes:
        return answer.status == LET_THROUGH
    return answer.status == REFUSED and answer.problem.get("scope") == endpoint.scope


def _application() -> Any:
    # Importing it declares every route. It reads no settings; a region keeps boto3 from looking for one.
    os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")
    from app import app

    return app
