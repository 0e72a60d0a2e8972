"""Pages as they are asked for. They hold no data of a tenant: what a page may show beyond that, it must sign in for."""

from __future__ import annotations

from pathlib import Path
from string import Template

from chalice.app import Blueprint, Response

from chalicelib.platform.http import Call, endpoint
from chalicelib.platform.ids import is_id
from chalicelib.platform.settings import settings

blueprint = Blueprint(__name__)

_PAGES = Path(__file__).with_name("pages")
_HEADERS: dict[str, str | list[str]] = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@endpoint(blueprint, "GET", "/", summary="The door: what this is, and where its API is described")
def door(call: Call[None]) -> Response:  # noqa: ARG001 - every endpoint takes a call
    return _page("door", base=settings().public_url)


@endpoint(
    blueprint,
    "GET",
    "/signup/{tenant_id}",
    summary="Where checkout leads a person back to",
    query={"checkout": "How the checkout was left: `completed` or `cancelled`"},
)
def checkout_left(call: Call[None], tenant_id: str) -> Response:
    known = tenant_id if is_id("ten", tenant_id) else "{tenant_id}"
    return _page("cancelled" if call.query.get("checkout") == "cancelled" else "completed", tenant=known)


def _page(name: str, **values: str) -> Response:
    text = Template((_PAGES / f"{name}.html").read_text(encoding="utf-8"))
    return Response(text.substitute(values), status_code=200, headers=_HEADERS)
