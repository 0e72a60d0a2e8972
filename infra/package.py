"""`chalice package`, with what Lambda needs and nothing else, and our resources merged over its template.

The app's own code is one small zip; everything in requirements.txt is one layer, built once per set of requirements.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from infra.paths import BUILD, ROOT, TENANTS
from infra.template import RESOURCES

CHALICE_STAGE = "cell"
MAX_UNZIPPED = 220 * 1024 * 1024
"""Bytes; Lambda's own limit is 250 MB for code and layers together."""

_NOT_NEEDED = shutil.ignore_patterns("__pycache__", "*.pyc")


SERVICES = frozenset(
    {
        "cognito-idp",
        "dynamodb",
        "kms",
        "lambda",
        "resourcegroupstaggingapi",
        "s3",
        "secretsmanager",
        "sesv2",
        "sqs",
        "sts",
    }
)
"""The AWS services that functions call; botocore's descriptions of the others stay out of the layer."""

UNUSED = (
    "pip/",
    "setuptools/",
    "pkg_resources/",
    "_distutils_hack/",
    "distutils-precedence.pth",
    "wheel/",
    "blessed/",
    "inquirer/",
    "jinxed/",
    "readchar/",
    "editor/",
    "wcwidth/",
    "chalice/cli/",
    "chalice/deploy/",
    "bin/",
)
"""What Chalice's command line and the installers bring along."""

_SERVICE_DATA = re.compile(r"botocore/data/([^/]+)/")
_DIST_INFO = re.compile(r"/([^/]+?)-[^/-]+\.dist-info/")


class PackageIncomplete(Exception):
    """Something that the code needs would be missing from the deployment."""


@dataclass(frozen=True)
class Package:
    """What a deployment uploads: the template with local file names in it, and those files."""

    template: dict[str, Any]
    code: Path
    layer: Path


def build(*, report: bool = True) -> Package:
    """Packages the working tree. Raises CalledProcessError with Chalice's words when it refuses."""
    project, out = BUILD / "app", BUILD / "package"
    _lay_out(project)
    shutil.rmtree(out, ignore_errors=True)
    kept = _kept_layer()
    command = [str(Path(sys.executable).parent / "chalice"), "--project-dir", str(project)]
    command += ["package", "--stage", CHALICE_STAGE, "--merge-template", str(RESOURCES), str(out)]
    finished = subprocess.run(command, capture_output=True, text=True, env=_environment(), check=False)
    if finished.returncode != 0:
        sys.stderr.write(finished.stdout + finished.stderr)
        finished.check_returncode()
    _check_complete(layer := out / "layer-deployment.zip")
    template: dict[str, Any] = yaml.safe_load((out / "sam.yaml").read_text(encoding="utf-8"))
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        _slim(layer, kept)
    _add_documents(out / "deployment.zip")
    package = Package(template, out / "deployment.zip", kept)
    if report:
        print(
            f"packaged: code {package.code.stat().st_size // 1024} kB, layer {kept.stat().st_size // 2**20} MB zipped"
        )
    return package


def _lay_out(project: Path) -> None:
    """A project folder as Chalice wants it, with nothing in it that does not run."""
    kept = project / ".chalice" / "deployments"
    saved = BUILD / "deployments"
    if kept.exists():
        shutil.rmtree(saved, ignore_errors=True)
        shutil.move(kept, saved)  # Chalice's own cache of the layer
    shutil.rmtree(project, ignore_errors=True)
    project.mkdir(parents=True)
    shutil.copy(ROOT / "app.py", project)
    shutil.copy(ROOT / "requirements.txt", project)
    shutil.copytree(ROOT / "chalicelib", project / "chalicelib", ignore=_NOT_NEEDED)
    shutil.copytree(ROOT / ".chalice", project / ".chalice", ignore=shutil.ignore_patterns("deployments", "deployed"))
    # Chalice imports the app, which reads documents; into the package they are put by `_add_documents`.
    for document in _documents():
        copy = project / "tenants" / document.relative_to(TENANTS)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(document, copy)
    if saved.exists():
        shutil.move(saved, kept)


def _documents() -> list[Path]:
    """What the code reads of `tenants/`: everything but the samples."""
    return [found for found in sorted(TENANTS.rglob("*.toml")) if found.relative_to(TENANTS).parts[0] != "samples"]


def _check_complete(layer: Path) -> None:
    """Chalice only warns of a requirement that has no build for Lambda's Python and C library, and leaves it out."""
    with zipfile.ZipFile(layer) as archive:
        held = {_canonical(found[1]) for name in archive.namelist() if (found := _DIST_INFO.search(name))}
    pinned = [line.partition("==")[0] for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line]
    # Chalice itself is vendored into the code, not the layer.
    if missing := [name for name in pinned if _canonical(name) not in held | {"chalice"}]:
        raise PackageIncomplete(f"no build for Lambda's Python {sys.version_info[0]}.{sys.version_info[1]}: {missing}")


def _slim(layer: Path, into: Path) -> None:
    """The layer without what no function uses: installers, Chalice's command line, and botocore's descriptions of
    services that we do not call. Half of its files; every cold start unpacks the rest. Raises PackageIncomplete when
    it would not fit into Lambda."""
    unzipped = 0
    unfinished = into.with_suffix(".part")
    with zipfile.ZipFile(layer) as whole, zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as slim:
        for entry in whole.infolist():
            if _is_used(entry.filename):
                slim.writestr(entry, whole.read(entry))
                unzipped += entry.file_size
    if unzipped > MAX_UNZIPPED:
        raise PackageIncomplete(f"the layer unpacks to {unzipped} bytes, more than {MAX_UNZIPPED}")
    unfinished.rename(into)  # whole or not at all: somebody else may be packaging the same


def _is_used(name: str) -> bool:
    inside = name.partition("/site-packages/")[2]
    if inside.startswith(UNUSED):
        return False
    service = _SERVICE_DATA.match(inside)
    return service is None or service[1] in SERVICES


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _add_documents(archive: Path) -> None:
    """Puts `tenants/` beside `chalicelib/`, without the samples. Chalice packages Python only, and with a layer it
    would put its `vendor` folder there. Fixed dates keep the same content the same file."""
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as code:
        for document in _documents():
            name = document.relative_to(TENANTS)
            entry = zipfile.ZipInfo(f"tenants/{name.as_posix()}", date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            code.writestr(entry, document.read_bytes())


def _kept_layer() -> Path:
    wanted = f"{(ROOT / 'requirements.txt').read_text()}{sys.version_info[:2]}{sorted(SERVICES)}{UNUSED}"
    return BUILD / "layers" / f"{hashlib.sha256(wanted.encode()).hexdigest()[:16]}.zip"


def _environment() -> dict[str, str]:
    # Chalice imports the app to see what it declares; nothing of that may reach a real account.
    return {**os.environ, "AWS_DEFAULT_REGION": "eu-central-1", "PYTHONDONTWRITEBYTECODE": "1"}
