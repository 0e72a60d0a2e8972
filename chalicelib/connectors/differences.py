"""What two mappings make of one file: which accounts differ, and in which of their fields."""

# ruff: noqa: S608 - SQL is what this module makes; all text of users enters it through `expressions.literal`.
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from duckdb import DuckDBPyConnection

from chalicelib.connectors.compile import column
from chalicelib.connectors.errors import FileRefused
from chalicelib.connectors.staging import Staged
from chalicelib.connectors.vocabulary import TARGETS


@dataclass(frozen=True)
class Differences:
    """By account: how many are the `same` under both mappings, `changed` in one field or more (by `fields`), accepted
    under the mapping in force only, or under the candidate only. `refusal` is why nothing could be compared: the file
    cannot be read under the mapping in force."""

    same: int = 0
    changed: int = 0
    only_in_force: int = 0
    only_candidate: int = 0
    fields: dict[str, int] = field(default_factory=dict[str, int])
    refusal: FileRefused | None = None


def keep_records(con: DuckDBPyConnection, staged: Staged, name: Literal["in_force", "candidate"]) -> None:
    """Keeps the records of the accepted rows, which were staged last on the connection, as a table of that name."""
    record = ", ".join(f"s.{column(target)}" for target in TARGETS)
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT {record} FROM ({staged.program.over(staged.fresh_lines)}) s "
        "SEMI JOIN (SELECT line FROM fresh WHERE reasons IS NULL) a ON s.line = a.line"
    )


def differences(con: DuckDBPyConnection) -> Differences:
    """What the tables `in_force` and `candidate` have differently. An account is known by its key, so one that is read
    from another column makes other accounts."""
    both = "a.account_key IS NOT NULL AND b.account_key IS NOT NULL"
    differs = [f"a.{column(target)} IS DISTINCT FROM b.{column(target)}" for target in TARGETS]
    counts = ", ".join(f"count(*) FILTER ({both} AND {each})" for each in differs)
    same, changed, only_in_force, only_candidate, *fields = con.execute(
        f"SELECT count(*) FILTER ({both} AND NOT ({' OR '.join(differs)})), "
        f"count(*) FILTER ({both} AND ({' OR '.join(differs)})), "
        f"count(*) FILTER (b.account_key IS NULL), count(*) FILTER (a.account_key IS NULL), {counts} "
        "FROM in_force a FULL JOIN candidate b ON a.account_key = b.account_key"
    ).fetchall()[0]
    by_field = {target: rows for target, rows in zip(TARGETS, fields, strict=True) if rows}
    return Differences(same, changed, only_in_force, only_candidate, by_field)
