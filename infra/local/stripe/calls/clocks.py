"""Calls about test clocks."""

from __future__ import annotations

from .. import clocks
from ..forms import integer, text
from .table import PAGE, listed, retrieve, route

_PATH = "test_helpers/test_clocks"

ROUTES = [
    route(
        "POST",
        _PATH,
        {"frozen_time": integer, "name": text},
        lambda call: clocks.create(call.state, call.params),
        ("frozen_time",),
    ),
    route("GET", _PATH, PAGE, listed("test_helpers.test_clock", lambda _clock, _params: True)),
    route("GET", f"{_PATH}/{{id}}", {}, retrieve("test_helpers.test_clock")),
    route(
        "POST",
        f"{_PATH}/{{id}}/advance",
        {"frozen_time": integer},
        lambda call: clocks.advance(call.state, call.id, call.params["frozen_time"], call.base_url),
        ("frozen_time",),
    ),
    route("DELETE", f"{_PATH}/{{id}}", {}, lambda call: clocks.delete(call.state, call.id)),
]
