"""Fixed-width files as a bank drops them, through the shipped presets: every row applied or quarantined, none lost."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from chalicelib.connectors.connectors import create_connector
from chalicelib.connectors.errors import MappingInvalid
from chalicelib.connectors.mapping import from_dict, load_preset
from chalicelib.connectors.rejected import list_rejected
from chalicelib.connectors.views import report_view, run_view
from tests.connectors.delivery import Desk, codes
from tests.connectors.forms.mainframe import record
from tests.connectors.institution import Institution
from tests.connectors.tables import count

CHINESE = load_preset("cn-core-banking-fixed-width")
HOST = load_preset("host-loan-master-ebcdic")


def extract(rows: Iterable[dict[str, Any]], *, trailer: str | None = None) -> bytes:
    """The Chinese preset's file of rows that name what differs from an ordinary loan."""
    loans = [chinese_loan(**row) for row in rows]
    total = sum(int(loan["当前余额"]) for loan in loans)
    end = trailer if trailer is not None else f"TRL{len(loans):010d}{total:+019d}"
    lines = [b"HDR20050430", *(record(loan, list(CHINESE.format.described), "gb18030") for loan in loans), end.encode()]
    return b"\n".join(lines) + b"\n"


def chinese_loan(
    number: int = 1, balance: int = 500_000, overdue: int = 0, name: str = "张伟", due: str = ""
) -> dict[str, Any]:
    return {
        "账号": f"62{number:014d}",
        "客户号": f"C{number:08d}",
        "客户姓名": name,
        "证件号码": "110101198001010017",
        "手机号码": "13800000000",
        "联系地址": "北京市朝阳区一号",
        "产品代码": "CC-STD",
        "机构号": "000101",
        "币种": "CNY",
        "授信额度": 2_000_000,
        "当前余额": balance,
        "逾期金额": overdue,
        "最早逾期日": due,
        "上期还款额": 0,
    }


@pytest.fixture
def bank(tenant, now) -> Institution:
    bank = Institution(tenant, now)
    bank.connector_id = create_connector(tenant, "core banking", CHINESE.preset, now=now).sk
    return bank


def test_a_dropped_file_is_applied_and_only_what_changed_the_next_day(bank):
    bank.drop("20050430", extract([{"number": 1}, {"number": 2, "overdue": 100_000, "due": "20050301"}, {"number": 3}]))
    report = report_view(bank.run())
    assert report.status == "completed"
    assert (report.counts["read"], report.counts["new"], report.counts["quarantined"]) == (3, 3, 0)
    assert report.trailer.model_dump() == {"rows": 3, "total": "1500000", "total_agrees": True, "unreadable_rows": 0}
    assert [t.model_dump() for t in report.control_totals] == [
        {"currency": "CNY", "rows": 3, "balance": 1_500_000, "overdue_amount": 100_000}
    ]
    assert report.applied["cases_opened"] == 1
    assert count(bank.tenant, "cases", "account") == 3
    bank.drop("20050531", extract([{"number": 1}, {"number": 2}, {"number": 3, "balance": 600_000}]))
    assert {k: v for k, v in report_view(bank.run()).counts.items() if v} == {"read": 3, "changed": 2, "unchanged": 1}


def test_a_name_cut_inside_a_character_costs_its_row_and_the_run_goes_on(bank):
    rows = [{"number": n} for n in range(1, 41)]
    content = extract(rows).splitlines(keepends=True)
    whole = "欧阳娜娜阿依古丽".encode("gb18030") + b"ABC" + "汗".encode("gb18030")[:1]
    content[7] = content[7][:31] + whole + content[7][51:]
    bank.drop("20050430", b"".join(content))
    run = bank.run()
    assert (run.status, run.counts["read"], run.counts["new"], run.counts["quarantined"]) == ("completed", 40, 39, 1)
    [row], _ = list_rejected(bank.tenant, bank.connector_id, run.id, limit=10, cursor=None, now=bank.clock)
    assert (row.line, codes(row.reasons), row.reasons[0]["source"]) == (8, ["unreadable"], "客户姓名")
    assert "欧阳娜娜阿依古丽ABC\ufffd" in row.raw
    assert report_view(run).trailer.total_agrees is True


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (extract([{"number": 1}], trailer="TRL0000000002" + "+000000000000500000"), "trailer_count"),
        (extract([{"number": 1}], trailer="TRL0000000001" + "+000000000000500001"), "trailer_total"),
        (extract([{"number": 1}])[: -len("TRL0000000001+000000000000500000\n")], "missing_trailer"),
        (extract([{"number": 1}]).replace(b"HDR", b"XXX"), "missing_header"),
        (extract([{"number": 1}]).decode("gb18030").encode(), "trailer_total"),  # no row can be cut, so none is summed
    ],
    ids=["count", "total", "no trailer", "no header", "another encoding"],
)
def test_a_file_that_is_not_what_it_should_be_is_refused(bank, content, code):
    bank.drop("20050430", content)
    assert run_view(bank.run()).refusal.code == code
    assert count(bank.tenant, "cases", "account") == 0


def master(*rows: dict[str, Any]) -> bytes:
    ordinary = {
        "LM-ACCOUNT": "4000000000000001",
        "LM-CUSTOMER": "0000000042",
        "LM-NAME": "张伟 ZHANG WEI",
        "LM-ID-NUMBER": "110101198001010017",
        "LM-PHONE": "+86 138 0000 0000",
        "LM-ADDRESS": "1 CHAOYANG ROAD [BEIJING]",
        "LM-PRODUCT": "CC-STD",
        "LM-BRANCH": "000101",
        "LM-CURRENCY": "CNY",
        "LM-LIMIT": "20000.00",
        "LM-BALANCE": "5000.00",
        "LM-PAST-DUE": "0",
        "LM-LAST-PAID": "0",
        "LM-OLDEST-DUE": "",
        "LM-DAYS-PAST-DUE": 0,
        "LM-STATUS": "O",
    }
    columns = list(HOST.format.described)
    return b"".join(record(ordinary | row, columns, "cp935", length=HOST.format.record_length) for row in rows)


def test_a_mainframes_master_file_is_mapped_by_its_copybook(tmp_path):
    desk = Desk(tmp_path, HOST)
    overdue = {"LM-PAST-DUE": "1234.56", "LM-OLDEST-DUE": "20050301", "LM-DAYS-PAST-DUE": 60}
    staged, found = desk.take(master({}, {"LM-ACCOUNT": "4000000000000002", "LM-BALANCE": "-0.05", **overdue}))
    assert (staged.rows, staged.quarantined) == (2, 0)
    first, second = desk.changes(found)
    assert first["borrower"]["key"] == "0000000042", "the zeros of a number that is a code stay"
    assert first["borrower"]["name"] == "张伟 ZHANG WEI"
    assert first["borrower"]["address"] == "1 CHAOYANG ROAD [BEIJING]"
    assert (first["account"]["credit_limit"], first["account"]["balance"]) == (2_000_000, 500_000)
    assert (second["account"]["balance"], second["account"]["overdue_amount"]) == (-5, 123_456)
    assert second["account"]["oldest_due_date"] == "2005-03-01"
    assert staged.ignored == ("LM-DAYS-PAST-DUE", "LM-STATUS")


def test_what_is_wrong_in_a_master_file_is_named_by_field_and_kept_from_the_others(tmp_path):
    desk = Desk(tmp_path, HOST.model_copy(update={"max_quarantine_share": 1.0}))
    rows = [{"LM-ACCOUNT": f"400000000000000{n}"} for n in range(5)]
    rows[2] |= {"LM-PAST-DUE": "1.00", "LM-OLDEST-DUE": "20050301"}
    content = bytearray(master(*rows))
    at = {c.name: c.start - 1 for c in HOST.format.described}
    content[240 + at["LM-BALANCE"]] = 0xAA  # no digits
    content[2 * 240 + at["LM-PAST-DUE"] + 6] = 0x00  # no sign
    content[3 * 240 + at["LM-DAYS-PAST-DUE"]] = 0xFF  # in a column that is not mapped
    content[4 * 240 + at["LM-PAST-DUE"] : 4 * 240 + at["LM-PAST-DUE"] + 7] = b"\0" * 7  # never filled in
    content[4 * 240 + at["LM-NAME"] : 4 * 240 + at["LM-NAME"] + 40] = b"\xff" * 40  # high-values
    staged = desk.stage(bytes(content), date(2005, 4, 30))
    assert (staged.rows, staged.accepted) == (5, 2)
    reasons = {line: {(r["field"], r["code"]) for r in why} for line, _, _, why in desk.quarantined(staged)}
    assert reasons == {
        2: {("account.balance", "unreadable")},
        3: {("account.overdue_amount", "unreadable")},
        5: {("account.overdue_amount", "empty"), ("borrower.name", "unreadable")},
    }


def test_a_mapping_that_reads_what_redefines_another_item_is_told_why_it_cannot():
    document = HOST.model_dump(mode="json")
    document["format"]["copybook"] = document["format"]["copybook"].replace(
        "05  LM-STATUS", "05  LM-DUE-PARTS REDEFINES LM-OLDEST-DUE PIC 9(8).\n           05  LM-STATUS"
    )
    assert from_dict(document).format == HOST.format.model_copy(update={"copybook": document["format"]["copybook"]})
    due = next(field for field in document["fields"] if field["source"] == "LM-OLDEST-DUE")
    due["source"] = "LM-DUE-PARTS"
    with pytest.raises(MappingInvalid, match="LM-DUE-PARTS describes once more bytes"):
        from_dict(document)
    due["source"] = "LM-DUE"
    with pytest.raises(MappingInvalid, match=r"does not have: LM-DUE$"):
        from_dict(document)


def test_a_day_later_only_the_changed_records_are_new(tmp_path):
    desk = Desk(tmp_path, HOST)
    rows = [{"LM-ACCOUNT": f"400000000000000{n}"} for n in range(5)]
    desk.take(master(*rows), date(2005, 4, 30))
    rows[2]["LM-BALANCE"] = Decimal("4999.99")
    staged, found = desk.take(master(*rows), date(2005, 5, 1))
    assert (staged.known, found.changed, found.unchanged) == (4, 1, 4)
