"""The errors a caller sees, in Stripe's shape."""

from __future__ import annotations

from typing import Any


class StripeError(Exception):
    """A refusal that leaves the state as it was.

    ``status`` is the HTTP status, ``kind`` Stripe's error type, ``code`` Stripe's stable error code and ``param`` the
    name of the parameter at fault, as the caller wrote it.
    """

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        status: int = 400,
        kind: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code
        self.status = status
        self.kind = kind

    def body(self) -> dict[str, Any]:
        """The JSON body Stripe answers with: absent members are left out."""
        members = {"code": self.code, "message": self.message, "param": self.param, "type": self.kind}
        return {"error": {name: value for name, value in members.items() if value is not None}}


def missing_object(label: str, identifier: str, param: str) -> StripeError:
    """The 404 for an object that does not exist: ``label`` is Stripe's word for its kind."""
    return StripeError(f"No such {label}: '{identifier}'", param=param, code="resource_missing", status=404)
