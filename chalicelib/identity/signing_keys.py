"""The public keys that issuers sign with: fetched, checked, kept, and fetched anew when a token names one that is not
among them. One issuer that fails takes nothing from the others."""

from __future__ import annotations

import http.client
import ipaddress
import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any, cast
from urllib.parse import urlsplit

from chalicelib.identity.issuers import Issuer
from chalicelib.platform.errors import Unavailable
from chalicelib.platform.settings import settings
from chalicelib.platform.telemetry import log_failure

Key = Mapping[str, Any]
"""A public JSON Web Key (RFC 7517)."""

KEPT_FOR = timedelta(hours=1)
"""How old keys may be before they are asked for again: how long a key works that its issuer has withdrawn."""

ASKED_EVERY = timedelta(minutes=1)
"""An issuer is asked at most this often, however many tokens name keys that nobody knows."""

USED_FOR = timedelta(hours=24)
"""How long the keys of an issuer that answers no more go on being used."""

KEY_TYPES = {"RS256": "RSA", "PS256": "RSA", "ES256": "EC"}
"""The accepted algorithms and the type of key that each takes. None is symmetric, so that no public key can ever be
taken for a secret, and `none` is none of them."""

_SECONDS = 3.0
_MAX_BYTES = 256 * 1024
_DISCOVERY = "/.well-known/openid-configuration"


class NotFetched(Exception):
    """A document could not be had, or is not what it must be."""


@dataclass
class _Kept:
    """What is known of one issuer's keys; `failed` is how the last try to fetch them went. Under the lock one thread
    asks and the others wait for its answer."""

    keys: Mapping[str, Key] = field(default_factory=dict[str, Key])
    fetched_at: datetime | None = None
    asked_at: datetime | None = None
    failed: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


class SigningKeys:
    """The keys of all issuers, as long as the container lives. `fetch` gets the JSON object at a URL, or raises
    NotFetched."""

    def __init__(self, fetch: Callable[[str], Mapping[str, Any]]) -> None:
        self._fetch = fetch
        self._kept: dict[str, _Kept] = {}

    def find(self, issuer: Issuer, kid: str, *, now: datetime) -> Key | None:
        """The key that the issuer publishes under an id; None when it publishes none.

        Raises Unavailable when that cannot be told, because the issuer does not answer.
        """
        kept = self._kept.setdefault(issuer.issuer, _Kept())
        with kept.lock:
            grown_old = kept.fetched_at is None or now - kept.fetched_at >= KEPT_FOR
            may_ask = kept.asked_at is None or now - kept.asked_at >= ASKED_EVERY
            if may_ask and (grown_old or kid not in kept.keys):
                self._ask(issuer, kept, now)
        if kept.fetched_at is not None and now - kept.fetched_at < USED_FOR and kid in kept.keys:
            return kept.keys[kid]
        if kept.failed:
            raise Unavailable("the keys of who signed you in cannot be had at the moment; try again in a minute")
        return None

    def _ask(self, issuer: Issuer, kept: _Kept, now: datetime) -> None:
        kept.asked_at = now
        try:
            jwks_uri = issuer.jwks_uri or self._discovered(issuer)
            kept.keys = _usable(self._fetch(jwks_uri))
        except NotFetched as error:
            kept.failed = True
            log_failure("signing keys not fetched", error, issuer=issuer.issuer, reason=str(error))
        else:
            kept.failed, kept.fetched_at = False, now

    def _discovered(self, issuer: Issuer) -> str:
        document = self._fetch(issuer.issuer.removesuffix("/") + _DISCOVERY)
        # OpenID Connect Discovery, 4.3: else one issuer could bring another one's keys.
        if document.get("issuer") != issuer.issuer:
            raise NotFetched("the discovery document is another issuer's")
        jwks_uri = document.get("jwks_uri")
        if not isinstance(jwks_uri, str):
            raise NotFetched("the discovery document has no jwks_uri")
        return jwks_uri


@cache
def signing_keys() -> SigningKeys:
    """The keys of this deployment's issuers, kept per container."""
    return SigningKeys(lambda url: fetch_json(url, allow_loopback=settings().loopback_endpoints))


def _usable(document: Mapping[str, Any]) -> dict[str, Key]:
    """The keys of a key set that may sign tokens here, by id; others are passed over, as RFC 7517 (5) wants it."""
    listed = document.get("keys")
    if not isinstance(listed, list):
        raise NotFetched("the key set has no list of keys")
    usable: dict[str, Key] = {}
    for each in cast("list[Any]", listed):
        if isinstance(each, dict) and _may_sign(cast("dict[str, Any]", each)):
            usable.setdefault(each["kid"], cast("dict[str, Any]", each))
    return usable


def _may_sign(key: Key) -> bool:
    operations = key.get("key_ops")
    return (
        isinstance(key.get("kid"), str)
        and key.get("kty") in KEY_TYPES.values()
        and key.get("use", "sig") == "sig"
        and (operations is None or (isinstance(operations, list) and "verify" in operations))
    )


def fetch_json(url: str, *, allow_loopback: bool, seconds: float = _SECONDS) -> dict[str, Any]:
    """The JSON object at an `https` URL; at an `http` one only on this machine and where `allow_loopback`.

    Redirects and proxies are not followed; no more than 256 KiB are read, in a few seconds. Raises NotFetched.
    """
    connection, path = _connection(url, allow_loopback, seconds)
    deadline = time.monotonic() + seconds
    try:
        connection.request("GET", path, headers={"Accept": "application/json"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise NotFetched(f"the answer's status is {answer.status}")
        document = json.loads(_body(answer, deadline))
    except (OSError, http.client.HTTPException) as error:
        raise NotFetched(f"no answer ({type(error).__name__})") from error
    except (ValueError, RecursionError):
        raise NotFetched("the answer is not JSON") from None
    finally:
        connection.close()
    if not isinstance(document, dict):
        raise NotFetched("the answer is no JSON object")
    return cast("dict[str, Any]", document)


def _connection(url: str, allow_loopback: bool, seconds: float) -> tuple[http.client.HTTPConnection, str]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise NotFetched("the address is no URL") from None
    if not host or parts.username is not None or not url.isascii() or not url.isprintable() or " " in url:
        raise NotFetched("the address is no URL of a document")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=seconds, context=ssl.create_default_context()), path
    if parts.scheme == "http" and allow_loopback and _is_loopback(host):
        return http.client.HTTPConnection(host, port, timeout=seconds), path
    raise NotFetched("the address is not https")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _body(answer: http.client.HTTPResponse, deadline: float) -> bytes:
    """The whole body. The socket's timeout bounds each read; the deadline bounds them all."""
    body = b""
    while chunk := answer.read1(64 * 1024):
        body += chunk
        if len(body) > _MAX_BYTES:
            raise NotFetched(f"the answer is longer than {_MAX_BYTES} bytes")
        if time.monotonic() > deadline:
            raise NotFetched("the answer takes too long")
    return body
