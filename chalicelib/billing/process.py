"""Processing an event: fetch from Stripe what it is about, as it is now, and act on that.

Events come late, twice and out of order, so nothing in one is believed but its name and the id of its object.
"""

from __future__ import annotations

from collections.abc import Callable

from chalicelib.billing.activate import Outcome, activate
from chalicelib.billing.checkout import read_checkout
from chalicelib.billing.model import EVENT, billing_events
from chalicelib.platform.telemetry import logger


def process(event_id: str) -> Outcome:
    """Processes a stored event and notes its outcome; one that is processed already is left alone.

    Raises what Stripe's SDK, DynamoDB or SQS raise; the event then stays unprocessed and the message comes back.
    """
    model = billing_events()
    event = model.find(event_id, EVENT)
    if event is None:
        # Only a stored event is ever sent, so this message is not one of ours.
        logger.error("billing event is not stored", extra={"event_id": event_id})
        return Outcome.UNKNOWN_OBJECT
    if event.processed:
        return Outcome.REPEATED
    act = ACTIONS.get(event.type)
    if act is None:
        outcome = Outcome.UNKNOWN_TYPE
    elif not event.object_id:
        outcome = Outcome.UNKNOWN_OBJECT
    else:
        outcome = act(event.object_id)
    event.update(actions=[model.processed.set(True), model.outcome.set(outcome.value)])
    logger.info("billing event processed", extra={"event_id": event_id, "type": event.type, "outcome": outcome.value})
    return outcome


def settle_checkout(session_id: str) -> Outcome:
    """Activates the tenant of a checkout session, if the session is settled as Stripe has it now."""
    result = read_checkout(session_id)
    if result is None:
        return Outcome.UNKNOWN_OBJECT
    if result.tenant_id is None:
        return Outcome.UNKNOWN_TENANT
    if not (result.settled and result.customer_id and result.subscription_id and result.subscription_status):
        return Outcome.NOT_SETTLED
    return activate(
        result.tenant_id,
        customer_id=result.customer_id,
        subscription_id=result.subscription_id,
        subscription_status=result.subscription_status,
    )


ACTIONS: dict[str, Callable[[str], Outcome]] = {
    "checkout.session.completed": settle_checkout,
    # A bank debit settles days after the page was left; the session was complete but unpaid until then.
    "checkout.session.async_payment_succeeded": settle_checkout,
}
"""What is done for each type of event, given the id of its object; a type that is not here is noted and passed over."""
