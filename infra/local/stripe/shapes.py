"""What Stripe's objects look like: every top-level field is always present, null where nothing is known.

Members whose name begins with an underscore are the server's own notes; ``public`` leaves them out.
"""

from __future__ import annotations

import copy
import json
import secrets
import string
from pathlib import Path
from typing import Any

Object = dict[str, Any]

API_VERSION = "2026-10-28.endive"
"""The version whose shapes are answered; the one that the pinned SDK speaks."""

PREFIXES = {
    "billing.meter": "mtr_test_",
    "billing_portal.configuration": "bpc_",
    "billing_portal.session": "bps_",
    "checkout.session": "cs_test_",
    "customer": "cus_",
    "entitlements.active_entitlement": "ent_test_",
    "entitlements.feature": "feat_test_",
    "event": "evt_",
    "invoice": "in_",
    "item": "li_",
    "line_item": "il_",
    "payment_method": "pm_",
    "price": "price_",
    "product": "prod_",
    "product_feature": "prodft_",
    "subscription": "sub_",
    "subscription_item": "si_",
    "test_helpers.test_clock": "clock_",
}

LABELS = {
    "billing.meter": "billing meter",
    "billing_portal.configuration": "billing portal configuration",
    "billing_portal.session": "billing portal session",
    "checkout.session": "checkout.session",
    "entitlements.feature": "feature",
    "test_helpers.test_clock": "test clock",
}
"""Stripe's words for a kind in an error message, where they differ from its name."""

_BASE: dict[str, Object] = json.loads((Path(__file__).parent / "objects.json").read_text(encoding="utf-8"))
_ALPHABET = string.ascii_letters + string.digits


def new_id(prefix: str) -> str:
    """A random identifier in Stripe's style."""
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(24))


def new_object(kind: str, **members: Any) -> Object:
    """An object of ``kind`` with all of its fields, an id, and ``members`` filled in.

    Raises KeyError for a member that Stripe's object does not have.
    """
    made = copy.deepcopy(_BASE[kind])
    if kind in PREFIXES:
        made["id"] = new_id(PREFIXES[kind])
    for name, value in members.items():
        if name not in made and not name.startswith("_"):
            raise KeyError(f"a {kind} has no field {name}")
        made[name] = value
    return made


def public(value: Any) -> Any:
    """A deep copy without the server's own notes."""
    if isinstance(value, dict):
        return {name: public(member) for name, member in value.items() if not name.startswith("_")}
    if isinstance(value, list):
        return [public(element) for element in value]
    return value


def object_list(data: list[Object], url: str, *, has_more: bool = False) -> Object:
    """Stripe's list object."""
    return {"object": "list", "data": data, "has_more": has_more, "url": url}
