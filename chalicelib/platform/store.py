"""The one place where PynamoDB models meet a table, and where a tenant's models meet that tenant's credentials.

A model that stands in the code names only the *kind* of table it lives in and cannot be used: it has no connection.
`TenantStore.bind` makes a subclass of it for one tenant and one set of credentials. PynamoDB keeps the connection on
the class for the whole process, so nothing is ever written to the shared model; the subclasses go with their store.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Self, TypeVar, cast

import botocore.session
from botocore.client import BaseClient
from pynamodb.attributes import UnicodeAttribute
from pynamodb.connection import Connection, TableConnection
from pynamodb.connection.base import MetaTable
from pynamodb.exceptions import DoesNotExist, PynamoDBException
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.models import Model

from chalicelib.platform import requests
from chalicelib.platform.settings import settings

M = TypeVar("M", bound="StoredModel")


class UnboundModel(Exception):
    """A model was used without being bound to a tenant or to the shared tables. This is a bug, never a user's error."""


class StoredModel(Model):
    """What all our models share: the keys `pk` and `sk`, and no way to reach a table before being bound.

    The methods here answer what PynamoDB raises: that there is no such item, or that a condition does not hold.
    """

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)

    @classmethod
    def find(cls, pk: str, sk: str) -> Self | None:
        """The item as it is now, by a consistent read; None when there is none."""
        try:
            return cls.get(pk, sk, consistent_read=True)
        except DoesNotExist:
            return None

    @classmethod
    def find_if(cls, pk: str, sk: str, condition: Condition) -> Self | None:
        """The item as it is now, if `condition` holds of it. It is DynamoDB that judges: where the condition does not
        hold, nothing comes back, as where there is no item, so that not even time tells the two apart."""
        return next(iter(cls.query(pk, cls.sk == sk, filter_condition=condition, consistent_read=True)), None)

    def put_new(self) -> bool:
        """Writes the item; False, and nothing is written, when there is one under its key."""
        return _held(self.save, condition=type(self).pk.does_not_exist())

    def update_if(self, condition: Condition, actions: Sequence[Action]) -> bool:
        """Changes the stored item, and this object with it; False when `condition` does not hold of what is stored."""
        return _held(self.update, actions=list(actions), condition=condition)

    def delete_if(self, condition: Condition) -> bool:
        """Deletes the stored item; False when `condition` does not hold of it."""
        return _held(self.delete, condition=condition)

    @classmethod
    def _get_connection(cls) -> TableConnection:
        if cls._connection is None:
            raise UnboundModel(f"{cls.__name__} is not bound to a table; use the tenant's store")
        return cls._connection


class TenantModel(StoredModel):
    """An item in one of a tenant's own tables. A subclass says which: `class Meta: table_kind = "cases"`."""


class SharedModel(StoredModel):
    """An item in a table that all tenants share (registry, credentials, …); it holds no borrower data."""


class _Connection(Connection):
    """A PynamoDB connection over a botocore session that the caller made, with its requests counted."""

    def __init__(self, session: botocore.session.Session, region: str) -> None:
        super().__init__(region=region, connect_timeout_seconds=3, read_timeout_seconds=15)
        self._own_session = session
        self._watched: BaseClient | None = None

    @property
    def session(self) -> botocore.session.Session:
        return self._own_session

    def learn(self, table_name: str, model: type[StoredModel]) -> None:
        """Notes the keys and indexes that a model knows of its table, so that no DescribeTable is ever sent.

        Several models live in one table and each knows only its own indexes: what they know adds up.
        """
        schema = model._get_schema()  # pyright: ignore[reportPrivateUsage] - PynamoDB has no public way
        indexes = [
            {"IndexName": i["index_name"], "KeySchema": i["key_schema"]} for i in schema["global_secondary_indexes"]
        ]
        if known := self._tables.get(table_name):
            names = {i["IndexName"] for i in known.data["GlobalSecondaryIndexes"]}
            known.data["GlobalSecondaryIndexes"] += [i for i in indexes if i["IndexName"] not in names]
            defined = {d["AttributeName"] for d in known.data["AttributeDefinitions"]}
            known.data["AttributeDefinitions"] += [
                d for d in schema["attribute_definitions"] if d["AttributeName"] not in defined
            ]
            return
        self.add_meta_table(
            MetaTable(
                {
                    "TableName": table_name,
                    "KeySchema": schema["key_schema"],
                    "AttributeDefinitions": list(schema["attribute_definitions"]),
                    "GlobalSecondaryIndexes": indexes,
                    "LocalSecondaryIndexes": [],
                }
            )
        )

    def dispatch(self, operation_name: str, operation_kwargs: dict[str, Any]) -> dict[str, Any]:
        """Asks for no account of the capacity used, as PynamoDB would: nobody reads it, and counting it is not free
        (a third of DynamoDB Local's time for a batch)."""
        return super().dispatch(operation_name, {"ReturnConsumedCapacity": "NONE", **operation_kwargs})

    @property
    def client(self) -> Any:
        made = super().client
        if made is not self._watched:
            requests.watch(made.meta.events)
            self._watched = made
        return made


class Store(ABC):
    """Tables reached with one set of credentials; makes and keeps the bound subclasses of models.

    Two models bound to one store share one connection, so they can stand in one transaction.
    """

    def __init__(self, session: botocore.session.Session, region: str) -> None:
        self.connection = _Connection(session, region)
        self._bound: dict[type[StoredModel], type[StoredModel]] = {}

    @abstractmethod
    def table_name(self, model: type[StoredModel]) -> str:
        """The table that a model's items live in. Raises UnboundModel for one that does not belong in this store."""

    def bind(self, model: type[M]) -> type[M]:
        """The model as it can be used: reading and writing this store's table with this store's credentials."""
        if bound := self._bound.get(model):
            return cast("type[M]", bound)
        name = self.table_name(model)
        meta = type(
            "Meta", (), {"table_name": name, "table_kind": _table_kind(model), "region": self.connection.region}
        )
        bound = cast("type[M]", type(model.__name__, (model,), {"Meta": meta, "__module__": model.__module__}))
        table = TableConnection(name, region=self.connection.region)
        table.connection = self.connection
        self.connection.learn(name, bound)
        bound._connection = table  # pyright: ignore[reportPrivateUsage] - binding is what this module is for
        self._bound[model] = bound
        return bound


class TenantStore(Store):
    """One tenant's four tables. Holds credentials that reach nothing else, until `expires_at`."""

    def __init__(
        self, tenant_id: str, session: botocore.session.Session, region: str, expires_at: datetime | None
    ) -> None:
        super().__init__(session, region)
        self.tenant_id = tenant_id
        self.expires_at = expires_at

    def table_name(self, model: type[StoredModel]) -> str:
        if not issubclass(model, TenantModel):
            raise UnboundModel(f"{model.__name__} does not live in a tenant's tables")
        return settings().tenant_table(self.tenant_id, _table_kind(model))


class SharedStore(Store):
    """The tables that all tenants share, with the function's own role."""

    def table_name(self, model: type[StoredModel]) -> str:
        if not issubclass(model, SharedModel):
            raise UnboundModel(f"{model.__name__} lives in a tenant's tables; open the tenant to use it")
        return settings().shared_table(_table_kind(model))


_shared: SharedStore | None = None


def shared() -> SharedStore:
    """The shared tables, connected once per container."""
    global _shared
    if _shared is None:
        _shared = SharedStore(botocore.session.get_session(), settings().region)
    return _shared


def _held(operation: Callable[..., Any], **arguments: Any) -> bool:
    """Carries out a conditional write and says whether its condition held."""
    try:
        operation(**arguments)
    except PynamoDBException as error:
        if error.cause_response_code != "ConditionalCheckFailedException":
            raise
        return False
    return True


def _table_kind(model: type[StoredModel]) -> str:
    kind = getattr(getattr(model, "Meta", None), "table_kind", None)
    if not isinstance(kind, str):
        raise UnboundModel(f"{model.__name__} does not say which table it lives in")
    return kind
