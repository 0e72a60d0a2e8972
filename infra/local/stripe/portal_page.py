"""The page of the customer portal. A function from objects to HTML."""

from __future__ import annotations

from html import escape

from .changes import current_period
from .pages import card_choice, date, document
from .periods import display
from .shapes import Object

_ADDRESS = {
    "line1": "Address",
    "line2": "Address, second line",
    "city": "City",
    "state": "State",
    "postal_code": "Postal code",
    "country": "Country",
}


def portal(
    session: Object,
    customer: Object,
    offered: Object,
    subscriptions: list[Object],
    invoices: list[Object],
    problem: str | None,
) -> str:
    """What a customer has and may do, as far as it is ``offered``; ``problem`` says why the last try failed."""
    may_end = offered["subscription_cancel"]["enabled"]
    parts = [_subscription(subscription, may_end=may_end) for subscription in subscriptions]
    alert = f'<p role="alert">{escape(problem)}</p>' if problem else ""
    back = f'<p><a href="{escape(session["return_url"])}">Return</a></p>' if session["return_url"] else ""
    return document(
        "Your subscription",
        alert
        + "".join(parts)
        + (_card(customer) if offered["payment_method_update"]["enabled"] else "")
        + _details(customer, offered["customer_update"])
        + _invoices(invoices, with_paid=offered["invoice_history"]["enabled"])
        + back,
    )


def _subscription(subscription: Object, *, may_end: bool) -> str:
    ending = subscription["cancel_at_period_end"]
    action, label = ("resume", "Keep the subscription") if ending else ("cancel", "Cancel at the end of the period")
    state = f"{subscription['status']}, {'ends' if ending else 'renews'} {date(current_period(subscription)[1])}"
    button = f'<button name="action" value="{action}">{label}</button>' if may_end else ""
    return (
        f'<form method="post"><p>Subscription {escape(subscription["id"])}: <strong>{state}</strong></p>'
        f'<input type="hidden" name="subscription" value="{escape(subscription["id"])}">{button}</form>'
    )


def _card(customer: Object) -> str:
    return (
        '<form method="post"><input type="hidden" name="action" value="card">'
        f"<p>The card on file: <strong>{customer['_card']}</strong>.</p>"
        f"{card_choice('Replace it by')}<button>Save card</button></form>"
    )


def _details(customer: Object, offered: Object) -> str:
    """The name and address on invoices, as far as they may be changed. Tax ids are checked by Stripe, not here."""
    known = {"name": customer["name"], **(customer["address"] or {})}
    names = (["name"] if "name" in offered["allowed_updates"] else []) + (
        list(_ADDRESS) if "address" in offered["allowed_updates"] else []
    )
    if not offered["enabled"] or not names:
        return ""
    fields = "".join(
        f'<label>{_ADDRESS.get(name, "Name")} <input name="{name}" value="{escape(known.get(name) or "")}"></label>'
        for name in names
    )
    return (
        f'<form method="post"><fieldset><legend>Billing details</legend>{fields}</fieldset>'
        '<button name="action" value="details">Save details</button></form>'
    )


def _invoices(invoices: list[Object], *, with_paid: bool) -> str:
    """The invoices, the unpaid ones with a way to pay them; paid ones are history, which need not be offered."""
    shown = [invoice for invoice in invoices if with_paid or invoice["status"] == "open"]
    rows = "".join(
        f'<tr><td><a href="{escape(invoice["hosted_invoice_url"])}">{escape(invoice["number"])}</a></td>'
        f"<td>{date(invoice['created'])}</td><td>{invoice['status']}</td>"
        f"<td>{display(invoice['amount_due'], invoice['currency'])}{_pay_button(invoice)}</td></tr>"
        for invoice in shown
    )
    return (
        "<h2>Invoices</h2><table><thead><tr><th>Number</th><th>Date</th><th>Status</th><th>Amount</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _pay_button(invoice: Object) -> str:
    if invoice["status"] != "open":
        return ""
    return (
        f'<form method="post"><input type="hidden" name="invoice" value="{escape(invoice["id"])}">'
        '<button name="action" value="pay">Pay</button></form>'
    )
