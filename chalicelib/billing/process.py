"""Processing an event: fetch from Stripe what it is about, as it is now, and act on that.

Events come late, twice and out of order, so nothing in one is believed but its name and the id of its object.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from chalicelib.billing.arrears import bill_drafts
from chalicelib.billing.checkout import find_session
from chalicelib.billing.follow import Outcome, find_subscription, follow, tenant_of
from chalicelib.billing.model import EVENT, billing_events
from chalicelib.billing.stripe_client import is_missing, stripe_client
from chalicelib.platform.telemetry import logger
from chalicelib.tenancy import tell_trial_ending


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


def follow_checkout(session_id: str) -> Outcome:
    """Follows the subscription of a checkout session, if the session is settled as Stripe has it now."""
    session = find_session(session_id)
    if session is None:
        return Outcome.UNKNOWN_OBJECT
    subscription = session.subscription
    settled = session.status == "complete" and session.payment_status in ("paid", "no_payment_required")
    if not settled or subscription is None:
        return Outcome.NOT_SETTLED
    return follow(subscription if isinstance(subscription, str) else subscription.id)


def follow_invoice(invoice_id: str) -> Outcome:
    """Follows the subscription that an invoice bills; one that was paid may set free what was not collected since."""
    import stripe  # cold start: only this call needs its errors

    try:
        invoice = stripe_client().v1.invoices.retrieve(invoice_id)
    except stripe.InvalidRequestError as error:
        if is_missing(error):
            return Outcome.UNKNOWN_OBJECT
        raise
    details = invoice.parent.subscription_details if invoice.parent else None
    if details is None:
        return Outcome.NOTED  # billed by hand, for something else than a subscription
    subscription = details.subscription
    subscription_id = subscription if isinstance(subscription, str) else subscription.id
    if invoice.status == "paid":
        bill_drafts(subscription_id)
    return follow(subscription_id)


def follow_customer(customer_id: str) -> Outcome:
    """Follows every subscription of a customer that has not ended; there is one, unless somebody paid twice."""
    outcome = Outcome.NOTED
    for subscription in stripe_client().v1.subscriptions.list({"customer": customer_id}).auto_paging_iter():
        outcome = follow(subscription.id)
    return outcome


def follow_trial(subscription_id: str) -> Outcome:
    """Follows a subscription, and tells the tenant that its trial ends soon, if it has not ended by now."""
    outcome = follow(subscription_id)
    subscription = find_subscription(subscription_id)
    if outcome not in (Outcome.SETTLED, Outcome.UNCHANGED) or subscription is None:
        return outcome
    if subscription.status == "trialing" and subscription.trial_end is not None:
        tell_trial_ending(tenant_of(subscription), datetime.fromtimestamp(subscription.trial_end, UTC))
    return outcome


def _note(_: str) -> Outcome:
    return Outcome.NOTED


ACTIONS: dict[str, Callable[[str], Outcome]] = {
    "checkout.session.completed": follow_checkout,
    # A bank debit settles days after the page was left; the session was complete but unpaid until then.
    "checkout.session.async_payment_succeeded": follow_checkout,
    "customer.subscription.created": follow,
    "customer.subscription.updated": follow,
    "customer.subscription.deleted": follow,
    "customer.subscription.paused": follow,
    "customer.subscription.resumed": follow,
    "customer.subscription.trial_will_end": follow_trial,
    "invoice.paid": follow_invoice,
    "invoice.payment_failed": follow_invoice,
    "invoice.payment_action_required": follow_invoice,
    # What it is about has no id of its own; `receive` stores its customer's.
    "entitlements.active_entitlement_summary.updated": follow_customer,
    # Its subscriptions have ended with it, and each of them says so itself. A tenant that lives makes another customer
    # when it subscribes anew.
    "customer.deleted": _note,
}
"""What is done for each type of event, given the id of its object; a type that is not here is noted and passed over."""
