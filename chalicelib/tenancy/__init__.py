"""Tenants: the registry of who they are, what is provisioned for them, how they move through their states, and the
narrowed credentials to work for one."""

from chalicelib.tenancy.access import Access, NotInThisState, access, forget_access, may, require
from chalicelib.tenancy.credentials import TenantErased, open_tenant
from chalicelib.tenancy.lifecycle import (
    SecondSubscription,
    Standing,
    close,
    follow_moves,
    is_due_for_erasure,
    settle,
    step_by_time,
)
from chalicelib.tenancy.notices import announce, tell_trial_ending
from chalicelib.tenancy.provisioning import begin_provisioning, keys_tagged, steps
from chalicelib.tenancy.registry import (
    ACTIVE,
    PENDING,
    TRIALING,
    TenantRecord,
    find_tenant,
    pending_members,
    records,
    terms_of,
)
from chalicelib.tenancy.states import Cause, State, Status, allows
from chalicelib.tenancy.terms import Delays, Entitlements, Terms

__all__ = [
    "ACTIVE",
    "PENDING",
    "TRIALING",
    "Access",
    "Cause",
    "Delays",
    "Entitlements",
    "NotInThisState",
    "SecondSubscription",
    "Standing",
    "State",
    "Status",
    "TenantErased",
    "TenantRecord",
    "Terms",
    "access",
    "allows",
    "announce",
    "begin_provisioning",
    "close",
    "find_tenant",
    "follow_moves",
    "forget_access",
    "is_due_for_erasure",
    "keys_tagged",
    "may",
    "open_tenant",
    "pending_members",
    "records",
    "require",
    "settle",
    "step_by_time",
    "steps",
    "tell_trial_ending",
    "terms_of",
]
