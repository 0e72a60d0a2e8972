"""The documents of forms: strict, and clear about what does not go together."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from chalicelib.connectors.forms import model

FORMS = Annotated[
    model.DelimitedFormat
    | model.JsonFormat
    | model.NdjsonFormat
    | model.XmlFormat
    | model.XlsxFormat
    | model.ParquetFormat,
    Field(discriminator="kind"),
]
DELIMITED = {"kind": "delimited", "encoding": "utf-8", "delimiter": ","}
TOTAL = {"total_field": "account.balance"}


def form(document: dict[str, Any]) -> model.FormDocument:
    return TypeAdapter(FORMS).validate_python(document)


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (DELIMITED | {"colour": "red"}, "Extra inputs"),
        (DELIMITED | {"encoding": "utf-16"}, "Input should be"),
        (DELIMITED | {"header": False}, "names are given where header is false"),
        (DELIMITED | {"names": ["a"]}, "names are given where header is false"),
        (DELIMITED | {"header": False, "names": ["a", "b", "a"]}, "more than one a"),
        (DELIMITED | {"header": False, "names": []}, "at least 1"),
        (DELIMITED | {"delimiter": "|||||"}, "at most 4"),
        (DELIMITED | {"delimiter": " "}, "match pattern"),
        (DELIMITED | {"delimiter": "a\0"}, "match pattern"),
        (DELIMITED | {"quote": ","}, "must not stand in the delimiter"),
        (DELIMITED | {"comment": ","}, "comment must not"),
        (DELIMITED | {"comment": '"', "quote": '"'}, "comment must not"),
        (DELIMITED | {"comment": "#", "trailer": {"prefix": "#TRL", "count": 1}}, "must not begin with the comment"),
        (DELIMITED | {"trailer": {"prefix": "TRL", "count": 0}}, "greater than or equal to 1"),
        (DELIMITED | {"trailer": {"prefix": "TRL", "count": 1, **TOTAL}}, "given together"),
        (DELIMITED | {"member": "a.txt"}, "beside container"),
        (DELIMITED | {"container": "gzip", "member": "a.txt"}, "beside container"),
        (DELIMITED | {"container": "zip", "member": "a/b/c"}, "match pattern"),
        (DELIMITED | {"container": "zip", "member": "/a"}, "match pattern"),
        (DELIMITED | {"container": "zip", "max_unpacked_bytes": 1 << 40}, "less than or equal"),
        ({"kind": "json", "columns": {}}, "at least 1"),
        ({"kind": "json", "columns": {"a": "a"}}, "match pattern"),
        ({"kind": "json", "columns": {"a": "/a~2"}}, "match pattern"),
        ({"kind": "json", "columns": {"a": "/a"}, "control": {"count": "/n", **TOTAL}}, "given together"),
        ({"kind": "ndjson", "columns": {"a": "/a"}, "rows": "/x"}, "Extra inputs"),
        ({"kind": "xml", "row": "/a", "columns": {"a": "a"}}, "match pattern"),
        ({"kind": "xml", "row": "a/@b", "columns": {"a": "a"}}, "match pattern"),
        ({"kind": "xlsx", "header_row": 3, "first_row": 3}, "must follow one another"),
        ({"kind": "xlsx", "last_row": 2, "first_row": 3}, "must follow one another"),
        ({"kind": "parquet", "columns": []}, "at least 1"),
    ],
)
def test_a_document_that_is_wrong_says_what(document, problem):
    with pytest.raises(ValidationError, match=problem):
        form(document)


@pytest.mark.parametrize(
    ("document", "headings", "total_field"),
    [
        (DELIMITED, None, None),
        (DELIMITED | {"header": False, "names": ["a", "b"]}, ("a", "b"), None),
        (DELIMITED | {"trailer": {"prefix": "T", "count": 1, "total": 2, **TOTAL}}, None, "account.balance"),
        ({"kind": "json", "columns": {"a": "/a/0"}}, ("a",), None),
        (
            {"kind": "json", "columns": {"a": ""}, "control": {"count": "/n", "total": "/sum", **TOTAL}},
            ("a",),
            "account.balance",
        ),
        ({"kind": "ndjson", "columns": {"a": "/a~1b"}}, ("a",), None),
        ({"kind": "xml", "row": "Doc/Ntry", "columns": {"a": "Amt/@Ccy", "b": "."}}, ("a", "b"), None),
        ({"kind": "xlsx", "header_row": 2}, None, None),
        ({"kind": "parquet"}, None, None),
        ({"kind": "parquet", "columns": ["a"]}, ("a",), None),
    ],
)
def test_every_form_says_which_columns_it_knows_and_which_sum_its_file_states(document, headings, total_field):
    read = form(document)
    assert (read.known_headings, read.total_field) == (headings, total_field)
    assert form(read.model_dump(mode="json")) == read


def test_the_text_that_readers_make_parts_columns_by_what_no_value_holds():
    assert model.INNER.delimiter == "\x1f"
    assert (model.INNER.encoding, model.INNER.quote) == ("utf-8", None)
