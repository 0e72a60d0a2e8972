"""Deploys a cell by CloudFormation: to AWS, or to whatever AWS_ENDPOINT_URL names. There is no other path.

    python -m infra.deploy --stage prod --public-url https://api.example.com --mail-sender no-reply@example.com

Credentials and region come from the usual AWS environment. What was uploaded before is not uploaded again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from infra import emulator, package

CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Deployment:
    """Which cell, and what its template is told."""

    stage: str
    public_url: str
    stripe_api_base: str = ""
    loopback_endpoints: bool = False
    stripe_test_clocks: bool = False
    mail_sender: str = ""
    issuers: str = "[]"
    user_pool_keys: str = ""
    concurrency_per_queue: int = 50

    @property
    def stack_name(self) -> str:
        return f"duebridge-{self.stage}"

    @property
    def parameters(self) -> dict[str, str]:
        """The template's parameters."""
        return {
            "Stage": self.stage,
            "PublicUrl": self.public_url,
            "StripeApiBase": self.stripe_api_base,
            "LoopbackEndpoints": "true" if self.loopback_endpoints else "false",
            "StripeTestClocks": "true" if self.stripe_test_clocks else "false",
            "MailSender": self.mail_sender,
            "Issuers": self.issuers,
            "UserPoolKeys": self.user_pool_keys,
        }


class DeploymentFailed(Exception):
    """CloudFormation gave up; the text has its reasons."""


def deploy(what: Deployment, say: Say = print) -> dict[str, str]:
    """Packages, uploads, and creates or updates the stack; returns its outputs. Raises DeploymentFailed."""
    built = package.build()
    bucket = _artifact_bucket(what.stage)
    template = _with_uploads(built, bucket, say)
    _limit_concurrency(template, what.concurrency_per_queue)
    if emulator.is_emulator(_cloudformation().meta.endpoint_url):
        template = emulator.adapted(template)
    _apply(what, template, bucket, say)
    stack = _cloudformation().describe_stacks(StackName=what.stack_name)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def put_stripe_secret(stage: str, api_key: str, webhook_secret: str) -> None:
    """Puts Stripe's key and webhook secret where the functions read them."""
    boto3.client("secretsmanager").put_secret_value(
        SecretId=f"duebridge-{stage}/stripe",
        SecretString=json.dumps({"api_key": api_key, "webhook_secret": webhook_secret}),
    )


def _cloudformation() -> Any:
    # The emulator answers nothing while it clears away the workers of replaced functions.
    return boto3.client("cloudformation", config=Config(read_timeout=300))


def _artifact_bucket(stage: str) -> str:
    account = boto3.client("sts").get_caller_identity()["Account"]
    s3 = boto3.client("s3")
    name = f"duebridge-{stage}-artifacts-{account}"
    try:
        # The name can be guessed: a bucket that somebody else made under it is refused here.
        s3.head_bucket(Bucket=name, ExpectedBucketOwner=account)
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"404", "NoSuchBucket"}:
            raise
        where = s3.meta.region_name
        place = {} if where == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": where}}
        s3.create_bucket(Bucket=name, **place)
        s3.put_public_access_block(
            Bucket=name,
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": True,
                "IgnorePublicAcls": True,
                "BlockPublicPolicy": True,
                "RestrictPublicBuckets": True,
            },
        )
    return name


def _with_uploads(built: package.Package, bucket: str, say: Say) -> dict[str, Any]:
    """The template with the uploaded objects in the place of local file names."""
    code, layer = _uploaded(built.code, bucket, say), _uploaded(built.layer, bucket, say)
    template: dict[str, Any] = json.loads(json.dumps(built.template))
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = code
        elif resource["Type"] == "AWS::Serverless::LayerVersion":
            resource["Properties"]["ContentUri"] = layer
    return template


def _limit_concurrency(template: dict[str, Any], workers: int) -> None:
    """Writes into the template how many workers a queue may have; see `infra.emulator` on why it is no parameter."""
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Lambda::EventSourceMapping" and "ScalingConfig" in resource["Properties"]:
            resource["Properties"]["ScalingConfig"]["MaximumConcurrency"] = workers


def _uploaded(file: Path, bucket: str, say: Say) -> str:
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    key = f"{digest}{file.suffix}"
    s3 = boto3.client("s3")
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError:
        say(f"uploading {file.name}, {file.stat().st_size / 2**20:.1f} MB")
        s3.upload_file(str(file), bucket, key)
    return f"s3://{bucket}/{key}"


def _apply(what: Deployment, template: dict[str, Any], bucket: str, say: Say) -> None:
    cloudformation = _cloudformation()
    body = json.dumps(template, separators=(",", ":"))
    key = f"template-{hashlib.sha256(body.encode()).hexdigest()}.json"
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=body.encode())
    url = boto3.client("s3").generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})
    arguments: dict[str, Any] = {
        "StackName": what.stack_name,
        # A body over 51,200 bytes must come from S3; smaller ones go straight.
        **({"TemplateBody": body} if len(body) <= 51_200 else {"TemplateURL": url.split("?")[0]}),
        "Parameters": [{"ParameterKey": k, "ParameterValue": v} for k, v in what.parameters.items()],
        "Capabilities": CAPABILITIES,
    }
    status = _status(what.stack_name)
    if status == "ROLLBACK_COMPLETE":
        say("the stack's first creation had failed; it begins anew")
        cloudformation.delete_stack(StackName=what.stack_name)
        cloudformation.get_waiter("stack_delete_complete").wait(StackName=what.stack_name)
        status = None
    try:
        if status is None:
            say("creating the stack")
            cloudformation.create_stack(**arguments)
        else:
            say("updating the stack")
            cloudformation.update_stack(**arguments)
    except ClientError as error:
        if "No updates are to be performed" in str(error):
            say("the stack is as it should be")
            return
        raise
    _wait(what.stack_name, say)


def _wait(stack_name: str, say: Say) -> None:
    shown = ""
    while True:
        status = _status(stack_name) or "DELETE_COMPLETE"
        if status != shown:
            say(f"stack {status}")
            shown = status
        if not status.endswith("_IN_PROGRESS"):
            break
        time.sleep(0.5)
    if status not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
        events = _cloudformation().describe_stack_events(StackName=stack_name)["StackEvents"]
        reasons = [
            f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}"
            for event in events
            if event["ResourceStatus"].endswith("_FAILED")
        ]
        raise DeploymentFailed(f"{stack_name} is {status}\n" + "\n".join(reasons[:20]))


def _status(stack_name: str) -> str | None:
    try:
        return _cloudformation().describe_stacks(StackName=stack_name)["Stacks"][0]["StackStatus"]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m infra.deploy", description="Deploys a cell of Duebridge.")
    parser.add_argument("--stage", required=True, help="which deployment: lower-case letters and digits, 16 at most")
    parser.add_argument("--public-url", required=True, help="where people and machines reach the service")
    parser.add_argument("--stripe-api-base", default="", help="another address for Stripe's API")
    parser.add_argument("--mail-sender", required=True, help="the address that mail comes from, verified in SES")
    parser.add_argument("--issuers", default="[]", help="where there is no user pool: who signs people in, as JSON")
    parser.add_argument(
        "--stripe-test-clocks", action="store_true", help="each customer on a test clock of its own (Stripe test mode)"
    )
    parser.add_argument("--concurrency-per-queue", type=int, default=50, help="workers that one queue may have")
    given = parser.parse_args()
    outputs = deploy(
        Deployment(
            given.stage,
            given.public_url.rstrip("/"),
            given.stripe_api_base,
            stripe_test_clocks=given.stripe_test_clocks,
            mail_sender=given.mail_sender,
            issuers=given.issuers,
            concurrency_per_queue=given.concurrency_per_queue,
        )
    )
    if key := os.environ.get("STRIPE_API_KEY"):
        put_stripe_secret(given.stage, key, os.environ["STRIPE_WEBHOOK_SECRET"])
    for name, value in outputs.items():
        print(f"{name} = {value}")


if __name__ == "__main__":
    main()
