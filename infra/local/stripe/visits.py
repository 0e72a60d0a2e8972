"""What a person does on the pages: each visit is a method, a path and a form, answered by a page or a redirect."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from . import checkout, customers, pages, payments, portal, portal_page, subscriptions
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
    card = form.get("card", "accepted")
    if card != "accepted" and not (card == "none" and checkout.may_go_without_card(session)):
        return Page(402, pages.payment(session, "Your card was declined. Nothing was charged; try another card."))
    payer: Object = {"name": form.get("name"), "address": _address(form)}
    if not session["customer"] and not session["customer_email"]:
        try:
            payer["email"] = email(form.get("email", ""), "email")
        except StripeError:
            return Page(400, pages.payment(session, "Enter an e-mail address, like name@example.com."))
    checkout.pay(state, session, card=card, payer=payer, base_url=base_url)
    return Page(303, location=session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"]))


def _address(form: Object) -> Object:
    """The address typed, or nothing: a form that leaves it out changes nothing of what is known."""
    return {name: form[name] for name in customers.ADDRESS if form.get(name)}


def _portal(state: State, session: Object, form: Object | None, base_url: str) -> Page:
    customer = state.find("customer", session["customer"])
    offered = portal.features_of(state, session)
    problem, status = None, 200
    if form is not None:
        try:
            _act_in_portal(state, customer["id"], offered, form, base_url)
            return Page(303, location=session["url"])
        except StripeError as refused:
            if refused.code != "card_declined":
                raise
            problem, status = "The card was declined. Nothing was charged; save another card first.", 402
    mine = [
        subscription
        for subscription in state.all("subscription")
        if subscription["customer"] == customer["id"] and subscription["status"] != "canceled"
    ]
    bills = [invoice for invoice in state.all("invoice") if invoice["customer"] == customer["id"] and invoice["number"]]
    return Page(status, portal_page.portal(session, customer, offered, mine, bills[::-1], problem))


def _act_in_portal(state: State, customer: str, offered: Object, form: Object, base_url: str) -> None:
    action = form.get("action")
    feature = {
        "card": "payment_method_update",
        "details": "customer_update",
        "cancel": "subscription_cancel",
        "resume": "subscription_cancel",
    }
    if action in feature and not offered[feature[action]]["enabled"]:
        raise StripeError("This portal does not offer that.", param="action", status=403)
    if action == "card":
        customers.set_card(state, customer, declines=form.get("card") == "declined")
    elif action == "details":
        allowed = offered["customer_update"]["allowed_updates"]
        typed = {"name": form.get("name"), "address": _address(form)}
        customers.update(state, customer, {name: typed[name] for name in typed if typed[name] and name in allowed})
    elif action == "pay":
        payments.pay(state, _own(state, "invoice", form, customer)["id"])
    elif action in ("cancel", "resume"):
        subscription = _own(state, "subscription", form, customer)
        subscriptions.update(state, subscription["id"], {"cancel_at_period_end": action == "cancel"}, base_url)
    else:
        raise StripeError("Unknown action: expected card, details, pay, cancel or resume.", param="action")


def _own(state: State, kind: str, form: Object, customer: str) -> Object:
    """What the form names, if it is the customer's."""
    found = state.find(kind, form.get(kind, ""))
    if found["customer"] != customer:
        raise StripeError(f"That {kind} is somebody else's.", status=404)
    return found
