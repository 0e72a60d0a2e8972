"""Changes cut into files: all of them, in order, and always the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import json

from chalicelib.connectors import chunks
from chalicelib.connectors import delta as delta_module
from tests.connectors.delivery import Desk, delivered, row


def test_every_change_is_in_exactly_one_chunk_in_the_files_order(tmp_path, monkeypatch):
    monkeypatch.setattr(delta_module, "STRETCH", 4)
    desk = Desk(tmp_path)
    desk.take(delivered([row(key=f"A{n}") for n in range(5)]))
    rows = [row(key=f"A{n}", balance="1") for n in range(12, 2, -1)]
    _, found = desk.take(delivered(rows))
    written = list(chunks.write(desk.con, found, tmp_path, rows_per_chunk=5))
    assert [(chunk.number, chunk.rows) for chunk in written] == [(1, 5), (2, 5), (3, 3)]
    changes = [json.loads(line) for chunk in written for line in gzip.decompress(chunk.path.read_bytes()).splitlines()]
    assert [change["op"] for change in changes] == ["new"] * 8 + ["changed"] * 2 + ["removed"] * 3
    assert [change["line"] for change in changes] == [*range(2, 12), 0, 0, 0]
    assert [change["account"]["key"] for change in changes[-3:]] == ["A0", "A1", "A2"]


def test_the_same_delta_gives_the_same_bytes_and_the_digest_is_of_the_content(tmp_path):
    desk = Desk(tmp_path)
    _, found = desk.take(delivered([row(key=f"A{n}") for n in range(7)]))
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    once = list(chunks.write(desk.con, found, first, rows_per_chunk=3))
    again = list(chunks.write(desk.con, found, second, rows_per_chunk=3))
    assert [chunk.path.read_bytes() for chunk in once] == [chunk.path.read_bytes() for chunk in again]
    for chunk in once:
        assert chunk.digest == hashlib.sha256(gzip.decompress(chunk.path.read_bytes())).hexdigest()


def test_no_change_gives_no_chunk(tmp_path):
    desk = Desk(tmp_path)
    desk.take(delivered([row()]))
    _, found = desk.take(delivered([row()]))
    assert list(chunks.write(desk.con, found, tmp_path)) == []


def test_a_row_is_written_in_full(tmp_path):
    desk = Desk(tmp_path)
    _, found = desk.take(delivered([row(overdue="5.10", due="20050801", name='"王"\u2028')]))
    assert desk.changes(found) == [
        {
            "op": "new",
            "line": 2,
            "account": {
                "key": "A1",
                "number": None,
                "product": None,
                "branch": None,
                "currency": "CNY",
                "credit_limit": None,
                "balance": 123450,
                "overdue_amount": 510,
                "last_paid_amount": None,
                "oldest_due_date": "2005-08-01",
            },
            "borrower": {"key": "C1", "name": '"王"\u2028', "id_number": None, "phone": "13812345678", "address": None},
            "borrower_changed": True,
            "before": None,
        }
    ]
