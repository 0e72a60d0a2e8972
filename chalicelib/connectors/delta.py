"""What changed since the last file: the staged rows against the last snapshot, by key.

Rows are compared by digests of their mapped values, so a new version of a mapping changes only the accounts whose
values it maps differently. An account whose row is quarantined is carried forward as it was: it is never lost because
its row was broken.
"""

# ruff: noqa: S608 - SQL is what this module makes; all text of users enters it through `expressions.literal`.
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from chalicelib.connectors import snapshot
from chalicelib.connectors.compile import column, sql_type
from chalicelib.connectors.errors import FileRefused
from chalicelib.connectors.expressions import literal
from chalicelib.connectors.mapping import TARGETS
from chalicelib.connectors.staging import Staged

STRETCH = 100_000
"""How many full records are mapped and sorted in memory at a time."""


@dataclass(frozen=True, slots=True)
class Delta:
    """The outcome of a comparison. Always: rows of the file = `new` + `changed` + `unchanged` + `quarantined`, and
    accounts of the previous snapshot = `changed` + `unchanged` + `removed` + `carried`.

    `carried` are accounts whose row in this file is quarantined: they keep their last good values. `changes` are
    Parquet files in the order in which they are applied: new and changed rows by line, then removed accounts by key;
    `snapshot` is what the next file is compared with. `redigested` says that the previous snapshot was digested by
    another version of DuckDB, so that accounts that did not change are listed as changed this once.
    """

    new: int
    changed: int
    unchanged: int
    removed: int
    quarantined: int
    carried: int
    previous: int
    changes: tuple[Path, ...]
    snapshot: Path
    redigested: bool


def compute(con: duckdb.DuckDBPyConnection, staged: Staged, out: Path) -> Delta:
    """Compare the rows staged on the connection with the snapshot they were staged against (none: all are new).

    Writes the changes and `snapshot.parquet` below `out`. Raises `FileRefused` (`shrunk`) where more of the accounts
    are gone than the mapping allows.
    """
    _find_moved(con)
    _find_missing(con)
    (known,) = con.execute("SELECT count(*) FROM previous").fetchall()[0]
    ops = dict(con.execute("SELECT op, count(*) FROM moved GROUP BY op").fetchall())
    missing = dict(con.execute("SELECT is_carried, count(*) FROM missing GROUP BY is_carried").fetchall())
    new, changed, removed = ops.get("new", 0), ops.get("changed", 0), missing.get(False, 0)
    _check_shrunk(staged, removed, known)
    changes = tuple(_write_changes(con, staged, out))
    redigested = _is_redigested(con, staged)
    _write_snapshot(con, staged, out / "snapshot.parquet")
    return Delta(
        new=new,
        changed=changed,
        unchanged=staged.accepted - new - changed,
        removed=removed,
        quarantined=staged.quarantined,
        carried=missing.get(True, 0),
        previous=known,
        changes=changes,
        snapshot=out / "snapshot.parquet",
        redigested=redigested,
    )


def _find_moved(con: duckdb.DuckDBPyConnection) -> None:
    """The table `moved`: accepted rows that are new or changed. Known ones are neither, and share no key with them."""
    con.execute(
        "CREATE OR REPLACE TEMP TABLE moved AS "
        "SELECT CASE WHEN p.account_key IS NULL THEN 'new' ELSE 'changed' END AS op, a.line, "
        "p.borrower_digest IS DISTINCT FROM a.borrower_digest AS borrower_changed, "
        "p.account_overdue_amount AS before_overdue_amount, p.account_oldest_due_date AS before_oldest_due_date "
        "FROM (SELECT * FROM fresh WHERE reasons IS NULL) a LEFT JOIN unseen p ON p.account_key = a.account_key "
        "WHERE a.account_digest IS DISTINCT FROM p.account_digest "
        "OR a.borrower_digest IS DISTINCT FROM p.borrower_digest"
    )


def _find_missing(con: duckdb.DuckDBPyConnection) -> None:
    """The table `missing`: accounts of the previous snapshot without an accepted row."""
    con.execute(
        "CREATE OR REPLACE TEMP TABLE missing AS "
        f"SELECT {', '.join(snapshot.COLUMNS)}, account_key IN (SELECT key FROM quarantined_keys) AS is_carried "
        "FROM unseen WHERE account_key NOT IN (SELECT account_key FROM fresh WHERE reasons IS NULL)"
    )


def _check_shrunk(staged: Staged, removed: int, known: int) -> None:
    allowed = staged.mapping.max_removed_share
    if removed > known * allowed:
        raise FileRefused(
            "shrunk",
            f"{removed} of {known} accounts are no longer in the file, more than the share of {allowed:.1%} that the "
            "mapping allows (max_removed_share): is it a partial file?",
            removed=removed,
            previous=known,
        )


def _write_changes(con: duckdb.DuckDBPyConnection, staged: Staged, out: Path) -> Iterator[Path]:
    """Map the lines of new and changed rows once more, now to their full records: a stretch at a time, so that a first
    load, in which every row is new, takes no more memory than any other."""
    record = ", ".join(f"s.{column(target)}" for target in TARGETS)
    ends = con.execute(
        f"SELECT line FROM (SELECT line, row_number() OVER (ORDER BY line) AS n, count(*) OVER () AS most FROM moved) "
        f"WHERE n % {STRETCH} = 0 OR n = most ORDER BY line"
    ).fetchall()
    after = 0
    for number, (end,) in enumerate(ends, start=1):
        stretch = f"line > {after} AND line <= {end}"
        after = end
        those = f"(SELECT * FROM moved WHERE {stretch})"
        lines = f"(SELECT line, raw FROM {staged.fresh_lines} WHERE {stretch} AND line IN (SELECT line FROM {those}))"
        yield _copy(
            con,
            f"SELECT m.*, {record} FROM ({staged.program.over(lines)}) s JOIN {those} m ON s.line = m.line "
            "ORDER BY m.line",
            out / f"changes-{number:05d}.parquet",
        )
    last_known = ", ".join(
        column(target) if target in snapshot.REMEMBERED else f"NULL::{sql_type(target)} AS {column(target)}"
        for target in TARGETS
    )
    yield _copy(
        con,
        "SELECT 'removed' AS op, 0 AS line, false AS borrower_changed, "
        "account_overdue_amount AS before_overdue_amount, account_oldest_due_date AS before_oldest_due_date, "
        f"{last_known} FROM missing WHERE NOT is_carried ORDER BY account_key",
        out / "changes-removed.parquet",
    )


def _copy(con: duckdb.DuckDBPyConnection, query: str, path: Path) -> Path:
    con.execute(f"COPY ({query}) TO {literal(str(path))} ({snapshot.PARQUET})")
    return path


def _is_redigested(con: duckdb.DuckDBPyConnection, staged: Staged) -> bool:
    return staged.previous is not None and snapshot.label_of(con, staged.previous).digest != staged.label.digest


def _write_snapshot(con: duckdb.DuckDBPyConnection, staged: Staged, path: Path) -> None:
    """Accepted rows, and carried ones; the line of a carried account is known again only where it still means the
    same."""
    columns = ", ".join(snapshot.COLUMNS)
    carried = f"SELECT {columns} FROM missing WHERE is_carried"
    if staged.previous is not None and not staged.may_know:
        carried = f"SELECT * REPLACE (NULL::UBIGINT AS line_digest) FROM ({carried})"
    accepted = f"SELECT {columns} FROM known UNION ALL SELECT {columns} FROM fresh WHERE reasons IS NULL"
    rows = f"{accepted} UNION ALL {carried}"
    snapshot.write(con, rows, staged.label, path)
