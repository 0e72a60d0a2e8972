"""The OpenAPI document that is served, held against the working tree and against what API Gateway was given."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from infra.demo.client import Client
from infra.local.stack import Stack
from infra.paths import ROOT
from tests.deployed.backstage import client

pytestmark = pytest.mark.deployed


def test_the_document_that_is_served_is_that_of_the_working_tree(stack: Stack, unedited: None):
    # In a process of its own: here, tests may have declared endpoints too.
    written = subprocess.run(
        [sys.executable, "-c", "from infra.check import openapi_text; print(openapi_text())"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert Client(stack.url).get("/v1/openapi.json") == json.loads(written.stdout)


def test_every_route_of_the_gateway_is_in_the_document_and_behind_the_authorizer_where_it_says_so(stack: Stack):
    api_id = json.loads((stack.folder / "outputs.json").read_text())["RestAPIId"]
    pages = client(stack, "apigateway").get_paginator("get_resources").paginate(restApiId=api_id, embed=["methods"])
    deployed = {
        (resource["path"], method): settings["authorizationType"] == "CUSTOM"
        for page in pages
        for resource in page["items"]
        for method, settings in resource.get("resourceMethods", {}).items()
    }

    declared = {
        (path, method.upper()): any("bearer" in scheme for scheme in operation.get("security", []))
        for path, operations in Client(stack.url).get("/v1/openapi.json")["paths"].items()
        for method, operation in operations.items()
    }

    assert deployed == declared
    assert sum(declared.values()) > 15
