import json
import time
from functools import cache

import boto3
import pytest
import stripe

from chalicelib.billing import find_plan, open_checkout, stripe_client
from chalicelib.billing.errors import PaymentsUnavailable, UntrustedEvent
from chalicelib.billing.receive import trusted
from chalicelib.platform.aws import secret
from chalicelib.platform.settings import settings
from tests.billing.payments import SECRET_KEY, WEBHOOK_SECRET
from tests.billing.tenants import pending

BODY = json.dumps({"id": "evt_1", "type": "invoice.paid", "created": 1, "data": {"object": {"id": "in_1"}}}).encode()


def replace(**members: str) -> None:
    """Puts another secret in Secrets Manager, as an operator does who rotates it."""
    kept = {"api_key": SECRET_KEY, "webhook_secret": WEBHOOK_SECRET} | members
    boto3.client("secretsmanager").put_secret_value(
        SecretId=settings().stripe_secret_name, SecretString=json.dumps(kept)
    )


@pytest.fixture
def rotated(payments, monkeypatch):
    """A container that has known an older secret than the one that Stripe and Secrets Manager have by now."""

    def knows(**older: str) -> None:
        replace(**older)
        secret.cache_clear()
        stripe_client.stripe_client.cache_clear()
        assert stripe_client.stripe_client() and stripe_client.webhook_secret()
        replace()

    monkeypatch.setattr(stripe_client, "_next_reread", 0.0)
    yield knows
    replace()
    secret.cache_clear()
    stripe_client.stripe_client.cache_clear()


@pytest.fixture
def reads(monkeypatch):
    """How often the secret is read."""
    made, read = [], secret.__wrapped__

    def counted(name: str) -> dict[str, str]:
        made.append(name)
        return read(name)

    monkeypatch.setattr(stripe_client, "secret", cache(counted))
    return made


def signature(key: str = WEBHOOK_SECRET) -> str:
    return stripe.WebhookSignature.generate_signature_header(BODY.decode(), key, int(time.time()))


def test_a_key_that_was_replaced_is_read_again_in_the_middle_of_a_call(payments, rotated):
    rotated(api_key="sk_test_of_yesterday")
    old = stripe_client.stripe_client()
    assert open_checkout(pending(), find_plan("growth"), interval="month").url
    # Who still holds the client of yesterday goes on with it.
    assert old.v1.prices.list({"limit": 1}).data
    assert stripe_client.stripe_client() is not old


def test_a_key_that_is_simply_wrong_is_refused_and_read_again_once_a_minute(payments, rotated, reads, monkeypatch):
    rotated(api_key="sk_test_of_yesterday")
    replace(api_key="sk_test_wrong")
    for _ in range(3):
        with pytest.raises(PaymentsUnavailable):
            open_checkout(pending(), find_plan("growth"), interval="month")
    asked = len(reads)
    with pytest.raises(PaymentsUnavailable):
        open_checkout(pending(), find_plan("growth"), interval="month")
    assert len(reads) == asked <= 2
    monkeypatch.setattr(stripe_client, "_next_reread", 0.0)
    replace()
    assert open_checkout(pending(), find_plan("growth"), interval="month").url


def test_a_webhook_secret_that_was_replaced_is_read_again(payments, rotated):
    rotated(webhook_secret="whsec_of_yesterday")
    assert trusted(BODY, signature()).id == "evt_1"


def test_forged_webhooks_have_the_secret_read_once_a_minute_and_no_more(payments, rotated, reads):
    rotated()
    asked = len(reads)
    for _ in range(5):
        with pytest.raises(UntrustedEvent):
            trusted(BODY, signature("whsec_of_somebody_else"))
    assert len(reads) == asked + 1
    assert trusted(BODY, signature()).id == "evt_1"


def test_what_stripe_refuses_is_told_without_what_was_sent(payments, caplog):
    record = pending()
    payments.fail("/v1/customers", "500")
    with pytest.raises(PaymentsUnavailable) as refused:
        open_checkout(record, find_plan("growth"), interval="month")
    assert record.owner_email not in caplog.text + str(refused.value)
    assert refused.value.problem()["type"].endswith("payments-unavailable")
