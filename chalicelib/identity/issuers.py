"""Who may sign people in: the OpenID Connect issuers that this deployment trusts, as its settings list them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, cast, get_args

from chalicelib.platform.settings import settings

IssuerKind = Literal["cognito", "oidc"]
"""`oidc` is an issuer whose access tokens follow RFC 9068; a Cognito user pool's have a form of their own."""


class Misconfigured(Exception):
    """The list of issuers in the settings is not one. Whoever deploys sees it, never a caller."""


@dataclass(frozen=True)
class Issuer:
    """One issuer. `audience` is what its access tokens for us are made out to: our client's id at a Cognito pool, the
    API's identifier elsewhere. Without `jwks_uri`, the issuer's discovery document tells where its keys are. With
    `email_domains`, it is believed about e-mail addresses of these alone: one institution's provider then cannot sign
    in as whom another institution has invited."""

    issuer: str
    audience: str
    kind: IssuerKind
    jwks_uri: str | None = None
    email_domains: frozenset[str] | None = None

    def vouches_for(self, email: str) -> bool:
        """Whether the issuer is believed about an e-mail address."""
        local, _, domain = email.rpartition("@")
        return self.email_domains is None or (bool(local) and domain.lower() in self.email_domains)


def issuers() -> Mapping[str, Issuer]:
    """The trusted issuers by their `iss`. Raises Misconfigured when the settings are wrong about them."""
    return read_issuers(settings().issuers)


@lru_cache(maxsize=1)
def read_issuers(text: str) -> Mapping[str, Issuer]:
    """The issuers in a JSON list of `{"issuer", "audience", "kind", "jwks_uri"?, "email_domains"?}`, by their `iss`.

    Raises Misconfigured for anything else, and for an issuer that is listed twice: which audience would hold?
    """
    try:
        listed = json.loads(text)
    except ValueError:
        raise Misconfigured("the issuers are no JSON") from None
    if not isinstance(listed, list):
        raise Misconfigured("the issuers are no JSON list")
    read = [_issuer(each, place) for place, each in enumerate(cast("list[Any]", listed))]
    by_name = {each.issuer: each for each in read}
    if len(by_name) != len(read):
        raise Misconfigured("an issuer is listed twice")
    return by_name


def _issuer(listed: Any, place: int) -> Issuer:
    if not isinstance(listed, dict):
        raise Misconfigured(f"issuer {place} is no object")
    members = cast("dict[str, Any]", listed)
    if unknown := members.keys() - {"issuer", "audience", "kind", "jwks_uri", "email_domains"}:
        raise Misconfigured(f"issuer {place} has unknown members: {', '.join(sorted(unknown))}")
    for name in ("issuer", "audience", "kind"):
        if not isinstance(members.get(name), str) or not members[name]:
            raise Misconfigured(f"issuer {place}: {name} is missing or no text")
    if members["kind"] not in get_args(IssuerKind):
        raise Misconfigured(f"issuer {place}: kind is one of {', '.join(get_args(IssuerKind))}")
    jwks_uri = members.get("jwks_uri")
    if jwks_uri is not None and not isinstance(jwks_uri, str):
        raise Misconfigured(f"issuer {place}: jwks_uri is no text")
    return Issuer(members["issuer"], members["audience"], members["kind"], jwks_uri, _domains(members, place))


def _domains(members: Mapping[str, Any], place: int) -> frozenset[str] | None:
    if "email_domains" not in members:
        return None
    if members["kind"] == "cognito":
        raise Misconfigured(f"issuer {place}: email_domains is for other issuers than the cell's own pool")
    listed = members["email_domains"]
    domains = cast("list[Any]", listed) if isinstance(listed, list) else []
    if not domains or not all(isinstance(each, str) and each and "@" not in each for each in domains):
        raise Misconfigured(f"issuer {place}: email_domains is no list of domains, such as bank.example")
    return frozenset(each.lower() for each in domains)
