"""The local stack as one thing: `up` begins what is missing and deploys, `down` ends exactly what `up` began.

python -m infra.local.stack up | down | status
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3

from infra import deploy
from infra.local import ministack, processes
from infra.paths import LOCAL

Say = Callable[[str], None]

STAGE = "local"
MAIL_SENDER = "no-reply@duebridge.example"
NAMES = ("front-door", "stripe", "ministack")
"""The processes, in the order in which they are ended."""


@dataclass(frozen=True)
class Stack:
    """Where a stack keeps what it writes, and the ports its three processes listen on."""

    folder: Path
    front_door: int
    aws: int
    stripe: int

    @property
    def url(self) -> str:
        """Where people and machines reach it."""
        return f"http://localhost:{self.front_door}"

    @property
    def aws_url(self) -> str:
        return f"http://127.0.0.1:{self.aws}"

    @property
    def stripe_url(self) -> str:
        return f"http://127.0.0.1:{self.stripe}"

    @property
    def environment(self) -> dict[str, str]:
        """What an AWS client needs in its environment to reach the stack's AWS as its root."""
        return {
            **ministack.ROOT_CREDENTIALS,
            "AWS_ENDPOINT_URL": self.aws_url,
            "AWS_REGION": ministack.REGION,
            "AWS_DEFAULT_REGION": ministack.REGION,
        }

    @property
    def ports(self) -> dict[str, int]:
        return {"front-door": self.front_door, "stripe": self.stripe, "ministack": self.aws}


class PortTaken(Exception):
    """Something else listens where the stack wants to."""


def default_stack() -> Stack:
    """The stack that `make up` begins; each port can be moved by an environment variable."""
    return Stack(
        folder=LOCAL / "stack",
        front_door=int(os.environ.get("DUEBRIDGE_PORT", "8000")),
        aws=int(os.environ.get("DUEBRIDGE_AWS_PORT", "4566")),
        stripe=int(os.environ.get("DUEBRIDGE_STRIPE_PORT", "8420")),
    )


def temporary_stack(folder: Path) -> Stack:
    """A stack of its own on free ports, for tests that must not meet anybody else's."""
    return Stack(folder, processes.free_port(), processes.free_port(), processes.free_port())


def up(stack: Stack, say: Say = print) -> None:
    """Begins what does not run, deploys the working tree, and leaves everything answering.

    What runs already is kept. When MiniStack or the Stripe stand-in was lost, what the others remember of it is
    worthless, so all begin anew. Raises PortTaken or processes.NotStarted with what to do.
    """
    began = time.monotonic()
    if not (_runs(stack, "ministack") and _runs(stack, "stripe")):
        down(stack, say)
        shutil.rmtree(stack.folder, ignore_errors=True)
    _check_ports(stack)
    stack.folder.mkdir(parents=True, exist_ok=True)
    (stack.folder / "ports.json").write_text(json.dumps(stack.ports))
    if not _runs(stack, "ministack"):
        say("starting MiniStack (AWS on this machine, IAM enforced)")
        processes.remember(stack.folder, "ministack", ministack.start(stack.aws, folder=stack.folder))
    keys = _stripe_keys(stack)
    if not _runs(stack, "stripe"):
        say("starting the Stripe stand-in")
        _start_stripe(stack, keys)
    with environment(stack):
        _verify_sender()
        outputs = deploy.deploy(_deployment(stack), say)
        deploy.put_stripe_secret(STAGE, keys["api_key"], keys["webhook_secret"])
    _sync_plans(stack, keys, say)
    processes.end(stack.folder, "front-door")  # the API may have a new address
    _start_front_door(stack, outputs["RestAPIId"])
    (stack.folder / "outputs.json").write_text(json.dumps(outputs, indent=2))
    say(f"ready at {stack.url} after {time.monotonic() - began:.0f} s")


def down(stack: Stack, say: Say = print) -> None:
    """Ends the stack's processes; what they wrote for themselves goes too, logs stay until the next `up`."""
    for name in NAMES:
        if processes.end(stack.folder, name):
            say(f"ended {name}")
    shutil.rmtree(stack.folder / "tmp", ignore_errors=True)


@contextmanager
def environment(stack: Stack) -> Generator[None]:
    """Puts the stack's AWS into this process's environment for a while."""
    before = {name: os.environ.get(name) for name in stack.environment}
    os.environ.update(stack.environment)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _verify_sender() -> None:
    """On AWS somebody proves that the sender's address is ours; here it is enough to say so."""
    mail = boto3.client("sesv2")
    try:
        mail.create_email_identity(EmailIdentity=MAIL_SENDER)
    except mail.exceptions.AlreadyExistsException:
        return


def _deployment(stack: Stack) -> deploy.Deployment:
    return deploy.Deployment(
        STAGE,
        stack.url,
        stack.stripe_url,
        loopback_endpoints=True,
        stripe_test_clocks=True,
        mail_sender=MAIL_SENDER,
        user_pool_keys=stack.aws_url,
        concurrency_per_queue=2,
    )


def _runs(stack: Stack, name: str) -> bool:
    return processes.recall(stack.folder, name) is not None and processes.is_taken(stack.ports[name])


def _check_ports(stack: Stack) -> None:
    variables = {"front-door": "DUEBRIDGE_PORT", "stripe": "DUEBRIDGE_STRIPE_PORT", "ministack": "DUEBRIDGE_AWS_PORT"}
    for name, port in stack.ports.items():
        if processes.is_taken(port) and processes.recall(stack.folder, name) is None:
            raise PortTaken(
                f"port {port} is taken by another program, and {name} needs it; "
                f"end that program, or choose another port: {variables[name]}=12345 make up"
            )


def _as_begun(stack: Stack) -> Stack:
    """The stack with the ports that it was begun with, whatever the environment says now."""
    note = stack.folder / "ports.json"
    if not note.exists():
        return stack
    ports: dict[str, int] = json.loads(note.read_text())
    return Stack(stack.folder, ports["front-door"], ports["ministack"], ports["stripe"])


def _stripe_keys(stack: Stack) -> dict[str, str]:
    """The keys of this stack's Stripe, made once. They open nothing but the stand-in."""
    note = stack.folder / "stripe-keys.json"
    if not note.exists():
        keys = {
            "api_key": f"sk_test_{secrets.token_hex(16)}",
            "webhook_secret": f"whsec_{secrets.token_hex(16)}",
        }
        note.touch(mode=0o600)
        note.write_text(json.dumps(keys))
    return json.loads(note.read_text())


def _start_stripe(stack: Stack, keys: dict[str, str]) -> None:
    log = stack.folder / "stripe.log"
    command = [sys.executable, "-m", "infra.local.stripe", "--port", str(stack.stripe)]
    command += ["--secret-key", keys["api_key"], "--webhook-secret", keys["webhook_secret"]]
    command += [
        "--webhook-url",
        f"{stack.url}/v1/billing/stripe/webhook",
        "--state",
        str(stack.folder / "stripe.jsonl"),
    ]
    process = processes.spawn(command, log=log, env={})
    processes.remember(stack.folder, "stripe", process.pid)
    processes.wait_until(lambda: processes.is_taken(stack.stripe), "the Stripe stand-in", log)


def _sync_plans(stack: Stack, keys: dict[str, str], say: Say) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "infra.stripe_sync", "--api-base", stack.stripe_url],
        env={**os.environ, "STRIPE_API_KEY": keys["api_key"]},
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode != 0:
        raise processes.NotStarted(f"the plans could not be carried to Stripe:\n{finished.stdout}{finished.stderr}")
    say(f"plans at Stripe: {(finished.stdout.strip().splitlines() or ['nothing to do'])[-1]}")


def _start_front_door(stack: Stack, api_id: str) -> None:
    log = stack.folder / "front-door.log"
    target = f"{stack.aws_url}/_aws/execute-api/{api_id}/api"
    command = [sys.executable, "-m", "infra.local.front_door", "--port", str(stack.front_door), "--target", target]
    process = processes.spawn(command, log=log, env={})
    processes.remember(stack.folder, "front-door", process.pid)
    processes.wait_until(lambda: processes.is_taken(stack.front_door), "the front door", log)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.stack", description="The local stack.")
    parser.add_argument("do", choices=["up", "down", "status"])
    do = parser.parse_args().do
    stack = default_stack()
    if do != "up":
        stack = _as_begun(stack)
    try:
        if do == "up":
            up(stack)
        elif do == "down":
            down(stack)
    except (PortTaken, processes.NotStarted, deploy.DeploymentFailed) as error:
        print(f"make {do}: {error}", file=sys.stderr)
        return 1
    running = {name: _runs(stack, name) for name in NAMES}
    for name, runs in running.items():
        print(f"{name:<11} port {stack.ports[name]:<6} {'runs' if runs else 'does not run'}")
    return 1 if do == "status" and not all(running.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
