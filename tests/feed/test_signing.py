"""Signatures against the published reference vector and the published verification library."""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from chalicelib.feed.signing import new_secret, sign

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text("utf-8"))["vectors"]
BODY = '{"data":{"note":"已还清"},"type":"case.closed"}'.encode()


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_signature_of_every_vector_is_reproduced(vector):
    body = vector["body"].encode()
    headers = sign(vector["secrets"], vector["message_id"], vector["timestamp"], body)
    assert headers == {
        "webhook-id": vector["message_id"],
        "webhook-timestamp": str(vector["timestamp"]),
        "webhook-signature": vector["signature"],
    }


def test_the_published_library_verifies_what_is_signed_now():
    secret = new_secret()
    headers = sign([secret], "evt_1", int(time.time()), BODY)
    assert Webhook(secret).verify(BODY, headers) == json.loads(BODY)


def test_during_a_rotation_the_old_and_the_new_secret_both_verify():
    old, new = new_secret(), new_secret()
    headers = sign([new, old], "evt_1", int(time.time()), BODY)
    Webhook(old).verify(BODY, headers)
    Webhook(new).verify(BODY, headers)


def test_a_changed_body_a_changed_id_and_another_secret_are_not_verified():
    secret = new_secret()
    headers = sign([secret], "evt_1", int(time.time()), BODY)
    for webhook, body, changed in (
        (Webhook(secret), BODY + b" ", headers),
        (Webhook(secret), BODY, headers | {"webhook-id": "evt_2"}),
        (Webhook(new_secret()), BODY, headers),
    ):
        with pytest.raises(WebhookVerificationError):
            webhook.verify(body, changed)


@given(key=st.binary(min_size=24, max_size=64), body=st.text(), timestamp=st.integers(0, 2**33))
def test_any_text_is_signed_as_the_published_library_signs_it(key, body, timestamp):
    secret = "whsec_" + base64.b64encode(key).decode()
    body = body.encode(errors="replace").decode()
    expected = Webhook(secret).sign("evt_1", datetime.fromtimestamp(timestamp, UTC), body)
    assert sign([secret], "evt_1", timestamp, body.encode())["webhook-signature"] == expected


def test_a_new_secret_is_32_random_bytes_in_the_published_form():
    first, second = new_secret(), new_secret()
    assert first != second
    assert first.startswith("whsec_")
    assert len(base64.b64decode(first.removeprefix("whsec_"), validate=True)) == 32


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "whsec_c2hvcnQ=", "whsec_not base64 at all, is it?", new_secret().removeprefix("whsec_")],
)
def test_a_secret_of_another_form_is_refused_without_being_quoted(secret):
    with pytest.raises(ValueError, match="24 to 64 bytes") as refused:
        sign([secret], "evt_1", 1, b"")
    assert refused.value.__cause__ is None
    assert len(secret) < 7 or secret not in str(refused.value)


def test_signing_with_no_secret_is_refused():
    with pytest.raises(ValueError, match="at least one secret"):
        sign([], "evt_1", 1, b"")


@pytest.mark.parametrize("message_id", ["", "evt_1.1614265330"])
def test_a_message_id_that_could_be_read_as_id_and_timestamp_is_refused(message_id):
    with pytest.raises(ValueError, match="full stop"):
        sign([new_secret()], message_id, 1, b"")
