"""A tenant's credentials: a role session that its session policy narrows to that tenant's own resources.

The functions' roles cannot touch a tenant's data. Whoever works for a tenant gets a session here; what the session
policy does not name is refused by IAM, whatever the code says.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Any, Literal

import boto3
import botocore.session
from botocore.loaders import Loader

from chalicelib.platform.aws import client
from chalicelib.platform.clock import utc_now
from chalicelib.platform.errors import Conflict, Erased
from chalicelib.platform.settings import Settings, settings
from chalicelib.platform.store import TenantStore
from chalicelib.platform.tenant import DATA_KEY, INDEX_KEY, Tenant
from chalicelib.tenancy.registry import TenantRecord, find_tenant
from chalicelib.tenancy.states import State

SESSION_SECONDS = 3600
RENEW_BEFORE = timedelta(minutes=15)
"""Longer than any function may run, so that no credentials expire under a worker."""

MAX_SESSION_POLICY = 2048
"""Characters that STS accepts in a session policy."""

TABLE_ACTIONS = (
    "BatchGetItem",
    "BatchWriteItem",
    "ConditionCheckItem",
    "DeleteItem",
    "GetItem",
    "PutItem",
    "Query",
    "UpdateItem",
)

MAX_OPEN = 64
"""Tenants that a container keeps open at a time; each takes about half a megabyte with its clients."""

Purpose = Literal["work", "export"]
"""What credentials are for: everyday work asks for items by their keys; only an export reads whole tables."""


class TenantErased(Erased):
    """The tenant's erasure has begun: nobody works for it any more."""


_open: OrderedDict[tuple[str, Purpose], Tenant] = OrderedDict()
_loader = Loader()
"""Reads botocore's descriptions of services once for all tenants' sessions, not once for each."""


def open_tenant(tenant_id: str, *, purpose: Purpose = "work") -> Tenant:
    """The tenant, ready to work for: kept while the container is warm, until some time before its credentials expire.

    Raises NotFound for an unknown tenant, TenantErased for one whose erasure has begun, and Conflict for one whose
    provisioning has not finished.
    """
    tenant = _open.get((tenant_id, purpose))
    if tenant is not None and tenant.store.expires_at and utc_now() < tenant.store.expires_at - RENEW_BEFORE:
        _open.move_to_end((tenant_id, purpose))
        return tenant
    record = find_tenant(tenant_id)
    if record.state == State.ERASED or record.erasure:
        raise TenantErased("the tenant was erased")
    if not record.ready:
        raise Conflict(f"the tenant is being set up (state {record.state})", state=record.state)
    tenant = _opened(record, purpose)
    _open[tenant_id, purpose] = tenant
    _open.move_to_end((tenant_id, purpose))
    while len(_open) > MAX_OPEN:
        _open.popitem(last=False)
    return tenant


def _opened(record: TenantRecord, purpose: Purpose) -> Tenant:
    assert record.key_arn and record.wrapped_data_key and record.wrapped_index_key
    answer = client("sts").assume_role(
        RoleArn=settings().tenant_role_arn,
        RoleSessionName=record.pk,
        DurationSeconds=SESSION_SECONDS,
        Policy=json.dumps(session_policy(settings(), record.pk, record.key_arn, purpose), separators=(",", ":")),
    )["Credentials"]
    core = botocore.session.get_session()
    core.register_component("data_loader", _loader)
    core.set_credentials(answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"])
    session = boto3.Session(botocore_session=core, region_name=settings().region)
    expires: datetime = answer["Expiration"]
    return Tenant(
        id=record.pk,
        name=record.name,
        key_arn=record.key_arn,
        wrapped_keys={DATA_KEY: record.wrapped_data_key, INDEX_KEY: record.wrapped_index_key},
        session=session,
        store=TenantStore(record.pk, core, settings().region, expires),
    )


def session_policy(where: Settings, tenant_id: str, key_arn: str, purpose: Purpose = "work") -> dict[str, Any]:
    """What one tenant's session may do: its tables, its prefix of the bucket and its key. Ids have a fixed length, so
    a prefix that ends in `-` or `/` can match no other tenant's."""
    actions = (*TABLE_ACTIONS, "Scan") if purpose == "export" else TABLE_ACTIONS
    bucket = f"arn:{where.partition}:s3:::{where.bucket}"
    tables = where.arn("dynamodb", f"table/{where.tenant_table(tenant_id, '*')}")
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": [f"dynamodb:{action}" for action in actions], "Resource": tables},
            {
                "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
                "Resource": f"{bucket}/{tenant_id}/*",
            },
            {
                "Effect": "Allow",
                "Action": "s3:ListBucket",
                "Resource": bucket,
                "Condition": {"StringLike": {"s3:prefix": f"{tenant_id}/*"}},
            },
            {"Effect": "Allow", "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": key_arn},
        ],
    }
