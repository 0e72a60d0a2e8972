"""What we depend on is pinned, has a reason in docs/dependencies.md, and leaves us free to ship what runs in Lambda."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
RUNTIME = ROOT / "requirements.txt"
REASONS = ROOT / "docs" / "dependencies.md"
COPYLEFT = re.compile(r"(?<!L)GPL|GNU (Affero )?General Public", re.IGNORECASE)
"""GPL and AGPL in any spelling that packages use. LGPL, MPL and the like leave our own code alone."""


def requirement_files() -> list[Path]:
    return sorted(
        [
            *ROOT.glob("requirements*.txt"),
            *ROOT.glob("infra/**/requirements*.txt"),
            *ROOT.glob("tests/**/requirements*.txt"),
        ]
    )


def requirements(text: str) -> list[Requirement]:
    """The requirements in a file's text; comments and `-r` lines name none."""
    lines = (line.partition(" #")[0].strip() for line in text.splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]


def is_pinned(requirement: Requirement) -> bool:
    """Whether exactly one version is accepted."""
    specifiers = list(requirement.specifier)
    return len(specifiers) == 1 and specifiers[0].operator == "==" and "*" not in specifiers[0].version


def reasoned(text: str) -> set[str]:
    """The distributions that have a line of their own: a table row that begins with the name in backticks."""
    return {canonicalize_name(name) for name in re.findall(r"^\| `([^`]+)`", text, re.MULTILINE)}


def closure(roots: list[Requirement]) -> Iterator[Distribution]:
    """Every installed distribution that the roots need on this platform, themselves included."""
    seen: set[tuple[str, str]] = set()
    waiting = [(root, "") for root in roots]
    while waiting:
        requirement, asked_extra = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": asked_extra}):
            continue
        found = distribution(requirement.name)
        for extra in ("", *requirement.extras):
            if (key := (canonicalize_name(requirement.name), extra)) in seen:
                continue
            seen.add(key)
            if not extra:
                yield found
            waiting += [(Requirement(line), extra) for line in found.requires or ()]


def licences(found: Distribution) -> list[str]:
    """What a distribution declares: the SPDX expression, the first line of its licence field, its classifiers."""
    metadata = found.metadata
    fields = [metadata.get("License-Expression") or "", (metadata.get("License") or "").strip().split("\n")[0]]
    classifiers = [c for c in metadata.get_all("Classifier") or () if c.startswith("License ::")]
    return [text for text in (*fields, *classifiers) if text]


@pytest.mark.parametrize("file", requirement_files(), ids=lambda file: str(file.relative_to(ROOT)))
def test_every_requirement_is_pinned(file: Path) -> None:
    assert [str(one) for one in requirements(file.read_text(encoding="utf-8")) if not is_pinned(one)] == []


@pytest.mark.parametrize("file", requirement_files(), ids=lambda file: str(file.relative_to(ROOT)))
def test_every_requirement_has_its_reason_written_down(file: Path) -> None:
    names = {canonicalize_name(one.name) for one in requirements(file.read_text(encoding="utf-8"))}
    assert names - reasoned(REASONS.read_text(encoding="utf-8")) == set()


def test_nothing_that_runs_in_lambda_is_under_the_gpl() -> None:
    found = list(closure(requirements(RUNTIME.read_text(encoding="utf-8"))))
    assert [(one.name, text) for one in found for text in licences(one) if COPYLEFT.search(text)] == []
    assert [one.name for one in found if not licences(one)] == [], "declares no licence at all"


@pytest.mark.parametrize(
    ("line", "pinned"),
    [("rich==15.0.0", True), ("rich", False), ("rich>=15", False), ("rich==15.*", False), ("rich==15.0,!=15.1", False)],
)
def test_a_pin_is_one_exact_version(line: str, pinned: bool) -> None:
    assert [is_pinned(one) for one in requirements(line)] == [pinned]


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("GPL-3.0-or-later", True),
        ("License :: OSI Approved :: GNU Affero General Public License v3", True),
        ("AGPLv3", True),
        ("LGPL-2.1-only", False),
        ("License :: OSI Approved :: GNU Lesser General Public License v3 (LGPLv3)", False),
        ("MPL-2.0", False),
        ("Apache-2.0 OR BSD-3-Clause", False),
    ],
)
def test_the_gpl_is_told_from_its_lesser_sister(text: str, refused: bool) -> None:
    assert bool(COPYLEFT.search(text)) is refused
