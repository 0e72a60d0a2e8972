"""The rules of the house that import-linter cannot state: who uses what of whom, who reads the environment, naming.

import-linter holds the rest (`.importlinter`). Each rule is a list of what breaks it, which must be empty.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "chalicelib"
PLATFORM = "platform"
EDGES = ("routes", "handlers", "authorizer", "gate")
"""The modules of a domain that meet HTTP or a queue; a second one of a kind is named `<what>_routes`."""

MAX_LINES = 400
VAGUE = {"common", "helper", "helpers", "lib", "manager", "managers", "misc", "util", "utils"}
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv"}


@dataclass(frozen=True)
class Import:
    """One imported thing: `from a.b import c` is (`a.b`, `c`), `import a.b` is (`a.b`, None)."""

    module: str
    name: str | None
    line: int


def imports(source: str, *, package: str) -> Iterator[Import]:
    """Everything that a module in `package` imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, None, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield Import(module, alias.name, node.lineno)


def modules_of_library() -> list[Path]:
    return sorted(LIBRARY.rglob("*.py"))


def domain_of(path: Path) -> str | None:
    """The folder directly under chalicelib that a module is in; None for chalicelib's own `__init__`."""
    parts = path.relative_to(LIBRARY).parts
    return parts[0] if len(parts) > 1 else None


def exported(domain: str) -> set[str]:
    """What a domain's `__init__` says that others may use; nothing when there is none."""
    init = LIBRARY / domain / "__init__.py"
    tree = ast.parse(init.read_text(encoding="utf-8") if init.exists() else "")
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return set(ast.literal_eval(node.value))
    return set()


def reaches_into(domain: str, found: Import) -> bool:
    """Whether an import in `domain` takes from another domain something that its `__init__` does not offer."""
    parts = found.module.split(".")
    if parts[0] != "chalicelib":
        return False
    if len(parts) == 1:
        return found.name not in (None, domain, PLATFORM)
    if parts[1] in (domain, PLATFORM):
        return False
    return len(parts) > 2 or found.name not in exported(parts[1])


def is_edge(name: str) -> bool:
    return name in EDGES or name.endswith(("_routes", "_handlers"))


def imports_of(path: Path) -> Iterator[Import]:
    package = ".".join(path.parent.relative_to(ROOT).parts)
    return imports(path.read_text(encoding="utf-8"), package=package)


def at(path: Path, found: Import) -> str:
    return f"{path.relative_to(ROOT)}:{found.line} imports {found.module} {found.name or ''}".rstrip()


def test_a_domain_uses_of_another_only_what_its_init_exports() -> None:
    assert [
        at(path, found)
        for path in modules_of_library()
        if (domain := domain_of(path)) not in (None, PLATFORM)
        for found in imports_of(path)
        if reaches_into(domain, found)
    ] == []


def test_the_platform_imports_no_domain() -> None:
    assert [
        at(path, found)
        for path in modules_of_library()
        if domain_of(path) == PLATFORM
        for found in imports_of(path)
        if found.module.startswith("chalicelib") and not found.module.startswith(f"chalicelib.{PLATFORM}")
        if (found.module, found.name) != ("chalicelib", PLATFORM)
    ] == []


def test_the_composition_root_takes_only_edges_from_domains() -> None:
    app = ROOT / "app.py"
    assert [
        at(app, found)
        for found in imports(app.read_text(encoding="utf-8"), package="")
        if found.module.startswith("chalicelib.") and not found.module.startswith(f"chalicelib.{PLATFORM}")
        if not (len(found.module.split(".")) == 2 and is_edge(found.name or ""))
    ] == []


def test_only_edges_and_the_platform_know_chalice() -> None:
    assert [
        at(path, found)
        for path in modules_of_library()
        if domain_of(path) != PLATFORM and not is_edge(path.stem)
        for found in imports_of(path)
        if found.module.split(".")[0] == "chalice"
    ] == []


def test_every_package_says_what_it_is_for() -> None:
    packages = sorted({path.parent for path in modules_of_library()})
    assert [str(package.relative_to(ROOT)) for package in packages if not _docstring(package / "__init__.py")] == []


def test_no_module_is_longer_than_four_hundred_lines() -> None:
    modules = [ROOT / "app.py", *(p for top in ("chalicelib", "infra", "tenants") for p in (ROOT / top).rglob("*.py"))]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in modules}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}


def test_only_the_settings_read_the_environment() -> None:
    readers = {path for path in (*modules_of_library(), ROOT / "app.py") if _reads_environment(path)}
    assert readers == {LIBRARY / PLATFORM / "settings.py"}


def test_no_folder_or_module_has_a_name_that_says_nothing() -> None:
    places = (path for top in ("chalicelib", "infra", "tenants", "tests") for path in (ROOT / top).rglob("*"))
    assert [str(p.relative_to(ROOT)) for p in places if (p.is_dir() or p.suffix == ".py") and p.stem in VAGUE] == []


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("app", {"duckdb", "stripe", "jsonschema"}),
        ("chalicelib.identity.authorizer", {"duckdb", "stripe", "jsonschema", "pydantic", "cryptography"}),
    ],
)
def test_a_cold_start_imports_nothing_heavy_that_few_calls_need(module: str, heavy: set[str]) -> None:
    code = f"import sys, {module}; print(*sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("line", "breaks_the_rule"),
    [
        ("from chalicelib.tenancy import find_tenant", False),
        ("from chalicelib.tenancy.registry import find_tenant", True),
        ("from chalicelib.tenancy import registry", True),
        ("import chalicelib.tenancy.registry", True),
        ("from chalicelib import tenancy", True),
        ("from ..tenancy.registry import find_tenant", True),
        ("from .plans import Plan", False),
        ("from chalicelib.billing.plans import Plan", False),
        ("from chalicelib.platform.errors import Invalid", False),
        ("def late():\n    from chalicelib.tenancy.registry import find_tenant", True),
    ],
)
def test_the_rule_between_domains_tells_right_from_wrong(line: str, breaks_the_rule: bool) -> None:
    found = list(imports(line, package="chalicelib.billing"))
    assert [reaches_into("billing", one) for one in found] == [breaks_the_rule]


def _docstring(module: Path) -> str | None:
    return ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) if module.exists() else None


def _reads_environment(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    reads = any(
        isinstance(node, ast.Attribute)
        and node.attr in ENVIRONMENT
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
        for node in ast.walk(tree)
    )
    return reads or any(found.module == "os" and found.name in ENVIRONMENT for found in imports_of(path))
