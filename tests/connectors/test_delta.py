"""What changed since the last file, and what must never be lost on the way."""

from __future__ import annotations

from datetime import date

import pytest

from chalicelib.connectors import snapshot
from chalicelib.connectors.delta import Delta
from chalicelib.connectors.errors import FileRefused
from tests.connectors.delivery import DAY, Desk, delivered, mapping, row, rows_of, with_field

NEXT_DAY = date(2005, 10, 1)


def counts(found: Delta) -> dict[str, int]:
    names = ("new", "changed", "unchanged", "removed", "quarantined", "carried")
    return {name: value for name in names if (value := getattr(found, name))}


def test_the_first_file_is_all_new(tmp_path):
    desk = Desk(tmp_path)
    _, found = desk.take(delivered([row(), row(key="A2")]))
    assert counts(found) == {"new": 2}
    assert [(change["op"], change["line"], change["before"]) for change in desk.changes(found)] == [
        ("new", 2, None),
        ("new", 3, None),
    ]


def test_a_file_delivered_twice_changes_nothing(tmp_path):
    desk = Desk(tmp_path)
    content = delivered([row(), row(key="A2")])
    desk.take(content)
    staged, found = desk.take(content, NEXT_DAY)
    assert counts(found) == {"unchanged": 2}
    assert (staged.known, desk.changes(found)) == (2, [])


def test_a_changed_row_says_what_it_was_before_and_whether_the_borrower_changed(tmp_path):
    desk = Desk(tmp_path)
    desk.take(delivered([row(overdue="5", due="20050801"), row(key="A2"), row(key="A3")]))
    _, found = desk.take(delivered([row(overdue="6", due="20050801"), row(key="A2", phone="139"), row(key="A3")]))
    assert counts(found) == {"changed": 2, "unchanged": 1}
    money, phone = desk.changes(found)
    assert (money["op"], money["account"]["overdue_amount"], money["borrower_changed"]) == ("changed", 600, False)
    assert money["before"] == {"overdue_amount": 500, "oldest_due_date": "2005-08-01"}
    assert (phone["borrower"]["phone"], phone["borrower_changed"]) == ("139", True)
    assert phone["before"] == {"overdue_amount": 0, "oldest_due_date": None}


def test_another_order_or_another_writing_of_the_same_values_changes_nothing(tmp_path):
    desk = Desk(tmp_path)
    desk.take(delivered([row(), row(key="A2"), row(key="A3")]))
    staged, found = desk.take(delivered([row(key="A3"), row(key="A2", balance="01234.5"), row(name=" 王伟 ")]))
    assert counts(found) == {"unchanged": 3}
    assert staged.known == 1


def test_an_account_that_is_gone_is_listed_as_it_was_and_leaves_the_snapshot(tmp_path):
    desk = Desk(tmp_path)
    desk.take(delivered([row(), row(key="A2", overdue="5", due="20050801")]))
    _, found = desk.take(delivered([row()]))
    assert counts(found) == {"unchanged": 1, "removed": 1}
    [change] = desk.changes(found)
    assert (change["op"], change["line"], change["account"]["key"]) == ("removed", 0, "A2")
    assert (change["account"]["currency"], change["account"]["balance"]) == ("CNY", 123450)
    assert change["borrower"] == {"key": "C1", "name": None, "id_number": None, "phone": None, "address": None}
    assert change["before"] == {"overdue_amount": 500, "oldest_due_date": "2005-08-01"}
    _, found = desk.take(delivered([row()]))
    assert counts(found) == {"unchanged": 1}


@pytest.mark.parametrize(
    "broken",
    [
        row(key="A2", balance="x"),
        "A2||C1||cut",
        "C1||A2||shifted||by||one||column||to||the||left",
        row(key="A2") + "\n" + row(key="A2"),
    ],
)
def test_an_account_whose_row_is_broken_is_carried_as_it_was(tmp_path, broken):
    desk = Desk(tmp_path)
    desk.take(delivered([row(), row(key="A2", balance="7")]))
    _, found = desk.take(delivered([row(), broken]))
    assert found.carried == 1
    assert desk.changes(found) == []
    staged, found = desk.take(delivered([row(), row(key="A2", balance="7")]))
    assert counts(found) == {"unchanged": 2}
    assert staged.known == 2
    _, found = desk.take(delivered([row(), row(key="A2", balance="8")]))
    assert counts(found) == {"changed": 1, "unchanged": 1}


def test_a_file_that_lost_too_many_accounts_is_refused(tmp_path):
    desk = Desk(tmp_path, mapping(max_removed_share=0.2))
    desk.take(delivered([row(key=f"A{n}") for n in range(10)]))
    _, found = desk.take(delivered([row(key=f"A{n}") for n in range(8)]))
    assert found.removed == 2
    with pytest.raises(FileRefused, match="2 of 8 accounts") as refused:
        desk.take(delivered([row(key=f"A{n}") for n in range(6)]))
    assert refused.value.code == "shrunk"


def test_a_new_mapping_changes_only_the_accounts_whose_values_it_maps_differently(tmp_path):
    desk = Desk(tmp_path)
    content = delivered([row(phone="138 0"), row(key="A2", phone="139")])
    desk.take(content)
    narrow = with_field("borrower.phone", pattern="[0-9]+", severity="warn")
    desk.mapping = mapping(version=2, fields=narrow)
    staged, found = desk.take(content)
    assert staged.known == 0
    assert counts(found) == {"changed": 1, "unchanged": 1}
    assert desk.changes(found)[0]["borrower"]["phone"] is None


def test_an_account_carried_over_a_change_of_mapping_is_looked_at_again(tmp_path):
    desk = Desk(tmp_path)
    good = delivered([row(), row(key="A2", phone="1 2")])
    desk.take(good)
    desk.mapping = mapping(fields=with_field("borrower.phone", pattern="[0-9]+", severity="warn"))
    desk.take(delivered([row(), row(key="A2", phone="1 2", balance="x")]))
    staged, found = desk.take(good)
    assert counts(found) == {"changed": 1, "unchanged": 1}
    assert staged.known == 1


def test_a_date_that_was_not_in_the_future_then_may_be_in_it_for_an_older_file(tmp_path):
    checks = [{"kind": "not_after_business_date", "fields": ["account.oldest_due_date"]}]
    desk = Desk(tmp_path, mapping(checks=checks))
    content = delivered([row(due="20050930")])
    desk.take(content, DAY)
    staged = desk.stage(content, date(2005, 9, 29))
    assert (staged.known, staged.quarantined) == (0, 1)


def test_digests_of_another_version_of_duckdb_are_not_trusted(tmp_path, monkeypatch):
    desk = Desk(tmp_path)
    monkeypatch.setattr(snapshot, "digest_in_use", lambda con: "another")
    desk.take(delivered([row()]))
    monkeypatch.undo()
    staged, found = desk.take(delivered([row()]))
    assert (staged.known, found.redigested) == (0, True)
    assert found.changed + found.unchanged == 1


def test_a_snapshot_holds_nothing_personal_but_keys(tmp_path):
    desk = Desk(tmp_path)
    _, found = desk.take(delivered([row(name="王伟", phone="13812345678")]))
    content = found.snapshot.read_bytes()
    assert "王伟".encode() not in content
    assert b"13812345678" not in content
    assert rows_of(found.snapshot, "account_key, account_number, borrower_key") == [("A1", None, "C1")]
