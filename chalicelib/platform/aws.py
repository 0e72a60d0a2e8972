"""AWS clients with the function's own role, one per service and container."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

from chalicelib.platform.settings import settings

_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 4},
    connect_timeout=3,
    read_timeout=15,
    s3={"addressing_style": "path"},
)
_CONFIGS = {
    # What boto3 still presigns with in us-east-1 is refused for objects under a KMS key.
    "s3": _CONFIG.merge(Config(signature_version="s3v4")),
}


@cache
def client(service: str) -> Any:
    """The boto3 client of a service, with the function's own credentials and region."""
    return boto3.client(service, region_name=settings().region, config=_CONFIGS.get(service, _CONFIG))


def client_of(session: boto3.Session, service: str) -> Any:
    """The client of a service with a session's credentials (a tenant's, where isolation is wanted)."""
    return session.client(service, config=_CONFIGS.get(service, _CONFIG))


@cache
def secret(name: str) -> dict[str, str]:
    """A secret's members from Secrets Manager, kept in memory while the container lives."""
    return json.loads(client("secretsmanager").get_secret_value(SecretId=name)["SecretString"])


@cache
def queue_url(queue: str) -> str:
    """The URL of one of this deployment's queues."""
    return client("sqs").get_queue_url(QueueName=settings().queue_name(queue))["QueueUrl"]


def send(queue: str, tenant_id: str, messages: list[dict[str, Any]], *, delay_seconds: int = 0) -> None:
    """Sends messages to one of the deployment's queues, ten a request, grouped by tenant so that queues stay fair.

    Raises Unsent when SQS refuses any of them; what it took stays sent, so the caller must be repeatable.
    """
    for start in range(0, len(messages), 10):
        entries: list[dict[str, Any]] = [
            {"Id": str(i), "MessageBody": json.dumps(message), "MessageGroupId": tenant_id}
            | ({"DelaySeconds": delay_seconds} if delay_seconds else {})
            for i, message in enumerate(messages[start : start + 10])
        ]
        answer = client("sqs").send_message_batch(QueueUrl=queue_url(queue), Entries=entries)
        if failed := answer.get("Failed"):
            raise Unsent(f"{len(failed)} of {len(entries)} messages to {queue}: {failed[0].get('Code')}")


class Unsent(Exception):
    """SQS did not take a message."""
