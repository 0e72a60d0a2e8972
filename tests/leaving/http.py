"""Calls of the API through Chalice's own client and the real authorizer."""

from __future__ import annotations

import json
from typing import Any

from chalicelib.identity import api_keys
from chalicelib.platform.clock import utc_now

Answer = tuple[int, Any]


class Http:
    """The API as a caller with a bearer token sees it: status and document of each answer."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def key(self, tenant_id: str, *scopes: str) -> str:
        return api_keys.create(tenant_id, name="of a test", scopes=scopes, now=utc_now())[0]

    def get(self, token: str, path: str) -> Answer:
        return self._call(token, "GET", path)

    def post(self, token: str, path: str, body: object) -> Answer:
        return self._call(token, "POST", path, body)

    def put(self, token: str, path: str, body: object) -> Answer:
        return self._call(token, "PUT", path, body)

    def delete(self, token: str, path: str) -> Answer:
        return self._call(token, "DELETE", path)

    def _call(self, token: str, method: str, path: str, body: object = None) -> Answer:
        raw = b"" if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        answer = self._client.request(method, path, headers=headers, body=raw)
        return answer.status_code, json.loads(answer.body) if answer.body else None
