"""Tenants as billing meets them: signed up, on the payment page, subscribed. Made with the product's own verbs, and
those of `clocks` live by a test clock that begins at `BEGUN`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from chalicelib.billing import find_plan, open_checkout
from chalicelib.billing.process import follow_checkout
from chalicelib.tenancy import TenantRecord, find_tenant
from tests.billing.payments import Payments
from tests.billing.subscribers import registered

BEGUN = datetime(2026, 1, 1, 12, tzinfo=UTC)


def pending(plan: str = "growth", **members: Any) -> TenantRecord:
    """A tenant that has signed up and paid nothing."""
    return registered(**{"plan": plan, "locale": "zh_CN", "created_at": BEGUN, **members})


def subscribe(payments: Payments, record: TenantRecord, *, interval: str = "month", seats: int = 0) -> TenantRecord:
    """The tenant once it has paid on its page, or begun its trial there, and Stripe's event was processed."""
    page = open_checkout(find_tenant(record.pk), find_plan(record.plan), interval=interval, seats=seats)
    payments.pay(page.url)
    follow_checkout(page.session_id)
    return find_tenant(record.pk)


def subscriber(payments: Payments, plan: str = "growth", *, interval: str = "month", seats: int = 0) -> TenantRecord:
    """A tenant that has subscribed; `enterprise` is the plan without a trial."""
    return subscribe(payments, pending(plan), interval=interval, seats=seats)
