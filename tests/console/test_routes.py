"""The pages that need no sign-in: they answer, say so in both languages, and run or load nothing."""

from __future__ import annotations

from urllib.parse import quote

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


def test_the_page_after_a_paid_checkout_says_where_progress_is_seen(page) -> None:
    tenant_id = new_id("ten")
    assert page(f"/signup/{tenant_id}?checkout=completed")[2].count(f"GET /v1/signup/{tenant_id}<") == 2


def test_the_page_after_a_checkout_that_was_left_says_in_both_languages_how_to_go_on(page) -> None:
    tenant_id = new_id("ten")
    text = page(f"/signup/{tenant_id}?checkout=cancelled")[2]
    assert text.count(f"POST /v1/signup/{tenant_id}/checkout") == 2
    assert "claim token" in text and "领取令牌" in text


@pytest.mark.parametrize("checkout", ["completed", "cancelled", "<script>", ""])
def test_nothing_but_a_tenants_id_comes_from_the_address_into_a_page(page, checkout: str) -> None:
    text = page(f"/signup/%3Cscript%3Ealert(1)%3C%2Fscript%3E?checkout={quote(checkout)}")[2]
    assert "script" not in text
    assert "/v1/signup/{tenant_id}" in text
