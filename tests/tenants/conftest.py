"""The sample institution's scripts, which live among the data under `tenants/` and are no package."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

SAMPLES = Path(__file__).parents[2] / "tenants" / "samples"


@pytest.fixture(scope="session")
def samples_path() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SAMPLES))
        yield


@pytest.fixture(scope="session")
def generate(samples_path: None) -> ModuleType:
    return importlib.import_module("generate")


@pytest.fixture(scope="session")
def people(samples_path: None) -> ModuleType:
    return importlib.import_module("people")


@pytest.fixture(scope="session")
def expected(samples_path: None) -> ModuleType:
    return importlib.import_module("expected")
