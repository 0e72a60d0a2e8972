"""Taking in an event of Stripe's: is it genuine, is it new, then to the queue, so that Stripe is answered at once."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import BaseModel, ValidationError

from chalicelib.billing.errors import UntrustedEvent
from chalicelib.billing.model import EVENT, billing_events
from chalicelib.billing.stripe_client import reread_secret, webhook_secret
from chalicelib.platform.aws import send
from chalicelib.platform.telemetry import logger

TOLERANCE_SECONDS = 300
"""How old a signature may be; an older one may be a recording that somebody plays back."""

_GROUP = "stripe"
"""The queue's message group: events are few and fetch what they are about, so they need no tenant to be fair to."""


class _Subject(BaseModel):
    id: str | None = None
    customer: object = None

    @property
    def named(self) -> str | None:
        """The object's id; of a kind that has none (a summary of entitlements), its customer's."""
        return self.id or (self.customer if isinstance(self.customer, str) else None)


class _Data(BaseModel):
    object: _Subject


class Snapshot(BaseModel):
    """What is read of an event: enough to fetch the truth later, nothing personal."""

    id: str
    type: str
    created: int
    data: _Data


def verified(raw_body: bytes, signature: str | None, *, secret: str) -> Snapshot:
    """The event in a webhook's raw body, if Stripe signed it with `secret` in the last `TOLERANCE_SECONDS`.

    Raises UntrustedEvent; its text does not tell which check failed to whoever tries signatures out.
    """
    import stripe  # cold start: of the API's requests only this one needs it

    try:
        stripe.WebhookSignature.verify_header(raw_body, signature, secret, TOLERANCE_SECONDS)
        return Snapshot.model_validate_json(raw_body)
    except (stripe.SignatureVerificationError, UnicodeDecodeError):
        logger.warning("webhook refused: signature")
        raise UntrustedEvent("Stripe-Signature does not fit the body, or is more than five minutes old") from None
    except ValidationError:
        logger.warning("webhook refused: signed, but not a snapshot event")
        raise UntrustedEvent("the body is not a Stripe snapshot event") from None


def trusted(raw_body: bytes, signature: str | None) -> Snapshot:
    """`verified` with this deployment's secret; when it was replaced at Stripe and here, with the new one."""
    try:
        return verified(raw_body, signature, secret=webhook_secret())
    except UntrustedEvent:
        if not reread_secret():
            raise
        return verified(raw_body, signature, secret=webhook_secret())


def receive(event: Snapshot, *, now: datetime) -> bool:
    """Stores an event once and sends it to be processed; False when it was already processed and nothing was sent.

    An event that is stored but not processed is sent again: the message may have been lost after the store, and
    processing twice is harmless. Raises aws.Unsent, after which Stripe's own retry comes here again.
    """
    model = billing_events()
    stored = model(
        event.id,
        EVENT,
        type=event.type,
        created=datetime.fromtimestamp(event.created, UTC),
        object_id=event.data.object.named,
        received_at=now,
    )
    if not stored.put_new() and (known := model.find(event.id, EVENT)) is not None and known.processed:
        logger.info("billing event repeated", extra={"event_id": event.id, "type": event.type})
        return False
    send("billing", _GROUP, [{"event_id": event.id}])
    logger.info("billing event received", extra={"event_id": event.id, "type": event.type})
    return True
