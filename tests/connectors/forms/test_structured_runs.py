"""JSON, XML, workbooks and Parquet as they are dropped: every row applied or quarantined, cases opened, none lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import duckdb
import pytest

from chalicelib.connectors.connectors import create_connector
from chalicelib.connectors.mapping import from_dict
from chalicelib.connectors.rejected import list_rejected
from chalicelib.connectors.views import report_view, run_view
from tests.connectors.delivery import HEADINGS, codes, document
from tests.connectors.forms.workbooks import DAY, Book, number
from tests.connectors.institution import Institution
from tests.connectors.tables import count

Row = dict[str, Any]
OK = {"name": "王伟\n(先生)", "phone": "13812345678", "currency": "CNY", "balance": "1234.5", "overdue": "0", "due": ""}
ROWS: Sequence[Row] = (
    {"key": "A1", "customer": "C1", **OK},
    {"key": "A2", "customer": "C2", **OK, "overdue": "1000.25", "due": "20050301"},
    {"key": "A3", "customer": "C3", **OK, "balance": "1.005"},
    {"key": "A4", "customer": "C1", **OK, "balance": "0.1"},
)
POINTERS = {name: f"/loan/{name}" for name in HEADINGS}


def as_json(rows: Sequence[Row], folder: Path) -> bytes:
    return json.dumps({"sum": "2471.105", "rows": [{"loan": row} for row in rows], "n": len(rows)}).encode()


def as_ndjson(rows: Sequence[Row], folder: Path) -> bytes:
    numbers = "".join(json.dumps({"loan": row}, ensure_ascii=False) + "\n" for row in rows)
    for row in rows:
        numbers = numbers.replace(f'"balance": "{row["balance"]}"', f'"balance": {row["balance"]}')
    return numbers.encode()


def as_xml(rows: Sequence[Row], folder: Path) -> bytes:
    body = "".join("<Loan>" + "".join(f"<{k}>{escape(v)}</{k}>" for k, v in row.items()) + "</Loan>" for row in rows)
    return f'<?xml version="1.0" encoding="GB18030"?><Loans>{body}<Count>{len(rows)}</Count></Loans>'.encode("gb18030")


def as_xlsx(rows: Sequence[Row], folder: Path) -> bytes:
    lines = {
        n: [number(row[name]) if name in ("balance", "overdue") else row[name] for name in HEADINGS]
        for n, row in enumerate(rows, 2)
    }
    return Book({1: HEADINGS, **lines}).content()


def as_parquet(rows: Sequence[Row], folder: Path) -> bytes:
    path = folder / "written.parquet"
    (folder / "rows.json").write_text(json.dumps(list(rows)))
    columns = ", ".join(
        f"{name}::{'DECIMAL(18, 3)' if name == 'balance' else 'VARCHAR'} AS {name}" for name in HEADINGS
    )
    duckdb.execute(f"COPY (SELECT {columns} FROM '{folder / 'rows.json'}') TO '{path}'")
    return path.read_bytes()


FORMS: dict[str, tuple[dict[str, Any], Callable[[Sequence[Row], Path], bytes], int]] = {
    "json": (
        {
            "kind": "json",
            "rows": "/rows",
            "columns": POINTERS,
            "control": {"count": "/n", "total": "/sum", "total_field": "account.balance"},
        },
        as_json,
        3,
    ),
    "ndjson": ({"kind": "ndjson", "columns": POINTERS}, as_ndjson, 3),
    "xml": (
        {
            "kind": "xml",
            "row": "Loans/Loan",
            "columns": {name: name for name in HEADINGS},
            "control": {"count": "Loans/Count"},
        },
        as_xml,
        3,
    ),
    "xlsx": ({"kind": "xlsx"}, as_xlsx, 4),
    "parquet": ({"kind": "parquet"}, as_parquet, 3),
}
"""For each form its document, what writes it, and the number of the row that is not accepted."""


@pytest.fixture
def bank(tenant, now) -> Institution:
    return Institution(tenant, now)


def connect(bank: Institution, made_from: Any) -> None:
    bank.connector_id = create_connector(bank.tenant, "loans", made_from, now=bank.clock).sk


@pytest.mark.parametrize("kind", FORMS)
def test_a_file_of_any_form_is_applied_and_only_what_changed_the_next_day(bank, tmp_path, kind):
    form, written, line = FORMS[kind]
    connect(bank, from_dict(document(format=form)))
    bank.drop("", written(ROWS, tmp_path), "20050430.txt")
    run = bank.run()
    report = report_view(run)
    assert run.status == "completed", run_view(run).refusal
    assert {name: n for name, n in report.counts.items() if n} == {"read": 4, "new": 3, "quarantined": 1}
    assert (report.applied["cases_opened"], count(bank.tenant, "cases", "account")) == (1, 3)
    assert [total.model_dump() for total in report.control_totals] == [
        {"currency": "CNY", "rows": 3, "balance": 123_450 * 2 + 10, "overdue_amount": 100_025}
    ]
    assert (report.trailer is not None) == ("control" in form)
    [row], _ = list_rejected(bank.tenant, bank.connector_id, run.id, limit=10, cursor=None, now=bank.clock)
    assert (row.line, codes(row.reasons), row.reasons[0]["source"]) == (line, ["too_many_decimals"], "balance")
    changed = [ROWS[0], {**ROWS[1], "overdue": "0", "due": ""}, {**ROWS[2], "balance": "1"}, ROWS[3]]
    content = written(changed, tmp_path).replace(b"2471.105", b"2470.1")
    bank.drop("", content, "20050531.txt")
    report = report_view(bank.run())
    assert {name: n for name, n in report.counts.items() if n} == {"read": 4, "new": 1, "changed": 1, "unchanged": 2}


@pytest.mark.parametrize("kind", FORMS)
def test_a_file_that_was_cut_short_is_refused_and_nothing_of_it_is_applied(bank, tmp_path, kind):
    form, written, _ = FORMS[kind]
    connect(bank, from_dict(document(format=form, max_quarantine_share=0.1)))
    content = written(ROWS[:2], tmp_path)
    bank.drop("", content[: len(content) * 3 // 4], "20050430.txt")
    refusal = run_view(bank.run()).refusal
    expected = {"ndjson": "too_many_quarantined", "xlsx": "wrong_container"}
    assert refusal is not None
    assert refusal.code == expected.get(kind, "broken_document")
    assert count(bank.tenant, "cases", "account") == 0


def test_what_is_no_row_and_what_is_no_value_is_quarantined_with_what_is_accepted(bank):
    form = {"kind": "ndjson", "columns": POINTERS}
    connect(bank, from_dict(document(format=form)))
    loan = ROWS[0]
    lines = [
        {"loan": loan},
        "not a loan",
        {"loan": loan | {"key": "A2", "name": {"first": "伟"}}},
        {"loan": loan | {"key": ["A3"]}},
    ]
    content = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines) + '{"loan": {"key"\n'
    bank.drop("", content.encode(), "20050430.txt")
    run = bank.run()
    assert (run.counts["read"], run.counts["new"], run.counts["quarantined"]) == (5, 1, 4)
    rows, _ = list_rejected(bank.tenant, bank.connector_id, run.id, limit=10, cursor=None, now=bank.clock)
    assert [(row.line, codes(row.reasons), row.reasons[0]["source"]) for row in rows] == [
        (2, ["wrong_column_count"], ""),
        (3, ["unreadable"], "name"),
        (4, ["unreadable"], "key"),
        (5, ["wrong_column_count"], ""),
    ]
    assert rows[0].raw == '"not a loan"'
    assert '\ufffd{"first": "伟"}' in rows[1].raw


def test_a_loan_servicing_system_sends_newline_delimited_json(bank):
    connect(bank, "generic-loan-servicing-json")
    loan = {
        "account": {"number": "L-1", "product": "AUTO", "branch": 7, "currency": "USD"},
        "customer": {"id": 1001, "name": "Ann Lee", "id_number": None, "phone": "+1 212 555 0100"},
        "amounts": {"credit_limit": None, "balance": 1234.50, "past_due": 99.9, "last_paid": "10.00"},
        "oldest_due_date": "2005-03-01",
        "notes": [{"by": "x"}],
    }
    bank.drop("", (json.dumps(loan) + "\n").encode(), "LOANS_20050430.ndjson")
    report = report_view(bank.run())
    assert (report.counts["new"], report.counts["quarantined"], report.applied["cases_opened"]) == (1, 0, 1)
    assert [total.model_dump() for total in report.control_totals] == [
        {"currency": "USD", "rows": 1, "balance": 123_450, "overdue_amount": 9_990}
    ]


def test_a_small_lender_sends_a_workbook(bank):
    connect(bank, "cn-collections-xlsx")
    headings = ("合同编号", "客户编号", "客户姓名", "身份证号", "手机号", "贷款余额", "逾期金额", "逾期起始日", "备注")
    loans = {
        n: (f"HT{n}", f"K{n}", "张伟", card, "13800000000", number("5000.5"), number("1000"), number("38412", DAY), "")
        for n, card in ((3, "110101198001010017"), (4, number("1.1010119800101E+17")))
    }
    sums = {6: ("合计", "", "", "", "", number("10001"), number("2000"))}
    book = Book({1: ("催收名单",), 2: headings, **loans, **sums}, merged=["A1:I1", "A6:E6"])
    bank.drop("", book.content(), "催收名单20050430.xlsx")
    run = bank.run()
    report = report_view(run)
    assert run_view(run).refusal is not None
    assert run_view(run).refusal.code == "too_many_quarantined"
    fixed = {4: [*loans[4][:3], "110101198001010025", *loans[4][4:]]}
    bank.drop("", Book({1: ("催收名单",), 2: headings, **loans, **fixed, **sums}).content(), "催收名单20050501.xlsx")
    report = report_view(bank.run())
    assert (report.counts["new"], report.counts["quarantined"], report.applied["cases_opened"]) == (2, 0, 2)
    assert report.ignored_columns == ["备注"]
