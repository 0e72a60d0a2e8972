"""A caller of the public API, as an institution's own program would be."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class Refused(Exception):
    """The API answered a problem; `status` and `problem` are what it said."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('detail', problem)}")
        self.status = status
        self.problem = problem


class TookTooLong(Exception):
    """What was waited for did not come."""


@dataclass(frozen=True)
class Client:
    """Calls with one credential; `token` may be empty for public routes."""

    base: str
    token: str = ""

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        """One call; the answer's JSON. A body of bytes is sent as it is, any other as JSON. Raises Refused with the
        problem document."""
        request = urllib.request.Request(  # noqa: S310 - the stack's own address
            self.base + path,
            method=method,
            data=body if body is None or isinstance(body, bytes) else json.dumps(body).encode(),
            headers={
                "Content-Type": "application/json",
                **({"Authorization": f"Bearer {self.token}"} if self.token else {}),
                **(headers or {}),
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise Refused(error.code, _problem(error.read())) from None
        return json.loads(text) if text else None

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def post(self, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        return self.call("POST", path, {} if body is None else body, headers)

    def put(self, path: str, body: Any) -> Any:
        return self.call("PUT", path, body)

    def pages(self, path: str) -> Iterator[Any]:
        """Every item of a list, page by page."""
        cursor: str | None = None
        joint = "&" if "?" in path else "?"
        while True:
            page = self.get(path + (f"{joint}cursor={urllib.parse.quote(cursor)}" if cursor else ""))
            yield from page["items"]
            cursor = page["cursor"]
            if not cursor:
                return


def _problem(text: bytes) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    return document if isinstance(document, dict) else {"detail": text.decode(errors="replace")[:500]}


def put_file(upload: dict[str, Any], file: Path) -> None:
    """Sends a file to the place that the API answered with, with the headers that it asks for."""
    request = urllib.request.Request(  # noqa: S310
        upload["url"], method=upload["method"], data=file.read_bytes(), headers=upload["headers"]
    )
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
        answer.read()


def pay(checkout_url: str, *, card: str = "accepted") -> None:
    """Pays on the Stripe stand-in's page, as its form does."""
    form = urllib.parse.urlencode({"card": card}).encode()
    opener = urllib.request.build_opener(_StayHere)
    try:
        opener.open(urllib.request.Request(checkout_url, data=form), timeout=30).read()  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code not in {302, 303}:
            raise


class _StayHere(urllib.request.HTTPRedirectHandler):
    """Does not follow Stripe back to the institution's success page."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def wait_for(what: str, look: Callable[[], T | None], *, seconds: float = 120, pause: float = 0.25) -> T:
    """Looks again and again until there is something to see. Raises TookTooLong."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found is not None:
            return found
        if time.monotonic() > deadline:
            raise TookTooLong(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(pause)
