"""The OpenAPI 3.1 document, generated from the same declarations and pydantic models that the routes validate with."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from chalice.app import Blueprint
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from chalicelib.platform.http import DEFAULT_LIMIT, ENDPOINTS, MAX_LIMIT, Call, Endpoint, endpoint

VERSION = "0.1.0"

blueprint = Blueprint(__name__)

_REF = "#/components/schemas/{model}"
_TEXT = {"type": "string"}
_TYPES: dict[str, dict[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    "Idempotency-Key": {"type": "string", "minLength": 1, "maxLength": 255},
}
"""What a query parameter or header of that name is, where that is more than text."""
_SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "API key"},
    "claim_token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "claim token",
        "description": "The claim token that sign-up answered, once",
    },
}
_PROBLEM: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "pointer": {"type": "string", "description": "JSON pointer of the offending field"},
    },
}


@endpoint(blueprint, "GET", "/v1/openapi.json", summary="This document", returns=dict[str, Any])
def get_openapi(call: Call[None]) -> dict[str, Any]:  # noqa: ARG001 - every endpoint takes a call
    """The document of everything that is deployed."""
    return document(ENDPOINTS)


def document(endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    """The document for the given endpoints, with operations in order of path and method."""
    ordered = sorted(endpoints, key=lambda e: (e.path, e.method))
    models = {m for e in ordered for m in (e.body, e.returns) if isinstance(m, type) and issubclass(m, BaseModel)}
    by_name = sorted(models, key=lambda m: m.__name__)
    _, schemas = models_json_schema([(m, "validation") for m in by_name], ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for each in ordered:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Duebridge", "version": VERSION, "license": {"name": "Apache-2.0"}},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": {**schemas.get("$defs", {}), "Problem": _PROBLEM},
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }


def _operation(each: Endpoint) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": _TEXT} for name in re.findall(r"{(\w+)}", each.path)
    ]
    parameters += [
        {"name": name, "in": place, "description": about, "schema": _TYPES.get(name, _TEXT)}
        for place, declared in (("query", each.query), ("header", each.headers))
        for name, about in declared.items()
    ]
    operation: dict[str, Any] = {
        "operationId": each.name,
        "summary": each.summary,
        "tags": _tags(each.path),
        "parameters": parameters,
        "responses": {
            str(each.status): {"description": "Done", **_content(each.returns)},
            "default": {
                "description": "A problem (RFC 9457)",
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            },
        },
    }
    if each.body is not None:
        operation["requestBody"] = {"required": True, **_content(each.body)}
    if each.scope is not None:
        operation["security"] = [{"bearer": [each.scope]}]
    elif each.claim:
        operation["security"] = [{"claim_token": []}]
    return operation


def _tags(path: str) -> list[str]:
    """The path's first noun, by which readers of the document group operations; none for the root."""
    nouns = [noun for noun in path.removeprefix("/v1").split("/") if noun]
    return [noun.removesuffix(".json") for noun in nouns[:1]]


def _content(shape: Any) -> dict[str, Any]:
    if shape is None:
        return {}
    if isinstance(shape, type) and issubclass(shape, BaseModel):
        schema: dict[str, Any] = {"$ref": _REF.format(model=_schema_name(shape))}
    else:
        schema = TypeAdapter(shape).json_schema()
    return {"content": {"application/json": {"schema": schema}}}


def _schema_name(model: type[BaseModel]) -> str:
    # Generic models carry their parameter in brackets, which component names may not hold.
    return re.sub(r"\W+", "_", model.__name__)
