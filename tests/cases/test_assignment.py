"""Who gets a new case."""

import tomllib
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from chalicelib.cases.assignment import Assignment, choose


def document(**capacities: int) -> Assignment:
    return Assignment.model_validate({"collectors": [{"id": id, "capacity": n} for id, n in capacities.items()]})


def test_the_lowest_ratio_of_load_to_capacity_wins_not_the_lowest_load():
    assert choose(document(half=50, full=100), 7, {"half": 10, "full": 15}).assignee == "full"


def test_equal_ratios_go_to_the_first_in_the_document():
    assert choose(document(a=3, b=6), 1, {"a": 1, "b": 2}).assignee == "a"


def test_the_choice_says_what_it_was_made_from():
    choice = choose(document(a=10), 7, {"a": 12, "gone": 1})
    assert (choice.document_version, choice.open_cases, choice.capacity) == (7, 12, 10)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.integers(0, 400))
def test_many_cases_spread_by_capacity_within_one_case(capacities: list[int], cases: int):
    rules = document(**{f"c{n}": capacity for n, capacity in enumerate(capacities)})
    loads = Counter[str]()
    for _ in range(cases):
        loads[choose(rules, 1, loads).assignee] += 1
    for collector in rules.collectors:
        assert abs(loads[collector.id] - cases * collector.capacity / sum(capacities)) <= len(capacities)


@pytest.mark.parametrize(
    "collectors",
    [[], [{"id": "a", "capacity": 0}], [{"id": "a", "capacity": 1}] * 2, [{"id": "Lin Mei", "capacity": 1}]],
)
def test_a_document_with_a_mistake_is_refused(collectors: list[dict]):
    with pytest.raises(ValidationError):
        Assignment.model_validate({"collectors": collectors})


@pytest.mark.parametrize("path", ["rules/default-assignment.toml", "samples/harbour-bank/assignment.toml"])
def test_the_documents_that_come_with_the_project_are_valid(path: str):
    text = (Path(__file__).parents[2] / "tenants" / path).read_text("utf-8")
    assert Assignment.model_validate(tomllib.loads(text)).collectors
