"""A tenant as code works for it: its store, its objects, its vault, all with credentials that reach nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO

import boto3

from chalicelib.platform.aws import client_of
from chalicelib.platform.sealing import Vault
from chalicelib.platform.settings import settings
from chalicelib.platform.store import M, TenantStore

DATA_KEY, INDEX_KEY = "data", "index"


@dataclass(frozen=True)
class Tenant:
    """What every verb takes first. Made only by `tenancy.open_tenant`, which narrows the credentials.

    `wrapped_keys` are the tenant's data keys as KMS wrapped them (`data` seals, `index` searches).
    """

    id: str
    name: str
    key_arn: str
    wrapped_keys: dict[str, bytes]
    session: boto3.Session
    store: TenantStore

    def bind(self, model: type[M]) -> type[M]:
        """The model bound to this tenant's table and credentials."""
        return self.store.bind(model)

    @cached_property
    def s3(self) -> Any:
        """An S3 client that reaches this tenant's prefix only."""
        return client_of(self.session, "s3")

    @property
    def bucket(self) -> str:
        """The bucket that holds the tenant's prefix."""
        return settings().bucket

    def object_key(self, *parts: str) -> str:
        """The key of one of the tenant's objects, under its own prefix."""
        return "/".join((self.id, *parts))

    def write_object(self, key: str, content: bytes | BinaryIO) -> None:
        """Writes an object (at most 5 GB) under the tenant's own KMS key, over what is there."""
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=content, **self.encryption)

    def read_object(self, key: str) -> bytes:
        """An object's content, whole."""
        return self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    @property
    def encryption(self) -> dict[str, str]:
        """How the tenant's objects are written: under its own KMS key."""
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.key_arn}

    @cached_property
    def vault(self) -> Vault:
        """Seals and opens personal data; the data keys are unwrapped once and kept in memory with this object."""
        kms = client_of(self.session, "kms")
        keys = {
            purpose: kms.decrypt(
                CiphertextBlob=wrapped, KeyId=self.key_arn, EncryptionContext=encryption_context(self.id, purpose)
            )["Plaintext"]
            for purpose, wrapped in self.wrapped_keys.items()
        }
        return Vault(self.id, keys[DATA_KEY], keys[INDEX_KEY])


def encryption_context(tenant_id: str, purpose: str) -> dict[str, str]:
    """What KMS binds a wrapped data key to: it unwraps for this tenant and purpose only."""
    return {"tenant": tenant_id, "purpose": purpose}
