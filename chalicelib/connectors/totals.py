"""Sums that prove a file: what its trailer says of it, and control totals to reconcile the books with."""

# ruff: noqa: S608 - SQL is what this module makes; all text of users enters it through `expressions.literal`.
from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import duckdb

from chalicelib.connectors.compile import UNKNOWN_EXPONENT, column
from chalicelib.connectors.errors import FileRefused
from chalicelib.connectors.formats import TrailerLine
from chalicelib.connectors.mapping import Mapping, MoneyField
from chalicelib.platform.money import EXPONENTS


@dataclass(frozen=True, slots=True)
class ControlTotal:
    """Sums over the accepted rows of one currency, in its minor units."""

    currency: str
    rows: int
    balance: int
    overdue_amount: int


@dataclass(frozen=True, slots=True)
class Sums:
    """One pass over all rows: the totals of the accepted ones, and the sum of the trailer's field over all, in the unit
    in which the file writes it (0 where there is no such field)."""

    accepted: tuple[ControlTotal, ...]
    control: Decimal


def sum_up(con: duckdb.DuckDBPyConnection, mapping: Mapping) -> Sums:
    """The sums over the connection's views `known` and `fresh`."""
    total_field = mapping.format.total_field
    summed = column(total_field) if total_field else "NULL::BIGINT"
    columns = "account_currency, account_balance, account_overdue_amount"
    found = con.execute(
        "SELECT account_currency, is_accepted, count(*), coalesce(sum(account_balance), 0), "
        "coalesce(sum(account_overdue_amount), 0), coalesce(sum(control), 0) FROM ("
        f"SELECT {columns}, true AS is_accepted, {summed} AS control FROM known UNION ALL "
        f"SELECT {columns}, reasons IS NULL AS is_accepted, control FROM fresh) "
        "GROUP BY account_currency, is_accepted ORDER BY account_currency, is_accepted"
    ).fetchall()
    shifts = _shifts(mapping)
    return Sums(
        accepted=tuple(
            ControlTotal(currency, rows, int(balance), int(overdue))
            for currency, is_accepted, rows, balance, overdue, _ in found
            if is_accepted
        ),
        control=sum((Decimal(int(control)).scaleb(-shifts[currency]) for currency, *_, control in found), Decimal(0)),
    )


def check_trailer(trailer: TrailerLine, rows: int, unread: int, sums: Sums) -> None:
    """Raises `FileRefused` where the trailer's count, or its total, is not that of the rows.

    The total is left unproven where the amount of one of the rows (`unread`) cannot be read: what cannot be read cannot
    be summed, its row is quarantined, and the report says how many there are.
    """
    if trailer.count != rows:
        raise FileRefused(
            "trailer_count",
            f"The trailer says {trailer.count} rows, the file holds {rows}: it may be cut short or joined of two",
            line=trailer.line,
            expected=trailer.count,
            found=rows,
        )
    if trailer.total is not None and not unread and trailer.total != sums.control:
        raise FileRefused(
            "trailer_total",
            f"The trailer's total is {trailer.total}, the rows sum up to {sums.control}",
            line=trailer.line,
            expected=str(trailer.total),
            found=str(sums.control),
        )


def _shifts(mapping: Mapping) -> dict[str | None, int]:
    """By currency (None: not known), the decimals between the unit in which amounts are summed and the file's own."""
    in_minor = any(
        isinstance(item, MoneyField) and item.unit == "minor"
        for item in mapping.fields
        if item.target == mapping.format.total_field
    )
    known: dict[str | None, int] = {**EXPONENTS, None: UNKNOWN_EXPONENT}
    return dict.fromkeys(known, 0) if in_minor else known
