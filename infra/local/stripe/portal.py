"""The customer portal: what it offers is a configuration, a session is one visit's address."""

from __future__ import annotations

from .errors import StripeError
from .forms import merge_metadata
from .shapes import Object, new_object
from .state import State

CONFIGURATION = "billing_portal.configuration"

_OFF: Object = {
    "customer_update": {"allowed_updates": [], "enabled": False},
    "invoice_history": {"enabled": False},
    "payment_method_update": {"enabled": False, "payment_method_configuration": None},
    "subscription_cancel": {
        "cancellation_reason": {"enabled": False, "options": []},
        "enabled": False,
        "mode": "at_period_end",
        "proration_behavior": "none",
    },
    "subscription_update": {
        "billing_cycle_anchor": None,
        "default_allowed_updates": [],
        "enabled": False,
        "proration_behavior": "none",
        "schedule_at_period_end": {"conditions": []},
        "trial_update_behavior": "end_trial",
    },
}
"""Every feature as it is when nobody asked for it."""


def create_configuration(state: State, params: Object) -> Object:
    """A configuration beside the account's default one."""
    made = new_object(
        CONFIGURATION,
        created=state.now,
        default_return_url=params.get("default_return_url"),
        features=_merged(_OFF, params["features"]),
        metadata=merge_metadata({}, params.get("metadata", {})),
        name=params.get("name"),
        updated=state.now,
    )
    made["business_profile"].update(params.get("business_profile", {}))
    return state.add(made, "billing_portal.configuration.created")


def update_configuration(state: State, identifier: str, params: Object) -> Object:
    """Change what ``params`` names."""
    held = state.find(CONFIGURATION, identifier)
    if held["is_default"] and params.get("active") is False:
        raise StripeError("The default configuration cannot be deactivated.", param="active")
    with state.changing(held, "billing_portal.configuration.updated"):
        held["business_profile"].update(params.get("business_profile", {}))
        held["features"] = _merged(held["features"], params.get("features", {}))
        held["metadata"] = merge_metadata(held["metadata"], params.get("metadata", {}))
        held.update({name: params[name] for name in ("active", "default_return_url", "name") if name in params})
        held["updated"] = state.now
    return held


def create_session(state: State, params: Object, base_url: str) -> Object:
    """An address of the customer's own page, by the configuration named or the account's default."""
    customer = state.find("customer", params["customer"], "customer")
    if "configuration" in params:
        configuration = state.find(CONFIGURATION, params["configuration"], "configuration")
        if not configuration["active"]:
            raise StripeError("The configuration is inactive.", param="configuration")
    else:
        configuration = _default_configuration(state)
    made = new_object(
        "billing_portal.session",
        configuration=configuration["id"],
        created=state.now,
        customer=customer["id"],
        locale=params.get("locale"),
        return_url=params.get("return_url") or configuration["default_return_url"],
    )
    made["url"] = f"{base_url}/portal/{made['id']}"
    return state.add(made)


def features_of(state: State, session: Object) -> Object:
    """What a session's page offers, by its configuration as it is now."""
    return state.find(CONFIGURATION, session["configuration"])["features"]


def _default_configuration(state: State) -> Object:
    """The account's own: cards, invoices and cancellation at the end of the period."""
    held = next((each for each in state.all(CONFIGURATION) if each["is_default"]), None)
    if held is not None:
        return held
    offered = ("invoice_history", "payment_method_update", "subscription_cancel")
    features = _merged(_OFF, {name: {"enabled": True} for name in offered})
    return state.add(
        new_object(CONFIGURATION, created=state.now, features=features, is_default=True, updated=state.now)
    )


def _merged(held: Object, update: Object) -> Object:
    """``held`` with the members of ``update``, hash by hash."""
    merged = dict(held)
    for name, value in update.items():
        merged[name] = _merged(held[name], value) if isinstance(held.get(name), dict) else value
    return merged
