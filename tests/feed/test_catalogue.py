"""The event catalogue: examples that keep their schemas' promises, closed schemas, and filters."""

from __future__ import annotations

import ast
import json
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError

from chalicelib.feed.catalogue import envelope, event_type, matches, types, validate
from chalicelib.platform.ids import is_id

TYPES = types()
CASE_TYPES = [kind for kind in TYPES if kind.name.startswith("case.")]
each_type = pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
each_case_type = pytest.mark.parametrize("kind", CASE_TYPES, ids=lambda kind: kind.name)


def test_the_catalogue_holds_the_types_of_version_1():
    assert [(kind.name, kind.version) for kind in TYPES] == [
        ("case.assigned", 1),
        ("case.closed", 1),
        ("case.opened", 1),
        ("case.updated", 1),
        ("connector.run_completed", 1),
        ("connector.run_failed", 1),
        ("endpoint.test", 1),
        ("payment.received", 1),
        ("tenant.payment_failed", 1),
        ("tenant.state_changed", 1),
        ("tenant.trial_ending", 1),
    ]


@each_type
def test_every_schema_is_valid_and_stands_alone(kind):
    Draft202012Validator.check_schema(kind.schema)
    references = set(re.findall(r'"\$ref": "#/\$defs/(\w+)"', json.dumps(kind.schema)))
    assert references == set(kind.schema.get("$defs", {}))


@each_type
def test_every_example_keeps_its_schema(kind):
    validate(kind.name, kind.example)


@each_type
def test_a_field_that_no_schema_names_is_an_error(kind):
    with pytest.raises(ValidationError):
        validate(kind.name, dict(kind.example) | {"borrower_name": "王小明"})


@each_type
def test_no_required_field_can_be_left_out(kind):
    for field in kind.schema["required"]:
        with pytest.raises(ValidationError):
            validate(kind.name, {name: value for name, value in kind.example.items() if name != field})


@each_case_type
def test_every_case_event_names_its_case_its_borrower_and_its_place(kind):
    assert {"case_id", "sequence", "borrower_id"} <= set(kind.schema["required"])
    for sequence in (0, -1, "1", 1.5, None):
        with pytest.raises(ValidationError):
            validate(kind.name, dict(kind.example) | {"sequence": sequence})


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("case.opened", {"account_ids": []}),
        ("case.opened", {"overdue_amount": {"amount": 12.5, "currency": "CNY"}}),
        ("case.opened", {"overdue_amount": {"amount": 1250, "currency": "cny"}}),
        ("case.opened", {"assignee": "collector@example.com"}),
        ("case.opened", {"trigger": {"rule": "consumer_30"}}),
        ("case.assigned", {"reason": "He asked for it."}),
        ("case.updated", {"changes": {}}),
        ("case.updated", {"changes": {"phone": {"from": "1", "to": "2"}}}),
        ("case.updated", {"changes": {"status": {"from": "open", "to": "wants to be called at noon"}}}),
        ("case.closed", {"reason": "tired"}),
        ("case.closed", {"opened_at": "2005-05-31T16:00:00+08:00"}),
        ("payment.received", {"amount": 0}),
        ("payment.received", {"booked_on": "20050617"}),
        ("case.opened", {"bucket": "late"}),
        ("connector.run_completed", {"counts": {"read": 1}}),
    ],
)
def test_values_outside_their_form_are_refused(name, wrong):
    with pytest.raises(ValidationError):
        validate(name, dict(event_type(name).example) | wrong)


def test_an_unassigned_case_and_a_first_assignment_can_be_told():
    opened = {name: value for name, value in event_type("case.opened").example.items() if name != "assignee"}
    validate("case.opened", opened)
    validate("case.assigned", dict(event_type("case.assigned").example) | {"previous_assignee": None})


def test_a_payment_belongs_to_a_case_and_has_its_place_in_it_or_neither():
    example = dict(event_type("payment.received").example)
    alone = {name: value for name, value in example.items() if name not in ("case_id", "sequence")}
    validate("payment.received", alone)
    for half in ("case_id", "sequence"):
        with pytest.raises(ValidationError, match="dependency"):
            validate("payment.received", alone | {half: example[half]})


def emitted(source: str) -> set[str]:
    """The types of event that a module emits: what it hands to `event_put`, or pairs with data for one that does."""
    nodes = list(ast.walk(ast.parse(source)))
    calls = [n for n in nodes if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "event_put"]
    names = [call.args[1] for call in calls]
    if any(isinstance(name, ast.Name) for name in names):
        names += [n.elts[0] for n in nodes if isinstance(n, ast.Tuple) and len(n.elts) == 2]
    literals = {name.value for name in names if isinstance(name, ast.Constant) and isinstance(name.value, str)}
    return {name for name in literals if "." in name}


def test_the_catalogue_lists_what_is_emitted_and_nothing_else(repository):
    modules = sorted((repository / "chalicelib").rglob("*.py"))
    sources = [path.read_text("utf-8") for path in modules]
    assert set().union(*map(emitted, sources)) == {kind.name for kind in TYPES}


PREFIXES = {
    "account_id": "acct",
    "borrower_id": "bor",
    "case_id": "case",
    "connector_id": "con",
    "endpoint_id": "ep",
    "repayment_id": "pay",
    "run_id": "run",
    "tenant_id": "ten",
}


@each_type
def test_ids_in_examples_have_the_prefixes_of_the_real_ones(kind):
    ids = [(name, value) for name, value in kind.example.items() if name.endswith("_id")]
    ids += [("account_id", each) for each in kind.example.get("account_ids", [])]
    assert [value for name, value in ids if not is_id(PREFIXES[name], value)] == []


def test_an_unknown_type_is_an_error():
    with pytest.raises(KeyError, match=r"case\.forgotten"):
        validate("case.forgotten", {})


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("*", "case.opened", True),
        ("*", "endpoint.test", True),
        ("case.*", "case.opened", True),
        ("case.*", "casework.opened", False),
        ("case.*", "payment.received", False),
        ("case.opened", "case.opened", True),
        ("case.opened", "case.opened_again", False),
        ("case.open", "case.opened", False),
        ("case", "case.opened", False),
        ("cas*", "case.opened", False),
        ("*.opened", "case.opened", False),
        ("", "case.opened", False),
    ],
)
def test_filters_match_a_name_a_noun_or_everything(pattern, name, expected):
    assert matches(pattern, name) is expected


def test_an_envelope_is_compact_sorted_utf8_json_in_utc():
    occurred_at = datetime(2005, 10, 1, 0, 0, 0, 500_000, tzinfo=timezone(timedelta(hours=8)))
    assert envelope("case.closed", occurred_at, {"b": "已还清", "a": {"d": 1, "c": None}}) == (
        '{"data":{"a":{"c":null,"d":1},"b":"已还清"},"timestamp":"2005-09-30T16:00:00.500Z","type":"case.closed"}'.encode()
    )


def test_a_number_that_json_does_not_know_is_refused():
    with pytest.raises(ValueError, match="JSON"):
        envelope("case.closed", datetime(2005, 9, 30, tzinfo=UTC), {"amount": float("nan")})


@given(
    data=st.dictionaries(
        st.text(), st.none() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])), min_size=2
    )
)
def test_the_order_in_which_data_was_built_does_not_change_the_bytes(data):
    at = datetime(2005, 9, 30, tzinfo=UTC)
    data = {key.encode(errors="replace").decode(): value for key, value in data.items()}
    body = envelope("case.closed", at, data)
    assert body == envelope("case.closed", at, dict(reversed(data.items())))
    assert json.loads(body)["data"] == data
