"""Fixtures for the tests of leaving: the API through Chalice's own client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from chalice.test import Client

from tests.leaving.http import Http


@pytest.fixture
def http(aws: None) -> Iterator[Http]:
    # A blueprint can be registered only once in a process, so this is the one app there is.
    from app import app

    with Client(app, stage_name="unit") as client:
        yield Http(client.http)
