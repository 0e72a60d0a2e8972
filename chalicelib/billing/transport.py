"""How billing's requests reach Stripe: in bounded time, and with the new key once the old one was replaced.

Imported only where a client is made, since it brings the SDK with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stripe import RequestsClient

_UNAUTHORIZED = 401


class RotatingClient(RequestsClient):
    """The SDK's own HTTP client, which sends a request that Stripe answered with 401 once more if there is a newer key.

    `newer_key` is given the key that was refused, and answers the one to use instead or None. Stripe does nothing for a
    request with a wrong key, so sending it again under its idempotency key is harmless.
    """

    def __init__(self, timeout: tuple[float, float], newer_key: Callable[[str], str | None]) -> None:
        super().__init__(timeout=timeout)
        self._newer_key = newer_key

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        answer = super().request(method, url, headers, post_data)
        if answer[1] != _UNAUTHORIZED or headers is None:
            return answer
        refused = headers.get("Authorization", "").removeprefix("Bearer ")
        key = self._newer_key(refused)
        if key is None:
            return answer
        return super().request(method, url, {**headers, "Authorization": f"Bearer {key}"}, post_data)
