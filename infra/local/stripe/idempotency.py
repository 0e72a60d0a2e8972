"""Idempotency keys: one key, one call, one answer."""

from __future__ import annotations

import hashlib
import json
import threading

from .errors import StripeError
from .shapes import Object
from .state import State

KEY_LIFE = 24 * 3600
"""Seconds for which an answer is kept, by the server's clock."""


def fingerprint(method: str, path: str, params: Object) -> str:
    """What two calls with one key must have in common; the order of parameters does not count."""
    return hashlib.sha256(f"{method} {path}\n{json.dumps(params, sort_keys=True)}".encode()).hexdigest()


class KeysInUse:
    """Keys of calls now under way; entering one twice is refused, as Stripe refuses concurrent calls."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: set[str] = set()

    def enter(self, key: str) -> None:
        """Take the key, or raise the 409."""
        with self._lock:
            if key in self._keys:
                raise StripeError(
                    f"There is currently another in-progress request using this Idempotent Key: {key}",
                    code="idempotency_key_in_use",
                    status=409,
                )
            self._keys.add(key)

    def leave(self, key: str) -> None:
        """Give the key back."""
        with self._lock:
            self._keys.discard(key)


def recall(state: State, key: str, mark: str) -> Object | None:
    """``answer`` and HTTP ``status`` given before to this key, or None; another call's key is refused."""
    kept = state.get("idempotency", key)
    if kept is None or kept["created"] + KEY_LIFE < state.now:
        return None
    if kept["fingerprint"] != mark:
        raise StripeError(
            "Keys for idempotent requests can only be used with the same parameters they were first used with. "
            f"Try using a key other than '{key}' if you meant to execute a different request.",
            kind="idempotency_error",
        )
    return kept


def remember(state: State, key: str, mark: str, answer: Object, *, status: int = 200) -> None:
    """Keep the answer of a call that changed something."""
    state.put("idempotency", key, {"fingerprint": mark, "answer": answer, "status": status, "created": state.now})
