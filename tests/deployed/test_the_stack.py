"""`up` and `down` of the local stack: what runs is kept, what is ended is exactly what was begun."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from infra.demo.scenario import Institution
from infra.local import processes
from infra.local import stack as local
from infra.local.stack import Stack


@pytest.mark.deployed
def test_a_second_up_deploys_nothing_and_keeps_processes_and_tenants(stack: Stack, bank: Institution, unedited: None):
    kept = ("ministack", "stripe")
    before = {name: processes.recall(stack.folder, name) for name in kept}
    address = json.loads((stack.folder / "outputs.json").read_text())["RestAPIId"]
    said: list[str] = []

    local.up(stack, said.append)

    assert {name: processes.recall(stack.folder, name) for name in kept} == before
    assert "the stack is as it should be" in said
    assert not [line for line in said if line.startswith(("starting", "creating", "uploading"))]
    assert json.loads((stack.folder / "outputs.json").read_text())["RestAPIId"] == address
    assert bank.api.get("/v1/tenant")["id"] == bank.tenant_id


def _idle(folder: Path) -> subprocess.Popen[bytes]:
    """A process with a child, in a group of its own, that does nothing."""
    nap = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'], stdin=sys.stdin)"
    reading, _ = os.pipe()
    return subprocess.Popen([sys.executable, "-c", nap], stdin=reading, cwd=folder, start_new_session=True)


def _stack(folder: Path) -> Stack:
    return local.temporary_stack(folder / "stack")


def test_down_ends_what_was_begun_and_nothing_else(tmp_path: Path):
    stack, said = _stack(tmp_path), list[str]()
    begun, stranger = {name: _idle(tmp_path) for name in local.NAMES}, _idle(tmp_path)
    for name, process in begun.items():
        processes.remember(stack.folder, name, process.pid)

    local.down(stack, said.append)

    assert [process.wait(10) for process in begun.values()]
    assert said == [f"ended {name}" for name in local.NAMES]
    assert stranger.poll() is None
    processes.end_group(stranger.pid)


def test_down_leaves_a_process_that_only_has_the_number_of_one_of_ours(tmp_path: Path):
    stack, said, stranger = _stack(tmp_path), list[str](), _idle(tmp_path)
    processes.remember(stack.folder, "stripe", stranger.pid)
    note = stack.folder / "stripe.pid"
    note.write_text(f"{stranger.pid} begun at another time")

    local.down(stack, said.append)

    assert (said, stranger.poll()) == ([], None)
    processes.end_group(stranger.pid)


def test_down_twice_is_harmless(tmp_path: Path):
    stack, said = _stack(tmp_path), list[str]()

    local.down(stack, said.append)
    local.down(stack, said.append)

    assert not said


@pytest.mark.parametrize(
    ("taken", "command"),
    [
        ("front_door", "DUEBRIDGE_PORT=12345 make up"),
        ("aws", "DUEBRIDGE_AWS_PORT=12345 make up"),
        ("stripe", "DUEBRIDGE_STRIPE_PORT=12345 make up"),
    ],
)
def test_a_port_that_is_taken_is_named_with_the_command_that_helps(taken: str, command: str, tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        free = {name: processes.free_port() for name in ("front_door", "aws", "stripe")}
        stack = Stack(tmp_path / "stack", **(free | {taken: port}))

        with pytest.raises(local.PortTaken) as refusal:
            local.up(stack, lambda _: None)

    assert f"port {port} is taken" in str(refusal.value)
    assert command in str(refusal.value)
    assert not (tmp_path / "stack").exists()
