"""The errors that Duebridge answers with, each one kind of problem that a caller can act on.

A verb raises one of these; `platform.http` turns it into problem details (RFC 9457) in one place.
Nothing in an error may be personal data or a secret: name the field, the rule and what is accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class DuebridgeError(Exception):
    """A problem with a stable `type`, an HTTP status and a sentence for people.

    `pointer` is the JSON pointer (RFC 6901) of the offending field of the request, when one field is at fault.
    `extra` holds further members of the problem document; they must be safe to show to the caller.
    """

    type: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong"
    headers: Mapping[str, str] = {}
    """Headers that the answer carries beside the problem document."""

    def __init__(self, detail: str, *, pointer: str | None = None, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.pointer = pointer
        self.extra = extra

    def problem(self) -> dict[str, Any]:
        """The problem document: `type`, `title`, `status`, `detail`, and `pointer` and extras where they exist."""
        document: dict[str, Any] = {
            "type": f"https://duebridge.dev/problems/{self.type}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.pointer is not None:
            document["pointer"] = self.pointer
        return document | self.extra


class Invalid(DuebridgeError):
    """The request is well formed but a value in it is not accepted."""

    type, status, title = "invalid", 422, "The request holds a value that is not accepted"


class Malformed(DuebridgeError):
    """The request cannot be read at all (not JSON, not UTF-8, not the declared type)."""

    type, status, title = "malformed", 400, "The request cannot be read"


class Unauthenticated(DuebridgeError):
    """No credential, or one that is unknown, expired or revoked."""

    type, status, title = "unauthenticated", 401, "A valid credential is needed"


class Forbidden(DuebridgeError):
    """The credential is valid but does not carry the scope that the action needs."""

    type, status, title = "forbidden", 403, "This credential may not do that"


class NotFound(DuebridgeError):
    """Nothing of that id exists for the caller; says the same whether or not another tenant has it."""

    type, status, title = "not-found", 404, "Nothing found under that id"


class Conflict(DuebridgeError):
    """The state of the thing does not allow the action, or it changed since the caller read it."""

    type, status, title = "conflict", 409, "The current state does not allow that"


class Gone(DuebridgeError):
    """It existed, and it can be had only once or no longer."""

    type, status, title = "gone", 410, "No longer available"


class Erased(Gone):
    """Whose it was was erased: no later try of any work for them could do more."""


class TooLarge(DuebridgeError):
    """The request or a part of it is larger than accepted."""

    type, status, title = "too-large", 413, "Too large"


class TooManyRequests(DuebridgeError):
    """More was asked for than is allowed in a time; `retry_after` says in how many seconds there is more."""

    type, status, title = "too-many-requests", 429, "Too many requests"

    def __init__(self, detail: str, *, retry_after: int, **extra: Any) -> None:
        super().__init__(detail, retry_after=retry_after, **extra)
        self.headers = {"Retry-After": str(retry_after)}


class Unavailable(DuebridgeError):
    """Something we depend on did not answer; trying again later may help."""

    type, status, title = "unavailable", 503, "Try again later"
