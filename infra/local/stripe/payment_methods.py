"""Payment methods: the cards that Stripe publishes for tests, attached to a customer by their names.

A subscription is paid by the card that it names, or else by its customer's, which is the default that was chosen for
the customer or the one that a person gave on a page last.
"""

from __future__ import annotations

from .errors import StripeError
from .shapes import Object, new_object
from .state import State

KIND = "payment_method"

_TEST_CARDS = {
    "pm_card_visa": ("accepted", "4242"),
    "pm_card_chargeCustomerFail": ("declined", "0341"),
}
"""What becomes of charges to a test card, and its last digits. Both can be attached."""


def attach(state: State, identifier: str, customer_id: str) -> Object:
    """A card of the customer's own, made from a published one. Attaching it does not yet have anything paid by it."""
    customer = state.find("customer", customer_id, "customer")
    if identifier not in _TEST_CARDS:
        held = state.find(KIND, identifier)
        if held["customer"] != customer_id:
            raise StripeError("The payment method you provided has already been attached to a customer.")
        return held
    behaviour, last_digits = _TEST_CARDS[identifier]
    with state.living_by(customer["test_clock"]):
        made = new_object(KIND, card=_card(last_digits), created=state.now, customer=customer_id, _card=behaviour)
        return state.add(made, "payment_method.attached")


def owned(state: State, identifier: str, customer_id: str, param: str) -> Object:
    """A card by its id, which must be the customer's; the refusal names ``param``."""
    held = state.get(KIND, identifier)
    if held is None or held["customer"] != customer_id:
        raise StripeError(
            f"The customer does not have a payment method with the ID {identifier}. The payment method must be "
            "attached to the customer.",
            param=param,
            code="resource_missing",
        )
    return held


def card_of(state: State, subscription: Object) -> str:
    """How the card behaves that a subscription is paid by: ``accepted``, ``declined``, or ``none`` without one."""
    named = subscription["default_payment_method"]
    if named is not None:
        return state.find(KIND, named)["_card"]
    return state.find("customer", subscription["customer"], "customer")["_card"]


def _card(last_digits: str) -> Object:
    return {
        "brand": "visa",
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": None},
        "country": "US",
        "display_brand": "visa",
        "exp_month": 12,
        "exp_year": 2099,
        "fingerprint": f"local{last_digits}",
        "funding": "credit",
        "generated_from": None,
        "last4": last_digits,
        "networks": {"available": ["visa"], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }
