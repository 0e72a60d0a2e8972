"""The real part of the sample: customers of a card issuer and what follows from their figures.

Everything here is a pure function of the published data: no name, no random number. Amounts are whole New Taiwan
dollars until `generate.py` writes them with two decimals. The source writes round ones as `1.00E+05`, 100,000.
"""

import csv
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

SOURCE = Path(__file__).with_name("card-clients-2005.csv.gz")

BUSINESS_DATES = {
    "2005-04": date(2005, 4, 30),
    "2005-05": date(2005, 5, 31),
    "2005-06": date(2005, 6, 30),
    "2005-07": date(2005, 7, 31),
    "2005-08": date(2005, 8, 31),
    "2005-09": date(2005, 9, 30),
}
"""The month-end each extract speaks of, by month."""

ISSUER_PREFIX = "621099"
BRANCHES = tuple(f"{number:04d}" for number in range(1001, 1013))


@dataclass(frozen=True, slots=True)
class Statement:
    """One customer's month: `months_late` is 0 unless a payment is missed; amounts in whole dollars."""

    months_late: int
    balance: int
    paid: int


@dataclass(frozen=True, slots=True)
class Client:
    """One customer of the source, with a statement for each month of `BUSINESS_DATES`."""

    id: int
    credit_limit: int
    is_male: bool
    age: int
    statements: dict[str, Statement]


def read_clients(source: Path = SOURCE) -> Iterator[Client]:
    """Yield the customers of the compressed source file in its order, which is ascending by id."""
    with gzip.open(source, "rt", encoding="ascii", newline="") as lines:
        for record in csv.DictReader(lines):
            yield Client(
                id=int(record["id"]),
                credit_limit=_whole_dollars(record["limit_bal"]),
                is_male=record["sex"] == "1",
                age=int(record["age"]),
                statements={month: _statement(record, month) for month in BUSINESS_DATES},
            )


def _statement(record: dict[str, str], month: str) -> Statement:
    suffix = month.replace("-", "_")
    return Statement(
        months_late=max(0, int(record[f"pay_{suffix}"])),
        balance=_whole_dollars(record[f"bill_{suffix}"]),
        paid=_whole_dollars(record[f"paid_{suffix}"]),
    )


def _whole_dollars(text: str) -> int:
    amount = Decimal(text)
    if amount != amount.to_integral_value():
        raise ValueError(f"amount {text!r} in the source is not in whole dollars")
    return int(amount)


def overdue_amount(statement: Statement) -> int:
    """Return what is past due in whole dollars: a minimum payment per month late, up to the balance.

    The minimum payment is 5 % of the balance, and 1,000 at the least. Nothing is overdue on an account that owes
    nothing, whatever its repayment status says.
    """
    if statement.months_late == 0 or statement.balance <= 0:
        return 0
    five_percent = (statement.balance + 10) // 20
    return min(statement.balance, statement.months_late * max(1000, five_percent))


def oldest_unpaid_due_date(statement: Statement, business_date: date) -> date | None:
    """Return when the oldest missed payment fell due, or None if nothing is overdue.

    Each month late counts 30 days less a lead of five, so that one month late is 25 days past due (bucket M1),
    two are 55 (M2), and so on.
    """
    if overdue_amount(statement) == 0:
        return None
    return business_date - timedelta(days=30 * statement.months_late - 5)


def account_number(client_id: int) -> str:
    """Return the 16-digit account: issuer prefix, the customer's id in positions 7 to 15, and a Luhn check digit."""
    payload = f"{ISSUER_PREFIX}{client_id:09d}"
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in payload[-1::-2])
    kept = (int(digit) for digit in payload[-2::-2])
    return f"{payload}{-(sum(doubled) + sum(kept)) % 10}"


def customer_number(client_id: int) -> str:
    """Return the core system's customer number, such as `C00000002`."""
    return f"C{client_id:08d}"


def branch(client_id: int) -> str:
    """Return the branch that keeps the account: a stable choice among the twelve."""
    return BRANCHES[zlib.crc32(str(client_id).encode()) % len(BRANCHES)]


def product(credit_limit: int) -> str:
    """Return the card product that a credit limit in whole dollars stands for."""
    if credit_limit < 150_000:
        return "CC-STD"
    if credit_limit < 300_000:
        return "CC-GOLD"
    return "CC-PLAT"
