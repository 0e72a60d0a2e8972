"""What a run says of itself: do the counts agree, and did it cost what its changed rows need. All pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chalicelib.connectors.model import COMPLETED, Run

ROW_COUNTS = ("read", "new", "changed", "unchanged", "removed", "quarantined")
"""The members of a run's `counts`. Removed rows were in the last snapshot only; all others were read."""

OWN_REQUESTS = Counter(GetItem=2, TransactWriteItems=1)
"""What a chunk's bookkeeping costs: its run read before and after, and its receipt written with the run's counters."""

_WRITE_BATCH, _READ_BATCH, _TRANSACTION = 25, 100, 100
_ITEMS_OF_OPENING, _ITEMS_OF_CHANGE, _ITEMS_OF_NO_CHANGE = 5, 4, 1
_OTHER_READS = 2
"""The rules, and the collectors' loads, are read once a chunk."""


@dataclass(frozen=True)
class RequestReport:
    """DynamoDB requests of a run, measured, beside what its changed rows need by arithmetic.

    `expected` knows nothing of unchanged rows: they are in no chunk. So what is `beyond_expected` is the most that
    they, or retries, can have cost.
    """

    by_operation: Mapping[str, int]
    total: int
    expected: int
    per_changed_row: float | None
    beyond_expected: int


@dataclass(frozen=True)
class QuarantineCounts:
    """What became of a run's quarantined rows; together they are all that it had. `waiting` ones may be repaired."""

    waiting: int
    replayed: int
    discarded: int
    expired: int


def quarantine_counts(run: Run, now: datetime) -> QuarantineCounts | None:
    """What has become of the rows that a run quarantined; None while it is not completed, where nothing of its file was
    applied, and for a replay, whose rows are another run's.

    All rows of a run expire together, so those are expired that nobody settled before: none is lost uncounted.
    """
    if run.status != COMPLETED or run.counts is None or run.replay_of is not None:
        return None
    left = run.counts["quarantined"] - run.rows_replayed - run.rows_discarded
    is_late = run.quarantine_until is not None and now >= run.quarantine_until
    return QuarantineCounts(0 if is_late else left, run.rows_replayed, run.rows_discarded, left if is_late else 0)


def reconcile(
    counts: Mapping[str, int], totals: Iterable[Mapping[str, Any]], trailer: Mapping[str, Any] | None, rows_applied: int
) -> list[str]:
    """What does not agree, as sentences; empty for a run in which every row is accounted for.

    `totals` are the control totals by currency, of which `rows` counts here; `trailer` is what the file's last line
    states (`rows`). A trailer's total was compared when the file was staged, and a file where it differs is refused.
    """
    found: list[str] = []
    accepted = counts["new"] + counts["changed"] + counts["unchanged"]
    if counts["read"] != accepted + counts["quarantined"]:
        found.append(
            f"{counts['read']} rows were read but {accepted + counts['quarantined']} are new, changed, unchanged or "
            "quarantined"
        )
    to_apply = counts["new"] + counts["changed"] + counts["removed"]
    if rows_applied != to_apply:
        found.append(f"{to_apply} rows are new, changed or removed but {rows_applied} were applied")
    in_totals = sum(total["rows"] for total in totals)
    if in_totals != accepted:
        found.append(f"{accepted} rows were accepted but the control totals sum {in_totals}")
    if trailer is not None and trailer["rows"] != counts["read"]:
        found.append(f"the trailer states {trailer['rows']} rows but {counts['read']} were read")
    return found


def planning_requests_needed(quarantined: int) -> int:
    """The requests that planning needs: the connector read, the claim, the plan and the dispatch written, and the
    quarantined rows in full batches."""
    return 4 + _full(quarantined, _WRITE_BATCH)


def settling_requests_needed(rows: int) -> int:
    """The requests that settling the rows of a replay needs: they are read, a page at a time, and written in full
    batches."""
    return 1 + _full(rows, _WRITE_BATCH)


def requests_needed(*, items: int, overdue_rows: int, opened: int, changed: int) -> int:
    """The requests that applying one chunk needs: `items` accounts and borrowers written in full batches, positions and
    cases of `overdue_rows` read in full batches, and the decisions in full transactions. Of these `opened` open a case
    and `changed` update or close one; the others store the borrower's position alone."""
    unchanged = max(0, overdue_rows - opened - changed)
    decided = opened * _ITEMS_OF_OPENING + changed * _ITEMS_OF_CHANGE + unchanged * _ITEMS_OF_NO_CHANGE
    leaf = 1
    return (
        OWN_REQUESTS.total()
        + _full(items, _WRITE_BATCH)
        + 2 * _full(overdue_rows, _READ_BATCH)
        + _OTHER_READS
        + _full(decided + leaf, _TRANSACTION)
    )


def request_report(by_operation: Mapping[str, int], expected: int, counts: Mapping[str, int]) -> RequestReport:
    """The measured requests with what a reader compares them to."""
    total = sum(by_operation.values())
    changed = counts["new"] + counts["changed"] + counts["removed"]
    return RequestReport(
        by_operation=dict(sorted(by_operation.items())),
        total=total,
        expected=expected,
        per_changed_row=round(total / changed, 3) if changed else None,
        beyond_expected=max(0, total - expected),
    )


def summed(parts: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Counts of several chunks added up by name."""
    total = Counter[str]()
    for part in parts:
        total.update(part)
    return dict(sorted(total.items()))


def _full(things: int, batch: int) -> int:
    return -(-things // batch)
