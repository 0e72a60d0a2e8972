"""The pages a person meets: paying, an invoice, and what all pages share. Functions from objects to HTML."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape

from .checkout import may_go_without_card, price_phrase
from .periods import display
from .shapes import Object

_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:3rem auto;padding:0 1rem;color:#1a1a1a}"
    "table{width:100%;border-collapse:collapse}th,td{text-align:left;padding:.4rem 0;border-bottom:1px solid #ccc}"
    "td:last-child,th:last-child{text-align:right}fieldset{border:1px solid #767676;margin:1rem 0}"
    "label{display:block;padding:.2rem 0}button{font:inherit;padding:.5rem 1.2rem;margin:.3rem .6rem .3rem 0}"
    "[role=alert]{border-left:4px solid #b00020;padding-left:.8rem}"
)

_ADDRESS_FORM = (
    "<fieldset><legend>Billing address</legend>"
    '<label>Name <input name="name" autocomplete="organization" required></label>'
    '<label>Address <input name="line1" autocomplete="address-line1" required></label>'
    '<label>City <input name="city" autocomplete="address-level2"></label>'
    '<label>Postal code <input name="postal_code" autocomplete="postal-code"></label>'
    '<label>Country <input name="country" autocomplete="country" placeholder="US" pattern="[A-Z]{2}" required></label>'
    "</fieldset>"
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
        f"<tr><td>{escape(item['description'])}</td><td>{item['quantity'] or 'as used'}</td>"
        f"<td>{escape(price_phrase(item))}</td></tr>"
        for item in session["_line_items"]
    )
    days = session["_subscription_data"].get("trial_period_days")
    trial = f"<p>The first {days} days are free.</p>" if days else ""
    alert = f'<p role="alert">{escape(problem)}</p>' if problem else ""
    known_email = session["customer"] or session["customer_email"]
    email = (
        "" if known_email else '<label>E-mail <input name="email" type="email" autocomplete="email" required></label>'
    )
    address = _ADDRESS_FORM if session["billing_address_collection"] == "required" else ""
    cards = card_choice("Pay by", may_be_none=may_go_without_card(session))
    cancel = f'<a href="{escape(session["cancel_url"])}">Cancel</a>' if session["cancel_url"] else ""
    return document(
        "Subscribe",
        f"{alert}<table><thead><tr><th>Plan</th><th>Quantity</th><th>Price each</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>{trial}"
        f"<p>Due today: <strong>{display(session['amount_total'], session['currency'])}</strong></p>"
        f'<form method="post">{email}{address}{cards}<button>Pay</button>{cancel}</form>',
    )


def invoice(shown: Object) -> str:
    """One invoice with its lines."""
    rows = "".join(
        f"<tr><td>{escape(line['description'])}</td><td>{display(line['amount'], line['currency'])}</td></tr>"
        for line in shown["lines"]["data"]
    )
    return document(
        f"Invoice {shown['number']}",
        f"<p>{date(shown['created'])}, {shown['status']}</p>"
        f"<table><thead><tr><th>For</th><th>Amount</th></tr></thead><tbody>{rows}"
        f"<tr><td>Total</td><td>{display(shown['total'], shown['currency'])}</td></tr>"
        f"<tr><td>Due</td><td>{display(shown['amount_remaining'], shown['currency'])}</td></tr></tbody></table>",
    )


def card_choice(legend: str, *, may_be_none: bool = False) -> str:
    """The choice between a card that works and one that does not, and of none where that is allowed."""
    none = '<label><input type="radio" name="card" value="none"> No card for now</label>' if may_be_none else ""
    return (
        f"<fieldset><legend>{escape(legend)}</legend>"
        '<label><input type="radio" name="card" value="accepted" checked> A card that works</label>'
        '<label><input type="radio" name="card" value="declined"> A card that will be declined</label>'
        f"{none}</fieldset>"
    )


def date(moment: int) -> str:
    """A moment's day in UTC."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")
