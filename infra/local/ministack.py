"""MiniStack: AWS on this machine, with IAM enforced always, from a virtual environment of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from infra.local import processes
from infra.paths import LOCAL, ROOT

VENV = LOCAL / "venv-ministack"
REQUIREMENTS = ROOT / "infra" / "local" / "requirements-ministack.txt"
ACCOUNT, REGION = "000000000000", "eu-central-1"
ROOT_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


def install() -> None:
    """Makes the virtual environment, or makes it anew when its requirements changed."""
    stamp = VENV / "installed.txt"
    wanted = f"{sys.version_info[:2]}\n{REQUIREMENTS.read_text()}"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(VENV, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    subprocess.run(
        [str(VENV / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", "-r", str(REQUIREMENTS)],
        check=True,
    )
    stamp.write_text(wanted)


def start(port: int, *, folder: Path) -> int:
    """Starts it on a port, with everything it writes under `folder`, and returns its pid once it answers."""
    install()
    temporary = folder / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    log = folder / "ministack.log"
    process = processes.spawn(
        [str(VENV / "bin" / "ministack")],
        log=log,
        env={
            "AUTH": "true",
            "GATEWAY_PORT": str(port),
            "BIND_HOST": "127.0.0.1",  # its root's credentials are no secret
            "LAMBDA_EXECUTOR": "local",
            "LAMBDA_ACCOUNT_CONCURRENCY": "24",
            "MINISTACK_REGION": REGION,
            "TMPDIR": str(temporary),
            "PYTHONDONTWRITEBYTECODE": "1",
            # Lambda workers inherit the environment; a proxy or a stray endpoint of this shell is not theirs.
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        },
    )
    processes.wait_until(lambda: answers(port), "MiniStack", log)
    return process.pid


def answers(port: int) -> bool:
    """Whether MiniStack answers on a port."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_ministack/health", timeout=2) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False
