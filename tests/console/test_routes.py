"""The pages that need no sign-in: they answer, say so in both languages, and run or load nothing."""

from __future__ import annotations

import pytest
from chalice.test import Client

from chalicelib.platform.ids import new_id


@pytest.fixture
def page(aws: None):
    """Gets a page, and returns status, headers and text."""
    from app import app

    with Client(app, stage_name="unit") as client:

        def get(path: str) -> tuple[int, dict[str, str], str]:
            answer = client.http.get(path)
            return answer.status_code, answer.headers, answer.body.decode()

        yield get


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/", ["/v1/openapi.json", "催收"]),
        (f"/signup/{new_id('ten')}?checkout=completed", ["being set up", "开通"]),
        (f"/signup/{new_id('ten')}?checkout=cancelled", ["Nothing was charged", "未产生任何费用"]),
    ],
)
def test_a_page_answers_in_both_languages_and_may_run_nothing(page, path: str, words: list[str]) -> None:
    status, headers, text = page(path)
    assert status == 200
    assert headers["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    for word in words:
        assert word in text


def test_the_page_after_checkout_names_the_tenant_and_nothing_else_from_the_address(page) -> None:
    tenant_id = new_id("ten")
    assert f"/v1/signup/{tenant_id}" in page(f"/signup/{tenant_id}?checkout=completed")[2]
    assert "script" not in page("/signup/%3Cscript%3Ealert(1)%3C%2Fscript%3E")[2]
