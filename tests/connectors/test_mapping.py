"""The mapping document: strict, and clear about what is wrong in it."""

from __future__ import annotations

import json
from datetime import date

import pytest
from jsonschema import Draft202012Validator

from chalicelib.connectors.errors import MappingInvalid, UnknownPreset
from chalicelib.connectors.mapping import from_dict, from_toml, load_preset, preset_names, schema
from chalicelib.connectors.staging import check_patterns, connect
from chalicelib.connectors.vocabulary import TARGETS
from chalicelib.platform.errors import Invalid
from tests.connectors.delivery import FIELDS, document, mapping, with_field


@pytest.mark.parametrize(
    ("changes", "pointer", "problem"),
    [
        ({"colour": "red"}, "/colour", "Extra inputs"),
        ({"version": 0}, "/version", "greater than or equal to 1"),
        ({"fields": FIELDS[1:]}, "/fields", "leave out: account.key"),
        ({"fields": [*FIELDS, FIELDS[0]]}, "/fields/8/target", "same target twice: account.key"),
        ({"fields": with_field("account.key", empty="null")}, "/fields/0", "account.key must have"),
        ({"fields": with_field("account.balance", type="text")}, "/fields/5/target", "Input should be"),
        ({"fields": with_field("account.balance", min="much")}, "/fields/5/min", "decimal"),
        ({"fields": with_field("account.oldest_due_date", date_format="%d.%m.%y")}, None, "%Y, %m and %d once each"),
        ({"fields": with_field("account.currency", codes={"1": "XXX"})}, None, "XXX"),
        ({"fields": with_field("borrower.phone", pattern="a\0")}, "/fields/3/pattern", "match pattern"),
        ({"currency": "CNY"}, "/currency", "either a field"),
        ({"form": {"quote": "|"}}, "/format", "must not stand in the delimiter"),
        ({"form": {"escape": "\\"}}, "/format", "beside quote"),
        ({"form": {"delimiter": "\n"}}, "/format/delimiter", "pattern"),
        ({"form": {"trailer": {"prefix": "T", "count": 1, "total": 2}}}, "/format/trailer", "given together"),
        ({"checks": [{"kind": "not_after_business_date", "fields": ["account.key"]}]}, None, "account.oldest_due_date"),
        (
            {
                "checks": [
                    {"kind": "required_together", "when": "account.balance", "requires": ["account.credit_limit"]}
                ]
            },
            "/checks/0/requires/0",
            "not mapped: account.credit_limit",
        ),
        ({"source": {"kind": "object-store", "file_pattern": r"\d+"}}, "/source/file_pattern", "business_date"),
        ({"source": {"kind": "object-store", "file_pattern": "("}}, "/source/file_pattern", "regular expression"),
        ({"source": {"kind": "object-store", "file_pattern": r"(\w+)*(?P<business_date>\d{8})"}}, None, "no group"),
        ({"source": {"kind": "object-store", "file_pattern": r".*.*.*.*(?P<business_date>\d{8})"}}, None, "repeat"),
        (
            {"fields": with_field("account.currency", codes={"a/b~": "CNY", "": "CNY"})},
            "/fields/4/codes/",
            "at least 1",
        ),
    ],
)
def test_a_document_that_is_wrong_says_where_and_what(changes, pointer, problem):
    with pytest.raises(MappingInvalid, match=problem) as invalid:
        from_dict(document(**changes))
    if pointer is not None:
        assert invalid.value.pointer == pointer


def test_every_problem_is_named_with_its_own_place():
    wrong = document(
        fields=[*with_field("account.key", empty="null"), FIELDS[1]],
        checks=[{"kind": "not_after_business_date", "fields": ["account.oldest_due_date"]}] * 2
        + [{"kind": "required_together", "when": "account.credit_limit", "requires": ["borrower.address"]}],
        currency="CNY",
    )
    with pytest.raises(MappingInvalid, match="and 4 more problems") as invalid:
        from_dict(wrong)
    pointers = {problem["pointer"] for problem in invalid.value.extra["problems"]}
    assert pointers == {"/fields/8/target", "/currency", "/fields/0", "/checks/2/when", "/checks/2/requires/0"}


def test_a_missing_member_and_an_unknown_kind_are_told_where_they_belong():
    wrong = document(fields=[{"type": "text", "source": "key"}, {"type": "number", "source": "a/b"}, 7])
    with pytest.raises(MappingInvalid) as invalid:
        from_dict(wrong)
    pointers = [problem["pointer"] for problem in invalid.value.extra["problems"]]
    assert pointers == ["/fields/0/target", "/fields/1", "/fields/2"]


def test_the_schema_takes_every_shipped_preset_and_names_every_target():
    validator = Draft202012Validator(schema())
    for name in preset_names():
        assert list(validator.iter_errors(load_preset(name).model_dump(mode="json"))) == []
    assert [error.json_path for error in validator.iter_errors(document(colour="red"))] == ["$"]
    assert all(f'"{target}"' in json.dumps(schema()) for target in TARGETS)


def test_what_is_no_toml_is_said_to_be_none():
    with pytest.raises(MappingInvalid, match="not TOML"):
        from_toml("preset = ")


def test_an_unknown_preset_is_refused_with_the_names_of_those_there_are():
    with pytest.raises(UnknownPreset, match=r"cn-core-banking-delimited, .*generic-loan-servicing-csv") as unknown:
        load_preset("../secrets")
    assert isinstance(unknown.value, Invalid)


@pytest.mark.parametrize("name", preset_names())
def test_every_shipped_preset_is_valid_and_named_as_its_file(name, tmp_path):
    preset = load_preset(name)
    assert preset.preset == name
    with connect(tmp_path) as con:
        check_patterns(con, preset)


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("CORE_LOAN_20050930.txt", date(2005, 9, 30)),
        ("drop/CORE_LOAN_20050930.txt", date(2005, 9, 30)),
        ("CORE_LOAN_20050931.txt", None),
        ("CORE_LOAN_20050930.txt.ok", None),
        ("CORE_LOAN_２００５0930.txt", None),
    ],
)
def test_the_business_date_is_read_from_the_files_name(name, day):
    assert load_preset("cn-core-banking-delimited").source.business_date(name) == day


def test_a_pattern_that_duckdb_cannot_run_is_refused_with_its_place(tmp_path):
    document_with_look_ahead = mapping(fields=with_field("borrower.phone", pattern="(?=1)[0-9]+"))
    with connect(tmp_path) as con, pytest.raises(MappingInvalid, match=r"borrower\.phone") as invalid:
        check_patterns(con, document_with_look_ahead)
    assert invalid.value.pointer == "/fields/3/pattern"
