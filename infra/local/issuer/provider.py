"""What the issuer knows and decides: its people, its keys, who may have which token."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor import InvalidToken
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

AUDIENCE, CLIENT_ID = "duebridge", "console"
TOKEN_SECONDS = 3600
_CODE_SECONDS = 60
_KEYS_PUBLISHED = 2
"""The key that signs and the one before it: a token signed before a rotation works on."""

SigningKey = RSAKey | ECKey


class Refused(Exception):
    """A request that is answered with an error, in the words of RFC 6749."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.error, self.description, self.status = error, description, status


@dataclass
class Person:
    """Somebody who can sign in. With a `totp_secret` (base 32), only with a code of it."""

    subject: str
    email: str
    password: str
    email_verified: bool = True
    totp_secret: str | None = None


@dataclass(frozen=True)
class Grant:
    """What an authorization code stands for, until it is used once."""

    person: Person
    methods: tuple[str, ...]
    request: Mapping[str, str]
    at: float


@dataclass
class Issuer:
    """The issuer's state. `clock` gives seconds since 1970, so that tests decide what time it is."""

    url: str
    clock: Callable[[], float] = time.time
    people: dict[str, Person] = field(default_factory=dict[str, Person])
    keys: list[SigningKey] = field(default_factory=list[SigningKey])
    grants: dict[str, Grant] = field(default_factory=dict[str, Grant])

    def __post_init__(self) -> None:
        self.rotate()

    def rotate(self, kind: str = "RSA") -> str:
        """Signs with a fresh key from now on, of type `RSA` or `EC`, and returns its id."""
        if kind not in ("RSA", "EC"):
            raise Refused("invalid_request", "kind is RSA or EC")
        kid = secrets.token_urlsafe(8)
        about: Any = {"kid": kid, "use": "sig", "alg": "RS256" if kind == "RSA" else "ES256"}
        key = RSAKey.generate_key(2048, about) if kind == "RSA" else ECKey.generate_key("P-256", about)
        self.keys = [key, *self.keys][:_KEYS_PUBLISHED]
        return kid

    def add_person(self, email: str, password: str, *, email_verified: bool = True, totp: bool = False) -> Person:
        """Makes somebody who can sign in, or makes them anew; with `totp`, with an authenticator's secret."""
        known = self.people.get(email.lower())
        secret = base64.b32encode(secrets.token_bytes(20)).decode() if totp else None
        person = Person(known.subject if known else secrets.token_hex(12), email, password, email_verified, secret)
        self.people[email.lower()] = person
        return person

    def discovery(self) -> dict[str, Any]:
        """OpenID Connect Discovery 1.0, section 3."""
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks.json",
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256"],
            "scopes_supported": ["openid", "email"],
        }

    def key_set(self) -> dict[str, Any]:
        """The public keys, RFC 7517."""
        return {"keys": [key.as_dict(private=False) for key in self.keys]}

    def authorize(self, request: Mapping[str, str], form: Mapping[str, str]) -> str:
        """The address to send a browser back to, with a code, once its person has signed in by `form`."""
        check_authorization(request)
        person = self.people.get(form.get("email", "").lower())
        if person is None or not hmac.compare_digest(person.password.encode(), form.get("password", "").encode()):
            raise Refused("access_denied", "the address or the password is wrong", 403)
        methods: tuple[str, ...] = ("pwd",)
        if person.totp_secret is not None:
            if not self._is_code_of(person.totp_secret, form.get("code", "")):
                raise Refused("access_denied", "the code is wrong", 403)
            methods = ("pwd", "otp", "mfa")
        code = secrets.token_urlsafe(24)
        self.grants[code] = Grant(person, methods, dict(request), self.clock())
        state = {"state": request["state"]} if "state" in request else {}
        # RFC 9207: the browser's page can tell that the answer is this issuer's.
        return f"{request['redirect_uri']}?{urlencode({'code': code, **state, 'iss': self.url})}"

    def exchange(self, form: Mapping[str, str]) -> dict[str, Any]:
        """Tokens for an authorization code and the verifier that only its client has (RFC 7636)."""
        if form.get("grant_type") != "authorization_code":
            raise Refused("unsupported_grant_type", "grant_type is authorization_code")
        grant = self.grants.pop(form.get("code", ""), None)  # whatever comes of it, a code is used once
        if grant is None or self.clock() - grant.at > _CODE_SECONDS:
            raise Refused("invalid_grant", "the code is unknown, used, or too old")
        for name in ("client_id", "redirect_uri"):
            if form.get(name) != grant.request[name]:
                raise Refused("invalid_grant", f"{name} is not the one that the code was made for")
        if not hmac.compare_digest(challenge_of(form.get("code_verifier", "")), grant.request["code_challenge"]):
            raise Refused("invalid_grant", "code_verifier does not fit the code_challenge")
        identity = {"nonce": grant.request["nonce"]} if "nonce" in grant.request else {}
        return {
            "access_token": self.mint(grant.person, grant.methods),
            "id_token": self.sign(
                {**self._claims(grant.person, grant.methods), "aud": grant.request["client_id"], **identity}, typ="JWT"
            ),
            "token_type": "Bearer",
            "expires_in": TOKEN_SECONDS,
        }

    def mint(self, person: Person, methods: tuple[str, ...], **changes: Any) -> str:
        """An access token as RFC 9068 has it; `changes` replace its claims, and None takes one away."""
        claims = {
            **self._claims(person, methods),
            "aud": AUDIENCE,
            "client_id": CLIENT_ID,
            "jti": secrets.token_hex(8),
            **changes,
        }
        return self.sign({name: value for name, value in claims.items() if value is not None}, typ="at+jwt")

    def sign(self, claims: Mapping[str, Any], **header: Any) -> str:
        """Any claims, signed with the newest key; `header` replaces members of the header."""
        key = self.keys[0]
        return jwt.encode({"alg": key.alg, "kid": key.kid, **header}, dict(claims), key, algorithms=[str(key.alg)])

    def _claims(self, person: Person, methods: tuple[str, ...]) -> dict[str, Any]:
        now = int(self.clock())
        return {
            "iss": self.url,
            "sub": person.subject,
            "iat": now,
            "auth_time": now,
            "exp": now + TOKEN_SECONDS,
            "amr": list(methods),
            "email": person.email,
            "email_verified": person.email_verified,
        }

    def _is_code_of(self, secret: str, code: str) -> bool:
        now = int(self.clock())
        return any(_is_code_at(secret, code, now + drift) for drift in (-30, 0, 30))


def totp_code(secret: str, at: float) -> str:
    """The six digits that an authenticator with this secret (base 32) shows at a time (RFC 6238)."""
    return _totp(secret).generate(int(at)).decode()


def challenge_of(verifier: str) -> str:
    """The code challenge of a code verifier, method S256."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def check_authorization(request: Mapping[str, str]) -> None:
    """Refuses an authorization request that is not for the code flow with PKCE, from our client on this machine."""
    wanted = {"response_type": "code", "client_id": CLIENT_ID, "code_challenge_method": "S256"}
    for name, value in wanted.items():
        if request.get(name) != value:
            raise Refused("invalid_request", f"{name} is {value}")
    if not request.get("code_challenge"):
        raise Refused("invalid_request", "code_challenge is missing")
    if urlsplit(request.get("redirect_uri", "")).hostname not in ("localhost", "127.0.0.1"):
        raise Refused("invalid_request", "redirect_uri is an address on this machine")


def _totp(secret: str) -> TOTP:
    # What every authenticator does: SHA-1, six digits, thirty seconds.
    return TOTP(base64.b32decode(secret), 6, SHA1(), 30)  # noqa: S303 - as RFC 6238 has it


def _is_code_at(secret: str, code: str, at: int) -> bool:
    try:
        _totp(secret).verify(code.encode(), at)
    except InvalidToken:
        return False
    return True
