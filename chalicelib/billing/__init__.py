"""Billing: the plans on sale, Stripe Checkout, and Stripe's events applied by fetching the truth."""

from chalicelib.billing.checkout import CheckoutPage, Locale, open_checkout
from chalicelib.billing.plans import find_plan

__all__ = ["CheckoutPage", "Locale", "find_plan", "open_checkout"]
