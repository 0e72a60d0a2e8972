"""The local OpenID Connect issuer, spoken to as a browser and its client speak to any issuer."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from infra.local.issuer.__main__ import main
from infra.local.issuer.provider import AUDIENCE, CLIENT_ID, challenge_of, totp_code
from infra.local.issuer.server import IssuerServer

AT = 1_795_608_000.0
VERIFIER = "v" * 43
RETURN = "http://localhost:8000/callback"
REQUEST = {
    "response_type": "code",
    "client_id": CLIENT_ID,
    "redirect_uri": RETURN,
    "scope": "openid email",
    "state": "state-1",
    "nonce": "nonce-1",
    "code_challenge": challenge_of(VERIFIER),
    "code_challenge_method": "S256",
}


class Browser:
    """Asks, and follows nothing by itself; the time is what a test says."""

    def __init__(self, server: IssuerServer) -> None:
        self.server = server
        self.at = AT

    def ask(self, path: str, *, form: dict[str, str] | None = None, body: Any = None) -> tuple[int, Any, str | None]:
        data = urlencode(form).encode() if form is not None else None if body is None else json.dumps(body).encode()
        try:
            answer = urllib.request.build_opener(_Stay()).open(self.server.url + path, data=data, timeout=20)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            text = answer.read().decode()
            is_json = answer.headers["Content-Type"] == "application/json"
            return answer.status, json.loads(text) if is_json else text, answer.headers["Location"]

    def code(self, email: str, password: str, *, code: str = "", **changes: str) -> str:
        """The authorization code that a sign-in sends the browser back with."""
        form = {"email": email, "password": password, "code": code}
        status, answer, location = self.ask(f"/authorize?{urlencode(REQUEST | changes)}", form=form)
        assert status == 302, answer
        return dict(parse_qsl(urlsplit(location or "").query))["code"]

    def exchange(self, given: str, **changes: str) -> tuple[int, Any]:
        form = {"grant_type": "authorization_code", "code": given, "client_id": CLIENT_ID, "redirect_uri": RETURN}
        return self.ask("/token", form=form | {"code_verifier": VERIFIER} | changes)[:2]

    def decoded(self, token: str) -> Any:
        return jwt.decode(token, KeySet.import_key_set(self.ask("/jwks.json")[1]))


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


@pytest.fixture
def browser() -> Iterator[Browser]:
    holder: list[Browser] = []
    server = IssuerServer(0, clock=lambda: holder[0].at)
    holder.append(Browser(server))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield holder[0]
    server.shutdown()
    server.server_close()


def made(browser: Browser, **wish: Any) -> dict[str, Any]:
    status, person, _ = browser.ask("/_local/people", body={"email": "Ann@bank.example", "password": "pass"} | wish)
    assert status == 200
    return person


def test_discovery_names_the_issuer_and_every_place_answers(browser) -> None:
    document = browser.ask("/.well-known/openid-configuration")[1]
    assert document["issuer"] == browser.server.url
    assert document["code_challenge_methods_supported"] == ["S256"]
    keys = browser.ask(document["jwks_uri"].removeprefix(browser.server.url))[1]["keys"]
    assert [(key["kty"], key["use"], "d" in key) for key in keys] == [("RSA", "sig", False)]


def test_a_person_signs_in_by_the_code_flow_and_gets_both_tokens(browser) -> None:
    person = made(browser)
    status, answer = browser.exchange(browser.code("ann@bank.example", "pass"))
    assert (status, answer["token_type"], answer["expires_in"]) == (200, "Bearer", 3600)
    access, identity = browser.decoded(answer["access_token"]), browser.decoded(answer["id_token"])
    assert (access.header["typ"], identity.header["typ"]) == ("at+jwt", "JWT")
    assert (access.claims["aud"], identity.claims["aud"], identity.claims["nonce"]) == (AUDIENCE, CLIENT_ID, "nonce-1")
    for token in (access, identity):
        assert (token.claims["iss"], token.claims["sub"]) == (browser.server.url, person["subject"])
        assert (token.claims["email"], token.claims["email_verified"]) == ("Ann@bank.example", True)
        assert (token.claims["amr"], token.claims["iat"], token.claims["auth_time"]) == (["pwd"], AT, AT)


def test_the_browser_comes_back_with_the_state_and_the_issuer(browser) -> None:
    made(browser)
    form = {"email": "ann@bank.example", "password": "pass"}
    _, _, location = browser.ask(f"/authorize?{urlencode(REQUEST)}", form=form)
    back = dict(parse_qsl(urlsplit(location).query))
    assert location.startswith(RETURN + "?")
    assert (back["state"], back["iss"]) == ("state-1", browser.server.url)


def test_whoever_has_an_authenticator_signs_in_only_with_its_code(browser) -> None:
    secret = made(browser, totp=True)["totp_secret"]
    for wrong in ("", "000000" if totp_code(secret, AT) != "000000" else "000001", totp_code(secret, AT - 300)):
        form = {"email": "ann@bank.example", "password": "pass", "code": wrong}
        assert browser.ask(f"/authorize?{urlencode(REQUEST)}", form=form)[0] == 403
    _, answer = browser.exchange(browser.code("ann@bank.example", "pass", code=totp_code(secret, AT)))
    assert browser.decoded(answer["access_token"]).claims["amr"] == ["pwd", "otp", "mfa"]


@pytest.mark.parametrize(("email", "password"), [("ann@bank.example", "wrong"), ("bob@bank.example", "pass"), ("", "")])
def test_a_wrong_password_and_an_unknown_address_are_refused_alike(browser, email, password) -> None:
    made(browser)
    form = {"email": email, "password": password}
    status, answer, _ = browser.ask(f"/authorize?{urlencode(REQUEST)}", form=form)
    assert (status, answer["error"], answer["error_description"]) == (
        403,
        "access_denied",
        "the address or the password is wrong",
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"code_verifier": "w" * 43},
        {"code_verifier": ""},
        {"client_id": "another"},
        {"redirect_uri": "http://localhost:9000/"},
        {"code": "another"},
    ],
)
def test_a_code_is_of_no_use_to_another(browser, changes) -> None:
    made(browser)
    status, answer = browser.exchange(browser.code("ann@bank.example", "pass"), **changes)
    assert (status, answer["error"]) == (400, "invalid_grant")


def test_a_code_is_used_once_and_soon(browser) -> None:
    made(browser)
    code = browser.code("ann@bank.example", "pass")
    assert browser.exchange(code)[0] == 200
    assert browser.exchange(code)[0] == 400
    late = browser.code("ann@bank.example", "pass")
    browser.at += 61
    assert browser.exchange(late)[0] == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"response_type": "token"},
        {"client_id": "another"},
        {"code_challenge_method": "plain"},
        {"code_challenge": ""},
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": ""},
    ],
)
def test_an_authorization_request_that_is_not_the_code_flow_with_pkce_is_refused(browser, changes) -> None:
    status, answer, _ = browser.ask(f"/authorize?{urlencode(REQUEST | changes)}")
    assert (status, answer["error"]) == (400, "invalid_request")


def test_the_sign_in_page_repeats_nothing_that_could_be_markup(browser) -> None:
    status, page, _ = browser.ask(f"/authorize?{urlencode(REQUEST | {'state': '<script>'})}")
    assert status == 200
    assert "<script>" not in page
    assert 'name="password"' in page


@pytest.mark.parametrize("kind", ["RSA", "EC"])
def test_after_a_rotation_the_key_before_is_published_still_and_after_two_no_more(browser, kind) -> None:
    first = browser.server.issuer.keys[0].kid
    second = browser.ask("/_local/rotate", body={"kind": kind})[1]["kid"]
    assert [key["kid"] for key in browser.ask("/jwks.json")[1]["keys"]] == [second, first]
    third = browser.ask("/_local/rotate", body={})[1]["kid"]
    assert [key["kid"] for key in browser.ask("/jwks.json")[1]["keys"]] == [third, second]


def test_a_person_made_again_is_the_same_subject(browser) -> None:
    assert made(browser)["subject"] == made(browser, totp=True)["subject"]


@pytest.mark.parametrize("wish", [[], {}, {"email": "a@b.example"}, {"email": 7, "password": "p"}, {"role": "owner"}])
def test_a_wish_for_a_person_that_cannot_be_read_is_refused(browser, wish) -> None:
    assert browser.ask("/_local/people", body=wish)[0] == 400


def test_what_is_not_there_is_told(browser) -> None:
    assert browser.ask("/userinfo")[0] == 404
    assert browser.ask("/token", form={"grant_type": "password"})[1]["error"] == "unsupported_grant_type"


def test_a_port_that_is_taken_is_told_and_nothing_is_served(browser, capsys) -> None:
    assert main(["--port", str(browser.server.server_address[1])]) == 1
    assert "cannot listen on port" in capsys.readouterr().err
