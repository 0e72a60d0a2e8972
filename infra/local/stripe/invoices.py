"""Invoices: drafted from lines, finalized, collected from the customer's card, tried again after a refusal."""

from __future__ import annotations

from . import payment_methods, periods
from .errors import StripeError
from .shapes import Object, new_object, object_list
from .state import State

RETRY_DELAYS = (3 * periods.DAY, 5 * periods.DAY, 7 * periods.DAY)
"""Seconds from a refused payment to the next attempt; after the last the invoice is left open."""

DRAFT_LIFE = 3600
"""Seconds for which a period's invoice stays a draft; Stripe says "about an hour"."""


def line(
    item: Object,
    amount: int,
    currency: str,
    description: str,
    period: tuple[int, int],
    *,
    quantity: int | None = None,
    proration: bool = False,
) -> Object:
    """A line for one subscription item: ``amount`` in minor units, negative for a credit.

    ``quantity`` is the item's own unless given, as for usage.
    """
    price = item["price"]
    counted = item["quantity"] if quantity is None else quantity
    return new_object(
        "line_item",
        amount=amount,
        currency=currency,
        description=description,
        period={"start": period[0], "end": period[1]},
        quantity=counted,
        quantity_decimal=str(counted),
        parent={
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": proration,
                "proration_details": {"credited_items": None},
                "subscription": item["subscription"],
                "subscription_item": item["id"],
            },
            "type": "subscription_item_details",
        },
        pricing={
            "price_details": {"price": price["id"], "product": price["product"]},
            "type": "price_details",
            "unit_amount_decimal": price["unit_amount_decimal"],
        },
        subtotal=amount,
    )


def draft(state: State, subscription: Object, lines: list[Object], reason: str, base_url: str) -> Object:
    """Draft an invoice over ``lines`` for a subscription; ``reason`` is Stripe's billing reason.

    A period's invoice (``subscription_cycle``) is to stay a draft for ``DRAFT_LIFE``.
    """
    made = composed(state, subscription, lines, reason)
    if reason == "subscription_cycle":
        made["automatically_finalizes_at"] = state.now + DRAFT_LIFE
    made["hosted_invoice_url"] = f"{base_url}/invoice/{made['id']}"
    return state.add(made, "invoice.created")


def composed(state: State, subscription: Object, lines: list[Object], reason: str) -> Object:
    """An invoice over ``lines``, stored nowhere."""
    customer = state.find("customer", subscription["customer"], "customer")
    made = new_object(
        "invoice",
        billing_reason=reason,
        created=state.now,
        currency=subscription["currency"],
        customer=customer["id"],
        customer_address=customer["address"],
        customer_email=customer["email"],
        customer_name=customer["name"],
        customer_phone=customer["phone"],
        parent={
            "quote_details": None,
            "subscription_details": {
                "metadata": dict(subscription["metadata"]),
                "subscription": subscription["id"],
            },
            "type": "subscription_details",
        },
        period_end=state.now,
        period_start=min((entry["period"]["start"] for entry in lines), default=state.now),
        test_clock=customer["test_clock"],
        **totals(state, lines, customer["id"]),
    )
    made["automatic_tax"].update(_tax(subscription))
    for entry in lines:
        entry["invoice"] = made["id"]
    made["lines"] = object_list(lines, f"/v1/invoices/{made['id']}/lines")
    return made


def totals(state: State, lines: list[Object], customer: str) -> Object:
    """What ``lines`` come to, and what is due of it after the customer's balance."""
    total = sum(entry["amount"] for entry in lines)
    balance = state.find("customer", customer, "customer")["balance"]
    net = total + balance
    return {
        "amount_due": max(0, net),
        "amount_remaining": max(0, net),
        "starting_balance": balance,
        "subtotal": total,
        "subtotal_excluding_tax": total,
        "total": total,
        "total_excluding_tax": total,
        "_ending_balance": min(0, net),
    }


def finalize_and_collect(state: State, invoice: Object) -> None:
    """Number the invoice, settle it against the customer's balance, and try the card for the rest."""
    customer = state.find("customer", invoice["customer"], "customer")
    invoice_number = f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}"
    with state.changing(customer):
        customer["next_invoice_sequence"] += 1
    with state.changing(customer, "customer.updated"):
        customer["balance"] = invoice["_ending_balance"]
    with state.changing(invoice, "invoice.finalized"):
        invoice["number"] = invoice_number
        invoice["status"] = "open"
        invoice["automatically_finalizes_at"] = None
        invoice["effective_at"] = state.now
        invoice["ending_balance"] = invoice["_ending_balance"]
        invoice["status_transitions"]["finalized_at"] = state.now
    collect(state, invoice)


def collect(state: State, invoice: Object, *, by_hand: bool = False) -> bool:
    """Try to take what remains from the subscription's card; an amount of zero is paid without one.

    On a refusal the next attempt is set by ``RETRY_DELAYS``, or none when they are used up. An attempt ``by_hand``
    after the first changes nothing about when the next one comes.
    """
    card = payment_methods.card_of(state, state.find("subscription", subscription_of(invoice)))
    refused = invoice["amount_remaining"] > 0 and card != "accepted"
    scheduled = not (by_hand and invoice["attempted"])
    with state.changing(invoice, "invoice.payment_failed" if refused else "invoice.paid"):
        invoice["attempted"] = True
        if invoice["amount_remaining"] > 0 and scheduled:
            invoice["attempt_count"] += 1
        if refused and scheduled:
            failures = invoice["attempt_count"]
            again = failures <= len(RETRY_DELAYS)
            invoice["next_payment_attempt"] = state.now + RETRY_DELAYS[failures - 1] if again else None
            invoice["auto_advance"] = again
        elif not refused:
            _settle(state, invoice)
    if refused and not scheduled:
        state.emit("invoice.payment_failed", invoice)
    if not refused:
        state.emit("invoice.payment_succeeded", invoice)
    return not refused


def declined() -> StripeError:
    """Stripe's answer to a charge that the card's bank refused, or that there was no card for."""
    return StripeError("Your card was declined.", code="card_declined", status=402, kind="card_error")


def _settle(state: State, invoice: Object) -> None:
    invoice["status"] = "paid"
    invoice["amount_paid"] = invoice["amount_due"]
    invoice["amount_remaining"] = 0
    invoice["next_payment_attempt"] = None
    invoice["auto_advance"] = False
    invoice["status_transitions"]["paid_at"] = state.now


def _tax(subscription: Object) -> Object:
    """What an invoice says of a tax that is worked out for it; here it is always nothing."""
    if not subscription["automatic_tax"]["enabled"]:
        return {}
    return {"enabled": True, "liability": {"type": "self"}, "provider": "stripe", "status": "complete"}


def give_up(state: State, invoice: Object) -> None:
    """Leave an invoice as it is: nothing is tried any more."""
    with state.changing(invoice, "invoice.updated"):
        invoice["auto_advance"] = False
        invoice["automatically_finalizes_at"] = None
        invoice["next_payment_attempt"] = None


def subscription_of(invoice: Object) -> str:
    """The id of the subscription an invoice bills."""
    return invoice["parent"]["subscription_details"]["subscription"]


def open_invoices(state: State, *, subscription: str | None = None, customer: str | None = None) -> list[Object]:
    """Finalized but unpaid invoices of a subscription or a customer, oldest first."""
    return [
        invoice
        for invoice in state.all("invoice")
        if invoice["status"] == "open"
        and (subscription is None or subscription_of(invoice) == subscription)
        and (customer is None or invoice["customer"] == customer)
    ]


def waiting_drafts(state: State, subscription: str) -> list[Object]:
    """Drafts of a subscription that are to be finalized by themselves."""
    return [
        invoice
        for invoice in state.all("invoice")
        if invoice["automatically_finalizes_at"] is not None and subscription_of(invoice) == subscription
    ]


def left_drafts(state: State, subscription: str) -> list[Object]:
    """Drafts of a subscription of which nothing is collected by itself."""
    return [
        invoice
        for invoice in state.all("invoice")
        if invoice["status"] == "draft"
        and invoice["automatically_finalizes_at"] is None
        and subscription_of(invoice) == subscription
    ]
