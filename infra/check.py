"""`make check`: format, lint, types, import rules, templates and generated documents; says what to do when one fails.

python -m infra.check [--write-openapi]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from infra import package
from infra.paths import BUILD, ROOT

BIN = Path(sys.executable).parent
OPENAPI = ROOT / "docs" / "openapi.json"


def _run(*command: str) -> bool:
    return subprocess.run([str(BIN / command[0]), *command[1:]], cwd=ROOT, check=False).returncode == 0


def check_template() -> bool:
    """The template as it would be deployed, by cfn-lint."""
    package.build(report=False)
    return _run("cfn-lint", str(BUILD / "package" / "sam.yaml"))


def openapi_text() -> str:
    """The OpenAPI document of the working tree."""
    # Importing the app reads no settings; a region keeps boto3 from looking for one.
    os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")
    import app
    from chalicelib.platform.http import ENDPOINTS
    from chalicelib.platform.openapi import document

    assert app.app
    return json.dumps(document(ENDPOINTS), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def check_openapi() -> bool:
    """Whether docs/openapi.json is what the code says."""
    if OPENAPI.exists() and OPENAPI.read_text(encoding="utf-8") == openapi_text():
        return True
    print("docs/openapi.json is not what the routes declare; write it anew with: make openapi")
    return False


CHECKS: list[tuple[str, Callable[[], bool]]] = [
    ("format (make format mends it)", lambda: _run("ruff", "format", "--check", "--quiet", ".")),
    ("lint", lambda: _run("ruff", "check", "--quiet", ".")),
    ("types", lambda: _run("pyright")),
    ("import rules", lambda: _run("lint-imports", "--no-logo")),
    ("OpenAPI document", check_openapi),
    ("template", check_template),
]


def main() -> int:
    """Runs every check, even after one failed."""
    parser = argparse.ArgumentParser(prog="python -m infra.check")
    parser.add_argument("--write-openapi", action="store_true", help="write docs/openapi.json and check nothing")
    if parser.parse_args().write_openapi:
        OPENAPI.write_text(openapi_text(), encoding="utf-8")
        return 0
    failed: list[str] = []
    for name, check in CHECKS:
        print(f"== {name}", flush=True)
        if not check():
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "all checks passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
