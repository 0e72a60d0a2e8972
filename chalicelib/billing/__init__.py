"""Billing: the plans on sale, Stripe Checkout, and Stripe's events applied by fetching the truth."""

from chalicelib.billing.checkout import CheckoutPage, open_checkout
from chalicelib.billing.clock import billing_now
from chalicelib.billing.customers import Locale
from chalicelib.billing.plans import Interval, find_plan, plans

__all__ = ["CheckoutPage", "Interval", "Locale", "billing_now", "find_plan", "open_checkout", "plans"]
