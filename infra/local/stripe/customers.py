"""Customers: who pays, by which card, and by which clock."""

from __future__ import annotations

from . import payment_methods, subscriptions
from .catalog import update_members
from .errors import StripeError, missing_object
from .forms import merge_metadata
from .shapes import Object, new_id, new_object
from .state import State

ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")
"""The members of an address; those not given are null."""

CUSTOMERS_PER_CLOCK = 3


def create(state: State, params: Object) -> Object:
    """A customer; its invoice prefix numbers its invoices. With ``test_clock`` it lives by that clock for good."""
    clock = params.get("test_clock")
    if clock is not None:
        state.find("test_helpers.test_clock", clock, "test_clock")
        if len(on_clock(state, clock)) >= CUSTOMERS_PER_CLOCK:
            raise StripeError(f"A test clock has at most {CUSTOMERS_PER_CLOCK} customers.", param="test_clock")
    members = {**_whole(params), "metadata": merge_metadata({}, params.get("metadata", {}))}
    with state.living_by(clock):
        made = new_object("customer", created=state.now, invoice_prefix=new_id("")[:8].upper(), _card="none", **members)
        return state.add(made, "customer.created")


def retrieve(state: State, identifier: str) -> Object:
    """A customer, or what is left of a deleted one."""
    found = state.get("customer", identifier)
    if found is None:
        raise missing_object("customer", identifier, "id")
    return found


def update(state: State, identifier: str, params: Object) -> Object:
    """Change what ``params`` names; a default card is what pays from then on."""
    customer = state.find("customer", identifier)
    settings = params.get("invoice_settings")
    if settings is None:
        return update_members(state, customer, _whole(params))
    update = {**params, "invoice_settings": {**customer["invoice_settings"], **settings}}
    card = customer["_card"]
    if "default_payment_method" in settings:
        chosen = settings["default_payment_method"]
        param = "invoice_settings[default_payment_method]"
        card = payment_methods.owned(state, chosen, identifier, param)["_card"] if chosen else "none"
    return update_members(state, customer, _whole(update), _card=card)


def delete(state: State, identifier: str) -> Object:
    """Forget a customer; its subscriptions end now."""
    customer = state.find("customer", identifier)
    with state.living_by(customer["test_clock"]):
        for subscription in state.all("subscription"):
            if subscription["customer"] == identifier and subscription["status"] != "canceled":
                subscriptions.cancel(state, subscription, "cancellation_requested")
        state.emit("customer.deleted", customer)
    gone = new_object("deleted_customer", id=identifier)
    state.put("customer", identifier, gone)
    return gone


def set_card(state: State, identifier: str, *, declines: bool) -> Object:
    """Say how the customer's card behaves from now on; a customer without one has one then.

    It pays for everything: a card that was chosen by its id, for the customer or for a subscription, does so no more.
    """
    hold_card(state, state.find("customer", identifier), "declined" if declines else "accepted")
    for subscription in state.all("subscription"):
        if subscription["customer"] == identifier:
            with state.changing(subscription, "customer.subscription.updated"):
                subscription["default_payment_method"] = None
    return {"customer": identifier, "declines": declines}


def hold_card(state: State, customer: Object, card: str) -> None:
    """Note how the card behaves that a person gave on a page; it has no id here."""
    with state.changing(customer):
        customer["_card"] = card
        customer["invoice_settings"]["default_payment_method"] = None


def on_clock(state: State, clock: str) -> list[Object]:
    """The customers that live by a test clock."""
    return [customer for customer in state.all("customer") if customer.get("test_clock") == clock]


def _whole(params: Object) -> Object:
    """The parameters, with every member of an address."""
    if "address" not in params:
        return params
    return {**params, "address": {**dict.fromkeys(ADDRESS), **params["address"]}}
