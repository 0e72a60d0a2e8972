"""What the deployment tells the code, read once from the environment that the template sets.

Every name of a table, queue, bucket or role comes from here; nothing else in the code reads the environment.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache

QUEUES = ("tenant-lifecycle", "sync", "sync-chunks", "deliveries", "billing", "leaving")


@dataclass(frozen=True)
class Settings:
    """One deployment (a stage of a cell) as its functions see it.

    `stripe_api_base` is empty where the real Stripe is used; `loopback_endpoints` lets webhook endpoints be on this
    machine over plain HTTP, which the template allows only for a stack that itself runs on this machine.
    `stripe_test_clocks` puts each new customer on a Stripe test clock of its own, which Stripe has in test mode only.
    `issuers` is the JSON list of who may sign people in (see `identity.tokens`); `mail_sender` is the address that mail
    comes from.
    """

    stage: str
    region: str
    account: str
    partition: str
    bucket: str
    tenant_role_arn: str
    user_pool_id: str
    user_pool_client_id: str
    issuers: str
    mail_sender: str
    feed_dispatch_arn: str
    feed_dispatch_dead_arn: str
    certificate_key_arn: str
    stripe_secret_name: str
    api_key_secret_name: str
    stripe_api_base: str
    public_url: str
    loopback_endpoints: bool
    stripe_test_clocks: bool

    @property
    def prefix(self) -> str:
        """What the name of everything in this deployment starts with."""
        return f"duebridge-{self.stage}"

    def shared_table(self, name: str) -> str:
        """The name of a table that all tenants share and that holds no borrower data."""
        return f"{self.prefix}-{name}"

    def tenant_table(self, tenant_id: str, name: str) -> str:
        """The name of one of a tenant's own tables (`connector`, `cases`, `feed`, `ledger`)."""
        return f"{self.prefix}-t-{tenant_id}-{name}"

    def arn(self, service: str, resource: str) -> str:
        """An ARN in this deployment's partition, region and account."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def queue_name(self, queue: str) -> str:
        """The name of one of `QUEUES` in this deployment."""
        if queue not in QUEUES:
            raise KeyError(f"no queue {queue!r}; there are {', '.join(QUEUES)}")
        return f"{self.prefix}-{queue}"


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of the running function. Raises KeyError naming the variable that the template failed to set."""
    env = os.environ
    return Settings(
        stage=env["DUEBRIDGE_STAGE"],
        region=env["AWS_REGION"],
        account=env["DUEBRIDGE_ACCOUNT"],
        partition=env["DUEBRIDGE_PARTITION"],
        bucket=env["DUEBRIDGE_BUCKET"],
        tenant_role_arn=env["DUEBRIDGE_TENANT_ROLE_ARN"],
        user_pool_id=env.get("DUEBRIDGE_USER_POOL_ID", ""),
        user_pool_client_id=env.get("DUEBRIDGE_USER_POOL_CLIENT_ID", ""),
        issuers=env.get("DUEBRIDGE_ISSUERS", "[]"),
        mail_sender=env.get("DUEBRIDGE_MAIL_SENDER", ""),
        feed_dispatch_arn=env.get("DUEBRIDGE_FEED_DISPATCH_ARN", ""),
        feed_dispatch_dead_arn=env.get("DUEBRIDGE_FEED_DISPATCH_DEAD_ARN", ""),
        certificate_key_arn=env.get("DUEBRIDGE_CERTIFICATE_KEY_ARN", ""),
        stripe_secret_name=env["DUEBRIDGE_STRIPE_SECRET"],
        api_key_secret_name=env["DUEBRIDGE_API_KEY_SECRET"],
        stripe_api_base=env.get("DUEBRIDGE_STRIPE_API_BASE", ""),
        public_url=env["DUEBRIDGE_PUBLIC_URL"],
        loopback_endpoints=env.get("DUEBRIDGE_LOOPBACK_ENDPOINTS") == "true",
        stripe_test_clocks=env.get("DUEBRIDGE_STRIPE_TEST_CLOCKS") == "true",
    )
