"""The deployed stack with two institutions on it: one that loaded two months, and its rival that loaded nothing.

All are made once for the session and build on each other; a test asks for the furthest state that it needs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.demo import scenario
from infra.demo.scenario import Institution
from infra.local import processes
from infra.local.stack import Stack
from infra.paths import ROOT

ROWS = 500
"""Customers in the extracts: few enough to be quick, and every way in which a row is broken is among them."""


@dataclass(frozen=True)
class Extracts:
    """The sample files of April and May, and the manifest that says what is in them."""

    folder: Path
    manifest: dict[str, Any]

    def file(self, month: int) -> Path:
        """The file of a month, counted from 0."""
        return self.folder / self.manifest["files"][month]["name"]


def working_tree() -> str:
    """A digest of everything that a deployment is made of."""
    digest = hashlib.sha256()
    for part in ("app.py", "requirements.txt", "infra/resources.yaml", ".chalice", "chalicelib", "tenants"):
        found = [ROOT / part] if (ROOT / part).is_file() else sorted((ROOT / part).rglob("*"))
        for file in found:
            if file.is_file() and file.suffix != ".pyc":
                digest.update(f"{file}\n".encode() + file.read_bytes())
    return digest.hexdigest()


@pytest.fixture(scope="session")
def deployed_tree(stack: Stack) -> str:
    """The working tree's digest as the stack was deployed from it."""
    return working_tree()


@pytest.fixture
def unedited(deployed_tree: str) -> None:
    """For tests that hold the stack against the working tree: somebody may be editing it while the tests run."""
    if working_tree() != deployed_tree:
        pytest.skip("the working tree was edited since the stack was deployed from it")


@pytest.fixture(scope="session")
def extracts(tmp_path_factory: pytest.TempPathFactory) -> Extracts:
    folder = tmp_path_factory.mktemp("extracts")
    return Extracts(folder, scenario.generate_extracts(folder, months=["2005-04", "2005-05"], rows=ROWS))


@pytest.fixture(scope="session")
def bank(stack: Stack, deployed_tree: str) -> Institution:
    """An institution that signed up, paid and has its API key."""
    return scenario.sign_up(stack, name="Harbour Bank", email="owner@harbour-bank.example")


@pytest.fixture(scope="session")
def rival(stack: Stack) -> Institution:
    """Another institution of the same stack."""
    return scenario.sign_up(stack, name="Meridian Credit", email="owner@meridian-credit.example")


@pytest.fixture(scope="session")
def received(bank: Institution, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the bank's webhook receiver notes, from before the bank's first event on."""
    pid, file = scenario.begin_receiving(bank, tmp_path_factory.mktemp("receiver"))
    yield file
    processes.end_group(pid)


@pytest.fixture(scope="session")
def core_banking(bank: Institution, received: Path) -> str:
    """The bank's connector, with the bank's rules in force."""
    return scenario.join_core_banking(bank)


@pytest.fixture(scope="session")
def april(bank: Institution, core_banking: str, extracts: Extracts) -> dict[str, Any]:
    """The report of the run over April's file."""
    return scenario.drop_and_run(bank, core_banking, extracts.file(0))


@pytest.fixture(scope="session")
def may(bank: Institution, core_banking: str, extracts: Extracts, april: dict[str, Any]) -> dict[str, Any]:
    """The report of the run over May's file, after April's."""
    return scenario.drop_and_run(bank, core_banking, extracts.file(1))


@pytest.fixture(scope="session")
def repaid(bank: Institution, core_banking: str, may: dict[str, Any]) -> dict[str, Any]:
    """A case of the bank that a pushed repayment closed."""
    return scenario.repay(bank, core_banking, "2005-06-01")
