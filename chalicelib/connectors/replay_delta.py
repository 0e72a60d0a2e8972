"""Quarantined rows that the mapping accepts now, against the last snapshot: what applying them changes.

This is for rows of an earlier file what `delta` is for a whole file, with one question more: whether they are still
news. A later file that states the account, or no longer has it, has overtaken the row, and it stays where it is.
The snapshot that comes of it is the last one with the replayed accounts in it, so that the next file is compared with
what the accounts show: a row that is the same again changes nothing, and an account that leaves is found to leave.
"""

# ruff: noqa: S608 - SQL is what this module makes; all text of users enters it through `expressions.literal`.
from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from chalicelib.connectors import snapshot, unsettled
from chalicelib.connectors.compile import Program, Reason, column
from chalicelib.connectors.delta import Delta
from chalicelib.connectors.expressions import literal
from chalicelib.connectors.mapping import TARGETS
from chalicelib.connectors.remapped import told
from chalicelib.connectors.totals import ControlTotal

STATED_LATER = Reason(
    "account.key",
    "",
    "stated_later",
    "a row of which the account is stated by no other row, of this file or a later one",
)
GONE_LATER = Reason("account.key", "", "gone_later", "a row whose account the files after it still have")


@dataclass(frozen=True, slots=True)
class Kept:
    """A row that stays in quarantine, and why."""

    line: int
    reasons: list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Replayed:
    """What comes of a replay. `lines` are the rows that are settled by it, whether or not they change anything; `kept`
    those that stay. `delta` has the changes and the new snapshot (where nothing moved, the file it names is not
    written); `unsettled` says whether keys are left that a row may still be replayed for."""

    lines: list[int]
    kept: list[Kept]
    delta: Delta
    totals: tuple[ControlTotal, ...]
    unsettled: bool

    @property
    def moved(self) -> bool:
        """Whether any account changes."""
        return self.delta.new + self.delta.changed > 0


def compute(
    con: duckdb.DuckDBPyConnection, program: Program, *, of: date, last: date, previous: Path, out: Path
) -> Replayed:
    """Compare the table `mapped`, rows of a file of the day `of`, with the snapshot that the file of the day `last`
    left behind. Needs the view `unsettled`; writes changes, snapshot and unsettled keys below `out`."""
    snapshot.view_previous(con, previous)
    _judge(con, of, is_last=of == last)
    _find_moved(con, of, is_last=of == last)
    kept = [
        Kept(line, told(program.reasons, numbers or []) or [asdict(GONE_LATER if gone else STATED_LATER)])
        for line, numbers, gone in con.execute(
            "SELECT line, reasons, is_gone FROM judged WHERE selected AND NOT is_accepted ORDER BY line"
        ).fetchall()
    ]
    lines = [line for (line,) in con.execute("SELECT line FROM accepted ORDER BY line").fetchall()]
    ops = dict(con.execute("SELECT op, count(*) FROM moved GROUP BY op").fetchall())
    changes, state = out / "changes-replayed.parquet", out / "snapshot.parquet"
    record = ", ".join(f"a.{column(target)}" for target in TARGETS)
    con.execute(
        f"COPY (SELECT m.*, {record} FROM moved m JOIN accepted a ON m.line = a.line ORDER BY m.line) "
        f"TO {literal(str(changes))} ({snapshot.PARQUET})"
    )
    if ops:
        _write_snapshot(con, previous, state)
    new, changed = ops.get("new", 0), ops.get("changed", 0)
    [(known,)] = con.execute("SELECT count(*) FROM previous").fetchall()
    found = Delta(
        new=new,
        changed=changed,
        unchanged=len(lines) - new - changed,
        removed=0,
        quarantined=len(kept),
        carried=0,
        previous=known,
        changes=(changes,),
        snapshot=state,
        redigested=False,
    )
    left = unsettled.settle(con, of, last, out / "unsettled.parquet")
    return Replayed(lines, kept, found, _totals(con), left)


def warnings_of(con: duckdb.DuckDBPyConnection, program: Program) -> list[dict[str, Any]]:
    """The warnings that stand against accepted rows, each with how many rows it stands against."""
    found = con.execute(
        "SELECT n, count(*) FROM (SELECT unnest(warnings) AS n FROM accepted WHERE warnings IS NOT NULL) "
        "GROUP BY n ORDER BY count(*) DESC, n"
    ).fetchall()
    return [asdict(program.reasons[number]) | {"rows": rows} for number, rows in found]


def _judge(con: duckdb.DuckDBPyConnection, of: date, *, is_last: bool) -> None:
    """The tables `judged` and, of its accepted rows, the view `accepted`; `stated` are the rows of the snapshot that
    have the key of a mapped row. The large side of each join streams past the small one."""
    con.execute(
        "CREATE OR REPLACE TEMP TABLE stated AS SELECT p.* FROM previous p "
        "SEMI JOIN mapped m ON p.account_key = m.account_key"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE silent AS SELECT u.key, u.since FROM unsettled u "
        "SEMI JOIN mapped m ON u.key = m.account_key"
    )
    day = f"DATE '{of.isoformat()}'"
    # A row may state what nothing was accepted for since its day or before. One whose key was not to be read in the
    # file is in neither place: it may, unless a later file shows that the account is no longer there.
    con.execute(
        "CREATE OR REPLACE TEMP TABLE judged AS SELECT *, "
        "selected AND reasons IS NULL AND NOT is_overtaken AND NOT is_gone AS is_accepted FROM ("
        f"SELECT m.*, coalesce(u.since > {day}, p.account_key IS NOT NULL) AS is_overtaken, "
        f"u.key IS NULL AND p.account_key IS NULL AND NOT {is_last} AS is_gone FROM mapped m "
        "LEFT JOIN stated p ON m.account_key = p.account_key LEFT JOIN silent u ON m.account_key = u.key)"
    )
    con.execute("CREATE OR REPLACE TEMP VIEW accepted AS SELECT * FROM judged WHERE is_accepted")


def _find_moved(con: duckdb.DuckDBPyConnection, of: date, *, is_last: bool) -> None:
    """The table `moved`: accepted rows that change something.

    A borrower of whom a later file spoke, with another account, is not described anew by an older row: it then says
    nothing of its borrower, and of an account that is new it is told as a change.
    """
    later = "SELECT NULL::VARCHAR AS borrower_key WHERE false"
    if not is_last:
        later = (
            "SELECT DISTINCT p.borrower_key FROM previous p SEMI JOIN accepted a ON p.borrower_key = a.borrower_key "
            f"ANTI JOIN (SELECT key FROM unsettled WHERE since <= DATE '{of.isoformat()}') u ON p.account_key = u.key"
        )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE moved AS SELECT * FROM ("
        "SELECT CASE WHEN p.account_key IS NULL AND b.borrower_key IS NULL THEN 'new' ELSE 'changed' END AS op, "
        "a.line::BIGINT AS line, "
        "p.borrower_digest IS DISTINCT FROM a.borrower_digest AND b.borrower_key IS NULL AS borrower_changed, "
        "p.account_overdue_amount AS before_overdue_amount, p.account_oldest_due_date AS before_oldest_due_date, "
        "p.account_digest IS DISTINCT FROM a.account_digest AS account_changed "
        "FROM accepted a LEFT JOIN stated p ON a.account_key = p.account_key "
        f"LEFT JOIN ({later}) b ON a.borrower_key = b.borrower_key) WHERE account_changed OR borrower_changed"
    )
    con.execute("ALTER TABLE moved DROP COLUMN account_changed")


def _write_snapshot(con: duckdb.DuckDBPyConnection, previous: Path, path: Path) -> None:
    """The snapshot with the accepted rows in place of what it had of their accounts. Their lines are not known again:
    they may have been corrected, and were read by another mapping than the snapshot's."""
    columns = ", ".join(snapshot.COLUMNS)
    rows = (
        f"SELECT {columns} FROM previous p ANTI JOIN accepted a ON p.account_key = a.account_key "
        f"UNION ALL SELECT {columns.replace('line_digest', 'NULL::UBIGINT AS line_digest')} FROM accepted"
    )
    snapshot.write(con, rows, snapshot.label_of(con, previous), path)


def _totals(con: duckdb.DuckDBPyConnection) -> tuple[ControlTotal, ...]:
    found = con.execute(
        "SELECT account_currency, count(*), coalesce(sum(account_balance), 0), "
        "coalesce(sum(account_overdue_amount), 0) FROM accepted GROUP BY account_currency ORDER BY account_currency"
    ).fetchall()
    return tuple(ControlTotal(currency, rows, int(balance), int(overdue)) for currency, rows, balance, overdue in found)
