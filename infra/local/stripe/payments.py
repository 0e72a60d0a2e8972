"""Paying an invoice out of turn: by the API, or by the customer in the portal."""

from __future__ import annotations

from . import invoices, subscriptions
from .errors import StripeError
from .shapes import Object
from .state import State


def pay(state: State, identifier: str) -> Object:
    """Charge the customer's card for an open invoice now, or for a draft, which is finalized first.

    A refusal by the card is Stripe's 402; the attempt stands. Paying the last invoice that is open, or was left a
    draft, makes a subscription that was past due or unpaid active again.
    """
    invoice = state.find("invoice", identifier)
    if invoice["status"] not in ("draft", "open"):
        raise StripeError(f"Only a draft or open invoice can be paid; this one is {invoice['status']}.")
    with state.living_by(invoice["test_clock"]):
        if invoice["status"] == "draft":
            subscriptions.finalize(state, invoice)
        else:
            invoices.collect(state, invoice, by_hand=True)
            subscriptions.follow_payment(state, state.find("subscription", invoices.subscription_of(invoice)))
    if invoice["status"] != "paid":
        raise invoices.declined()
    return invoice
