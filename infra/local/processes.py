"""Starting and ending the local stack's processes, so that `make down` ends exactly what `make up` started."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from infra.paths import ROOT


class NotStarted(Exception):
    """A process did not come up; the text says what and where to look."""


def free_port() -> int:
    """A TCP port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_taken(port: int) -> bool:
    """Whether something listens on a port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def spawn(command: Sequence[str], *, log: Path, env: Mapping[str, str], folder: Path = ROOT) -> subprocess.Popen[bytes]:
    """Starts a process in a folder and in a group of its own, so that it and its children can be ended together."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        return subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def wait_until(ready: Callable[[], bool], what: str, log: Path, *, seconds: float = 60) -> None:
    """Waits for a process to answer. Raises NotStarted with the end of its log."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-1500:] if log.exists() else ""
            raise NotStarted(f"{what} did not answer within {seconds:.0f} s; its log ends:\n{tail}")
        time.sleep(0.1)


def remember(folder: Path, name: str, pid: int) -> None:
    """Notes a started process under a name, with its start time, since a pid alone may be used again."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.pid").write_text(f"{pid} {_started(pid)}")


def recall(folder: Path, name: str) -> int | None:
    """The pid of the process started under that name, if it is still that process."""
    note = folder / f"{name}.pid"
    if not note.exists():
        return None
    pid, _, started = note.read_text().partition(" ")
    return int(pid) if started and _started(int(pid)) == started else None


def end(folder: Path, name: str) -> bool:
    """Ends the process started under that name, and its children; False when it was not running."""
    pid = recall(folder, name)
    (folder / f"{name}.pid").unlink(missing_ok=True)
    if pid is None:
        return False
    end_group(pid)
    return True


def end_group(pid: int, *, patience: float = 10) -> None:
    """Asks a process group to end, and after `patience` seconds makes it."""
    for sign, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(pid, sign)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(ChildProcessError):  # not our child when another `make` started it
                os.waitpid(pid, os.WNOHANG)
            try:
                os.killpg(pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.05)


def _started(pid: int) -> str:
    """When a process started, as the kernel or `ps` tells it; empty when there is none."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self").exists():
        # The 22nd field, counted after the name in parentheses, is the start time in ticks since boot.
        return stat.read_text().rpartition(")")[2].split()[19] if stat.exists() else ""
    answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return answer.stdout.strip()
