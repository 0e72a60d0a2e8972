"""Every model of a tenant's tables has its kind in an export, and every item is of one kind."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from chalicelib.leaving.kinds import CREDENTIALS, EXPORTED_KINDS, KINDS, OTHER, TABLES, columns_of
from chalicelib.platform.store import StoredModel, TenantModel
from chalicelib.tenancy.tables import TENANT_TABLES
from tests.test_architecture import LIBRARY, ROOT


def models_of_tenants() -> set[type[StoredModel]]:
    """Every model of an item in a tenant's tables that the library has, as it stands in the code."""
    for path in sorted(LIBRARY.rglob("model.py")):
        import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    # Bound models are subclasses of these.
    return {model for model in TenantModel.__subclasses__() if model.__module__.startswith("chalicelib.")}


def test_every_model_of_a_tenants_tables_is_exported():
    assert models_of_tenants() - {kind.model for kind in KINDS.values()} == set()


def test_no_model_of_a_tenants_tables_is_outside_the_modules_that_are_looked_at():
    elsewhere = [
        str(path.relative_to(ROOT))
        for path in LIBRARY.rglob("*.py")
        if path.name not in ("model.py", "store.py") and "(TenantModel)" in path.read_text("utf-8")
    ]
    assert elsewhere == []


def test_every_table_of_a_tenant_is_read():
    assert set(TABLES) == {CREDENTIALS, *(spec.kind for spec in TENANT_TABLES)}
    assert {kind.table for kind in KINDS.values()} == set(TABLES)


def test_the_ledger_is_read_last():
    assert TABLES[-1] == "ledger"


@pytest.mark.parametrize("kind", EXPORTED_KINDS)
def test_a_kind_has_names_that_are_safe_in_files_and_columns(kind):
    assert Path(kind).name == kind
    assert all(name.isidentifier() and name == name.lower() for name in (kind, *columns_of(kind)))


def test_other_items_have_a_kind_of_their_own():
    assert OTHER not in KINDS
