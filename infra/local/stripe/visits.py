"""What a person does on the pages: each visit is a method, a path and a form, answered by a page or a redirect."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from . import checkout, customers, pages, subscriptions
from .errors import StripeError
from .forms import email
from .shapes import Object
from .state import State


@dataclass(frozen=True)
class Page:
    """An HTML answer, or with ``location`` a redirect."""

    status: int
    html: str = ""
    location: str | None = None


def visit(state: State, method: str, path: str, form: Object, base_url: str) -> Page:
    """Answer a visit; an unknown page is a 404 for people."""
    kind, _, identifier = path.strip("/").partition("/")
    try:
        if kind == "pay" and method == "GET":
            session = state.find("checkout.session", identifier)
            return Page(410 if session["status"] == "expired" else 200, pages.payment(session))
        if kind == "pay" and method == "POST":
            return _pay(state, state.find("checkout.session", identifier), form, base_url)
        if kind == "portal":
            session = state.find("billing_portal.session", identifier)
            return _portal(state, session, form if method == "POST" else None, base_url)
        if kind == "invoice" and method == "GET":
            return Page(200, pages.invoice(state.find("invoice", identifier)))
    except StripeError as problem:
        return Page(problem.status, pages.document("Not possible", f"<p>{escape(problem.message)}</p>"))
    return Page(404, pages.document("Not found", "<p>There is no such page.</p>"))


def _pay(state: State, session: Object, form: Object, base_url: str) -> Page:
    """Pay once: a session that is not open any more is shown as it is and left so."""
    if session["status"] != "open":
        return Page(410 if session["status"] == "expired" else 200, pages.payment(session))
    if form.get("card", "accepted") != "accepted":
        return Page(402, pages.payment(session, "Your card was declined. Nothing was charged; try another card."))
    address: str | None = None
    if not session["customer"] and not session["customer_email"]:
        try:
            address = email(form.get("email", ""), "email")
        except StripeError:
            return Page(400, pages.payment(session, "Enter an e-mail address, like name@example.com."))
    checkout.pay(state, session, email=address, base_url=base_url)
    return Page(303, location=session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"]))


def _portal(state: State, session: Object, form: Object | None, base_url: str) -> Page:
    customer = state.find("customer", session["customer"])
    if form is not None:
        _act_in_portal(state, customer["id"], form, base_url)
        return Page(303, location=session["url"])
    mine = [
        subscription
        for subscription in state.all("subscription")
        if subscription["customer"] == customer["id"] and subscription["status"] != "canceled"
    ]
    invoices = [invoice for invoice in state.all("invoice") if invoice["customer"] == customer["id"]]
    return Page(200, pages.portal(session, customer, mine, invoices[::-1]))


def _act_in_portal(state: State, customer: str, form: Object, base_url: str) -> None:
    action = form.get("action")
    if action == "card":
        customers.set_card(state, customer, declines=form.get("card") == "declined")
    elif action in ("cancel", "resume"):
        subscription = state.find("subscription", form.get("subscription", ""))
        if subscription["customer"] != customer:
            raise StripeError("That subscription is somebody else's.", status=404)
        subscriptions.update(state, subscription["id"], {"cancel_at_period_end": action == "cancel"}, base_url)
    else:
        raise StripeError("Unknown action: expected card, cancel or resume.", param="action")
