"""`make check`: format, lint, types, import rules, templates and generated documents; says what to do when one fails.

python -m infra.check [--write-documents]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from chalicelib.platform.http import ENDPOINTS, Endpoint
from infra import mapping_page, package, permissions_page, states_page
from infra.paths import BUILD, ROOT

BIN = Path(sys.executable).parent
DOCS = ROOT / "docs"


def _run(*command: str) -> bool:
    return subprocess.run([str(BIN / command[0]), *command[1:]], cwd=ROOT, check=False).returncode == 0


def check_template() -> bool:
    """The template as it would be deployed, by cfn-lint."""
    package.build(report=False)
    return _run("cfn-lint", str(BUILD / "package" / "sam.yaml"))


def openapi_text() -> str:
    """The OpenAPI document of the working tree."""
    from chalicelib.platform.openapi import document

    return json.dumps(document(_endpoints()), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def permissions_text() -> str:
    """The page about who may do what in the working tree."""
    from chalicelib.identity.permissions import permissions

    return permissions_page.page(permissions(), _endpoints())


def _endpoints() -> list[Endpoint]:
    # Importing the app reads no settings; a region keeps boto3 from looking for one.
    os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")
    import app

    assert app.app
    return ENDPOINTS


def states_text() -> str:
    """The page of a tenant's states."""
    from chalicelib.billing.plans import plans

    return states_page.page(plans())


def mapping_text() -> str:
    """The page about mapping documents."""
    from chalicelib.connectors.mapping import schema

    return mapping_page.page(schema())


DOCUMENTS: dict[str, Callable[[], str]] = {
    "mapping.md": mapping_text,
    "openapi.json": openapi_text,
    "permissions.md": permissions_text,
    "tenant-states.md": states_text,
}
"""What under docs/ is written by the code, and by what."""


def check_documents() -> bool:
    """Whether the generated documents are what the code says."""
    stale = [name for name, text in DOCUMENTS.items() if not _says(DOCS / name, text())]
    for name in stale:
        print(f"docs/{name} is not what the code declares; write it anew with: make openapi")
    return not stale


def _says(document: Path, text: str) -> bool:
    return document.exists() and document.read_text(encoding="utf-8") == text


CHECKS: list[tuple[str, Callable[[], bool]]] = [
    ("format (make format mends it)", lambda: _run("ruff", "format", "--check", "--quiet", ".")),
    ("lint", lambda: _run("ruff", "check", "--quiet", ".")),
    ("types", lambda: _run("pyright")),
    ("import rules", lambda: _run("lint-imports", "--no-logo")),
    ("generated documents", check_documents),
    ("template", check_template),
]


def main() -> int:
    """Runs every check, even after one failed."""
    parser = argparse.ArgumentParser(prog="python -m infra.check")
    parser.add_argument("--write-documents", action="store_true", help="write what is generated and check nothing")
    if parser.parse_args().write_documents:
        for name, text in DOCUMENTS.items():
            (DOCS / name).write_text(text(), encoding="utf-8")
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
