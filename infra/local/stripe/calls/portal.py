"""Calls about the customer portal."""

from __future__ import annotations

from .. import portal
from ..forms import Reader, array, boolean, choice, fields, metadata, optional_text, text, web_address
from .table import PAGE, equal, listed, retrieve, route

_PATH = "billing_portal/configurations"
_ON_OR_OFF = fields({"enabled": boolean}, ("enabled",))
_FEATURES = fields(
    {
        "customer_update": fields(
            {
                "allowed_updates": array(choice("address", "email", "name", "phone", "shipping", "tax_id")),
                "enabled": boolean,
            }
        ),
        "invoice_history": _ON_OR_OFF,
        "payment_method_update": _ON_OR_OFF,
        "subscription_cancel": fields(
            {
                "enabled": boolean,
                "mode": choice("at_period_end", "immediately"),
                "proration_behavior": choice("create_prorations", "none"),
            }
        ),
        "subscription_update": fields(
            {
                "default_allowed_updates": array(choice("price", "promotion_code", "quantity")),
                "enabled": boolean,
                "proration_behavior": choice("always_invoice", "create_prorations", "none"),
            }
        ),
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
