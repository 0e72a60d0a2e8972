"""Files that are dropped packed, in another encoding or without headings: applied like any other, or refused whole."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from chalicelib.connectors.connectors import create_connector
from chalicelib.connectors.mapping import from_dict, load_preset
from chalicelib.connectors.views import report_view
from tests.connectors.forms.packing import packed, zipped
from tests.connectors.institution import HEADINGS, PRESET, Institution, Loan, extract, late
from tests.connectors.tables import items


@pytest.fixture
def bank(tenant, now) -> Institution:
    return Institution(tenant, now)


def deliver_as(bank: Institution, day: str, content: bytes, **form: Any):
    """Delivers a file to a connector of its own, whose format differs from the preset's by `form`."""
    document = load_preset(PRESET).model_dump(mode="json")
    mapping = from_dict(document | {"format": document["format"] | form})
    bank.connector_id = create_connector(bank.tenant, "packed", mapping, now=bank.clock).sk
    bank.drop(day, content)
    return bank.run()


@pytest.mark.parametrize("kind", ["gzip", "zip", "zip in zip"])
def test_a_packed_file_is_applied_as_if_it_were_not(bank, kind):
    content = extract([Loan(1), late(2), Loan(3, balance="x")] + [Loan(n) for n in range(4, 40)])
    run = deliver_as(bank, "20050430", packed(content, kind), container=kind.split()[0])
    report = report_view(run)
    assert run.status == "completed"
    assert (report.counts["new"], report.counts["quarantined"], report.applied["cases_opened"]) == (38, 1, 1)


def test_the_trailer_of_a_packed_file_is_checked_and_places_are_those_of_its_content(bank):
    run = deliver_as(bank, "20050430", gzip.compress(extract([Loan(1), Loan(2)], count=3)), container="gzip")
    assert (run.status, run.verdict["code"], run.verdict["line"]) == ("refused", "trailer_count", 4)


def test_a_packed_file_delivered_twice_changes_nothing(bank):
    delivered = packed(extract([late(1), Loan(2)]), "gzip")
    deliver_as(bank, "20050430", delivered, container="gzip")
    before = items(bank.tenant, "cases"), items(bank.tenant, "feed")
    bank.drop("20050430", delivered)
    assert bank.run().status == "duplicate"
    assert (items(bank.tenant, "cases"), items(bank.tenant, "feed")) == before


@pytest.mark.parametrize(
    ("content", "container", "code"),
    [
        (extract([Loan(1)]), "gzip", "wrong_container"),
        (packed(extract([Loan(1)]), "gzip")[:-9], "gzip", "damaged_container"),
        (packed(extract([Loan(1)]), "zip")[:-9], "zip", "wrong_container"),
        (zipped({"../../a.txt": extract([Loan(1)])}), "zip", "unsafe_member"),
        (zipped({"a.txt": extract([Loan(1)]), "b.txt": extract([Loan(2)])}), "zip", "ambiguous_member"),
        (packed(HEADINGS.encode("gb18030") + b"\n" * 50_000_000, "gzip"), "gzip", "unpacks_too_far"),
    ],
    ids=["not gzip", "cut gzip", "cut zip", "path that leads out", "two files", "bomb"],
)
def test_a_container_that_cannot_be_trusted_refuses_the_file_and_nothing_is_applied(bank, content, container, code):
    run = deliver_as(bank, "20050430", content, container=container)
    assert (run.status, run.verdict["code"]) == ("refused", code)
    assert items(bank.tenant, "cases") == []


def test_a_headerless_big5_file_in_a_zip_is_read_by_position_and_its_rows_keep_their_lines(bank):
    rows = [late(1).line, "", "#" + Loan(2).line, Loan(3, due="20050931").line, *(Loan(n).line for n in range(4, 30))]
    content = (
        "\n".join(["HDR||20050430", *rows, "TRL||28||140000", ""]).replace("张伟", "張恒").encode("cp950", "replace")
    )
    run = deliver_as(
        bank,
        "20050430",
        zipped({"readme.txt": b"", "loans.txt": content}),
        container="zip",
        member="loan*",
        encoding="big5",
        header=False,
        names=HEADINGS.split("||"),
        skip_lines=1,
        comment="#",
    )
    report = report_view(run)
    assert run.status == "completed", run.verdict
    assert (report.counts["new"], report.counts["quarantined"]) == (27, 1)
    assert report.trailer.total_agrees
    assert [item["line"]["N"] for item in items(bank.tenant, "connector") if "sealed" in item and "line" in item] == [
        "5"
    ]
