"""What can go wrong between a caller, Duebridge and Stripe."""

from chalicelib.platform.errors import Conflict, Malformed, Unavailable


class PaymentsUnavailable(Unavailable):
    """Stripe did not answer, or does not know what we sell; trying again is safe, and charges nothing twice."""

    type, title = "payments-unavailable", "Payments cannot be taken right now"


class PaymentDeclined(Conflict):
    """What is due at once could not be taken, so what it was for was not done; `code` is Stripe's word for why."""

    type, title = "payment-declined", "The payment was declined"


class ChangeRefused(Conflict):
    """Stripe did not accept a change as it stands, so nothing was changed; `code` is Stripe's word for why."""

    type, title = "change-refused", "The change was not accepted"


class UntrustedEvent(Malformed):
    """A webhook that Stripe did not sign with our secret, or signed too long ago, or that is no Stripe event."""

    type, title = "untrusted-event", "The event does not come from Stripe, or comes too late"
