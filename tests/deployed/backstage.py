"""What the operator of a stack can see and do behind the API: its tables, its functions' roles, its secrets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import boto3

from infra.local.ministack import REGION, ROOT_CREDENTIALS
from infra.local.stack import STAGE, Stack
from infra.paths import ROOT

PREFIX = f"duebridge-{STAGE}"


def root(stack: Stack) -> boto3.Session:
    """A session as the account's root, whatever the environment says."""
    return boto3.Session(
        aws_access_key_id=ROOT_CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=ROOT_CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        region_name=REGION,
    )


def client(stack: Stack, service: str, session: boto3.Session | None = None) -> Any:
    """A client of the stack's AWS, as root or with a session's credentials."""
    return (session or root(stack)).client(service, endpoint_url=stack.aws_url)


def items(stack: Stack, table: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Everything in a table, by its two keys, as DynamoDB writes it."""
    pages = client(stack, "dynamodb").get_paginator("scan").paginate(TableName=f"{PREFIX}-{table}")
    return {(item["pk"]["S"], item["sk"]["S"]): item for page in pages for item in page["Items"]}


def tenant_items(stack: Stack, tenant_id: str, kind: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Everything in one of a tenant's own tables."""
    return items(stack, f"t-{tenant_id}-{kind}")


def stored_events(stack: Stack, tenant_id: str) -> set[str]:
    """The ids of all events in a tenant's feed table, dispatched or not."""
    return {pk for pk, _ in tenant_items(stack, tenant_id, "feed") if pk.startswith("evt_")}


def role_session(stack: Stack, function: str) -> boto3.Session:
    """A session with a deployed function's own role."""
    role = client(stack, "lambda").get_function_configuration(FunctionName=function)["Role"]
    given = client(stack, "sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    return boto3.Session(
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
        region_name=REGION,
    )


def as_function(stack: Stack, function: str, *command: str) -> Any:
    """What a command of `as_function.py` answers in a process that has a deployed function's role and settings."""
    name = f"{PREFIX}-{function}"
    settings = client(stack, "lambda").get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    role = role_session(stack, name).get_credentials()
    assert role is not None
    finished = subprocess.run(
        [sys.executable, "-m", "tests.deployed.as_function", *command],
        cwd=ROOT,
        env={
            **os.environ,
            **stack.environment,
            **settings,
            "AWS_ACCESS_KEY_ID": role.access_key,
            "AWS_SECRET_ACCESS_KEY": role.secret_key,
            "AWS_SESSION_TOKEN": str(role.token),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)
