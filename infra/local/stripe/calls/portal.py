"""Calls about the customer portal."""

from __future__ import annotations

from typing import Any

from .. import portal
from ..errors import StripeError
from ..forms import Reader, array, boolean, choice, fields, metadata, optional_text, text, web_address
from .table import PAGE, equal, listed, retrieve, route

_PATH = "billing_portal/configurations"


def _off(raw: Any, name: str) -> bool:
    """False: the page here has no way to change a subscription."""
    if boolean(raw, name):
        raise StripeError("The local portal cannot change subscriptions.", param=name)
    return False


_ON_OR_OFF = fields({"enabled": boolean}, ("enabled",))
_FEATURES = fields(
    {
        "customer_update": fields(
            {
                "allowed_updates": array(choice("address", "name", "tax_id")),
                "enabled": boolean,
            }
        ),
        "invoice_history": _ON_OR_OFF,
        "payment_method_update": _ON_OR_OFF,
        "subscription_cancel": fields({"enabled": boolean, "mode": choice("at_period_end")}),
        "subscription_update": fields({"enabled": _off}, ("enabled",)),
    }
)
_CONFIGURATION: dict[str, Reader] = {
    "business_profile": fields(
        {"headline": optional_text, "privacy_policy_url": web_address, "terms_of_service_url": web_address}
    ),
    "default_return_url": web_address,
    "features": _FEATURES,
    "metadata": metadata,
    "name": optional_text,
}

ROUTES = [
    route(
        "POST",
        _PATH,
        _CONFIGURATION,
        lambda call: portal.create_configuration(call.state, call.params),
        ("features",),
    ),
    route(
        "GET",
        _PATH,
        {**PAGE, "active": boolean, "is_default": boolean},
        listed(portal.CONFIGURATION, equal("active", "is_default")),
    ),
    route("GET", f"{_PATH}/{{id}}", {}, retrieve(portal.CONFIGURATION)),
    route(
        "POST",
        f"{_PATH}/{{id}}",
        {**_CONFIGURATION, "active": boolean},
        lambda call: portal.update_configuration(call.state, call.id, call.params),
    ),
    route(
        "POST",
        "billing_portal/sessions",
        {"configuration": text, "customer": text, "locale": text, "return_url": web_address},
        lambda call: portal.create_session(call.state, call.params, call.base_url),
        ("customer",),
    ),
]
