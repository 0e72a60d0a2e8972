"""The template as data: Chalice's own, ours merged over it, and parts of ours for those who need them alone."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, cast

import yaml

from infra import emulator
from infra.local.ministack import ACCOUNT, REGION
from infra.paths import ROOT

RESOURCES = ROOT / "infra" / "resources.yaml"


@cache
def resources() -> dict[str, Any]:
    """What Chalice does not make, as written in resources.yaml."""
    return yaml.safe_load(RESOURCES.read_text(encoding="utf-8"))


def tenant_role_policy(*, stage: str, bucket: str) -> dict[str, Any]:
    """The policy of the role that tenants' sessions are narrowed from, with one local stage's names filled in."""
    policy = resources()["Resources"]["TenantDataRole"]["Properties"]["Policies"][0]["PolicyDocument"]
    return filled(policy, stage=stage, bucket=bucket)


def filled(policy: dict[str, Any], *, stage: str, bucket: str) -> dict[str, Any]:
    """A policy of the template as MiniStack gets it, with one local stage's names in it."""
    names = {
        "AWS::Partition": "aws",
        "AWS::Region": REGION,
        "AWS::AccountId": ACCOUNT,
        "Stage": stage,
        "DataBucket": bucket,
    }
    return cast("dict[str, Any]", emulator.softened(_filled(policy, names)))


def _filled(node: Any, names: dict[str, str]) -> Any:
    """A piece of template with `Ref` and `Fn::Sub` replaced by the given names."""
    match node:
        case {"Ref": str(name)}:
            return names[name]
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\${([^}]+)}", lambda found: names[found[1]], text)
        case dict():
            return {key: _filled(value, names) for key, value in cast("dict[str, Any]", node).items()}
        case list():
            return [_filled(value, names) for value in cast("list[Any]", node)]
        case _:
            return node
