"""Rule documents and their versions."""

from __future__ import annotations

import pytest

from chalicelib.cases.rules import ASSIGNMENT, TRIGGERS, current_rules, replace_rules
from chalicelib.platform.errors import Conflict
from tests.cases.bank import items


def rules(days: int):
    return TRIGGERS.schema.model_validate({"rules": [{"id": "r", "products": ["*"], "days_past_due": days}]})


def put(tenant, now, days: int, expected: int | None = None):
    return replace_rules(tenant, TRIGGERS, rules(days), made_by="usr_1", now=now, expected=expected)


@pytest.mark.parametrize("kind", [TRIGGERS, ASSIGNMENT])
def test_a_tenant_starts_with_the_default_as_its_own_first_version(tenant, now, kind):
    first = current_rules(tenant, kind, now=now)
    assert (first.version, first.document, first.made_by) == (1, kind.default(), "duebridge")
    assert current_rules(tenant, kind, now=now) == first


def test_every_version_is_kept(tenant, now):
    for days in (10, 20):
        put(tenant, now, days)
    assert current_rules(tenant, TRIGGERS, now=now).document == rules(20)
    kept = sorted(i["sk"]["S"] for i in items(tenant, "cases") if i["pk"]["S"] == "rules")
    assert kept == ["triggers", "triggers#v000001", "triggers#v000002", "triggers#v000003"]


def test_a_version_that_is_not_current_any_more_is_not_replaced(tenant, now):
    assert put(tenant, now, 10, expected=1).version == 2
    with pytest.raises(Conflict) as refused:
        put(tenant, now, 20, expected=1)
    assert refused.value.extra == {"current_version": 2}
    assert current_rules(tenant, TRIGGERS, now=now).document == rules(10)


def test_every_version_leaves_a_leaf(tenant, now):
    put(tenant, now, 10)
    leaves = [(leaf["actor"]["S"], leaf["action"]["S"]) for leaf in items(tenant, "ledger")]
    assert sorted(leaves) == [("duebridge", "rules.replaced"), ("usr_1", "rules.replaced")]
