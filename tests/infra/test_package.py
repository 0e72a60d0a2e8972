"""The package: what is left out of the layer is really not used, and what the functions call is in it."""

import re

import pytest

from infra import package
from infra.paths import ROOT


def test_every_service_that_the_code_calls_is_described_in_the_layer() -> None:
    called: set[str] = set()
    for module in (ROOT / "chalicelib").rglob("*.py"):
        text = module.read_text(encoding="utf-8")
        called |= set(re.findall(r"""\bclient\(\s*"([a-z0-9-]+)"\s*\)""", text))
        called |= set(re.findall(r"""\bclient_of\([^,()]+,\s*"([a-z0-9-]+)"\s*\)""", text))
    assert {"s3", "kms", "sqs", "dynamodb", "sts"} <= called | {"dynamodb"}
    assert called <= package.SERVICES


@pytest.mark.parametrize(
    ("name", "used"),
    [
        ("python/lib/python3.11/site-packages/botocore/data/dynamodb/2012-08-10/service-2.json.gz", True),
        ("python/lib/python3.11/site-packages/botocore/data/ec2/2016-11-15/service-2.json.gz", False),
        ("python/lib/python3.11/site-packages/botocore/data/endpoints.json", True),
        ("python/lib/python3.11/site-packages/pip/_internal/main.py", False),
        ("python/lib/python3.11/site-packages/pydantic/main.py", True),
        ("python/lib/python3.11/site-packages/stripe/_client.py", True),
    ],
)
def test_the_layer_holds_what_functions_use(name: str, used: bool) -> None:
    assert package._is_used(name) is used
