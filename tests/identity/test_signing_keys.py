"""Issuers' keys: fetched when they are needed, seldom, safely, and each issuer for itself."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib.identity import signing_keys
from chalicelib.identity.issuers import Issuer, Misconfigured, read_issuers
from chalicelib.identity.signing_keys import NotFetched, SigningKeys, fetch_json
from chalicelib.platform.errors import Unavailable

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
ONE = Issuer("https://one.example", "a", "oidc", "https://one.example/keys")
OTHER = Issuer("https://other.example", "a", "oidc", "https://other.example/keys")
FOUND = Issuer("https://found.example/realm/", "a", "oidc")


def key(kid: object, **members: object) -> dict[str, Any]:
    return {"kty": "RSA", "kid": kid, "use": "sig", "n": "AQ", "e": "AQAB"} | members


class Web:
    """The documents at their addresses, and how often each was asked for; None is one that cannot be had."""

    def __init__(self) -> None:
        self.documents: dict[str, Any] = {
            "https://one.example/keys": {"keys": [key("a")]},
            "https://other.example/keys": {"keys": [key("b")]},
            "https://found.example/realm/.well-known/openid-configuration": {
                "issuer": FOUND.issuer,
                "jwks_uri": "https://keys.example/found",
            },
            "https://keys.example/found": {"keys": [key("c")]},
        }
        self.asked: list[str] = []

    def fetch(self, url: str) -> dict[str, Any]:
        self.asked.append(url)
        if self.documents[url] is None:
            raise NotFetched("no answer")
        return self.documents[url]


@pytest.fixture
def web() -> Web:
    return Web()


@pytest.fixture
def keys(web: Web) -> SigningKeys:
    return SigningKeys(web.fetch)


def kid_of(keys: SigningKeys, issuer: Issuer, kid: str, now: datetime) -> str | None:
    found = keys.find(issuer, kid, now=now)
    return None if found is None else found["kid"]


def test_keys_are_fetched_once_an_hour(keys, web) -> None:
    for minutes in range(60):
        assert kid_of(keys, ONE, "a", NOW + minutes * MINUTE) == "a"
    assert len(web.asked) == 1
    assert kid_of(keys, ONE, "a", NOW + HOUR) == "a"
    assert len(web.asked) == 2


def test_however_many_unknown_keys_are_named_the_issuer_is_asked_once_a_minute(keys, web) -> None:
    for second in range(120):
        assert kid_of(keys, ONE, f"unknown-{second}", NOW + timedelta(seconds=second)) is None
    assert len(web.asked) == 2


def test_a_new_key_is_found_a_minute_after_the_last_question_and_the_withdrawn_one_is_gone(keys, web) -> None:
    assert kid_of(keys, ONE, "a", NOW) == "a"
    web.documents[ONE.jwks_uri] = {"keys": [key("a2")]}
    assert kid_of(keys, ONE, "a2", NOW + timedelta(seconds=59)) is None
    assert kid_of(keys, ONE, "a2", NOW + MINUTE) == "a2"
    assert kid_of(keys, ONE, "a", NOW + MINUTE) is None


def test_an_issuer_that_fails_takes_nothing_from_another(keys, web) -> None:
    web.documents[ONE.jwks_uri] = None
    with pytest.raises(Unavailable):
        keys.find(ONE, "a", now=NOW)
    assert kid_of(keys, OTHER, "b", NOW) == "b"
    assert kid_of(keys, OTHER, "a", NOW) is None


def test_an_issuer_that_fails_is_asked_again_after_a_minute_and_not_before(keys, web) -> None:
    web.documents[ONE.jwks_uri] = None
    for second in range(60):
        with pytest.raises(Unavailable, match="try again in a minute"):
            keys.find(ONE, "a", now=NOW + timedelta(seconds=second))
    assert len(web.asked) == 1
    web.documents[ONE.jwks_uri] = {"keys": [key("a")]}
    assert kid_of(keys, ONE, "a", NOW + MINUTE) == "a"


def test_known_keys_outlive_their_issuers_failure_for_a_day(keys, web) -> None:
    assert kid_of(keys, ONE, "a", NOW) == "a"
    web.documents[ONE.jwks_uri] = None
    assert kid_of(keys, ONE, "a", NOW + 24 * HOUR - MINUTE) == "a"
    with pytest.raises(Unavailable):
        keys.find(ONE, "a", now=NOW + 24 * HOUR)


def test_while_an_issuer_fails_an_unknown_key_is_not_called_unpublished(keys, web) -> None:
    assert kid_of(keys, ONE, "a", NOW) == "a"
    web.documents[ONE.jwks_uri] = None
    with pytest.raises(Unavailable):
        keys.find(ONE, "a2", now=NOW + MINUTE)


def test_the_discovery_document_tells_where_the_keys_are(keys, web) -> None:
    assert kid_of(keys, FOUND, "c", NOW) == "c"
    assert web.asked == [
        "https://found.example/realm/.well-known/openid-configuration",
        "https://keys.example/found",
    ]


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://one.example", "jwks_uri": "https://keys.example/found"},
        {"jwks_uri": "https://keys.example/found"},
        {"issuer": FOUND.issuer},
        {"issuer": FOUND.issuer, "jwks_uri": 7},
    ],
)
def test_another_issuers_discovery_document_and_one_without_keys_are_not_believed(keys, web, document) -> None:
    web.documents["https://found.example/realm/.well-known/openid-configuration"] = document
    with pytest.raises(Unavailable):
        keys.find(FOUND, "c", now=NOW)
    assert "https://keys.example/found" not in web.asked


@pytest.mark.parametrize("document", [{}, {"keys": None}, {"keys": {"kid": "a"}}])
def test_a_key_set_that_is_none_is_a_failure_of_its_issuer(keys, web, document) -> None:
    web.documents[ONE.jwks_uri] = document
    with pytest.raises(Unavailable):
        keys.find(ONE, "a", now=NOW)


@pytest.mark.parametrize(
    "unusable",
    [
        "text",
        key(None),
        key(7),
        key("a", kty="oct", k="c2VjcmV0"),
        key("a", kty="OKP"),
        key("a", use="enc"),
        key("a", key_ops=["encrypt"]),
        key("a", key_ops="verify"),
    ],
)
def test_a_key_that_cannot_sign_is_passed_over_and_the_others_work(keys, web, unusable) -> None:
    web.documents[ONE.jwks_uri] = {"keys": [unusable, key("b")]}
    assert kid_of(keys, ONE, "b", NOW) == "b"
    assert kid_of(keys, ONE, "a", NOW) is None


# --- fetching, over HTTP


@pytest.fixture
def server() -> Iterator[str]:
    """Answers on the loopback address, each path in its own way."""
    answers: dict[str, tuple[int, dict[str, str], bytes]] = {
        "/object?a=1": (200, {}, b'{"keys": []}'),
        "/list": (200, {}, b"[]"),
        "/text": (200, {}, b"keys"),
        "/deep": (200, {}, b"[" * 100_000),
        "/large": (200, {}, b'{"a": "' + b"x" * 300_000 + b'"}'),
        "/moved": (302, {"Location": "/object?a=1"}, b""),
        "/failed": (500, {}, b'{"keys": []}'),
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = answers[self.path]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.server_address[1]}"
    listening.shutdown()
    listening.server_close()


def test_a_document_on_this_machine_is_fetched_where_that_is_allowed(server) -> None:
    assert fetch_json(f"{server}/object?a=1", allow_loopback=True) == {"keys": []}
    with pytest.raises(NotFetched, match="not https"):
        fetch_json(f"{server}/object?a=1", allow_loopback=False)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("list", "no JSON object"),
        ("text", "not JSON"),
        ("deep", "not JSON"),
        ("large", "longer than"),
        ("moved", "status is 302"),
        ("failed", "status is 500"),
    ],
)
def test_an_answer_that_is_not_the_document_is_refused_and_redirects_are_not_followed(server, path, why) -> None:
    with pytest.raises(NotFetched, match=why):
        fetch_json(f"{server}/{path}", allow_loopback=True)


def test_what_does_not_speak_tls_is_no_https(server) -> None:
    with pytest.raises(NotFetched, match="no answer"):
        fetch_json(server.replace("http:", "https:") + "/object?a=1", allow_loopback=True)


def test_an_answer_that_takes_too_long_is_given_up(server, monkeypatch) -> None:
    moments = itertools.count(0, 10)
    monkeypatch.setattr(signing_keys, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    with pytest.raises(NotFetched, match="takes too long"):
        fetch_json(f"{server}/object?a=1", allow_loopback=True)


@pytest.mark.parametrize(
    "url",
    [
        "http://keys.example/keys",
        "http://10.0.0.7/keys",
        "http://169.254.169.254/latest/meta-data",
        "http://localhost.evil.example/keys",
        "ftp://127.0.0.1/keys",
        "file:///etc/passwd",
        "https://user:secret@keys.example/keys",
        "https:///keys",
        "https://keys.example:port/keys",
        "https://[::1/keys",
        "https://keys.example/a b",
        "https://keys.example/a\r\nHost: evil",
        "https://密钥.example/keys",
        "",
    ],
)
def test_an_address_that_is_not_https_or_on_this_machine_is_not_asked(url) -> None:
    with pytest.raises(NotFetched, match="the address is"):
        fetch_json(url, allow_loopback=True)


# --- the list of issuers


def test_the_issuers_of_a_deployment_are_read_from_its_settings() -> None:
    listed = [
        {"issuer": "https://one.example", "audience": "a", "kind": "oidc", "email_domains": ["Bank.example"]},
        {"issuer": "https://pool.example", "audience": "c", "kind": "cognito", "jwks_uri": "https://pool.example/k"},
    ]
    assert read_issuers(json.dumps(listed)) == {
        "https://one.example": Issuer("https://one.example", "a", "oidc", None, frozenset({"bank.example"})),
        "https://pool.example": Issuer("https://pool.example", "c", "cognito", "https://pool.example/k"),
    }
    assert read_issuers("[]") == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no JSON"),
        ("{}", "no JSON list"),
        ("[7]", "issuer 0 is no object"),
        ('[{"issuer": "i", "audience": "a"}]', "issuer 0: kind is missing"),
        ('[{"issuer": "i", "audience": "", "kind": "oidc"}]', "issuer 0: audience is missing"),
        ('[{"issuer": "i", "audience": "a", "kind": "saml"}]', "kind is one of cognito, oidc"),
        ('[{"issuer": "i", "audience": "a", "kind": "oidc", "jwks_uri": 7}]', "jwks_uri is no text"),
        ('[{"issuer": "i", "audience": "a", "kind": "oidc", "secret": "s"}]', "unknown members: secret"),
        ('[{"issuer": "i", "audience": "a", "kind": "oidc", "email_domains": "bank.cn"}]', "no list of domains"),
        ('[{"issuer": "i", "audience": "a", "kind": "oidc", "email_domains": []}]', "no list of domains"),
        ('[{"issuer": "i", "audience": "a", "kind": "oidc", "email_domains": [7]}]', "no list of domains"),
        ('[{"issuer": "i", "audience": "a", "kind": "oidc", "email_domains": ["a@bank.cn"]}]', "no list of domains"),
        ('[{"issuer": "i", "audience": "a", "kind": "cognito", "email_domains": ["bank.cn"]}]', "the cell's own pool"),
        (
            '[{"issuer": "i", "audience": "a", "kind": "oidc"}, {"issuer": "i", "audience": "b", "kind": "oidc"}]',
            "twice",
        ),
    ],
)
def test_a_list_of_issuers_that_is_none_says_where_it_is_wrong(text, why) -> None:
    with pytest.raises(Misconfigured, match=why):
        read_issuers(text)
