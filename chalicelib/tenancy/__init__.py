"""Tenants: the registry of who they are, what is provisioned for them, and the narrowed credentials to work for one."""

from chalicelib.tenancy.credentials import open_tenant
from chalicelib.tenancy.provisioning import begin_provisioning, steps
from chalicelib.tenancy.registry import ACTIVE, PENDING, TRIALING, TenantRecord, find_tenant, records

__all__ = [
    "ACTIVE",
    "PENDING",
    "TRIALING",
    "TenantRecord",
    "begin_provisioning",
    "find_tenant",
    "open_tenant",
    "records",
    "steps",
]
