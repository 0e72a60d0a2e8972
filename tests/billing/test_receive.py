import json
import time

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.billing.errors import UntrustedEvent
from chalicelib.billing.model import EVENT, billing_events
from chalicelib.billing.receive import Snapshot, receive, verified
from chalicelib.platform.aws import Unsent
from chalicelib.platform.ids import new_id
from tests.billing.payments import messages

SECRET = "whsec_of_this_test"


def event_document(event_id: str = "evt_1", **members: object) -> dict:
    return {
        "id": event_id,
        "object": "event",
        "type": "checkout.session.completed",
        "created": 1_128_096_000,
        "data": {"object": {"id": "cs_test_1", "customer_email": "owner@harbour.example"}},
    } | members


def signed(body: bytes, *, secret: str = SECRET, age: int = 0) -> str:
    return stripe.WebhookSignature.generate_signature_header(body.decode(), secret, int(time.time()) - age)


BODY = json.dumps(event_document()).encode()


def test_a_signed_event_is_believed_to_be_stripes():
    event = verified(BODY, signed(BODY), secret=SECRET)
    assert (event.id, event.type, event.data.object.id) == ("evt_1", "checkout.session.completed", "cs_test_1")


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "t=1,v1=00",
        "nonsense",
        "t=x,v1=",
        signed(BODY, secret="whsec_of_somebody_else"),
        signed(BODY).replace("v1=", "v0="),
    ],
)
def test_a_forged_signature_is_refused(signature):
    with pytest.raises(UntrustedEvent):
        verified(BODY, signature, secret=SECRET)


def test_a_signature_of_more_than_five_minutes_ago_is_refused():
    assert verified(BODY, signed(BODY, age=280), secret=SECRET)
    with pytest.raises(UntrustedEvent):
        verified(BODY, signed(BODY, age=320), secret=SECRET)


def test_old_and_forged_are_told_in_the_same_words():
    with pytest.raises(UntrustedEvent) as old:
        verified(BODY, signed(BODY, age=1000), secret=SECRET)
    with pytest.raises(UntrustedEvent) as forged:
        verified(BODY, signed(BODY, secret="whsec_other"), secret=SECRET)
    assert old.value.problem() == forged.value.problem()
    assert old.value.status == 400


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_a_body_changed_in_one_byte_is_refused(position, difference):
    changed = bytearray(BODY)
    changed[position] ^= difference
    with pytest.raises(UntrustedEvent):
        verified(bytes(changed), signed(BODY), secret=SECRET)


@pytest.mark.parametrize("body", [b"{}", b"[]", b"null", b"not json", b'{"id": "evt_1", "object": "v2.core.event"}'])
def test_a_signed_body_that_is_no_snapshot_event_is_refused(body):
    with pytest.raises(UntrustedEvent, match="snapshot"):
        verified(body, signed(body), secret=SECRET)


def fresh_event(**members: object) -> Snapshot:
    return Snapshot.model_validate(event_document(new_id("evt"), **members))


@pytest.fixture
def queue(aws: None) -> None:
    messages("billing")


def test_an_event_is_stored_without_its_content_and_sent_to_the_queue(queue, now):
    event = fresh_event()
    assert receive(event, now=now)
    stored = billing_events().get(event.id, EVENT)
    assert stored.to_simple_dict() == {
        "pk": event.id,
        "sk": "event",
        "type": "checkout.session.completed",
        "created": "2005-09-30T16:00:00.000000+0000",
        "object_id": "cs_test_1",
        "received_at": "2005-09-30T16:00:00.000000+0000",
        "processed": False,
    }
    assert messages("billing") == [{"event_id": event.id}]


def test_an_event_that_comes_again_before_it_was_processed_is_sent_again(queue, now):
    event = fresh_event()
    assert receive(event, now=now)
    assert receive(event, now=now)
    assert messages("billing") == [{"event_id": event.id}] * 2


def test_an_event_that_comes_again_after_it_was_processed_sends_nothing(queue, now):
    event, model = fresh_event(), billing_events()
    receive(event, now=now)
    model(event.id, EVENT).update(actions=[model.processed.set(True)])
    messages("billing")
    assert not receive(event, now=now)
    assert messages("billing") == []


def test_an_event_whose_message_was_lost_is_sent_when_stripe_tries_again(queue, now, monkeypatch):
    event = fresh_event()

    def refuse(*_: object) -> None:
        raise Unsent("1 of 1 messages to billing: ServiceUnavailable")

    with monkeypatch.context() as broken:
        broken.setattr("chalicelib.billing.receive.send", refuse)
        with pytest.raises(Unsent):
            receive(event, now=now)
    assert receive(event, now=now)
    assert messages("billing") == [{"event_id": event.id}]


def test_an_event_about_something_without_an_id_is_stored_all_the_same(queue, now):
    event = fresh_event(type="invoice.upcoming", data={"object": {"amount_due": 100}})
    assert receive(event, now=now)
    assert billing_events().get(event.id, EVENT).object_id is None
