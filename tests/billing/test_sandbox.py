"""Where the suite of billing runs, and that no key but a sandbox's leads it to Stripe."""

from __future__ import annotations

import os
import subprocess
import sys

import boto3
import pytest
import stripe

from chalicelib.billing import open_checkout, plans
from chalicelib.billing.plans import find_plan
from chalicelib.billing.stripe_client import stripe_client
from chalicelib.platform.settings import settings
from chalicelib.tenancy import find_tenant
from infra.stripe_sync import sync
from tests.billing import sandbox as where
from tests.billing.sandbox import KEY, Place, Sandbox, WrongKey, entered, places, stand_in, stripe_itself

SUITE = "tests/billing/test_against_stripe.py"

FOREIGN = [
    "sk_live_of_somebody",
    "rk_live_of_somebody",
    "rk_test_restricted",
    "pk_test_published",
    "sk_test",
    "whsec_x",
]


class Sent(Exception):
    """A request that would have left this machine."""


@pytest.fixture
def sent(monkeypatch) -> list[tuple[str, str]]:
    """Address and key of every request to Stripe, none of which goes out."""
    requests: list[tuple[str, str]] = []

    def request(self, method, url, headers, post_data=None):
        requests.append((url.partition("/v1/")[0], headers["Authorization"].removeprefix("Bearer ")))
        raise Sent

    monkeypatch.setattr(stripe.RequestsClient, "request", request)
    return requests


def run(*arguments: str, key: str, repository) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=repository,
        env={**os.environ, KEY: key},
        capture_output=True,
        text=True,
        check=False,
    )


def asked_by(place: Place) -> None:
    with entered(place), pytest.raises(Sent):
        stripe_client().v1.customers.retrieve("cus_1")


@pytest.mark.parametrize("key", [None, ""])
def test_without_a_key_nothing_but_the_local_stripe_is_asked(key):
    assert places(key) == ["stand-in"]


@pytest.mark.parametrize("key", ["sk_test_of_a_sandbox", *FOREIGN])
def test_with_a_key_the_suite_runs_in_both_places_or_says_why_it_does_not(key):
    assert places(key) == ["stand-in", "stripe"]


@pytest.mark.parametrize("key", FOREIGN)
def test_a_key_that_is_no_sandboxs_is_refused_and_not_repeated(key):
    with pytest.raises(WrongKey, match="expected one that begins sk_test_") as refused:
        stripe_itself(key)
    assert key not in str(refused.value).replace("sk_test_", "")
    assert ("live key" in str(refused.value)) == ("_live_" in key)


def test_a_key_is_not_in_what_a_failing_test_prints():
    assert "of_a_sandbox" not in repr(Sandbox(stripe_itself("sk_test_of_a_sandbox")))


def test_the_products_client_goes_to_stripe_itself_with_the_sandboxs_key(aws, sent):
    asked_by(stripe_itself("sk_test_of_a_sandbox"))
    assert sent == [("https://api.stripe.com", "sk_test_of_a_sandbox")]


def test_the_products_client_goes_to_the_local_stripe_with_the_local_key(aws, stripe_server, sent):
    asked_by(stand_in(stripe_server))
    assert sent == [(stripe_server.url, stripe_server.secret_key)]


def test_everything_is_as_before_once_a_place_is_left(aws, stripe_server):
    before = settings()
    with entered(stand_in(stripe_server)):
        assert (settings().stripe_test_clocks, settings().stripe_api_base) == (True, stripe_server.url)
    assert settings() == before
    names = [each["Name"] for each in boto3.client("secretsmanager").list_secrets()["SecretList"]]
    assert [name for name in names if "stripe-at" in name] == []


def test_locally_one_look_is_all_and_nothing_is_waited_for(stripe_server, monkeypatch):
    monkeypatch.setattr(where.time, "sleep", lambda _: pytest.fail("slept"))
    local, looks = Sandbox(stand_in(stripe_server)), []
    assert local.until(lambda: looks.append(1) or len(looks), lambda found: found == 1) == 1
    with pytest.raises(AssertionError, match="the last that was found is 2"):
        local.until(lambda: looks.append(1) or len(looks), lambda found: found == 9)


def test_at_stripe_it_is_looked_again_until_it_is_so_or_patience_is_at_an_end(monkeypatch):
    elapsed = [0.0]
    monkeypatch.setattr(where.time, "sleep", lambda seconds: elapsed.append(elapsed[-1] + seconds))
    monkeypatch.setattr(where.time, "monotonic", lambda: elapsed[-1])
    distant = Sandbox(stripe_itself("sk_test_of_a_sandbox"))
    assert distant.until(lambda: len(elapsed), lambda looks: looks == 5) == 5
    with pytest.raises(AssertionError, match="never came true"):
        distant.until(lambda: None, lambda _: False)
    assert elapsed[-1] >= where.PATIENCE


def test_the_suites_clocks_are_deleted_at_the_end_and_nobody_elses(aws, stripe_server):
    with entered(stand_in(stripe_server)):
        sync(stripe_client(), plans())
        clocks = stripe_client().v1.test_helpers.test_clocks
        foreign = clocks.create({"frozen_time": 1_700_000_000, "name": "somebody's"})
        made = Sandbox(stand_in(stripe_server))
        subscribed = made.subscriber("growth")
        visitor = made.signed_up("growth")
        open_checkout(visitor, find_plan("growth"), interval="month")
        made.signed_up("growth")
        made.clean()
        left = {clock.id for clock in clocks.list({"limit": 100}).auto_paging_iter()}
    assert foreign.id in left
    assert not {subscribed.test_clock_id, find_tenant(visitor.pk).test_clock_id} & left


def test_with_a_sandboxs_key_every_test_of_the_suite_runs_in_both_places(repository):
    listed = run("--collect-only", SUITE, key="sk_test_of_a_sandbox", repository=repository).stdout.splitlines()
    tests = {line.removesuffix("[stand-in]") for line in listed if line.endswith("[stand-in]")}
    assert len(tests) > 9
    assert {line.removesuffix("[stripe]") for line in listed if line.endswith("[stripe]")} == tests


def test_with_a_live_key_the_suite_stops_before_it_has_begun(repository):
    test = f"{SUITE}::test_what_the_plans_need_is_there_once_it_was_made[stripe]"
    finished = run(test, key="sk_live_of_somebody", repository=repository)
    assert finished.returncode == 1
    assert "STRIPE_API_KEY is a live key" in finished.stdout
    assert "sk_live_of_somebody" not in finished.stdout + finished.stderr
