"""Invoice lines of what was used, counted once more when the invoice is finalized.

Stripe keeps a period's invoice a draft for an hour, so that usage reported late for the period is billed by it.
"""

from __future__ import annotations

from collections.abc import Iterable

from . import invoices, meters
from .catalog import cost, unit_amount
from .items import is_metered, product_name
from .periods import display
from .shapes import Object
from .state import State


def usage_lines(state: State, subscription: Object, items: Iterable[Object], until: int) -> list[Object]:
    """One line for each metered item over its use before ``until`` that was not billed, which counts as billed then."""
    lines: list[Object] = []
    for item in items:
        if is_metered(item["price"]):
            period = (item["_usage_from"], until)
            line = invoices.line(item, 0, subscription["currency"], "", period, quantity=0)
            line["_meter"] = item["price"]["recurring"]["meter"]
            _count(state, line, subscription["customer"])
            lines.append(line)
            item["_usage_from"] = until
    return lines


def recount(state: State, invoice: Object) -> None:
    """Bring a draft's lines up to what was reported for their time meanwhile."""
    metered = [line for line in invoice["lines"]["data"] if "_meter" in line]
    if metered:
        with state.changing(invoice, "invoice.updated"):
            for line in metered:
                _count(state, line, invoice["customer"])
            invoice.update(invoices.totals(state, invoice["lines"]["data"], invoice["customer"]))


def _count(state: State, line: Object, customer: str) -> None:
    """Fill a line: the sum of the usage times the decimal unit amount, rounded half up once."""
    used = meters.used(state, line["_meter"], customer, line["period"]["start"], line["period"]["end"])
    price = state.find("price", line["pricing"]["price_details"]["price"])
    amount = cost(price, line["currency"], used, "price")
    each = display(unit_amount(price, line["currency"], "price"), line["currency"])
    line.update(
        amount=amount,
        description=f"{used} × {product_name(state, price)} (at {each})",
        quantity=used,
        quantity_decimal=str(used),
        subtotal=amount,
    )
