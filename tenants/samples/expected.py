"""What a correct system must hold after each month, counted straight from the source data.

    python tenants/samples/expected.py DIR/manifest.json [--dpd 31] [--closing cured]

The count is independent: it reads neither the generated files nor any code of the product. From the manifest it takes
only which months and how many customers were written, and which accounts were broken in which month.

The rules, in one place:

- One borrower has one account. An account is *known* from the first month in which its row was not quarantined.
- A case opens when an account is at least `dpd` days past due with something overdue. m months late are 30 m - 5 days.
- `closing="cured"`: the case closes when nothing is overdue any more; in between, below `dpd` days, it stays as it was.
  `closing="below_trigger"`: it closes as soon as the condition that opens cases no longer holds.
- A quarantined row tells nothing: the account stays as the month before left it.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict, get_args

import duckdb

SOURCE = Path(__file__).with_name("card-clients-2005.csv.gz")
MONTH = re.compile(r"\d{4}-\d{2}")

Closing = Literal["cured", "below_trigger"]


class MonthCount(TypedDict):
    """The state at a month's end; `opened` and `closed` are the changes since the month before."""

    month: str
    accounts: int
    opened: int
    closed: int
    open: int


COUNTS = """
WITH rows AS (
    SELECT figures.*, quarantined.id IS NOT NULL AS is_quarantined, months_late >= 1 AND balance > 0 AS is_overdue
    FROM figures LEFT JOIN quarantined USING (id, month)
), marked AS (
    -- 1 opens or keeps a case, 0 closes it, NULL leaves everything as it was
    SELECT id, month, is_quarantined, CASE
        WHEN is_quarantined THEN NULL
        WHEN is_overdue AND 30 * months_late - 5 >= $dpd THEN 1
        WHEN is_overdue AND $closing = 'cured' THEN NULL
        ELSE 0
    END AS mark
    FROM rows
), states AS (
    SELECT id, month,
        bool_or(NOT is_quarantined) OVER until_now AS is_known,
        coalesce(last_value(mark IGNORE NULLS) OVER until_now, 0) = 1 AS is_open
    FROM marked
    WINDOW until_now AS (PARTITION BY id ORDER BY month ROWS UNBOUNDED PRECEDING)
), changes AS (
    SELECT *, coalesce(lag(is_open) OVER (PARTITION BY id ORDER BY month), false) AS was_open FROM states
)
SELECT month,
    count(*) FILTER (is_known),
    count(*) FILTER (is_open AND NOT was_open),
    count(*) FILTER (was_open AND NOT is_open),
    count(*) FILTER (is_open)
FROM changes GROUP BY month ORDER BY month
"""


def count_cases(
    manifest: Mapping[str, Any], *, dpd: int = 31, closing: Closing = "cured", source: Path = SOURCE
) -> list[MonthCount]:
    """Return the expected counts of each month in `manifest` (as `generate.py` wrote it), in order of the months."""
    months = [file["month"] for file in manifest["files"]]
    if not months:
        return []
    with duckdb.connect() as connection:
        _load_figures(connection, source, months, manifest["customers"])
        _load_quarantined(connection, manifest)
        counts = connection.execute(COUNTS, {"dpd": dpd, "closing": closing}).fetchall()
    return [
        MonthCount(month=month, accounts=accounts, opened=opened, closed=closed, open=still_open)
        for month, accounts, opened, closed, still_open in counts
    ]


def _load_figures(connection: duckdb.DuckDBPyConnection, source: Path, months: Sequence[str], customers: int) -> None:
    """Make the table `figures`: a row per customer and month, with months late and the balance in whole dollars."""
    connection.execute(
        "CREATE TABLE clients AS SELECT * FROM read_csv($source) ORDER BY id LIMIT $customers",
        {"source": str(source), "customers": customers},
    )
    connection.execute("CREATE TABLE figures (id BIGINT, month VARCHAR, months_late BIGINT, balance BIGINT)")
    for month in months:
        if not MONTH.fullmatch(month):
            raise ValueError(f"month {month!r} in the manifest is not written YYYY-MM")
        suffix = month.replace("-", "_")
        connection.execute(
            f"INSERT INTO figures SELECT id, '{month}', pay_{suffix}, bill_{suffix} FROM clients"  # noqa: S608 - checked
        )


def _load_quarantined(connection: duckdb.DuckDBPyConnection, manifest: Mapping[str, Any]) -> None:
    """Make the table `quarantined`; positions 7 to 15 of an account number are the source's customer id."""
    connection.execute("CREATE TABLE quarantined (id BIGINT, month VARCHAR, UNIQUE (id, month))")
    for file in manifest["files"]:
        for row in file["quarantined"]:
            connection.execute(
                "INSERT OR IGNORE INTO quarantined VALUES ($id, $month)",
                {"id": int(row["account_number"][6:15]), "month": file["month"]},
            )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Count the cases that the sample extracts must lead to.")
    parser.add_argument("manifest", type=Path, help="manifest.json as generate.py wrote it")
    parser.add_argument("--dpd", type=int, default=31, help="days past due that open a case (31)")
    parser.add_argument("--closing", choices=get_args(Closing), default="cured", help="when a case closes (cured)")
    options = parser.parse_args(arguments)
    manifest = json.loads(options.manifest.read_text(encoding="utf-8"))
    print(f"{'month':<8}{'accounts':>10}{'opened':>8}{'closed':>8}{'open':>8}")
    for count in count_cases(manifest, dpd=options.dpd, closing=options.closing):
        print(f"{count['month']:<8}{count['accounts']:>10}{count['opened']:>8}{count['closed']:>8}{count['open']:>8}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
