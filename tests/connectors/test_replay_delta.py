"""Files and replays in any order: what the changes add up to is what each account was last known to be."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.connectors import replay_delta, unsettled
from chalicelib.connectors.layout import Layout
from chalicelib.connectors.remapped import OfferedRow, map_rows
from tests.connectors.delivery import Desk, delivered, row

KEYS = ("A1", "A2", "A3")
FIRST = date(2005, 9, 1)


@dataclass(frozen=True)
class Said:
    """What a file says of an account: a balance (None: the account is not in it), readable or not."""

    balance: int | None
    is_broken: bool = False

    def line(self, key: str) -> str:
        balance = f"{self.balance}?" if self.is_broken else f"{self.balance}"
        return row(key=key, customer=f"of {key}", balance=balance)


SAID = st.builds(Said, st.none() | st.integers(1, 2)) | st.builds(Said, st.integers(1, 2), st.just(True))
FILES = st.lists(st.tuples(SAID, SAID, SAID), min_size=1, max_size=5)
REPLAYS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=5)
"""After which file, and of which one, the quarantined rows are replayed, put right."""


@dataclass
class Bank:
    """A desk at which files and replays are taken, what the changes made of the store, and what is truly known."""

    desk: Desk
    unsettled: Path | None = None
    store: dict[str, int] = field(default_factory=dict)
    known: dict[str, dict[int, int | None]] = field(default_factory=lambda: {key: {} for key in KEYS})
    layouts: dict[int, Layout] = field(default_factory=dict)
    files: list[tuple[Said, ...]] = field(default_factory=list)

    def read(self, said: tuple[Said, ...]) -> None:
        number = len(self.files)
        self.files.append(said)
        rows = [each.line(key) for key, each in zip(KEYS, said, strict=True) if each.balance is not None]
        staged, found = self.desk.take(delivered(rows), FIRST + timedelta(days=number))
        unsettled.view_unsettled(self.desk.con, self.unsettled)
        path = found.snapshot.parent / "unsettled.parquet"
        self.unsettled = path if unsettled.write(self.desk.con, staged.label.business_date, path) else None
        self.layouts[number] = Layout(staged.program.text.format, staged.program.text.headings)
        self.apply(found)
        for key, each in zip(KEYS, said, strict=True):
            if not each.is_broken:
                self.known[key][number] = each.balance

    def replay(self, number: int) -> None:
        if number >= len(self.files):
            return
        broken = {key: each for key, each in zip(KEYS, self.files[number], strict=True) if each.is_broken}
        waiting = {key: each for key, each in broken.items() if number not in self.known[key]}
        in_time = {key for key in waiting if not any(day > number for day in self.known[key])}
        rows = [OfferedRow(KEYS.index(key) + 2, Said(each.balance).line(key)) for key, each in waiting.items()]
        out, con = self.desk.run_folder(), self.desk.con
        day = FIRST + timedelta(days=number)
        program = map_rows(con, rows, self.layouts[number], self.desk.mapping, day, out)
        unsettled.view_unsettled(con, self.unsettled)
        last = FIRST + timedelta(days=len(self.files) - 1)
        found = replay_delta.compute(con, program, of=day, last=last, previous=self.desk.snapshot, out=out)
        assert {KEYS[line - 2] for line in found.lines} == in_time
        assert {KEYS[kept.line - 2] for kept in found.kept} == waiting.keys() - in_time
        self.unsettled = out / "unsettled.parquet" if found.unsettled else None
        if found.moved:
            self.desk.snapshot = found.delta.snapshot
        self.apply(found.delta)
        for key in in_time:
            self.known[key][number] = waiting[key].balance

    def apply(self, found) -> None:
        for change in self.desk.changes(found):
            key, op = change["account"]["key"], change["op"]
            assert (key in self.store) == (op != "new"), "an account is new once, and changes while it is there"
            if op == "removed":
                del self.store[key]
            else:
                assert self.store.get(key) != change["account"]["balance"], "what does not change is in no chunk"
                self.store[key] = change["account"]["balance"]

    @property
    def truth(self) -> dict[str, int]:
        """Of each account what the latest day says of which anything is known."""
        latest = {key: days[max(days)] for key, days in self.known.items() if days}
        return {key: 100 * balance for key, balance in latest.items() if balance is not None}


@settings(max_examples=60, deadline=None)
@given(FILES, REPLAYS)
def test_whatever_is_broken_and_whenever_it_is_replayed_the_store_shows_what_is_known_last(files, replays):
    with tempfile.TemporaryDirectory() as folder:
        bank = Bank(Desk(Path(folder)))
        for number, said in enumerate(files):
            bank.read(said)
            assert bank.store == bank.truth
            for _, of in (each for each in replays if each[0] == number):
                bank.replay(of)
                assert bank.store == bank.truth
        bank.desk.con.close()
