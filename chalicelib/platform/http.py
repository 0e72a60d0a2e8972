"""How a route parses, calls and presents, the same for all: `@endpoint` on a function that takes a `Call`.

Bodies are validated by pydantic, errors become problem details (RFC 9457), lists are pages with an opaque cursor.
What is declared here is also what the OpenAPI document is generated from.
"""

from __future__ import annotations

import binascii
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Generic, Literal, TypeVar, cast

from chalice.app import Blueprint, ChaliceAuthorizer, Request, Response
from pydantic import BaseModel, ConfigDict, ValidationError

from chalicelib.platform.errors import (
    DuebridgeError,
    Forbidden,
    Invalid,
    Malformed,
    NotFound,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from chalicelib.platform.networks import holds
from chalicelib.platform.telemetry import log_failure

MAX_BODY_BYTES = 256 * 1024
_MAX_VERSION_DIGITS = 9
MAX_PARAMETER_BYTES = 900
"""Of a path or query parameter: what DynamoDB takes in a key, less what we put before it. Cursors are shorter, too."""
DEFAULT_LIMIT, MAX_LIMIT = 50, 200
PAGING = {
    "limit": f"How many, 1 to {MAX_LIMIT} ({DEFAULT_LIMIT})",
    "cursor": "Where an earlier page said the next one starts",
}
"""The query parameters of a list in pages, for its declaration."""
IDEMPOTENCY_KEY = {
    "Idempotency-Key": "1 to 255 printable ASCII characters of your choice: sent again with the same key, the call is "
    "answered as the first time and done once",
}
IF_MATCH = {"If-Match": "The version that is to be replaced, such as 3; where another is in force, nothing changes"}
"""The headers that `Call.idempotency_key` and `Call.expected_version` read, for the declaration of a route."""

Need = Literal["read", "export", "bill", "secure", "work", "connect"]
"""What the state of a tenant must allow for a route to answer: looking, taking the data out, paying, taking away access
(a key, a session, a person), changing data, and bringing in what business systems send."""

B = TypeVar("B")


class Strict(BaseModel):
    """A request body: unknown members are refused, so that a misspelt one is never silently ignored."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, hide_input_in_errors=True)


class View(BaseModel):
    """What the API shows; built by the routes from stored models."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


I = TypeVar("I", bound=BaseModel)  # noqa: E741 - the item of a page


class Page(View, Generic[I]):
    """One page of a list, and the cursor that asks for the next one (null at the end)."""

    items: Sequence[I]
    cursor: str | None = None


@dataclass(frozen=True)
class Caller:
    """Who calls, as the authorizer established it. The tenant comes from here and never from the request.

    `networks` are those that the credential may be used from, as CIDR; with none, it may be used from everywhere.
    `role` is that of a person, None for an API key. `mfa_required` says that a person has fewer scopes than the role
    gives until a second factor is enrolled.
    """

    tenant_id: str
    subject: str
    scopes: frozenset[str]
    networks: tuple[str, ...] = ()
    role: str | None = None
    mfa_required: bool = False


@dataclass(frozen=True)
class Call(Generic[B]):
    """One API call: the validated body, the caller (None on public routes), query and headers, and the raw request.

    `source_address` is where API Gateway saw the call come from; behind a CDN that is the CDN's address.
    """

    body: B
    caller: Caller | None
    query: Mapping[str, str]
    headers: Mapping[str, str]
    raw_body: bytes
    source_address: str = ""

    @property
    def by(self) -> Caller:
        """Who calls; only routes behind the authorizer have one."""
        assert self.caller is not None, "a public route asked who calls"
        return self.caller

    @property
    def tenant_id(self) -> str:
        """The caller's tenant."""
        return self.by.tenant_id

    @property
    def subject(self) -> str:
        """Who acts for the tenant: the id of a person or of an API key."""
        return self.by.subject

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes that the caller carries."""
        return self.by.scopes

    @property
    def limit(self) -> int:
        """How many items a page may hold (`limit`, 1 to 200, 50 when not given)."""
        text = self.query.get("limit", str(DEFAULT_LIMIT))
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_LIMIT:
            raise Invalid(f"limit is {text[:20]!r}; a whole number from 1 to {MAX_LIMIT} is accepted", pointer="/limit")
        return int(text)

    @property
    def cursor(self) -> dict[str, Any] | None:
        """The position that an earlier page's cursor named, or None for the first page."""
        text = self.query.get("cursor")
        return None if text is None else read_cursor(text)

    @property
    def idempotency_key(self) -> str | None:
        """The `Idempotency-Key` header: 1 to 255 printable ASCII characters."""
        key = self.headers.get("idempotency-key")
        if key is not None and not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
            raise Invalid("Idempotency-Key must be 1 to 255 printable ASCII characters", pointer="/Idempotency-Key")
        return key

    @property
    def expected_version(self) -> int | None:
        """The version that `If-Match` names, bare or as an entity tag (`"3"`); None when the header is not sent."""
        given = self.headers.get("if-match")
        if given is None:
            return None
        text = given.strip().removeprefix('"').removesuffix('"')
        if not text.isascii() or not text.isdigit() or len(text) > _MAX_VERSION_DIGITS:
            raise Invalid("If-Match names a version, such as 3", pointer="/If-Match")
        return int(text)


@dataclass(frozen=True)
class Endpoint:
    """One operation of the API, as the OpenAPI document shows it."""

    method: str
    path: str
    name: str
    summary: str
    body: type[BaseModel] | None
    returns: Any
    status: int
    scope: str | None
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    claim: bool = False
    need: Need = "read"


ENDPOINTS: list[Endpoint] = []
"""Every endpoint whose module was imported, in order of declaration."""

Handler = Callable[..., Any]

Gate = Callable[[Endpoint, Caller], Mapping[str, str]]
"""Asked before each call of a known caller: raises what refuses it, or gives headers that the answer is to carry."""

_gates: list[Gate] = []


def guard(gate: Gate) -> None:
    """Puts a gate before every route that has a scope, in place of an earlier one. The composition root does it: what
    a gate must know (a tenant's state, its limits) the platform does not."""
    _gates[:] = [gate]


def endpoint(
    blueprint: Blueprint,
    method: str,
    path: str,
    *,
    summary: str,
    returns: Any = None,
    body: type[BaseModel] | None = None,
    status: int = 200,
    scope: str | None = None,
    authorizer: ChaliceAuthorizer | None = None,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    claim: bool = False,
    need: Need | None = None,
) -> Callable[[Handler], Handler]:
    """Declares a route. The function takes a `Call` and the path's parameters by name, and returns a view (or None).

    A route with a `scope` stands behind `authorizer` and answers only callers that carry the scope; one without is
    public. `query` and `headers` name the accepted query parameters and headers with a sentence each. `claim` says of a
    public route that its function asks for the claim token of a sign-up, as a bearer token. `need` is what the state of
    the caller's tenant must allow: by default `read` for GET and `work` for the rest.
    """
    if (scope is None) != (authorizer is None):
        raise TypeError(f"{method} {path}: a scope and an authorizer go together")
    if claim and scope is not None:
        raise TypeError(f"{method} {path}: takes either an API key or a claim token")

    def declare(handler: Handler) -> Handler:
        needs: Need = need or ("read" if method == "GET" else "work")
        declared = Endpoint(
            method,
            path,
            handler.__name__,
            summary,
            body,
            returns,
            status,
            scope,
            query or {},
            headers or {},
            claim,
            needs,
        )
        ENDPOINTS.append(declared)

        @wraps(handler)
        def answer(**parameters: str) -> Response:
            return _answer(blueprint.current_request, handler, declared, parameters)

        route = blueprint.route(
            path, methods=[method], authorizer=authorizer, name=f"{handler.__module__}.{handler.__name__}"
        )
        return route(answer)

    return declare


def _answer(request: Request, handler: Handler, declared: Endpoint, parameters: Mapping[str, str]) -> Response:
    headers: dict[str, str] = {}
    try:
        caller = _caller(request)
        if declared.scope is not None:
            caller = _admitted(request, caller, declared.scope)
            for gate in _gates:
                headers |= gate(declared, caller)
        raw = cast("bytes", request.raw_body)
        if len(raw) > MAX_BODY_BYTES:
            raise TooLarge(f"the body has {len(raw)} bytes; at most {MAX_BODY_BYTES} are accepted")
        query = dict(request.query_params or {})
        _check_parameters(parameters, query)
        call = Call(
            body=None if declared.body is None else _parsed(raw, declared.body),
            caller=caller,
            query=query,
            headers={name.lower(): value for name, value in request.headers.items()},
            raw_body=raw,
            source_address=_source_address(request),
        )
        answer = _present(handler(call, **parameters), declared.status)
    except DuebridgeError as error:
        answer = problem(error)
    except Exception as error:
        # The last line before the caller: what it was goes to the log, and nothing of it to the answer.
        log_failure("request failed", error, route=handler.__name__)
        answer = problem(
            DuebridgeError("the request failed here, not because of what it said; it is safe to repeat it")
        )
    answer.headers.update(headers)
    return answer


def _admitted(request: Request, caller: Caller | None, scope: str) -> Caller:
    """The caller, if the authorizer knows one, from a network that it may come from, with the scope."""
    if caller is None:
        raise _refusal(request)
    _check_network(caller, request)
    if scope in caller.scopes:
        return caller
    if caller.mfa_required:
        raise Forbidden(
            "your role asks for a second factor: enrol one at POST /v1/me/totp and sign in again",
            rule="mfa_required",
            scope=scope,
        )
    raise Forbidden(f"this needs the scope {scope}", scope=scope)


def _check_parameters(parameters: Mapping[str, str], query: Mapping[str, str]) -> None:
    """Refuses what is too long to be an id or a value of ours, before it reaches a key of the store."""
    if any(len(value.encode()) > MAX_PARAMETER_BYTES for value in parameters.values()):
        raise NotFound("nothing has an id that long")
    for name, value in query.items():
        if len(value.encode()) > MAX_PARAMETER_BYTES:
            raise Invalid(f"{name[:40]} is longer than {MAX_PARAMETER_BYTES} bytes", pointer=f"/{name[:40]}")


def _caller(request: Request) -> Caller | None:
    context = request.context.get("authorizer") or {}
    if "tenant_id" not in context:
        return None
    return Caller(
        context["tenant_id"],
        context["subject"],
        frozenset(context["scopes"].split()),
        tuple(context.get("networks", "").split()),
        context.get("role") or None,
        context.get("mfa") == "required",
    )


def _source_address(request: Request) -> str:
    return (request.context.get("identity") or {}).get("sourceIp") or ""


def _check_network(caller: Caller, request: Request) -> None:
    """Refuses a credential from where it may not be used. Here and not in the authorizer, whose answers are cached for
    a credential wherever it comes from. The networks are not told: who holds a stolen key need not know them."""
    if caller.networks and not holds(caller.networks, _source_address(request)):
        raise Forbidden("this credential is not accepted from this address", rule="allowed_networks")


def _refusal(request: Request) -> DuebridgeError:
    """Why the authorizer accepted no caller, in its own words; it may have been unable to find out."""
    context = request.context.get("authorizer") or {}
    reason = context.get("refusal", "the request carries no credential")
    return Unavailable(reason) if context.get("unavailable") == "true" else Unauthenticated(reason)


def _parsed(raw: bytes, model: type[BaseModel]) -> BaseModel:
    try:
        document = json.loads(raw.decode("utf-8") or "null")
    except (ValueError, RecursionError):  # a number of thousands of digits is a ValueError as well
        raise Malformed("the body is not JSON in UTF-8") from None
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise invalid(error) from None


def invalid(error: ValidationError) -> Invalid:
    """A pydantic error as a problem: the first field is the pointer, all are listed, and no value is repeated."""
    errors = [
        {"pointer": "".join(f"/{part}" for part in e["loc"]), "detail": e["msg"].removeprefix("Value error, ")}
        for e in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    first = errors[0]
    return Invalid(f"{first['pointer'] or 'the document'}: {first['detail']}", pointer=first["pointer"], errors=errors)


def _present(result: Any, status: int) -> Response:
    if isinstance(result, Response):
        return result
    headers: dict[str, str | list[str]] = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    if isinstance(result, BaseModel):
        return Response(result.model_dump_json(), status_code=status, headers=headers)
    return Response("" if result is None else json.dumps(result), status_code=status, headers=headers)


def problem(error: DuebridgeError) -> Response:
    """An error as the API answers it."""
    headers: dict[str, str | list[str]] = {"Content-Type": "application/problem+json", "Cache-Control": "no-store"}
    return Response(json.dumps(error.problem()), status_code=error.status, headers=headers | dict(error.headers))


def write_cursor(position: Mapping[str, Any] | None) -> str | None:
    """A position in a list as an opaque cursor; None at the list's end."""
    if not position:
        return None
    return urlsafe_b64encode(json.dumps(position, separators=(",", ":")).encode()).decode().rstrip("=")


def read_cursor(text: str) -> dict[str, Any]:
    """The position in a cursor that `write_cursor` made. It reaches only the caller's own tables, whatever it says."""
    try:
        position = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError, UnicodeError):
        position = None
    if not isinstance(position, dict) or not position:
        raise Invalid("the cursor is not one that an earlier page gave", pointer="/cursor")
    return cast("dict[str, Any]", position)
