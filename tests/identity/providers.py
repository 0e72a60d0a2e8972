"""Both providers that people sign in with, for tests: a bank's own (the local issuer) and MiniStack's user pool."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import boto3
import pytest

from chalicelib.billing import find_plan
from chalicelib.identity.issuers import read_issuers
from chalicelib.identity.signing_keys import signing_keys
from chalicelib.platform.ids import new_id
from chalicelib.platform.settings import settings
from chalicelib.tenancy import ACTIVE, records
from infra.local.issuer.provider import AUDIENCE, CLIENT_ID, Person, challenge_of, totp_code
from infra.local.issuer.server import IssuerServer

PASSWORD = "Correct-Horse-9-Battery"
_RETURN, _VERIFIER = "http://localhost:8000/signed-in", "v" * 43


@dataclass
class Bank:
    """A bank's own provider, served in this process. `ago` is how many seconds its clock is behind: who signs in now
    signed in that long ago."""

    server: IssuerServer
    ago: float = 0

    def person(self, email: str, **wish: Any) -> Person:
        return self.server.issuer.add_person(email, PASSWORD, **wish)

    def sign_in(self, person: Person) -> str:
        """The access token of the whole code flow, as a browser and its client go through it."""
        request = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": _RETURN,
            "code_challenge": challenge_of(_VERIFIER),
            "code_challenge_method": "S256",
        }
        form = {"email": person.email, "password": person.password}
        if person.totp_secret is not None:
            form["code"] = totp_code(person.totp_secret, time.time() - self.ago)
        back = self._post(f"/authorize?{urlencode(request)}", form).headers["Location"]
        exchange = {
            "grant_type": "authorization_code",
            "code": dict(parse_qsl(urlsplit(back).query))["code"],
            "client_id": CLIENT_ID,
            "redirect_uri": _RETURN,
            "code_verifier": _VERIFIER,
        }
        return json.load(self._post("/token", exchange))["access_token"]

    def _post(self, path: str, form: dict[str, str]) -> Any:
        try:
            return urllib.request.build_opener(_Stay()).open(self.server.url + path, urlencode(form).encode(), 20)
        except urllib.error.HTTPError as answer:
            assert answer.status == 302, answer.read()
            return answer


@dataclass
class Pool:
    """The deployment's user pool and its client, as the template makes them."""

    client_id: str

    def choose_password(self, email: str) -> None:
        """The person follows the pool's mail and chooses a password."""
        _idp().admin_set_user_password(
            UserPoolId=settings().user_pool_id, Username=email, Password=PASSWORD, Permanent=True
        )

    def sign_in(self, email: str, *, totp_secret: str | None = None) -> str:
        """The access token of a sign-in with the password and, when the pool asks for one, the authenticator's code."""
        answer = self.begin(email)
        if totp_secret is not None:
            assert answer["ChallengeName"] == "SOFTWARE_TOKEN_MFA"
            answer = _idp().respond_to_auth_challenge(
                ClientId=self.client_id,
                ChallengeName="SOFTWARE_TOKEN_MFA",
                Session=answer["Session"],
                ChallengeResponses={
                    "USERNAME": answer["ChallengeParameters"]["USER_ID_FOR_SRP"],
                    "SOFTWARE_TOKEN_MFA_CODE": totp_code(totp_secret, time.time()),
                },
            )
        return answer["AuthenticationResult"]["AccessToken"]

    def sign_in_by_code(self, email: str) -> str:
        """The access token of the code flow with PKCE on the pool's own pages, as docs/sign-in.md has it."""
        pages = _idp().meta.endpoint_url
        asked = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": _RETURN,
            "scope": "openid email aws.cognito.signin.user.admin",
            "state": "state",
            "code_challenge": challenge_of(_VERIFIER),
            "code_challenge_method": "S256",
        }
        with urllib.request.urlopen(f"{pages}/oauth2/authorize?{urlencode(asked)}", timeout=20) as page:
            assert 'name="password"' in page.read().decode()
        form = urlencode(asked | {"username": email, "password": PASSWORD}).encode()
        with pytest.raises(urllib.error.HTTPError) as sent_back:
            urllib.request.build_opener(_Stay()).open(f"{pages}/login", form, 20)
        location = sent_back.value.headers["Location"]
        assert location.startswith(_RETURN)
        exchange = {
            "grant_type": "authorization_code",
            "client_id": self.client_id,
            "code": dict(parse_qsl(urlsplit(location).query))["code"],
            "redirect_uri": _RETURN,
            "code_verifier": _VERIFIER,
        }
        with urllib.request.urlopen(f"{pages}/oauth2/token", urlencode(exchange).encode(), 20) as answer:
            return json.load(answer)["access_token"]

    def begin(self, email: str) -> dict[str, Any]:
        """What the pool answers to the password."""
        return _idp().initiate_auth(
            ClientId=self.client_id,
            AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": email, "PASSWORD": PASSWORD},
        )


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def _idp() -> Any:
    return boto3.client("cognito-idp")


@contextmanager
def _trusting(issuers: list[dict[str, str]]) -> Iterator[None]:
    """The deployment's settings list these issuers, and nothing is known of their keys yet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DUEBRIDGE_ISSUERS", json.dumps(issuers))
        _forget()
        yield
    _forget()


def _forget() -> None:
    settings.cache_clear()
    read_issuers.cache_clear()
    signing_keys.cache_clear()


@pytest.fixture
def bank(aws: None) -> Iterator[Bank]:
    """A bank's own provider, which this deployment trusts; its keys are found by discovery."""
    holder: list[Bank] = []
    server = IssuerServer(0, clock=lambda: time.time() - holder[0].ago if holder else time.time())
    holder.append(Bank(server))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    with _trusting([{"issuer": server.url, "audience": AUDIENCE, "kind": "oidc"}]):
        yield holder[0]
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def pool_client(aws: None) -> str:
    """The id of a client of the user pool, with authenticators as the template allows them."""
    pool = settings().user_pool_id
    _idp().set_user_pool_mfa_config(
        UserPoolId=pool, MfaConfiguration="OPTIONAL", SoftwareTokenMfaConfiguration={"Enabled": True}
    )
    client = _idp().create_user_pool_client(
        UserPoolId=pool,
        ClientName="console",
        ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
        SupportedIdentityProviders=["COGNITO"],
        AllowedOAuthFlowsUserPoolClient=True,
        AllowedOAuthFlows=["code"],
        AllowedOAuthScopes=["openid", "email", "aws.cognito.signin.user.admin"],
        CallbackURLs=[_RETURN],
    )
    return client["UserPoolClient"]["ClientId"]


@pytest.fixture
def pool(pool_client: str, ministack_port: int) -> Iterator[Pool]:
    """The user pool, which this deployment trusts; MiniStack publishes its keys at an address of its own."""
    pool_id, region = settings().user_pool_id, settings().region
    listed = {
        "issuer": f"https://cognito-idp.{region}.amazonaws.com/{pool_id}",
        "audience": pool_client,
        "kind": "cognito",
        "jwks_uri": f"http://127.0.0.1:{ministack_port}/{pool_id}/.well-known/jwks.json",
    }
    with _trusting([listed]):
        yield Pool(pool_client)


def registered() -> str:
    """The id of an active tenant of which only the registry's record and its people matter."""
    tenant_id = new_id("ten")
    records()(
        tenant_id,
        "tenant",
        name="Harbour Bank",
        jurisdiction="CN",
        region=settings().region,
        locale="zh_CN",
        currency="TWD",
        owner_email=address("owner", tenant_id),
        plan="starter",
        terms=find_plan("starter").terms.model_dump(mode="json"),
        state=ACTIVE,
        created_at=datetime(2005, 4, 1, tzinfo=UTC),
    ).save()
    return tenant_id


def address(name: str, tenant_id: str) -> str:
    """An address that only this tenant's person has."""
    return f"{name}@{tenant_id.lower().replace('_', '-')}.example"
