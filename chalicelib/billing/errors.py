"""What can go wrong between a caller, Duebridge and Stripe."""

from chalicelib.platform.errors import Malformed, Unavailable


class PaymentsUnavailable(Unavailable):
    """Stripe did not answer, or does not know what we sell; nothing was charged."""

    type, title = "payments-unavailable", "Payments cannot be taken right now"


class UntrustedEvent(Malformed):
    """A webhook that Stripe did not sign with our secret, or signed too long ago, or that is no Stripe event."""

    type, title = "untrusted-event", "The event does not come from Stripe, or comes too late"
