"""Access tokens: what a trusted issuer made for us is believed, and nothing else is, however it was put together."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from chalicelib.identity import tokens
from chalicelib.identity.issuers import Issuer
from chalicelib.identity.signing_keys import SigningKeys
from chalicelib.identity.tokens import read_claims, verify_token
from chalicelib.platform.errors import Unauthenticated
from infra.local.issuer import provider

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
BANK, POOL, OTHER_POOL = "https://login.bank.example", "https://pool.example/pool_1", "https://pool.example/pool_2"
OIDC = Issuer(BANK, provider.AUDIENCE, "oidc", f"{BANK}/jwks.json")
COGNITO = Issuer(POOL, "client_1", "cognito", f"{POOL}/jwks.json")

bank = provider.Issuer(BANK, clock=lambda: SECONDS)
pool = provider.Issuer(POOL, clock=lambda: SECONDS)
other_pool = provider.Issuer(OTHER_POOL, clock=lambda: SECONDS)
person = bank.add_person("owner@harbour.example", "correct horse")


def of_pool(**changes: Any) -> dict[str, Any]:
    """The claims of an access token as a Cognito user pool makes it."""
    claims = {
        "iss": POOL,
        "sub": "5f0c",
        "client_id": "client_1",
        "token_use": "access",
        "scope": "aws.cognito.signin.user.admin",
        "auth_time": SECONDS - 60,
        "iat": SECONDS,
        "exp": SECONDS + 3600,
        "username": "5f0c",
    } | changes
    return {name: value for name, value in claims.items() if value is not None}


def from_pool(**changes: Any) -> str:
    # A pool names no type in the header of its tokens.
    return jwt.encode({"alg": "RS256", "kid": pool.keys[0].kid}, of_pool(**changes), pool.keys[0], default_type=None)


@pytest.fixture(autouse=True)
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bank's own provider and one user pool may sign people in; their keys are what they publish now."""
    published = {each.jwks_uri: source.key_set for each, source in ((OIDC, bank), (COGNITO, pool))}
    keys = SigningKeys(lambda url: published[url]())
    monkeypatch.setattr(tokens, "signing_keys", lambda: keys)
    monkeypatch.setattr(tokens, "issuers", lambda: {BANK: OIDC, POOL: COGNITO})


def refusal(text: str, *, now: datetime = NOW) -> str:
    with pytest.raises(Unauthenticated) as refused:
        verify_token(text, now=now)
    return refused.value.detail.removeprefix("the access token ")


def part(document: object) -> str:
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def test_a_token_of_the_banks_provider_says_who_signed_in_and_how() -> None:
    claims = verify_token(bank.mint(person, ("pwd", "otp"), auth_time=SECONDS - 600), now=NOW)
    assert (claims.issuer, claims.kind, claims.subject) == (BANK, "oidc", person.subject)
    assert (claims.email, claims.email_verified, claims.mfa) == ("owner@harbour.example", True, True)
    assert (claims.issued_at, claims.authenticated_at) == (NOW, NOW - timedelta(minutes=10))


def test_a_token_of_the_user_pool_says_who_signed_in() -> None:
    claims = verify_token(from_pool(), now=NOW)
    assert (claims.issuer, claims.kind, claims.subject) == (POOL, "cognito", "5f0c")
    assert (claims.email, claims.email_verified, claims.mfa) == (None, False, False)
    assert (claims.issued_at, claims.authenticated_at) == (NOW, NOW - timedelta(minutes=1))


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256"])
def test_each_accepted_algorithm_verifies(algorithm: str) -> None:
    kind = ECKey.generate_key("P-256") if algorithm == "ES256" else RSAKey.generate_key(2048)
    issuer = provider.Issuer(BANK, clock=lambda: SECONDS)
    issuer.keys = [type(kind).import_key(kind.as_dict(private=True), {"kid": "k", "alg": algorithm})]
    text = issuer.mint(person, ())
    keys = SigningKeys(lambda _: issuer.key_set())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokens, "signing_keys", lambda: keys)
        assert verify_token(text, now=NOW).subject == person.subject


@pytest.mark.parametrize(
    ("amr", "shown"),
    [
        (["pwd"], False),
        (["pwd", "otp"], True),
        (["mfa"], True),
        (["hwk", "pin"], True),
        (["otp"], False),
        (["hwk"], False),
        (["pwd", "pin"], False),
        (["otp", "hwk", "user"], False),
        ("mfa", False),
        ([["mfa"]], False),
        (None, False),
    ],
)
def test_a_second_factor_is_what_the_provider_asserts(amr: object, shown: bool) -> None:
    assert verify_token(bank.mint(person, (), amr=amr), now=NOW).mfa is shown


def test_a_user_pool_cannot_assert_a_second_factor() -> None:
    assert verify_token(from_pool(amr=["mfa"]), now=NOW).mfa is False


@pytest.mark.parametrize("verified", [False, "true", 1, None])
def test_only_true_is_a_verified_address(verified: object) -> None:
    assert verify_token(bank.mint(person, (), email_verified=verified), now=NOW).email_verified is False


@pytest.mark.parametrize("email", [None, 7, "", "x" * 255, "所有者@harbour.example"])
def test_an_address_that_nobody_can_be_invited_under_is_none(email: object) -> None:
    assert verify_token(bank.mint(person, (), email=email), now=NOW).email is None


@pytest.mark.parametrize(
    ("email", "believed"),
    [
        ("owner@harbour.example", True),
        ("Owner@Harbour.EXAMPLE", True),
        ("owner@other.example", False),
        ("owner@evil.harbour.example", False),
        ("owner@harbour.example@other.example", False),
        ("harbour.example", False),
    ],
)
def test_a_provider_is_believed_about_the_addresses_of_its_own_domains_alone(
    monkeypatch: pytest.MonkeyPatch, email: str, believed: bool
) -> None:
    own = replace(OIDC, email_domains=frozenset({"harbour.example"}))
    monkeypatch.setattr(tokens, "issuers", lambda: {BANK: own})
    claims = verify_token(bank.mint(person, (), email=email), now=NOW)
    assert (claims.email, claims.email_verified) == (email, believed)


# --- claims that are not as they must be


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"exp": SECONDS - 60}, "has expired"),
        ({"exp": SECONDS - 10_000_000}, "has expired"),
        ({"iat": SECONDS - 86_460}, "24 hours ago"),
        ({"iat": SECONDS + 61}, "does not hold yet"),
        ({"nbf": SECONDS + 61}, "does not hold yet"),
        ({"auth_time": SECONDS + 61}, "does not hold yet"),
        ({"iss": "https://login.other.example"}, "its issuer is not one"),
        ({"iss": BANK + "/"}, "its issuer is not one"),
        ({"iss": None}, "its issuer is not one"),
        ({"iss": [BANK]}, "its issuer is not one"),
        ({"aud": "another-api"}, "another audience"),
        ({"aud": provider.AUDIENCE.upper()}, "another audience"),
        ({"aud": []}, "another audience"),
        ({"aud": {provider.AUDIENCE: 1}}, "another audience"),
        ({"aud": None}, "another audience"),
        ({"exp": None}, "until when it holds"),
        ({"iat": None}, "until when it holds"),
        ({"sub": None}, "names no subject"),
        ({"sub": ""}, "names no subject"),
        ({"sub": "x" * 256}, "names no subject"),
        ({"sub": 7}, "names no subject"),
        ({"sub": "所"}, "names no subject"),
        ({"exp": str(SECONDS + 60)}, "exp is not a number"),
        ({"exp": True}, "exp is not a number"),
        ({"exp": float("inf")}, "exp is not a number"),
        ({"exp": float("nan")}, "exp is not a number"),
        ({"exp": 10**30}, "exp is not a number"),
        ({"iat": -1}, "iat is not a number"),
        ({"nbf": "soon"}, "nbf is not a number"),
        ({"auth_time": []}, "auth_time is not a number"),
        ({"auth_time": None}, "when its person signed in (auth_time)"),
    ],
)
def test_a_genuine_token_with_a_claim_that_does_not_fit_is_refused(changes: dict[str, Any], why: str) -> None:
    assert why in refusal(bank.mint(person, ("mfa",), **changes))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"token_use": "id", "aud": "client_1"}, "not an access token (token_use)"),
        ({"token_use": None}, "not an access token (token_use)"),
        ({"client_id": "client_2"}, "another client"),
        ({"client_id": None, "aud": "client_1"}, "another client"),
        ({"auth_time": None}, "when its person signed in"),
    ],
)
def test_a_token_of_the_pool_that_is_not_an_access_token_for_our_client_is_refused(
    changes: dict[str, Any], why: str
) -> None:
    assert why in refusal(from_pool(**changes))


def test_a_token_for_several_audiences_is_for_each() -> None:
    assert verify_token(bank.mint(person, (), aud=["another-api", provider.AUDIENCE]), now=NOW)


def test_an_id_token_of_the_banks_provider_is_no_access_token() -> None:
    claims = {"iss": BANK, "sub": person.subject, "aud": provider.AUDIENCE, "iat": SECONDS, "exp": SECONDS + 60}
    assert "typ at+jwt" in refusal(bank.sign(claims, typ="JWT"))


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt"])
def test_the_type_of_an_access_token_is_read_as_a_media_type(typ: str) -> None:
    claims = {"iss": BANK, "sub": person.subject, "aud": provider.AUDIENCE, "iat": SECONDS, "exp": SECONDS + 60}
    claims["auth_time"] = SECONDS
    assert verify_token(bank.sign(claims, typ=typ), now=NOW)


@given(offset=st.integers(-200, 200))
def test_the_issuers_clock_may_be_a_minute_off_and_no_more(offset: int) -> None:
    issuer = Issuer(BANK, "a", "oidc")
    payload = {
        "iss": BANK,
        "aud": "a",
        "sub": "s",
        "exp": SECONDS + 3600,
        "iat": SECONDS - 3600,
        "auth_time": SECONDS - 90_000,
    }

    def holds(**changes: Any) -> bool:
        try:
            return bool(read_claims(payload | changes, issuer, now=NOW))
        except Unauthenticated:
            return False

    assert holds(exp=SECONDS + offset) == (offset > -60)
    assert holds(nbf=SECONDS + offset) == (offset <= 60)
    assert holds(iat=SECONDS + offset) == (offset <= 60)
    assert holds(iat=SECONDS - 86_400 - offset) == (offset < 60)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_names = st.sampled_from(
    ["iss", "sub", "aud", "exp", "iat", "nbf", "auth_time", "amr", "email", "token_use", "client_id"]
)


@given(changes=st.dictionaries(_names, _json), issuer=st.sampled_from([OIDC, COGNITO]))
def test_whatever_a_payload_holds_it_is_read_or_refused(changes: dict[str, Any], issuer: Issuer) -> None:
    with contextlib.suppress(Unauthenticated):
        read_claims(of_pool(iss=issuer.issuer, aud=issuer.audience) | changes, issuer, now=NOW)


# --- signatures that are not the issuer's


def test_a_token_without_a_signature_is_refused() -> None:
    payload = bank.mint(person, ("mfa",)).split(".")[1]
    for algorithm in ("none", "None", "NONE", "nOnE", ""):
        header = part({"alg": algorithm, "typ": "at+jwt", "kid": bank.keys[0].kid})
        assert "signed in a way that is not accepted" in refusal(f"{header}.{payload}.")


def test_the_public_key_is_no_secret_to_sign_with() -> None:
    key, payload = bank.keys[0], bank.mint(person, ("mfa",)).split(".")[1]
    public = key.public_key
    for secret in (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(key.as_dict(private=False)).encode(),
    ):
        signed = f"{part({'alg': 'HS256', 'typ': 'at+jwt', 'kid': key.kid})}.{payload}"
        forged = f"{signed}.{part(hmac.digest(secret, signed.encode(), hashlib.sha256))}"
        assert "signed in a way that is not accepted" in refusal(forged)


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "ES384", "EdDSA", "HS512", 7, None, ["RS256"]])
def test_an_algorithm_that_is_not_listed_is_refused(algorithm: object) -> None:
    _, payload, signature = bank.mint(person, ()).split(".")
    header = part({"alg": algorithm, "typ": "at+jwt", "kid": bank.keys[0].kid})
    assert "signed in a way that is not accepted" in refusal(f"{header}.{payload}.{signature}")


@pytest.mark.parametrize("algorithm", ["ES256", "PS256"])
def test_the_key_decides_what_it_signs_with_and_not_the_header(algorithm: str) -> None:
    _, payload, signature = bank.mint(person, ()).split(".")
    header = part({"alg": algorithm, "typ": "at+jwt", "kid": bank.keys[0].kid})
    assert "its key is not one" in refusal(f"{header}.{payload}.{signature}")


def test_a_payload_that_was_changed_is_refused() -> None:
    header, _, signature = bank.mint(person, ("pwd",)).split(".")
    _, payload, _ = bank.mint(person, ("pwd", "mfa")).split(".")
    assert "its signature is wrong" in refusal(f"{header}.{payload}.{signature}")


@given(data=st.data())
def test_a_token_with_any_character_changed_is_refused(data: st.DataObject) -> None:
    text = bank.mint(person, ("mfa",), jti="fixed")
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda character: character != text[place]))
    refusal(text[:place] + other + text[place + 1 :])


@given(text=st.text() | st.from_regex(r"[\w-]*\.[\w-]*\.[\w-]*", fullmatch=True))
def test_whatever_is_presented_is_refused_and_nothing_breaks(text: str) -> None:
    refusal(text)


@given(header=_json, payload=_json, signature=st.binary(max_size=20))
def test_whatever_json_is_in_it_an_unsigned_token_is_refused(header: Any, payload: Any, signature: bytes) -> None:
    refusal(f"{part(header)}.{part(payload)}.{part(signature)}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "x" * 20_000,
        "é.é.é",
        f"{part([1])}.{part({})}.",
        "[" * 9_000 + ".e30.",
        "\ud800..",
    ],
)
def test_what_is_no_token_is_told_so(text: str) -> None:
    assert refusal(text) == "is not valid: it is not a signed JSON Web Token"


@pytest.mark.parametrize("payload", [b"[" * 9000, b'{"exp":' + b"9" * 5000 + b"}", b"\xff", b"7", b'"text"'])
def test_a_payload_that_is_no_object_is_told_so(payload: bytes) -> None:
    header = part({"alg": "RS256", "kid": "k"})
    assert refusal(f"{header}.{part(payload)}.") == "is not valid: it is not a signed JSON Web Token"


@pytest.mark.parametrize("kid", [None, "", 7, ["k"]])
def test_a_token_must_name_its_key(kid: object) -> None:
    _, payload, signature = bank.mint(person, ()).split(".")
    header = part({"alg": "RS256", "typ": "at+jwt"} | ({} if kid is None else {"kid": kid}))
    assert refusal(f"{header}.{payload}.{signature}").startswith("is not valid")


def test_a_key_that_the_issuer_does_not_publish_is_refused_even_when_the_token_brings_it_along() -> None:
    stranger = provider.Issuer(BANK, clock=lambda: SECONDS)
    key = stranger.keys[0].as_dict(private=False)
    assert "does not publish" in refusal(stranger.mint(person, ("mfa",)))
    claims = {"iss": BANK, "aud": provider.AUDIENCE, "sub": "s", "iat": SECONDS, "exp": SECONDS + 60}
    for offered in ({"jwk": key}, {"jku": "https://evil.example/jwks.json"}, {"x5u": "https://evil.example/x"}):
        header = {"alg": "RS256", "typ": "at+jwt", "kid": stranger.keys[0].kid} | offered
        text = jwt.encode(header, claims, stranger.keys[0])
        assert "does not publish" in refusal(text)
        borrowed = jwt.encode(header | {"kid": bank.keys[0].kid}, claims, stranger.keys[0])
        assert "its signature is wrong" in refusal(borrowed)


def test_a_key_of_one_issuer_signs_nothing_of_another() -> None:
    text = pool.sign(
        {"iss": BANK, "aud": provider.AUDIENCE, "sub": "s", "iat": SECONDS, "exp": SECONDS + 60}, typ="at+jwt"
    )
    assert "does not publish" in refusal(text)


def test_a_token_of_another_pool_is_refused() -> None:
    assert "its issuer is not one" in refusal(other_pool.sign(of_pool(iss=OTHER_POOL)))
    assert "does not publish" in refusal(other_pool.sign(of_pool()))


@pytest.mark.parametrize(
    "extension", [{"crit": ["exp"], "exp": 1}, {"crit": []}, {"crit": ["b64"], "b64": True}, {"b64": True}]
)
def test_a_token_with_extensions_that_must_be_understood_is_refused(extension: dict[str, Any]) -> None:
    _, payload, signature = bank.mint(person, ()).split(".")
    header = part({"alg": "RS256", "typ": "at+jwt", "kid": bank.keys[0].kid} | extension)
    assert refusal(f"{header}.{payload}.{signature}").startswith("is not valid")


@pytest.mark.filterwarnings("ignore:Key size")
def test_a_key_that_is_too_short_verifies_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    issuer = provider.Issuer(BANK, clock=lambda: SECONDS)
    issuer.keys = [RSAKey.generate_key(1024, {"kid": "short", "alg": "RS256"})]
    keys = SigningKeys(lambda _: issuer.key_set())
    monkeypatch.setattr(tokens, "signing_keys", lambda: keys)
    assert "its signature is wrong" in refusal(issuer.mint(person, ()))


def test_a_key_that_cannot_be_read_verifies_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {**bank.keys[0].as_dict(private=False), "n": "!"}
    keys = SigningKeys(lambda _: {"keys": [broken]})
    monkeypatch.setattr(tokens, "signing_keys", lambda: keys)
    assert refusal(bank.mint(person, ())).startswith("is not valid")


def test_a_token_signed_before_a_rotation_works_on_and_one_signed_after_it_works_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    issuer = provider.Issuer(BANK, clock=lambda: SECONDS)
    keys = SigningKeys(lambda _: issuer.key_set())
    monkeypatch.setattr(tokens, "signing_keys", lambda: keys)
    before = issuer.mint(person, ())
    assert verify_token(before, now=NOW)
    issuer.rotate("EC")
    after = issuer.mint(person, ())
    assert verify_token(after, now=NOW + timedelta(minutes=1))
    assert verify_token(before, now=NOW + timedelta(minutes=1))
