"""The documents stay true where a test can tell: links lead somewhere, and the picture names what is deployed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from chalicelib.platform.settings import QUEUES
from chalicelib.tenancy.tables import TENANT_TABLES

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("tenants/**/*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_every_link_leads_to_something_in_the_repository(document: Path) -> None:
    targets = LINK.findall(document.read_text(encoding="utf-8"))
    files = {target.partition("#")[0] for target in targets if "://" not in target and not target.startswith("#")}
    assert sorted(name for name in files if not (document.parent / name).exists()) == []


def test_the_picture_of_the_architecture_names_every_function_queue_and_table() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    picture = page.split("```mermaid")[1].split("```")[0]
    stage = json.loads((ROOT / ".chalice" / "config.json").read_text(encoding="utf-8"))["stages"]["cell"]
    functions = {"api_handler", *stage["lambda_functions"]}
    assert set(re.findall(r"\[\[(.+?)\]\]", picture)) == functions
    assert set(re.findall(r"\{\{(.+?)\}\}", picture)) == set(QUEUES)
    assert [spec.kind for spec in TENANT_TABLES if f"-{spec.kind}`" not in page] == []


def test_every_decision_is_in_the_list_of_decisions() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = set(LINK.findall((folder / "README.md").read_text(encoding="utf-8")))
    assert listed == {path.name for path in folder.glob("[0-9]*.md")}
