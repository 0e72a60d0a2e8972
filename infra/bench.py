"""`make bench`: runs the measurements in tests/benchmarks and prints their ratios. `--quick` only shows that they run.

Each is a program of its own that measures its peer in the same run; an absolute time on a shared machine is noise.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from infra.local import dynamodb_local, processes
from infra.paths import LOCAL, ROOT

BENCHMARKS = ROOT / "tests" / "benchmarks"
DLT = "dlt[duckdb]==1.31.0"
DLT_VENV = LOCAL / "venv-dlt"


def main() -> int:
    """The command line; non-zero when a measurement could not be made or a budget is missed."""
    parser = argparse.ArgumentParser(prog="python -m infra.bench")
    parser.add_argument("--quick", action="store_true", help="small sizes: the figures mean nothing")
    quick = parser.parse_args().quick
    try:
        return max(_ingest(quick), _apply(quick))
    except (dynamodb_local.Missing, processes.NotStarted) as error:
        print(f"make bench: {error}", file=sys.stderr)
        return 1


def _ingest(quick: bool) -> int:
    print("== parse, map, validate, delta; against dlt and csv.DictReader on the same file", flush=True)
    arguments = ["--python-dlt", str(_dlt_python())]
    return _run("ingest.py", *arguments, *(["--rows", "20000", "--dlt-rows", "1000", "--show-only"] if quick else []))


def _apply(quick: bool) -> int:
    print("== applying rows; against bare batch_write_item on the same store", flush=True)
    port = processes.free_port()
    pid = dynamodb_local.start(port, log=LOCAL / "dynamodb-local.log")
    try:
        sizes = ["--rows", "500", "--rounds", "1", "--show-only"] if quick else []
        return _run("apply.py", "--endpoint", f"http://127.0.0.1:{port}", *sizes)
    finally:
        processes.end_group(pid)


def _run(program: str, *arguments: str) -> int:
    command = [sys.executable, str(BENCHMARKS / program), *arguments]
    # Run as a program, it would find only what lies beside it.
    return subprocess.run(command, cwd=ROOT, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}).returncode


def _dlt_python() -> Path:
    """dlt, in a virtual environment of its own: it is measured against and never imported."""
    stamp = DLT_VENV / "installed.txt"
    if not stamp.exists() or stamp.read_text() != DLT:
        print("installing dlt to measure against", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(DLT_VENV)], check=True)
        pip = [str(DLT_VENV / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, DLT, "pyarrow==26.0.1"], check=True)
        stamp.write_text(DLT)
    return DLT_VENV / "bin" / "python"


if __name__ == "__main__":
    sys.exit(main())
