"""The pages a person meets: paying, the customer's portal, an invoice. Functions from objects to HTML."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape

from .checkout import price_phrase
from .periods import display
from .shapes import Object
from .subscriptions import current_period

_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:3rem auto;padding:0 1rem;color:#1a1a1a}"
    "table{width:100%;border-collapse:collapse}th,td{text-align:left;padding:.4rem 0;border-bottom:1px solid #ccc}"
    "td:last-child,th:last-child{text-align:right}fieldset{border:1px solid #767676;margin:1rem 0}"
    "label{display:block;padding:.2rem 0}button{font:inherit;padding:.5rem 1.2rem;margin:.3rem .6rem .3rem 0}"
    "[role=alert]{border-left:4px solid #b00020;padding-left:.8rem}"
)


def document(title: str, body: str) -> str:
    """A whole page; ``body`` is HTML, ``title`` is text."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{body}<p><small>Local test payments: no money moves.</small></p>"
        "</main></body></html>"
    )


def payment(session: Object, problem: str | None = None) -> str:
    """The page of a checkout session, by its status; ``problem`` says why the last try failed."""
    if session["status"] == "complete":
        return document("Already paid", "<p>This checkout is complete. Nothing more will be charged.</p>")
    if session["status"] == "expired":
        return document("Checkout expired", "<p>This checkout is no longer open. Start again where you came from.</p>")
    rows = "".join(
        f"<tr><td>{escape(item['description'])}</td><td>{item['quantity']}</td><td>{escape(price_phrase(item))}</td></tr>"
        for item in session["_line_items"]
    )
    days = session["_subscription_data"].get("trial_period_days")
    trial = f"<p>The first {days} days are free.</p>" if days else ""
    alert = f'<p role="alert">{escape(problem)}</p>' if problem else ""
    known_email = session["customer"] or session["customer_email"]
    address = (
        "" if known_email else '<label>E-mail <input name="email" type="email" autocomplete="email" required></label>'
    )
    cancel = f'<a href="{escape(session["cancel_url"])}">Cancel</a>' if session["cancel_url"] else ""
    return document(
        "Subscribe",
        f"{alert}<table><thead><tr><th>Plan</th><th>Quantity</th><th>Price each</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>{trial}"
        f"<p>Due today: <strong>{display(session['amount_total'], session['currency'])}</strong></p>"
        f'<form method="post">{address}{_card_choice("Pay by")}<button>Pay</button>{cancel}</form>',
    )


def portal(session: Object, customer: Object, subscriptions: list[Object], invoices: list[Object]) -> str:
    """The customer's own page: subscriptions to end or keep, the card, invoices."""
    parts = [_portal_subscription(subscription) for subscription in subscriptions]
    rows = "".join(
        f'<tr><td><a href="{escape(invoice["hosted_invoice_url"])}">{escape(invoice["number"])}</a></td>'
        f"<td>{_date(invoice['created'])}</td><td>{invoice['status']}</td>"
        f"<td>{display(invoice['amount_due'], invoice['currency'])}</td></tr>"
        for invoice in invoices
    )
    back = f'<p><a href="{escape(session["return_url"])}">Return</a></p>' if session["return_url"] else ""
    return document(
        "Your subscription",
        "".join(parts) + f'<form method="post"><input type="hidden" name="action" value="card">'
        f"<p>The card on file is <strong>{customer['_card']}</strong>.</p>"
        f"{_card_choice('Replace it by')}<button>Save card</button></form>"
        "<h2>Invoices</h2><table><thead><tr><th>Number</th><th>Date</th><th>Status</th><th>Amount</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>{back}",
    )


def invoice(shown: Object) -> str:
    """One invoice with its lines."""
    rows = "".join(
        f"<tr><td>{escape(line['description'])}</td><td>{display(line['amount'], line['currency'])}</td></tr>"
        for line in shown["lines"]["data"]
    )
    return document(
        f"Invoice {shown['number']}",
        f"<p>{_date(shown['created'])}, {shown['status']}</p>"
        f"<table><thead><tr><th>For</th><th>Amount</th></tr></thead><tbody>{rows}"
        f"<tr><td>Total</td><td>{display(shown['total'], shown['currency'])}</td></tr>"
        f"<tr><td>Due</td><td>{display(shown['amount_remaining'], shown['currency'])}</td></tr></tbody></table>",
    )


def _portal_subscription(subscription: Object) -> str:
    ending = subscription["cancel_at_period_end"]
    action, label = ("resume", "Keep the subscription") if ending else ("cancel", "Cancel at the end of the period")
    state = f"{subscription['status']}, {'ends' if ending else 'renews'} {_date(current_period(subscription)[1])}"
    return (
        f'<form method="post"><p>Subscription {escape(subscription["id"])}: <strong>{state}</strong></p>'
        f'<input type="hidden" name="subscription" value="{escape(subscription["id"])}">'
        f'<button name="action" value="{action}">{label}</button></form>'
    )


def _card_choice(legend: str) -> str:
    return (
        f"<fieldset><legend>{legend}</legend>"
        '<label><input type="radio" name="card" value="accepted" checked> A card that works</label>'
        '<label><input type="radio" name="card" value="declined"> A card that will be declined</label></fieldset>'
    )


def _date(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")
