"""The tenant's rule documents: every version is kept, because decisions name the version that made them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from chalicelib.cases.assignment import Assignment
from chalicelib.cases.model import RULES, RuleDocument
from chalicelib.cases.triggers import Triggers
from chalicelib.ledger import leaf_put
from chalicelib.platform import documents
from chalicelib.platform.commit import Group, Put, commit_one
from chalicelib.platform.errors import Conflict
from chalicelib.platform.http import Strict
from chalicelib.platform.tenant import Tenant

DEFAULT_AUTHOR = "duebridge"
"""Who made version 1 of a tenant's documents, until somebody puts another."""

D = TypeVar("D", bound=Strict)


@dataclass(frozen=True)
class Kind(Generic[D]):
    """A kind of rule document: its name, and the schema that its versions follow."""

    name: str
    schema: type[D]

    def default(self) -> D:
        """The document that a tenant starts with."""
        text = documents.path("rules", f"default-{self.name}.toml").read_text("utf-8")
        return self.schema.model_validate(tomllib.loads(text))


TRIGGERS = Kind("triggers", Triggers)
ASSIGNMENT = Kind("assignment", Assignment)


@dataclass(frozen=True)
class Version(Generic[D]):
    """One version (1, 2, …) of a document, who made it and when."""

    version: int
    document: D
    made_by: str
    made_at: datetime


def current_rules(tenant: Tenant, kind: Kind[D], *, now: datetime) -> Version[D]:
    """The current version. The first time it is needed, the default becomes the tenant's own version 1."""
    model = tenant.bind(RuleDocument)
    while True:
        stored = model.find(RULES, kind.name)
        if stored is not None:
            return _version_of(kind, stored)
        first = Version(1, kind.default(), DEFAULT_AUTHOR, now)
        if commit_one(tenant.store, _group(tenant, kind, first)):
            return first


def rules_in_force(tenant: Tenant, kind: Kind[D], stored: RuleDocument | None, *, now: datetime) -> Version[D]:
    """The version that was read together with other items, or the tenant's first one where there was none to read."""
    return current_rules(tenant, kind, now=now) if stored is None else _version_of(kind, stored)


def replace_rules(
    tenant: Tenant, kind: Kind[D], document: D, *, made_by: str, now: datetime, expected: int | None = None
) -> Version[D]:
    """Makes `document` the current version and returns it with its number.

    Raises Conflict when `expected` is given and another version is current, or when somebody replaces it meanwhile.
    """
    current = current_rules(tenant, kind, now=now).version
    if expected is not None and expected != current:
        raise Conflict(f"version {current} of the {kind.name} is current, not {expected}", current_version=current)
    new = Version(current + 1, document, made_by, now)
    if not commit_one(tenant.store, _group(tenant, kind, new)):
        raise Conflict(f"the {kind.name} were replaced meanwhile; read them again")
    return new


def _version_of(kind: Kind[D], stored: RuleDocument) -> Version[D]:
    """A stored version as a value."""
    document = kind.schema.model_validate_json(stored.document)
    return Version(stored.version, document, stored.made_by, stored.made_at)


def _group(tenant: Tenant, kind: Kind[D], new: Version[D]) -> Group:
    """The writes that make a version current: the version itself, the current one, and the leaf that proves it."""
    model = tenant.bind(RuleDocument)

    def stored(sk: str) -> RuleDocument:
        text = new.document.model_dump_json()
        return model(RULES, sk, version=new.version, document=text, made_by=new.made_by, made_at=new.made_at)

    unchanged = model.pk.does_not_exist() if new.version == 1 else model.version == new.version - 1
    leaf = leaf_put(
        tenant,
        subject=f"rules/{kind.name}",
        action="rules.replaced",
        content={"version": new.version, "document": new.document.model_dump(mode="json")},
        actor=new.made_by,
        now=new.made_at,
    )
    kept = Put(stored(f"{kind.name}#v{new.version:06d}"), model.pk.does_not_exist())
    return Group(kind.name, [kept, Put(stored(kind.name), unchanged), leaf])
