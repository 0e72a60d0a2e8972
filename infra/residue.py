"""What is left of a tenant in a cell: every place that erasure empties, and a look through the shared tables besides.

    python -m infra.residue ten_01J… --stage prod

Credentials and region come from the usual AWS environment; they are an operator's, and reading is enough. Prints a line
for each place and ends with 1 when anything was found. A tenant that lives has something almost everywhere.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

import boto3

from chalicelib.leaving.residue import CERTIFICATE, Place, residue
from chalicelib.platform.settings import settings

_REGISTRY = ("tenant", CERTIFICATE)
"""What the registry keeps of an erased tenant; what may stand in it is a place of its own."""

_KEPT_FOR_THE_LAW = ("usage#", "reconciliation#")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the process's exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.residue", description="Lists what is left of a tenant in every place."
    )
    parser.add_argument("tenant", help="the tenant's id")
    parser.add_argument("--stage", required=True, help="which deployment")
    given = parser.parse_args(arguments)
    _become_a_function_of(given.stage)
    places = everywhere(given.tenant)
    for place in places:
        print(f"{place.found:8d}  {place.where}")
    return int(any(place.found for place in places))


def everywhere(tenant_id: str) -> list[Place]:
    """The places of `residue`, then those that only a look through everything finds: tables that no kind names, and
    items of shared tables that mention the tenant. Raises NotFound for a tenant that never was."""
    return [
        *residue(tenant_id),
        Place("tables of any kind", _count_tables(tenant_id)),
        Place("mentions in tenants", _count_mentions("tenants", tenant_id, of_the_tenant=_REGISTRY)),
        Place("mentions in credentials", _count_mentions("credentials", tenant_id)),
        Place("mentions in billing-events", _count_mentions("billing-events", tenant_id, _KEPT_FOR_THE_LAW)),
    ]


def _become_a_function_of(stage: str) -> None:
    """Takes on the settings of the deployed function that erases, so that both look in the same places."""
    function = boto3.client("lambda").get_function_configuration(FunctionName=f"duebridge-{stage}-leave")
    os.environ.update(function["Environment"]["Variables"])
    os.environ.setdefault("AWS_REGION", boto3.Session().region_name or "")
    settings.cache_clear()


def _count_tables(tenant_id: str) -> int:
    mark = settings().tenant_table(tenant_id, "")
    pages = boto3.client("dynamodb").get_paginator("list_tables").paginate()
    return sum(name.startswith(mark) for page in pages for name in page["TableNames"])


def _count_mentions(table: str, tenant_id: str, of_the_tenant: Sequence[str] = ()) -> int:
    """Items that name the tenant anywhere, but for the tenant's own whose `sk` starts with one of `of_the_tenant`."""
    pages = boto3.client("dynamodb").get_paginator("scan").paginate(TableName=settings().shared_table(table))
    return sum(
        tenant_id in json.dumps(item, default=str)
        and not (item["pk"] == {"S": tenant_id} and item["sk"]["S"].startswith(tuple(of_the_tenant)))
        for page in pages
        for item in page["Items"]
    )


if __name__ == "__main__":
    sys.exit(main())
